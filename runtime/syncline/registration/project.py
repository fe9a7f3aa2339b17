"""A functions folder as source: its modules, what they import of each other, and their hashes.

Reads every file once; what is compiled is what was hashed, whatever an editor does meanwhile.
Module paths follow convex-protocol 2.2 ("dir/mod"); files must also be importable by name.
"""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType

from syncline.errors import DeveloperError
from syncline.execution.determinism.source_check import check_source

_COMPONENT = re.compile(r"[A-Za-z0-9_]{1,64}")
_INIT = "__init__"


@dataclass(frozen=True)
class ProjectModule:
    """One source file."""

    path: str
    """ "dir/mod"; "dir/__init__" for the code of a package."""
    file: str
    """Relative to the functions folder, "dir/mod.py"."""
    source: bytes
    tree: ast.Module
    code: CodeType

    @property
    def name(self) -> str:
        """Dotted and relative to the folder's package; "" is the folder itself."""
        parts = self.path.split("/")
        return ".".join(parts[:-1] if self.is_package else parts)

    @property
    def is_package(self) -> bool:
        """Whether it is the code of a folder."""
        return self.path.rpartition("/")[2] == _INIT

    @property
    def is_exposed(self) -> bool:
        """Whether its functions may be called by name: no part of the path starts with "_"."""
        return not any(part.startswith("_") for part in self.path.split("/"))


@dataclass(frozen=True)
class Project:
    """Every module of a folder, by dotted name, in the order of their paths."""

    folder: Path
    modules: Mapping[str, ProjectModule]
    folders: frozenset[str]
    """Dotted names of the folders, the root "" included; all are packages, most without code."""

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """Path of each exposed module to the hash of its source and of all that it imports."""
        imports = {name: set(self._imports(module)) for name, module in self.modules.items()}
        return {
            module.path: self._hash_of([name], imports)
            for name, module in self.modules.items()
            if module.is_exposed
        }

    def hash_of(self, paths: Collection[str]) -> str:
        """One hash of several modules and of all that they import."""
        names = [name for name, module in self.modules.items() if module.path in paths]
        imports = {name: set(self._imports(module)) for name, module in self.modules.items()}
        return self._hash_of(names, imports)

    def _hash_of(self, names: Collection[str], imports: Mapping[str, set[str]]) -> str:
        reached = set(names)
        waiting = list(names)
        while waiting:
            new = imports[waiting.pop()] - reached
            reached |= new
            waiting.extend(new)
        digest = hashlib.sha256()
        for each in sorted(reached):
            module = self.modules[each]
            for part in (module.path.encode(), module.source):
                digest.update(len(part).to_bytes(8))
                digest.update(part)
        return digest.hexdigest()

    def _imports(self, module: ProjectModule) -> Iterator[str]:
        """Project modules that a module's import statements name, wherever they stand in it."""
        parents = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
        parents = [part for part in parents if part]
        yield from self._present(parents)
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ImportFrom) or not 0 < node.level <= len(parents) + 1:
                continue
            start = parents[: len(parents) + 1 - node.level]
            start += node.module.split(".") if node.module else []
            yield from self._present(start)
            for alias in node.names:
                yield from self._present([*start, alias.name])

    def _present(self, parts: list[str]) -> Iterator[str]:
        """The module of that name and the packages on the way to it, as far as they have code."""
        for length in range(len(parts) + 1):
            name = ".".join(parts[:length])
            if name in self.modules:
                yield name


def read_project(folder: Path) -> Project:
    """Read and check the sources of a functions folder.

    Raises:
        DeveloperError: no folder, a bad name, a syntax error or a broken rule, all files together.
    """
    if not folder.is_dir():
        raise DeveloperError(
            "NoFunctionsFolder",
            f"There is no folder {folder}: create it, or name another one.",
        )
    modules: dict[str, ProjectModule] = {}
    folders = {""}
    problems: list[str] = []
    for file in _source_files(folder):
        relative = file.relative_to(folder)
        path = relative.with_suffix("").as_posix()
        wrong = [part for part in path.split("/") if not _is_component(part)]
        if wrong:
            problems.append(
                f"{relative.as_posix()}: `{wrong[0]}` can't be imported: rename it, using up to 64 "
                "letters, digits and underscores, not starting with a digit."
            )
            continue
        folders.update(str(each).replace("/", ".") for each in relative.parents if each.name)
        module = _read_module(file, path, relative.as_posix(), problems)
        if module is not None:
            modules[module.name] = module
    for name in sorted(folders & {name for name, m in modules.items() if not m.is_package}):
        file = modules[name].file
        problems += [f"{file}: there is a folder of the same name; rename one of them."]
    if problems:
        raise DeveloperError("FunctionsNotLoadable", "\n".join(problems))
    return Project(folder, modules, frozenset(folders))


def _source_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        if not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield file


def _is_component(part: str) -> bool:
    return part == _INIT or (
        _COMPONENT.fullmatch(part) is not None and part.isidentifier() and part.strip("_") != ""
    )


def _read_module(file: Path, path: str, relative: str, problems: list[str]) -> ProjectModule | None:
    source = file.read_bytes()
    try:
        tree = ast.parse(source, relative)
        code = compile(tree, str(file), "exec", dont_inherit=True)
        text = source.decode()
    except SyntaxError as error:
        problems.append(f"{relative}:{error.lineno or 1}: {error.msg}; mend the syntax.")
        return None
    except (ValueError, RecursionError) as error:
        # Null bytes, text that is not UTF-8, or nesting too deep for the compiler.
        problems.append(f"{relative}:1: not Python source in UTF-8 ({error}).")
        return None
    problems += [
        f"{relative}:{finding.line}: {finding.what} [{finding.rule}] {finding.remedy}"
        for finding in check_source(tree, text)
    ]
    return ProjectModule(path, relative, source, tree, code)

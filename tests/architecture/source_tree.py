"""The project's Python files, parsed once, for the tests that look at the source itself."""

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "runtime" / "syncline"


@dataclass(frozen=True)
class SourceFile:
    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(PROJECT).as_posix()

    @property
    def module(self) -> str:
        """Dotted module name for files of the package, else the path."""
        if not self.path.is_relative_to(PACKAGE):
            return self.name
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that git tracks or would track; all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = (PROJECT / name for name in listed.stdout.split("\0") if name)
    else:
        skipped = {".venv", "node_modules", "__pycache__", ".git", ".syncline"}
        found = (p for p in PROJECT.rglob("*") if not skipped.intersection(p.parts))
    return tuple(sorted({path for path in found if path.is_file() and not path.is_symlink()}))


@cache
def python_sources() -> tuple[SourceFile, ...]:
    """Every Python file but the sins that tests keep on purpose (tests/determinism/modules)."""
    files = []
    for path in project_files():
        if path.suffix != ".py" or "modules" in path.relative_to(PROJECT).parts:
            continue
        text = path.read_text(encoding="utf-8")
        files.append(SourceFile(path, text, ast.parse(text, str(path))))
    return tuple(files)


def package_sources() -> tuple[SourceFile, ...]:
    return tuple(file for file in python_sources() if file.path.is_relative_to(PACKAGE))


def imported_modules(file: SourceFile) -> list[tuple[str, int]]:
    """(dotted name, line) of every import in a file, late and type-only ones included."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return found

"""Makes loaded projects importable under package names of their own.

One finder a process stands on `sys.meta_path`; it knows nothing but the packages given to it. Their
modules run from compiled source with curated builtins (see `import_gate`) and carry the mark by
which messages find the user's line. Nothing is written next to the sources.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

from syncline.execution.determinism.call_state import MODULE_MARK
from syncline.execution.determinism.import_gate import curated_builtins
from syncline.registration.project import Project, ProjectModule


class _ModuleLoader(Loader):
    """Runs one module; None: a folder without code of its own."""

    def __init__(self, module: ProjectModule | None, builtins: dict[str, object]) -> None:
        self._module = module
        self._builtins = builtins

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self._module is None:
            return
        namespace = module.__dict__
        namespace["__builtins__"] = self._builtins
        namespace["__file__"] = self._module.code.co_filename
        namespace[MODULE_MARK] = self._module.file
        exec(self._module.code, namespace)  # noqa: S102 - running user modules is the purpose


class ProjectFinder(MetaPathFinder):
    """Finds modules of the projects that were added."""

    def __init__(self) -> None:
        self._projects: dict[str, tuple[Project, dict[str, object]]] = {}

    def add(self, package: str, project: Project) -> None:
        """Make a project importable as `package`."""
        assert package not in self._projects, "package names are unique"
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._projects[package] = (project, curated_builtins())

    def __contains__(self, package: str) -> bool:
        """Whether the name is taken; `sys.modules` does not know a project without modules."""
        return package in self._projects

    def remove(self, package: str) -> None:
        """Forget a project and its modules; code that still runs keeps what it has imported."""
        self._projects.pop(package, None)
        prefix = f"{package}."
        for name in [name for name in sys.modules if name == package or name.startswith(prefix)]:
            del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import system's protocol."""
        package, _, name = fullname.partition(".")
        added = self._projects.get(package)
        if added is None:
            return None
        project, builtins = added
        module = project.modules.get(name)
        is_package = name in project.folders
        if module is None and not is_package:
            return None
        loader = _ModuleLoader(module, builtins)
        return spec_from_loader(
            fullname,
            loader,
            origin=None if module is None else module.code.co_filename,
            is_package=is_package,
        )


FINDER = ProjectFinder()
"""The one of this process."""

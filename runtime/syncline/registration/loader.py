"""Loads a functions folder as a package of its own and collects what it registers.

The folder is imported under a unique package name and never put on `sys.path`, so that versions of
it live side by side and `http.py` shadows nothing. All modules are loaded at once, private ones
too: a broken module fails the load, and no call pays for an import of the project's own. Every
error is a DeveloperError that names file, line and what to do.
"""

import hashlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from syncline.bundle_spec import BundleSpec, CronSpec, FunctionSpec, ProviderSpec
from syncline.errors import DeveloperError
from syncline.execution.determinism import audit_guard
from syncline.execution.determinism.call_state import MODULE_MARK, LoadingState
from syncline.registration.auth_providers import provider_specs
from syncline.registration.crons import Crons
from syncline.registration.http_router import HttpRouter
from syncline.registration.project import Project, read_project
from syncline.registration.project_finder import FINDER
from syncline.registration.registry import (
    FunctionDefinition,
    FunctionReference,
    LoadedBundle,
    references_in,
)
from syncline.registration.row_rules import TableRules, rules_in
from syncline.registration.signature import read_signature
from syncline.registration.system_functions import system_definitions
from syncline.schema.definition import Schema

SCHEMA_MODULE = "schema"
AUTH_MODULE = "auth_config"
HTTP_MODULE = "http"
CRONS_MODULE = "crons"


def load_bundle(folder: Path, bundle: str) -> LoadedBundle:
    """Import a functions folder and collect its functions, schema and hashes.

    `bundle` is the content hash under which calls will name this version. Loading the same folder
    again makes fresh modules.

    Raises:
        DeveloperError: it does not load; the message has a line for each problem found.
    """
    audit_guard.install()
    project = read_project(folder)
    package = _package_name(bundle)
    FINDER.add(package, project)
    try:
        with LoadingState():
            namespaces = {
                module.path: _load_module(package, name, project)
                for name, module in project.modules.items()
            }
            definitions = _definitions(namespaces, project)
        schema = _schema(namespaces)
        auth = _auth(namespaces)
        rules = _rules(namespaces, schema)
        modules = _hashes(project, namespaces)
        http = _http(namespaces)
        crons = _crons(namespaces, definitions)
    except BaseException:
        FINDER.remove(package)
        raise
    spec = BundleSpec(
        functions=tuple(map(_spec, definitions.values())),
        modules=modules,
        schema=None if schema is None else schema.to_json(),
        auth=auth,
        http=() if http is None else tuple(http.spec()),
        crons=crons,
    )
    return LoadedBundle(
        hash=bundle,
        definitions={**system_definitions(), **definitions},
        modules=modules,
        schema=schema,
        spec=spec,
        package=package,
        namespaces=namespaces,
        rules=rules,
        http=http,
    )


def unload_bundle(bundle: LoadedBundle) -> None:
    """Let a version go; calls that still run it keep what they have."""
    FINDER.remove(bundle.package)


def _package_name(bundle: str) -> str:
    # Equal in every process, since it shows in reprs of user classes.
    name = "functions_" + "".join(c for c in bundle if c.isascii() and c.isalnum())[:16]
    unique, number = name, 1
    while unique in sys.modules or unique in FINDER:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _load_module(package: str, name: str, project: Project) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.{name}" if name else package)
    except DeveloperError as error:
        place = _place(error, project.modules[name].file)
        # The decorators know only the whole path.
        message = error.message.replace(f"{project.folder}/", "")
        raise DeveloperError(error.code, f"{place}: {message}") from error
    except (Exception, SystemExit) as error:
        place = _place(error, project.modules[name].file)
        text = f"{place}: {type(error).__name__}: {error}{_remedy(error, package, project)}"
        raise DeveloperError("ModuleNotLoadable", text) from error


def _place(error: BaseException, default: str) -> str:
    """The innermost line of the project in a traceback."""
    place = default
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_globals.get(MODULE_MARK)
        if file is not None:
            place = f"{file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _remedy(error: BaseException, package: str, project: Project) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    top, _, name = error.name.partition(".")
    if top == package:
        return f". There is no module {name.replace('.', '/')}.py in the functions folder."
    if top in project.modules or top in project.folders:
        return f". Modules of the functions folder are imported relatively: `from .{top} import x`."
    return ". Add the package to the project's dependencies."


def _definitions(
    namespaces: Mapping[str, ModuleType], project: Project
) -> dict[str, FunctionDefinition]:
    """Every registered function by path, sorted; all that is wrong is told at once."""
    definitions: dict[str, FunctionDefinition] = {}
    problems: list[str] = []
    for name, module in project.modules.items():
        del name
        for attribute, reference in _own_references(namespaces[module.path], namespaces):
            path = f"{module.path}:{attribute}"
            place = f"{module.file}:{reference.declaration.line}"
            try:
                _require_exposable(reference, exposed=module.is_exposed)
                definition = read_signature(reference, path, module.file)
            except DeveloperError as error:
                problems.append(f"{place}: {attribute}: {error.message}")
            else:
                reference.place(path)
                definitions[path] = definition
    if problems:
        raise DeveloperError("FunctionsNotLoadable", "\n".join(problems))
    return dict(sorted(definitions.items()))


def _own_references(
    namespace: ModuleType, namespaces: Mapping[str, ModuleType]
) -> Iterator[tuple[str, FunctionReference[..., object]]]:
    """A module's functions without those that it imported from where they are defined."""
    by_name = {each.__name__: each for each in namespaces.values()}
    for attribute, value in references_in(namespace):
        home = by_name.get(value.__module__)
        if home is None or home is namespace or not _holds(home, value):
            yield attribute, value


def _holds(namespace: ModuleType, value: object) -> bool:
    return any(each is value for each in vars(namespace).values())


def _require_exposable(reference: FunctionReference[..., object], *, exposed: bool) -> None:
    if not exposed:
        raise DeveloperError(
            "PrivateModule",
            "nothing can call a function of a module whose name starts with `_`: move it to "
            "another module, or leave out the decorator.",
        )
    if reference.is_placed:
        raise DeveloperError(
            "DuplicateFunction",
            f"it is already registered as {reference.path}: keep one of the names.",
        )


def _schema(namespaces: Mapping[str, ModuleType]) -> Schema | None:
    module = namespaces.get(SCHEMA_MODULE)
    if module is None:
        return None
    schema = getattr(module, "schema", None)
    if isinstance(schema, Schema):
        return schema
    raise DeveloperError(
        "NoSchema",
        "schema.py:1: it has no `schema`: write `schema = define_schema({...})`, or remove the "
        "file to go without one.",
    )


def _rules(namespaces: Mapping[str, ModuleType], schema: Schema | None) -> Mapping[str, TableRules]:
    """The row rules by table: one set a table, and no table that there is not."""
    found: dict[str, TableRules] = {}
    for _, each in rules_in(namespaces):
        if each.table in found:
            raise DeveloperError(
                "DuplicateRules",
                f"{each.place}: {each.table!r} has rules already ({found[each.table].place}): "
                "say all of them in one call.",
            )
        if schema is not None and each.table not in schema.tables:
            raise DeveloperError(
                "RulesForNoTable",
                f"{each.place}: the schema has no table {each.table!r}, so these rules would "
                "protect nothing: mend the name.",
            )
        found[each.table] = each
    return found


def _hashes(project: Project, namespaces: Mapping[str, ModuleType]) -> Mapping[str, str]:
    """Module hashes; rules decide what every function sees, so theirs is part of each."""
    ruling = {path for path, _ in rules_in(namespaces)}
    if not ruling:
        return project.hashes
    rules = project.hash_of(ruling)
    return {
        path: hashlib.sha256(f"{own} under {rules}".encode()).hexdigest()
        for path, own in project.hashes.items()
    }


def _auth(namespaces: Mapping[str, ModuleType]) -> tuple[ProviderSpec, ...]:
    module = namespaces.get(AUTH_MODULE)
    return () if module is None else provider_specs(getattr(module, "providers", None))


def _http(namespaces: Mapping[str, ModuleType]) -> HttpRouter | None:
    module = namespaces.get(HTTP_MODULE)
    if module is None:
        return None
    router = getattr(module, "http", None)
    if isinstance(router, HttpRouter):
        return router
    if not any(isinstance(each, HttpRouter) for each in vars(module).values()):
        return None
    raise DeveloperError(
        "NoRouter",
        "http.py:1: its router has another name: write `http = HttpRouter()`.",
    )


def _crons(
    namespaces: Mapping[str, ModuleType], definitions: Mapping[str, FunctionDefinition]
) -> tuple[CronSpec, ...]:
    module = namespaces.get(CRONS_MODULE)
    if module is None:
        return ()
    crons = getattr(module, "crons", None)
    if not isinstance(crons, Crons):
        raise DeveloperError("NoCrons", "crons.py:1: it has no `crons`: write `crons = Crons()`.")
    try:
        return crons.specs(definitions.get)
    except DeveloperError as error:
        raise DeveloperError(error.code, f"crons.py:1: {error.message}") from error


def _spec(definition: FunctionDefinition) -> FunctionSpec:
    return FunctionSpec(
        path=definition.path,
        kind=definition.kind,
        visibility=definition.visibility,
        args=definition.args.to_json(),
        returns=definition.returns.to_json(),
    )

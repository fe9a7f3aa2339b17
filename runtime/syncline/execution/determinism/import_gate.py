"""What an import statement in a user's module gives, and the builtins that the module runs with.

A user's module is executed with its own `__builtins__`: an `__import__` that puts stand-ins and
facades in the place of modules that queries and mutations may not use, and stand-ins for `open`,
`eval`, `id` and the like. Nothing is patched: other code of the process sees the real ones. A
module may import anything; only using it in a query or mutation is refused.

Known hole: an attribute walk through an innocent module (`json.codecs.builtins.open`). Where it
ends at a file, a socket or a process the audit guard sees it.
"""

import builtins
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec, resolve_name
from inspect import currentframe
from types import ModuleType

from syncline.execution.determinism.call_state import current_log
from syncline.execution.determinism.facades import FACADES, importlib_facade
from syncline.execution.determinism.refusals import (
    ADDRESSES,
    CONSOLE,
    DYNAMIC_CODE,
    FILES,
    REFUSED_MODULES,
    Refusal,
)
from syncline.execution.determinism.stand_in import StandIn, check, guarded
from syncline.values.render import inspect

_GATED_TOPS = {name.partition(".")[0] for name in (*REFUSED_MODULES, *FACADES)} | {
    "builtins",
    "importlib",
}
_PARENTS = {
    name.rpartition(".")[0] for name in (*REFUSED_MODULES, *FACADES, "importlib.x") if "." in name
}
"""Packages that have a gated submodule."""

_REFUSED_BUILTINS: Mapping[str, Refusal] = {
    "open": FILES,
    "input": CONSOLE,
    "breakpoint": CONSOLE,
    "eval": DYNAMIC_CODE,
    "exec": DYNAMIC_CODE,
    "compile": DYNAMIC_CODE,
    "id": ADDRESSES,
}

_seen: dict[str, ModuleType] = {}
"""Stand-ins by module name; one a process, they hold no state of a bundle."""


def module_for_users(name: str) -> ModuleType:
    """What user code gets for the module called `name`: a stand-in, a facade or the module itself.

    Raises:
        ModuleNotFoundError: there is none.
    """
    seen = _seen.get(name)
    if seen is None:
        seen = _make(name)
        if isinstance(seen, StandIn):
            _seen[name] = seen
    return seen


def curated_builtins() -> dict[str, object]:
    """A fresh `__builtins__` for the modules of one bundle."""
    curated = dict(vars(builtins))
    for name, refusal in _REFUSED_BUILTINS.items():
        curated[name] = guarded(getattr(builtins, name), refusal, name)
    curated["hash"] = _hash
    curated["print"] = _print
    curated["__import__"] = _import
    return curated


def _make(name: str) -> ModuleType:
    make = FACADES.get(name)
    if make is not None:
        return make(module_for_users)
    if name == "importlib":
        return importlib_facade(module_for_users, _import_module)
    if name == "builtins":
        seen = ModuleType("builtins")
        vars(seen).update(curated_builtins())
        return seen
    refusal = _refusal_of(name)
    if refusal is not None:
        _require(name)
        return StandIn(name, refusal, submodule=module_for_users)
    if name in _PARENTS:
        return StandIn(name, None, submodule=module_for_users)
    return import_module(name)


def _refusal_of(name: str) -> Refusal | None:
    while name:
        refusal = REFUSED_MODULES.get(name)
        if refusal is not None:
            return refusal
        name = name.rpartition(".")[0]
    return None


def _require(name: str) -> None:
    """Let a missing module fail at the import statement, though it is loaded at first use."""
    if name not in sys.modules and find_spec(name) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of builtins.__import__
    locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """`__import__` of user modules: relative imports stay in their bundle, others are gated."""
    top = name.partition(".")[0]
    if level > 0 or top not in _GATED_TOPS:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    if fromlist:
        return module_for_users(name)
    module = module_for_users(top)
    parent = module
    for end in (i for i, character in enumerate(f"{name}.") if character == "."):
        if end > len(top):
            child = module_for_users(name[:end])
            setattr(parent, name[:end].rpartition(".")[2], child)
            parent = child
    return module


def _import_module(name: str, package: str | None) -> ModuleType:
    full_name = resolve_name(name, package) if name.startswith(".") else name
    if full_name.partition(".")[0] in _GATED_TOPS:
        return module_for_users(full_name)
    return import_module(full_name)


def _hash(value: object, /) -> int:
    """`hash`: only to define `__hash__`; PYTHONHASHSEED is fixed, addresses are not."""
    frame = currentframe()
    caller = None if frame is None else frame.f_back
    if caller is None or caller.f_code.co_name != "__hash__":
        check(ADDRESSES, "hash")
    return hash(value)


def _print(*values: object, **options: object) -> None:
    """`print`: a log line of the call; elsewhere, or to a file of one's own, the real one."""
    log = current_log()
    file = options.get("file")
    if log is None or (file is not None and file not in (sys.stdout, sys.stderr)):
        _real_print(*values, **options)
    elif options.get("sep") is not None:
        log.log("LOG", str(options["sep"]).join(map(str, values)))
    else:
        log.log("LOG", " ".join(map(inspect, values)))


_real_print: Callable[..., None] = print

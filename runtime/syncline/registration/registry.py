"""Registered functions as data: what a decorator attaches and what loading a folder makes of it.

A FunctionReference is what stands in the user's module: it can be handed to `ctx.run_query` and the
like, and called as the plain function that it wraps. A FunctionDefinition is the same function once
its module is loaded: with its path, its validators, and the way from validated arguments to Python
ones. A LoadedBundle holds every definition of one version of the folder.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import update_wrapper
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast

from syncline.errors import DeveloperError
from syncline.function_path import parse

if TYPE_CHECKING:
    from syncline.bundle_spec import BundleSpec
    from syncline.registration.http_router import HttpRouter
    from syncline.registration.row_rules import TableRules
    from syncline.schema.definition import Schema
    from syncline.schema.validator_types import Validator
    from syncline.values.value import Value

FunctionKind: TypeAlias = Literal["query", "mutation", "action"]
Visibility: TypeAlias = Literal["public", "internal"]
Handler: TypeAlias = Callable[..., Coroutine[Any, Any, object]]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a decorator was told, before the signature is read."""

    kind: FunctionKind
    visibility: Visibility
    args: "Validator | None"
    """`args=` of the decorator; None: the signature says it."""
    returns: "Validator | None"
    """`returns=` of the decorator; None: the return annotation says it."""
    file: str
    line: int
    """Where the function is defined, for messages."""


class FunctionReference(Generic[P, R]):
    """A decorated function: pass it to `ctx.run_query` and the like, or call it directly.

    Calling it runs the plain function with the caller's own ctx: no validation, no sub-transaction.
    """

    __wrapped__: Callable[P, Coroutine[Any, Any, R]]

    def __init__(
        self, handler: Callable[P, Coroutine[Any, Any, R]], declaration: Declaration
    ) -> None:
        update_wrapper(self, handler)
        self.declaration = declaration
        self._path: str | None = None

    @property
    def path(self) -> str:
        """The function's public name, "dir/module:function".

        Raises:
            DeveloperError: its module has not been loaded from a functions folder (yet).
        """
        if self._path is None:
            raise DeveloperError(
                "FunctionNotLoaded",
                f"{self.__wrapped__.__qualname__} ({self.declaration.file}:"
                f"{self.declaration.line}) has no path: it is known once its module is loaded "
                "from the functions folder. Use it inside functions, not while modules load.",
            )
        return self._path

    @property
    def is_placed(self) -> bool:
        """Whether the loader has given it its path."""
        return self._path is not None

    def place(self, path: str) -> None:
        """Give the function the path under which it was found; the loader calls this once."""
        self._path = path

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run the plain function."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        name = self._path or self.__wrapped__.__qualname__
        return f"<{self.declaration.visibility} {self.declaration.kind} {name}>"


def references_in(module: ModuleType) -> list[tuple[str, FunctionReference[..., object]]]:
    """The decorated functions among a module's names, in their order, imported ones too."""
    return [
        (name, cast("FunctionReference[..., object]", value))
        for name, value in vars(module).items()
        if isinstance(value, FunctionReference)
    ]


def path_of(function: object) -> str:
    """A function object, a path, or a generated reference with a `path`."""
    if isinstance(function, FunctionReference):
        return function.path
    path = function if isinstance(function, str) else getattr(function, "path", None)
    if isinstance(path, str):
        return str(parse(path))
    raise DeveloperError(
        "NotAFunction",
        "Name the function to run by the function itself, or by its path such as "
        f"'messages:expire'; got {type(function).__name__}.",
    )


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """A registered function of a loaded bundle."""

    path: str
    """ "dir/module:function", as clients name it."""
    kind: FunctionKind
    visibility: Visibility
    handler: Handler
    """Call as `handler(ctx, **bind(arguments))`."""
    args: "Validator"
    """`v.any()` if nothing is declared."""
    returns: "Validator"
    """`v.any()` if nothing is declared."""
    bind: "Callable[[dict[str, Value]], dict[str, object]]"
    """Validated arguments to keyword arguments: whole numbers become floats where annotated so."""
    file: str
    """Relative to the functions folder."""
    line: int

    @property
    def module(self) -> str:
        """The path of its module, "dir/module"."""
        return self.path.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """One version of the functions folder, imported under a package name of its own."""

    hash: str
    definitions: Mapping[str, FunctionDefinition]
    """By path; the built-in `_system/...` functions are among them."""
    modules: Mapping[str, str]
    """Path of each exposed module to the hash of its source and of what it imports."""
    schema: "Schema | None"
    spec: "BundleSpec"
    package: str
    """The name in `sys.modules` that the folder was imported under."""
    namespaces: Mapping[str, ModuleType]
    """The module objects by path, private modules included."""
    http: "HttpRouter | None" = None
    """From `http.py`."""
    rules: "Mapping[str, TableRules]" = field(default_factory=dict[str, "TableRules"])
    """Row rules by table."""

"""`@query`, `@mutation`, `@action` and their internal twins: check, attach a declaration.

Nothing registers globally: the loader finds the references in the modules that it has loaded, so
that several versions of a folder live side by side. Bare or called:

    @query
    async def recent(ctx: QueryCtx, limit: int = 50) -> list[dict]: ...

    @query(args={"n": v.number()}, returns=v.array(v.any()))
    async def odd(ctx, **args): ...
"""

import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from syncline.errors import DeveloperError
from syncline.registration.registry import (
    Declaration,
    FunctionKind,
    FunctionReference,
    Visibility,
)
from syncline.schema.validator_types import Validator
from syncline.schema.validators import v

P = ParamSpec("P")
R = TypeVar("R")

ArgsOption = Validator | Mapping[str, Validator]
"""`args=`: an object validator, or its fields."""


class FunctionDecorator(Protocol):
    """A decorator that is used bare, or called with `args=` and `returns=` first."""

    @overload
    def __call__(
        self, handler: Callable[P, Coroutine[Any, Any, R]], /
    ) -> FunctionReference[P, R]: ...

    @overload
    def __call__(
        self, *, args: ArgsOption | None = None, returns: Validator | None = None
    ) -> "Callable[[Callable[P, Coroutine[Any, Any, R]]], FunctionReference[P, R]]": ...


def _decorator(name: str, kind: FunctionKind, visibility: Visibility) -> FunctionDecorator:
    def decorate(
        handler: Callable[..., Coroutine[Any, Any, object]] | None = None,
        /,
        *,
        args: ArgsOption | None = None,
        returns: Validator | None = None,
    ) -> object:
        options = (_object_validator(name, args), _returns_validator(name, returns))
        if handler is not None:
            return _reference(name, handler, kind, visibility, options)

        def attach(handler: Callable[..., Coroutine[Any, Any, object]]) -> object:
            return _reference(name, handler, kind, visibility, options)

        return attach

    decorate.__name__ = name
    return decorate  # type: ignore[return-value] - one function behind both overloads


def _object_validator(name: str, args: ArgsOption | None) -> Validator | None:
    if args is None or isinstance(args, Validator):
        return args
    if isinstance(args, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        return v.object(args)
    raise DeveloperError(
        "BadArgsValidator",
        f"@{name}(args=...) takes a dict of validators or a v.object(...), not "
        f"{type(args).__name__}.",
    )


def _returns_validator(name: str, returns: Validator | None) -> Validator | None:
    if returns is None or isinstance(returns, Validator):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        return returns
    raise DeveloperError(
        "BadReturnsValidator",
        f"@{name}(returns=...) takes a validator such as v.string(), not {type(returns).__name__}.",
    )


def _reference(
    name: str,
    handler: Callable[..., Coroutine[Any, Any, object]],
    kind: FunctionKind,
    visibility: Visibility,
    options: tuple[Validator | None, Validator | None],
) -> FunctionReference[..., object]:
    """Check what is decorated and wrap it."""
    if isinstance(handler, FunctionReference):
        raise DeveloperError(
            "DecoratedTwice", f"{handler!r} is decorated twice; keep one of the decorators."
        )
    code = getattr(handler, "__code__", None)
    if code is None:
        raise DeveloperError(
            "NotAFunction",
            f"@{name} decorates `async def` functions, not {type(handler).__name__}.",
        )
    place = f"{code.co_filename}:{code.co_firstlineno}"
    if not inspect.iscoroutinefunction(handler):
        what = "an async generator" if inspect.isasyncgenfunction(handler) else "a plain `def`"
        raise DeveloperError(
            "NotAsync",
            f"{handler.__name__} ({place}) is {what}: write `async def {handler.__name__}(ctx, "
            f"...)` and return the result.",
        )
    args, returns = options
    declaration = Declaration(
        kind, visibility, args, returns, code.co_filename, code.co_firstlineno
    )
    return FunctionReference(handler, declaration)


query = _decorator("query", "query", "public")
"""A public read-only function: deterministic, cached, live for subscribers."""
mutation = _decorator("mutation", "mutation", "public")
"""A public serializable transaction: deterministic, rolled back if it raises."""
internal_query = _decorator("internal_query", "query", "internal")
"""A query that only functions, jobs and admins may call."""
internal_mutation = _decorator("internal_mutation", "mutation", "internal")
"""A mutation that only functions, jobs and admins may call."""
action = _decorator("action", "action", "public")
"""A public function of ordinary Python: it may use the network, and call queries and mutations."""
internal_action = _decorator("internal_action", "action", "internal")
"""An action that only functions, jobs and admins may call."""

"""From a function's signature to its validators, and from validated arguments to Python ones.

| annotation | validator |
| --- | --- |
| `str`, `bool`, `bytes`, `None` | `v.string()`, `v.boolean()`, `v.bytes()`, `v.null()` |
| `Int64` | `v.int64()` |
| `float`, `int` | `v.number()`; an `int` must be whole, a `float` arrives as one |
| `list[T]`, `dict[str, T]` | `v.array(T)`, `v.record(v.string(), T)`; bare: of anything |
| `Literal[...]`, `T | U`, `T | None` | `v.literal(...)`, `v.union(...)` |
| a `TypedDict` | `v.object({...})`, `NotRequired` fields optional |
| `Annotated[T, v.…]` | the validator; T still says how numbers arrive |
| `Id` | `v.string()` |
| `Any`, `object`, none at all | `v.any()` |

A default makes an argument optional. `args=` and `returns=` of the decorator win.
"""

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter

from syncline.errors import DeveloperError
from syncline.registration.annotations import Convert, Shape, read_annotation, resolve_annotation
from syncline.registration.registry import FunctionDefinition, FunctionReference, Handler
from syncline.schema.validator_types import ObjectValidator, OptionalValidator, Validator
from syncline.schema.validators import v
from syncline.values.value import Value


def read_signature(
    reference: FunctionReference[..., object], path: str, file: str
) -> FunctionDefinition:
    """The definition of a decorated function found under `path` in `file`.

    Raises:
        DeveloperError: an annotation or parameter that has no meaning here; says which.
    """
    declaration = reference.declaration
    handler: Handler = reference.__wrapped__
    parameters = _parameters(handler)
    explicit = declaration.args
    shapes = {
        name: read_annotation(
            resolve_annotation(handler, name, parameter.annotation),
            f"argument `{name}`",
            # With args={...} an annotation may be anything: it only says how numbers arrive.
            lenient=explicit is not None,
        )
        for name, parameter in parameters.items()
        if parameter.kind is not Parameter.VAR_KEYWORD
    }
    if explicit is not None:
        _require_fit(explicit, parameters)
    return FunctionDefinition(
        path=path,
        kind=declaration.kind,
        visibility=declaration.visibility,
        handler=handler,
        args=_args_validator(parameters, shapes) if explicit is None else explicit,
        returns=_returns_validator(handler, declaration.returns),
        bind=_binder({name: shape.convert for name, shape in shapes.items() if shape.convert}),
        file=file,
        line=declaration.line,
    )


def _parameters(handler: Handler) -> dict[str, Parameter]:
    """The parameters after ctx."""
    first, *rest = inspect.signature(handler).parameters.values() or (None,)
    if first is None or first.kind not in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise DeveloperError(
            "NoContextParameter", "its first parameter has to be the context: (ctx, ...)."
        )
    for parameter in rest:
        if parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL):
            raise DeveloperError(
                "PositionalParameter",
                f"`{parameter.name}`: arguments are passed by name; write plain parameters, or "
                "**args with the decorator's args={...}.",
            )
    return {parameter.name: parameter for parameter in rest}


def _args_validator(parameters: Mapping[str, Parameter], shapes: Mapping[str, Shape]) -> Validator:
    open_ended = [name for name in parameters if name not in shapes]
    if open_ended and shapes:
        raise DeveloperError(
            "OpenArguments",
            f"**{open_ended[0]} beside named arguments says nothing about what it may hold: "
            "declare all of them with the decorator's args={...}.",
        )
    if open_ended:
        return v.any()
    fields: dict[str, Validator] = {}
    for name, shape in shapes.items():
        fields[name] = shape.validator
        has_default = parameters[name].default is not Parameter.empty
        if isinstance(shape.validator, OptionalValidator):
            if not has_default:
                raise DeveloperError(
                    "OptionalWithoutDefault",
                    f"argument `{name}` is optional but has no default: write "
                    f"`{name}: ... = None`.",
                )
        elif has_default:
            fields[name] = v.optional(shape.validator)
    return v.object(fields)


def _require_fit(args: Validator, parameters: Mapping[str, Parameter]) -> None:
    """Explicit args have to be receivable: a parameter each, or `**args`."""
    if not isinstance(args, ObjectValidator):
        return
    fields = args.fields
    if not any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values()):
        for name in fields:
            if name not in parameters:
                raise DeveloperError(
                    "ArgumentWithoutParameter",
                    f"args={{...}} has `{name}`, but the function has no such parameter: add it, "
                    "or take **args.",
                )
    for name, parameter in parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD or parameter.default is not Parameter.empty:
            continue
        if name not in fields or isinstance(fields[name], OptionalValidator):
            raise DeveloperError(
                "ParameterWithoutArgument",
                f"parameter `{name}` may get no value by args={{...}}: give it a default, or "
                "declare it as required.",
            )


def _returns_validator(handler: Handler, explicit: Validator | None) -> Validator:
    if explicit is not None:
        return explicit
    annotation = inspect.signature(handler).return_annotation
    resolved = resolve_annotation(handler, "return", annotation)
    return read_annotation(resolved, "the return annotation").validator


def _binder(
    converts: Mapping[str, Convert],
) -> Callable[[dict[str, Value]], dict[str, object]]:
    if not converts:
        return dict

    def bind(arguments: dict[str, Value]) -> dict[str, object]:
        bound: dict[str, object] = dict(arguments)
        for name, convert in converts.items():
            if name in arguments:
                bound[name] = convert(arguments[name])
        return bound

    return bind

"""One annotation as a validator, and how values arrive that it describes.

Validators speak of wire values, where there is one kind of number; annotations tell `int` from
`float`. So an annotation becomes a Shape: the validator and, where numbers are concerned, a
conversion of the validated value.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

from syncline.errors import DeveloperError
from syncline.schema.validator_types import NumberValidator, Validator
from syncline.schema.validators import v
from syncline.values.value import Int64, Value

Convert: TypeAlias = Callable[[Value], Value]
"""A validated value to the one that the function gets."""

_SUPPORTED = (
    "Use str, bool, float, int, Int64, bytes, None, list[T], dict[str, T], Literal[...], T | None, "
    "a TypedDict, Annotated[T, v.…] or Any; or declare validators with args={...}, returns=..."
)


@dataclass(frozen=True, slots=True)
class Shape:
    """An annotation as a validator and a conversion; convert None: values stay as they are."""

    validator: Validator
    convert: Convert | None = None


def resolve_annotation(handler: Callable[..., object], name: str, annotation: object) -> object:
    """The annotation of `name` as an object, if it was written or postponed as text.

    One at a time, since `ctx: QueryCtx` may name what is imported for type checkers only.
    """
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    namespace = getattr(inspect.unwrap(handler), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(holder, namespace, include_extras=True)[name]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise DeveloperError(
            "BadAnnotation",
            f"the annotation of `{name}`, {annotation!r}, can't be resolved ({error}): import "
            "what it names, outside of `if TYPE_CHECKING`.",
        ) from error


def read_annotation(annotation: object, where: str, *, lenient: bool = False) -> Shape:
    """The shape of an annotation; `where` says for messages what is annotated.

    With `lenient` an annotation of no meaning here counts as `Any`.

    Raises:
        DeveloperError: it has no meaning here.
    """
    return _Reader(where, lenient=lenient).read(annotation)


class _Reader:
    """Reads nested annotations; keeps the typed dicts that it is inside of."""

    def __init__(self, where: str, *, lenient: bool) -> None:
        self._where = where
        self._lenient = lenient
        self._inside: list[object] = []

    def read(self, annotation: object) -> Shape:
        plain = _PLAIN.get(annotation) if isinstance(annotation, type | None) else None
        if plain is not None:
            return plain()
        if annotation is Any or annotation is object:
            return Shape(v.any())
        if isinstance(annotation, NewType):
            return self.read(annotation.__supertype__)
        if is_typeddict(annotation):
            return self._typed_dict(annotation)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments)
        if origin is Literal:
            return self._literal(arguments)
        if origin is Union or origin is types.UnionType:
            return self._union(arguments)
        if origin is list:
            return _list_shape(self.read(arguments[0]))
        if origin is dict:
            return self._record(arguments)
        return self._unsupported(annotation)

    def _unsupported(self, annotation: object) -> Shape:
        if self._lenient:
            return Shape(v.any())
        name = inspect.formatannotation(annotation)
        raise DeveloperError(
            "BadAnnotation", f"{self._where}: `{name}` is not a type of values. {_SUPPORTED}"
        )

    def _annotated(self, arguments: tuple[object, ...]) -> Shape:
        inner, *metadata = arguments
        for each in metadata:
            if isinstance(each, Validator):
                # The type beside an explicit validator only says how numbers arrive.
                return Shape(each, _Reader(self._where, lenient=True).read(inner).convert)
        return self.read(inner)

    def _literal(self, values: tuple[object, ...]) -> Shape:
        for value in values:
            if not isinstance(value, str | bool | int | None):
                return self._unsupported(Literal[values])
        validators = [
            v.null() if value is None else v.literal(value)  # type: ignore[arg-type] - checked above
            for value in values
        ]
        return Shape(validators[0] if len(validators) == 1 else v.union(*validators))

    def _union(self, members: tuple[object, ...]) -> Shape:
        shapes = [self.read(member) for member in members]
        return Shape(
            v.union(*(shape.validator for shape in shapes)), _union_convert(members, shapes)
        )

    def _record(self, arguments: tuple[object, ...]) -> Shape:
        keys, values = self.read(arguments[0]), self.read(arguments[1])
        convert = values.convert

        def convert_all(value: Value) -> Value:
            assert convert is not None
            assert isinstance(value, dict)
            return {key: convert(each) for key, each in value.items()}

        return Shape(v.record(keys.validator, values.validator), convert and convert_all)

    def _typed_dict(self, annotation: Any) -> Shape:
        if annotation in self._inside:
            raise DeveloperError(
                "BadAnnotation",
                f"{self._where}: {annotation.__name__} contains itself, which no validator can "
                "say: annotate the inner one with Any.",
            )
        self._inside.append(annotation)
        fields: dict[str, Validator] = {}
        converts: dict[str, Convert] = {}
        for name, hint in typing.get_type_hints(annotation, include_extras=True).items():
            required = name in annotation.__required_keys__
            kind = get_origin(hint)
            if kind is Required or kind is NotRequired:
                required = kind is Required
            shape = self.read(get_args(hint)[0] if kind in (Required, NotRequired) else hint)
            fields[name] = shape.validator if required else v.optional(shape.validator)
            if shape.convert:
                converts[name] = shape.convert
        self._inside.pop()
        return Shape(v.object(fields), _fields_convert(converts) if converts else None)


def _list_shape(item: Shape) -> Shape:
    convert = item.convert

    def convert_all(value: Value) -> Value:
        assert convert is not None
        assert isinstance(value, list)
        return list(map(convert, value))

    return Shape(v.array(item.validator), convert and convert_all)


def _fields_convert(converts: Mapping[str, Convert]) -> Convert:
    def convert_fields(value: Value) -> Value:
        assert isinstance(value, dict)
        return value | {
            name: convert(value[name]) for name, convert in converts.items() if name in value
        }

    return convert_fields


def _to_float(value: Value) -> Value:
    return float(value) if type(value) is int else value


def _union_convert(members: tuple[object, ...], shapes: list[Shape]) -> Convert | None:
    """Numbers become floats if `float` is a member and `int` is not; structures by their shape."""
    if not any(shape.convert for shape in shapes):
        return None
    structured = [shape for shape in shapes if shape.convert is not None]
    floats_only = float in members and int not in members
    if float in members:
        structured = [shape for shape in structured if shape.convert is not _to_float]

    def convert(value: Value) -> Value:
        if type(value) is int:
            return float(value) if floats_only else value
        if isinstance(value, list | dict):
            for shape in structured:
                # Tables are not known here: a structure with ids in it fits if it is the only one.
                if len(structured) == 1 or shape.validator.check(value, _no_table) is None:
                    assert shape.convert is not None
                    return shape.convert(value)
        return value

    return convert


def _no_table(number: int) -> None:
    return None


_PLAIN: Mapping[object, Callable[[], Shape]] = {
    str: lambda: Shape(v.string()),
    bool: lambda: Shape(v.boolean()),
    bytes: lambda: Shape(v.bytes()),
    Int64: lambda: Shape(v.int64()),
    type(None): lambda: Shape(v.null()),
    None: lambda: Shape(v.null()),
    float: lambda: Shape(v.number(), _to_float),
    int: lambda: Shape(NumberValidator(whole=True)),
    list: lambda: Shape(v.array(v.any())),
    dict: lambda: Shape(v.record(v.string(), v.any())),
}

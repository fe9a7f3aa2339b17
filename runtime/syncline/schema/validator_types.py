"""Validators as frozen data: check values, render for messages, read and write JSON.

Messages, paths and rendering are those of convex-protocol 6.2. Validation never converts a value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, cast

from syncline.limits import RENDERED_VALUE_CHARACTERS_MAX
from syncline.values import wire_json
from syncline.values.document_id import decode_id
from syncline.values.render import render
from syncline.values.value import Int64, Value, same

TableNames: TypeAlias = Callable[[int], str | None]
"""Table number -> name; None for a number that no table has. Names of system tables start "_"."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class ValidationFailure:
    """What is wrong and where; str() is the text of 6.2.

    The text is made on demand: most failures are those of a union's other members. The path grows
    from the inside out while the check returns.
    """

    __slots__ = ("_message", "_path")

    def __init__(self, message: Callable[[str], str]) -> None:
        self._message = message
        self._path: list[str] = []

    @property
    def path(self) -> str:
        """Where: ".a[0].b"; empty for the whole value."""
        return "".join(reversed(self._path))

    def __str__(self) -> str:
        return self._message("Path: " + self.path if self._path else "")

    def inside(self, element: str) -> "ValidationFailure":
        """The same failure seen from one level further out."""
        self._path.append(element)
        return self


def _shown(value: Value) -> str:
    text = render(value)
    if len(text) > RENDERED_VALUE_CHARACTERS_MAX:
        return text[:RENDERED_VALUE_CHARACTERS_MAX] + "..."
    return text


class Validator:
    """A shape of values."""

    __slots__ = ()

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:
        """None if the value conforms, otherwise what to tell the caller."""
        return None if self.accepts(value) else self._mismatch(value)

    def accepts(self, value: Value) -> bool:
        """Whether a leaf validator takes the value."""
        raise AssertionError(f"{type(self).__name__} checks structure, not leaves")

    def _mismatch(self, value: Value) -> ValidationFailure:
        return ValidationFailure(
            lambda context: (
                f"Value does not match validator.\n{context}\n"
                f"Value: {_shown(value)}\nValidator: {self}"
            )
        )

    def to_json(self) -> Json:
        """The JSON form that pushes and `function-spec` use."""
        raise AssertionError(f"{type(self).__name__} has no JSON form")


class LeafValidator(Validator):
    """A shape without parts: one test on the value."""

    __slots__ = ()
    text: ClassVar[str]
    json_type: ClassVar[str]

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": self.json_type}


@dataclass(frozen=True, slots=True)
class NullValidator(LeafValidator):
    """v.null()."""

    text = "v.null()"
    json_type = "null"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return value is None


@dataclass(frozen=True, slots=True)
class NumberValidator(LeafValidator):
    """v.number(); `whole` (an argument annotated `int`) takes whole numbers only."""

    text = "v.float64()"
    json_type = "number"
    whole: bool = False

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        kind = type(value)
        return kind is int or (kind is float and not self.whole)


@dataclass(frozen=True, slots=True)
class Int64Validator(LeafValidator):
    """v.int64()."""

    text = "v.int64()"
    json_type = "bigint"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, Int64)


@dataclass(frozen=True, slots=True)
class BooleanValidator(LeafValidator):
    """v.boolean()."""

    text = "v.boolean()"
    json_type = "boolean"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class StringValidator(LeafValidator):
    """v.string()."""

    text = "v.string()"
    json_type = "string"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class BytesValidator(LeafValidator):
    """v.bytes()."""

    text = "v.bytes()"
    json_type = "bytes"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, bytes)


@dataclass(frozen=True, slots=True)
class AnyValidator(LeafValidator):
    """v.any()."""

    text = "v.any()"
    json_type = "any"

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return True


@dataclass(frozen=True, slots=True, eq=False)
class LiteralValidator(Validator):
    """v.literal(x): exactly this string, number, boolean or Int64."""

    value: str | int | float | bool | Int64

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiteralValidator) and same(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if same(value, self.value):
            return None
        return ValidationFailure(
            lambda context: f"`{_shown(value)}` does not match literal validator `{self}`.{context}"
        )

    def __str__(self) -> str:
        return f"v.literal({render(self.value)})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "literal", "value": cast("Json", wire_json.to_json(self.value))}


@dataclass(frozen=True, slots=True)
class IdValidator(Validator):
    """v.id("table")."""

    table: str

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        decoded = decode_id(value) if isinstance(value, str) else None
        if decoded is None:
            return self._mismatch(value)
        name = names(decoded[0])
        if name == self.table:
            return None
        if name is None:
            return self._mismatch(value)
        origin = "a system table" if name.startswith("_") else f"table `{name}`"
        return ValidationFailure(
            lambda context: (
                f'Found ID "{value}" from {origin}, which does not match the table name in '
                f"validator `{self}`.{context}"
            )
        )

    def __str__(self) -> str:
        return f'v.id("{self.table}")'

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "id", "tableName": self.table}


@dataclass(frozen=True, slots=True)
class ArrayValidator(Validator):
    """v.array(x)."""

    element: Validator

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if not isinstance(value, list):
            return self._mismatch(value)
        check = self.element.check
        for at, item in enumerate(value):
            failure = check(item, names)
            if failure is not None:
                return failure.inside(f"[{at}]")
        return None

    def __str__(self) -> str:
        return f"v.array({self.element})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "array", "value": self.element.to_json()}


@dataclass(frozen=True, slots=True)
class RecordValidator(Validator):
    """v.record(keys, values)."""

    keys: Validator
    values: Validator

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if not isinstance(value, dict):
            return self._mismatch(value)
        for name in sorted(value):
            failure = self.keys.check(name, names)
            if failure is not None:
                return failure.inside(".keys()")
            failure = self.values.check(value[name], names)
            if failure is not None:
                return failure.inside(".values()")
        return None

    def __str__(self) -> str:
        return f"v.record({self.keys}, {self.values})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {
            "type": "record",
            "keys": self.keys.to_json(),
            "values": {"fieldType": self.values.to_json(), "optional": False},
        }


@dataclass(frozen=True, slots=True)
class OptionalValidator(Validator):
    """v.optional(x): only a field of v.object may be one."""

    inner: Validator

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        return self.inner.check(value, names)

    def __str__(self) -> str:
        return f"v.optional({self.inner})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return self.inner.to_json()


_Ordered: TypeAlias = tuple[tuple[str, Validator, bool], ...]


@dataclass(frozen=True, slots=True)
class ObjectValidator(Validator):
    """v.object({...}): closed; a field that is not named is refused."""

    fields: Mapping[str, Validator]
    _ordered: _Ordered = field(init=False, repr=False, compare=False)
    """By name: field, validator without v.optional, whether it is optional."""

    def __post_init__(self) -> None:
        ordered = tuple(
            (name, item.inner, True) if isinstance(item, OptionalValidator) else (name, item, False)
            for name, item in sorted(self.fields.items())
        )
        object.__setattr__(self, "_ordered", ordered)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.fields)))

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if not isinstance(value, dict):
            return self._mismatch(value)
        present = 0
        for name, validator, is_optional in self._ordered:
            if name in value:
                present += 1
                failure = validator.check(value[name], names)
                if failure is not None:
                    return failure.inside(f".{name}")
            elif not is_optional:
                return self._missing(name, value)
        if present == len(value):
            return None
        return self._extra(min(name for name in value if name not in self.fields), value)

    def _missing(self, name: str, value: Value) -> ValidationFailure:
        return self._object_failure(
            f"Object is missing the required field `{name}`. Consider wrapping the field "
            "validator in `v.optional(...)` if this is expected.",
            value,
        )

    def _extra(self, name: str, value: Value) -> ValidationFailure:
        return self._object_failure(
            f"Object contains extra field `{name}` that is not in the validator.", value
        )

    def _object_failure(self, problem: str, value: Value) -> ValidationFailure:
        return ValidationFailure(
            lambda context: f"{problem}\n{context}\nObject: {_shown(value)}\nValidator: {self}"
        )

    def __str__(self) -> str:
        fields = ", ".join(f"{name}: {self.fields[name]}" for name in sorted(self.fields))
        return f"v.object({{{fields}}})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {
            "type": "object",
            "value": {
                name: {
                    "fieldType": item.to_json(),
                    "optional": isinstance(item, OptionalValidator),
                }
                for name, item in self.fields.items()
            },
        }


@dataclass(frozen=True, slots=True)
class UnionValidator(Validator):
    """v.union(a, b, ...)."""

    members: tuple[Validator, ...]

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        for member in self.members:
            if member.check(value, names) is None:
                return None
        return self._mismatch(value)

    def __str__(self) -> str:
        return f"v.union({', '.join(map(str, self.members))})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "union", "value": [member.to_json() for member in self.members]}

"""Validators as frozen data: check values, render for messages, read and write JSON.

Messages, paths and rendering are those of convex-protocol 6.2. Validation never converts a value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from syncline.errors import DeveloperError
from syncline.values.document_id import decode_id
from syncline.values.render import render
from syncline.values.value import Int64, Value, same

TableNames: TypeAlias = Callable[[int], str | None]
"""Table number -> name; None for a number that no table has. Names of system tables start "_"."""

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"


@dataclass(slots=True)
class ValidationFailure:
    """What is wrong and where; `path` grows from the inside out while the check returns."""

    before: str
    after: str
    path: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        context = "Path: " + "".join(reversed(self.path)) if self.path else ""
        return self.before + context + self.after

    def inside(self, element: str) -> "ValidationFailure":
        """The same failure seen from one level further out."""
        self.path.append(element)
        return self


class Validator:
    """A shape of values."""

    __slots__ = ()

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:
        """None if the value conforms, otherwise what to tell the caller."""
        if self.accepts(value):
            return None
        return self._mismatch(value)

    def accepts(self, value: Value) -> bool:
        """Whether a leaf validator takes the value."""
        raise AssertionError(f"{type(self).__name__} checks structure, not leaves")

    def _mismatch(self, value: Value) -> ValidationFailure:
        return ValidationFailure(
            "Value does not match validator.\n",
            f"\nValue: {render(value)}\nValidator: {self}",
        )

    def to_json(self) -> Json:
        """The JSON form that pushes and `function-spec` use."""
        raise AssertionError("every validator has a JSON form")


@dataclass(frozen=True, slots=True)
class NullValidator(Validator):
    """v.null()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return value is None

    def __str__(self) -> str:
        return "v.null()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "null"}


@dataclass(frozen=True, slots=True)
class NumberValidator(Validator):
    """v.number(); `whole` (an argument annotated `int`) takes whole numbers only."""

    whole: bool = False

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        if type(value) is int:
            return True
        return type(value) is float and not self.whole

    def __str__(self) -> str:
        return "v.float64()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "number"}


@dataclass(frozen=True, slots=True)
class Int64Validator(Validator):
    """v.int64()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, Int64)

    def __str__(self) -> str:
        return "v.int64()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "bigint"}


@dataclass(frozen=True, slots=True)
class BooleanValidator(Validator):
    """v.boolean()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "v.boolean()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class StringValidator(Validator):
    """v.string()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, str)

    def __str__(self) -> str:
        return "v.string()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class BytesValidator(Validator):
    """v.bytes()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return isinstance(value, bytes)

    def __str__(self) -> str:
        return "v.bytes()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "bytes"}


@dataclass(frozen=True, slots=True)
class AnyValidator(Validator):
    """v.any()"""

    def accepts(self, value: Value) -> bool:  # noqa: D102 - see Validator
        return True

    def __str__(self) -> str:
        return "v.any()"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "any"}


@dataclass(frozen=True, slots=True)
class LiteralValidator(Validator):
    """v.literal(x)"""

    value: Value

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if same(value, self.value):
            return None
        return ValidationFailure(
            f"`{render(value)}` does not match literal validator `{self}`.", ""
        )

    def __str__(self) -> str:
        return f"v.literal({render(self.value)})"

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "literal", "value": _literal_json(self.value)}


@dataclass(frozen=True, slots=True)
class IdValidator(Validator):
    """v.id("table")"""

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
            f'Found ID "{value}" from {origin}, which does not match the table name in '
            f"validator `{self}`.",
            "",
        )

    def __str__(self) -> str:
        return f'v.id("{self.table}")'

    def to_json(self) -> Json:  # noqa: D102 - see Validator
        return {"type": "id", "tableName": self.table}


@dataclass(frozen=True, slots=True)
class ArrayValidator(Validator):
    """v.array(x)"""

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
    """v.record(keys, values)"""

    keys: Validator
    values: Validator

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if not isinstance(value, dict):
            return self._mismatch(value)
        for name, item in value.items():
            failure = self.keys.check(name, names)
            if failure is not None:
                return failure.inside(".keys()")
            failure = self.values.check(item, names)
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


@dataclass(frozen=True)
class ObjectValidator(Validator):
    """v.object({...}): closed; a field that is not named is refused."""

    fields: Mapping[str, Validator]

    def __post_init__(self) -> None:
        ordered = tuple(
            (name, item.inner, True) if isinstance(item, OptionalValidator) else (name, item, False)
            for name, item in sorted(self.fields.items())
        )
        object.__setattr__(self, "_ordered", ordered)

    def check(self, value: Value, names: TableNames) -> ValidationFailure | None:  # noqa: D102 - see Validator
        if not isinstance(value, dict):
            return self._mismatch(value)
        present = 0
        ordered: tuple[tuple[str, Validator, bool], ...] = self._ordered  # type: ignore[attr-defined] # set in __post_init__
        for name, validator, optional in ordered:
            if name in value:
                present += 1
                failure = validator.check(value[name], names)
                if failure is not None:
                    return failure.inside(f".{name}")
            elif not optional:
                return self._missing(name, value)
        if present == len(value):
            return None
        extra = next(name for name in value if name not in self.fields)
        return self._extra(extra, value)

    def _missing(self, name: str, value: Value) -> ValidationFailure:
        return ValidationFailure(
            f"Object is missing the required field `{name}`. Consider wrapping the field "
            "validator in `v.optional(...)` if this is expected.\n",
            f"\nObject: {render(value)}\nValidator: {self}",
        )

    def _extra(self, name: str, value: Value) -> ValidationFailure:
        return ValidationFailure(
            f"Object contains extra field `{name}` that is not in the validator.\n",
            f"\nObject: {render(value)}\nValidator: {self}",
        )

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.fields)))

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
    """v.union(a, b, ...)"""

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


def _literal_json(value: Value) -> Json:
    if isinstance(value, Int64):
        import base64

        data = value.value.to_bytes(8, "little", signed=True)
        return {"$integer": base64.b64encode(data).decode()}
    if value is None or isinstance(value, bool | int | float | str):
        return float(value) if type(value) is int else value
    raise DeveloperError(
        "InvalidLiteral", f"v.literal takes a string, number, boolean or Int64, not {value!r}."
    )

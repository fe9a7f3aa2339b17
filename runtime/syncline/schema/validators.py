"""The `v` that users write validators with, and reading validators back from JSON (6.2)."""

import copy
from collections.abc import Mapping
from typing import cast

from syncline.errors import DeveloperError
from syncline.schema.validator_types import (
    AnyValidator,
    ArrayValidator,
    BooleanValidator,
    BytesValidator,
    IdValidator,
    Int64Validator,
    Json,
    LiteralValidator,
    NullValidator,
    NumberValidator,
    ObjectValidator,
    OptionalValidator,
    RecordValidator,
    StringValidator,
    UnionValidator,
    Validator,
)
from syncline.values import wire_json
from syncline.values.render import render
from syncline.values.value import Int64, Value, field_name_problem, normalize


class ValidatorBuilder:
    """`v.string()`, `v.object({...})` and so on: one method per kind of validator."""

    def string(self) -> Validator:
        """Any string."""
        return StringValidator()

    def number(self) -> Validator:
        """A Float64: int or float in Python."""
        return NumberValidator()

    def boolean(self) -> Validator:
        """True or False."""
        return BooleanValidator()

    def int64(self) -> Validator:
        """An Int64 (JavaScript's BigInt)."""
        return Int64Validator()

    def bytes(self) -> Validator:
        """Bytes."""
        return BytesValidator()

    def null(self) -> Validator:
        """None."""
        return NullValidator()

    def any(self) -> Validator:
        """Any value."""
        return AnyValidator()

    def id(self, table: str) -> Validator:
        """The id of a document of `table`; whether the document exists is not checked."""
        if not isinstance(table, str) or not table:  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError("InvalidValidator", 'v.id needs a table name: v.id("messages").')
        return IdValidator(table)

    def array(self, element: Validator) -> Validator:
        """A list whose elements all conform to `element`."""
        return ArrayValidator(_member("v.array", element))

    def record(self, keys: Validator, values: Validator) -> Validator:
        """A dict with keys and values of one shape each."""
        return RecordValidator(_member("v.record", keys), _member("v.record", values))

    def object(self, fields: Mapping[str, Validator]) -> Validator:
        """A dict with exactly these fields; v.optional ones may be absent."""
        for name, item in fields.items():
            _require_field_name(name)
            if not isinstance(item, Validator):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
                raise _not_a_validator(f"v.object, field {name!r}", item)
        return ObjectValidator(dict(fields))

    def union(self, *members: Validator) -> Validator:
        """A value that conforms to any of the members."""
        return UnionValidator(tuple(_member("v.union", member) for member in members))

    def literal(self, value: str | int | float | bool | Int64) -> Validator:  # noqa: FBT001 - a bool is a value here
        """Exactly this string, number, boolean or Int64."""
        return LiteralValidator(_literal(normalize(value)))

    def optional(self, inner: Validator) -> Validator:
        """A field that may be absent; use it directly inside v.object."""
        return OptionalValidator(_member("v.optional", inner))


v = ValidatorBuilder()


def _require_field_name(name: object) -> None:
    """Any field name of a value; define_table asks for more at a document's top level."""
    problem = field_name_problem(name) if isinstance(name, str) else "is not a string"
    if problem is not None:
        raise DeveloperError("InvalidValidator", f"v.object: the field name {name!r} {problem}.")


def _literal(value: Value) -> str | int | float | bool | Int64:
    if isinstance(value, str | int | float | Int64):
        return value
    raise DeveloperError(
        "InvalidValidator",
        "v.literal takes a string, number, boolean or Int64"
        + ("; for None write v.null()." if value is None else f", not {render(value)}."),
    )


def _member(where: str, candidate: Validator) -> Validator:
    if not isinstance(candidate, Validator):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
        raise _not_a_validator(where, candidate)
    if isinstance(candidate, OptionalValidator):
        raise DeveloperError(
            "InvalidValidator",
            f"{where} can't contain v.optional(...): only a field of v.object can be absent.",
        )
    return candidate


def _not_a_validator(where: str, candidate: object) -> DeveloperError:
    return DeveloperError(
        "InvalidValidator",
        f"{where} needs a validator such as v.string(), got {type(candidate).__name__}.",
    )


_SIMPLE: Mapping[str, Validator] = {
    "null": NullValidator(),
    "number": NumberValidator(),
    "bigint": Int64Validator(),
    "boolean": BooleanValidator(),
    "string": StringValidator(),
    "bytes": BytesValidator(),
    "any": AnyValidator(),
}


def validator_from_json(data: object) -> Validator:
    """A validator from its JSON form (6.2). DeveloperError("InvalidValidator") if malformed."""
    try:
        return _from_json(cast("Json", data))
    except RecursionError as error:
        raise DeveloperError("InvalidValidator", "The validator is nested too deeply.") from error


def _from_json(data: Json) -> Validator:
    match data:
        case {"type": str(kind)} if kind in _SIMPLE:
            return _SIMPLE[kind]
        case {"type": "literal", "value": value}:
            return LiteralValidator(_literal(_literal_from_json(value)))
        case {"type": "id", "tableName": str(table)}:
            return IdValidator(table)
        case {"type": "array", "value": element}:
            return ArrayValidator(_from_json(element))
        case {"type": "record", "keys": keys, "values": {"fieldType": values}}:
            return RecordValidator(_from_json(keys), _from_json(values))
        case {"type": "object", "value": dict(fields)}:
            return ObjectValidator({name: _field_from_json(item) for name, item in fields.items()})
        case {"type": "union", "value": list(members)}:
            return UnionValidator(tuple([_from_json(member) for member in members]))
        case _:
            raise _malformed("a validator", data)


def _literal_from_json(value: object) -> Value:
    # In a document, such as a row of `_tables`, the literal is a value already.
    return value if isinstance(value, Int64) else wire_json.from_json(copy.deepcopy(value))


def _field_from_json(data: Json) -> Validator:
    match data:
        case {"fieldType": inner, "optional": bool(optional)}:
            validator = _from_json(inner)
            return OptionalValidator(validator) if optional else validator
        case _:
            raise _malformed("an object field", data)


def _malformed(what: str, data: Json) -> DeveloperError:
    return DeveloperError(
        "InvalidValidator", f"Not the JSON form of {what}: {repr(data)[:200]}. See function-spec."
    )

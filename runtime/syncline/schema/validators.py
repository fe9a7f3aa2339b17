"""The `v` that users write validators with, and reading validators back from JSON (6.2)."""

from collections.abc import Mapping

from syncline.errors import DeveloperError
from syncline.schema.validator_types import (
    AnyValidator,
    ArrayValidator,
    BooleanValidator,
    BytesValidator,
    IdValidator,
    Int64Validator,
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
from syncline.values.value import Value, field_name_problem, normalize


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
            problem = field_name_problem(name)
            if problem:
                raise DeveloperError("InvalidValidator", f"v.object: field {name!r} {problem}.")
            if not isinstance(item, Validator):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
                raise _not_a_validator(f"v.object, field {name!r}", item)
        return ObjectValidator(dict(fields))

    def union(self, *members: Validator) -> Validator:
        """A value that conforms to any of the members."""
        return UnionValidator(tuple(_member("v.union", member) for member in members))

    def literal(self, value: Value) -> Validator:
        """Exactly this string, number, boolean or Int64."""
        literal = LiteralValidator(normalize(value))
        literal.to_json()
        return literal

    def optional(self, inner: Validator) -> Validator:
        """A field that may be absent; use it directly inside v.object."""
        return OptionalValidator(_member("v.optional", inner))


v = ValidatorBuilder()


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
    """A validator from its JSON form. DeveloperError("InvalidValidator") if malformed."""
    match data:
        case {"type": str(kind)} if kind in _SIMPLE:
            return _SIMPLE[kind]
        case {"type": "literal", "value": value}:
            return LiteralValidator(wire_json.from_json(value))
        case {"type": "id", "tableName": str(table)}:
            return IdValidator(table)
        case {"type": "array", "value": element}:
            return ArrayValidator(validator_from_json(element))
        case {"type": "record", "keys": keys, "values": {"fieldType": values}}:
            return RecordValidator(validator_from_json(keys), validator_from_json(values))
        case {"type": "object", "value": dict(fields)}:
            return ObjectValidator({str(k): _field_from_json(f) for k, f in fields.items()})
        case {"type": "union", "value": list(members)}:
            return UnionValidator(tuple(validator_from_json(member) for member in members))
        case _:
            raise DeveloperError("InvalidValidator", f"Not a validator's JSON form: {data!r}")


def _field_from_json(data: object) -> Validator:
    match data:
        case {"fieldType": inner, "optional": bool(optional)}:
            validator = validator_from_json(inner)
            return OptionalValidator(validator) if optional else validator
        case _:
            raise DeveloperError("InvalidValidator", f"Not an object field's JSON form: {data!r}")

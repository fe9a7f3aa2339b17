"""Validators survive JSON, and a check agrees with a plain reading of the shape."""

from hypothesis import given
from hypothesis import strategies as st

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
)
from syncline.schema.validators import v, validator_from_json
from syncline.values import wire_json
from syncline.values.document_id import decode_id, encode_id
from syncline.values.value import Int64, same
from tests.property.value_strategies import INT64S, NUMBERS

NAMES = {10001: "a", 10002: "b", 512: "_tables"}
IDS = [encode_id(number, bytes(16)) for number in (*NAMES, 10003)]
FIELDS = st.sampled_from(["a", "b", "c"])
LITERALS = st.one_of(st.sampled_from(["x", 0, 1, -0.0, True, False]), INT64S, NUMBERS)
LEAVES = st.one_of(
    st.builds(v.string),
    st.builds(v.number),
    st.builds(v.boolean),
    st.builds(v.int64),
    st.builds(v.bytes),
    st.builds(v.null),
    st.builds(v.any),
    st.builds(v.id, st.sampled_from(["a", "b", "_tables"])),
    st.builds(v.literal, LITERALS),
)
VALIDATORS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(v.array, inner),
        st.builds(v.record, st.builds(v.string), inner),
        st.builds(v.object, st.dictionaries(FIELDS, inner | st.builds(v.optional, inner))),
        st.lists(inner, max_size=3).map(lambda members: v.union(*members)),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), LITERALS, st.sampled_from([*IDS, "x"]), st.binary(max_size=2)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner)),
    max_leaves=6,
)

_TYPES = {
    StringValidator: str,
    NumberValidator: (int, float),
    BooleanValidator: bool,
    Int64Validator: Int64,
    BytesValidator: bytes,
    NullValidator: type(None),
}


def conforms(validator, value) -> bool:
    """The meaning of 6.2 without order, paths or texts."""
    match validator:
        case AnyValidator():
            return True
        case LiteralValidator(value=literal):
            return same(literal, value)
        case IdValidator(table=table):
            decoded = decode_id(value) if isinstance(value, str) else None
            return decoded is not None and NAMES.get(decoded[0]) == table
        case ArrayValidator(element=element):
            return isinstance(value, list) and all(conforms(element, item) for item in value)
        case RecordValidator(values=values):
            return isinstance(value, dict) and all(conforms(values, x) for x in value.values())
        case ObjectValidator(fields=fields):
            if not isinstance(value, dict) or not value.keys() <= fields.keys():
                return False
            return all(
                conforms(getattr(field, "inner", field), value[name])
                if name in value
                else isinstance(field, OptionalValidator)
                for name, field in fields.items()
            )
        case _ if type(validator) in _TYPES:
            is_bool = isinstance(value, bool) and not isinstance(validator, BooleanValidator)
            return isinstance(value, _TYPES[type(validator)]) and not is_bool
        case _:
            return any(conforms(member, value) for member in validator.members)


@given(VALIDATORS, VALUES)
def test_a_check_passes_exactly_what_conforms(validator, value):
    failure = validator.check(value, NAMES.get)
    assert (failure is None) == conforms(validator, value)
    if failure is not None:
        assert str(failure)


@given(VALIDATORS)
def test_a_validator_survives_json_also_inside_a_document(validator):
    data = validator.to_json()
    assert validator_from_json(data) == validator
    stored = wire_json.decode(wire_json.encode({"validator": data}))
    back = validator_from_json(stored["validator"])
    assert back == validator
    assert str(back) == str(validator)

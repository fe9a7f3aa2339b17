"""JSON forms of values, byte by byte (convex-protocol 2.1)."""

import math

import pytest

from syncline.errors import CallerError
from syncline.values import wire_json
from syncline.values.value import Int64, same


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, b"null"),
        (True, b"true"),
        (3, b"3.0"),
        (0, b"0.0"),
        (-1.5, b"-1.5"),
        (1e22, b"1e+22"),
        (2**53, b"9007199254740992.0"),
        (5e-324, b"5e-324"),
        (math.nan, b'{"$float":"AAAAAAAA+H8="}'),
        (math.inf, b'{"$float":"AAAAAAAA8H8="}'),
        (-math.inf, b'{"$float":"AAAAAAAA8P8="}'),
        (-0.0, b'{"$float":"AAAAAAAAAIA="}'),
        (Int64(7), b'{"$integer":"BwAAAAAAAAA="}'),
        (Int64(-1), b'{"$integer":"//////////8="}'),
        (b"", b'{"$bytes":""}'),
        (b"\xff\x00", b'{"$bytes":"/wA="}'),
        ("é\n\U0001f600", '"é\\n\U0001f600"'.encode()),
        ({"b": [1], "a": {}, "": []}, b'{"":[],"a":{},"b":[1.0]}'),
        ({"B": 1, "a": 2, "_id": "x"}, b'{"B":1.0,"_id":"x","a":2.0}'),
    ],
)
def test_the_canonical_form(value, encoded):
    assert wire_json.encode(value) == encoded
    assert same(wire_json.decode(encoded), value)
    assert same(wire_json.decode(encoded.decode()), value)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (b"3", 3),
        (b"-3", -3),
        (b"3.0", 3),
        (b"30e-1", 3),
        (b"9007199254740993", 2**53),
        (b"123456789012345678901234567890", 123456789012345678901234567890.0),
        (b' { "a" : 1 } ', {"a": 1}),
        (b'{"$integer":"AAAAAAAAAIA="}', Int64(-(2**63))),
        (b'{"a":1,"b":{"$bytes":"AA=="}}', {"a": 1, "b": b"\x00"}),
    ],
)
def test_other_spellings_are_read(encoded, value):
    decoded = wire_json.decode(encoded)
    assert same(decoded, value)
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    ("encoded", "code", "message"),
    [
        (b"", "InvalidJson", "Not valid JSON"),
        (b"{", "InvalidJson", "Not valid JSON"),
        (b"NaN", "InvalidJson", "Not valid JSON"),
        (b"\xff", "InvalidJson", "Not valid JSON"),
        (b'"\\ud800"', "InvalidJson", "Not valid JSON"),
        (b"1e400", "InvalidJson", "Not valid JSON"),
        (b"[" * 100_000, "InvalidJson", "Not valid JSON"),
        (b"[" * 65 + b"]" * 65, "InvalidValue", "nested deeper than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "InvalidValue", "nested deeper than 64 levels"),
        (b'{"$float":"AAAAAAAA8D8="}', "InvalidValue", "holds the ordinary number 1.0"),
        (b'{"$float":"AAAAAAAAAAA="}', "InvalidValue", "holds the ordinary number 0.0"),
        (b'{"$float":1.0}', "InvalidValue", "$float must hold a base64 string"),
        (b'{"$integer":"BwAAAAAAAA=="}', "InvalidValue", "$integer must hold 8 bytes, got 7"),
        (b'{"$integer":"BwAAAAAAAAA"}', "InvalidValue", "standard base64"),
        (b'{"$bytes":"_w=="}', "InvalidValue", "standard base64"),
        (b'{"$bytes":"A A="}', "InvalidValue", "standard base64"),
        ('{"$bytes":"é"}'.encode(), "InvalidValue", "standard base64"),
        (b'{"$bytes":null}', "InvalidValue", "$bytes must hold a base64 string"),
        (b'{"$set":[]}', "InvalidValue", "$set"),
        (b'{"$map":[]}', "InvalidValue", "$map"),
        (b'{"$undefined":null}', "InvalidValue", "$undefined"),
        (b'{"$commitTs":null}', "InvalidValue", "$commitTs"),
        (b'{"a":1,"$bytes":""}', "InvalidValue", "'$bytes' starts with '$', which is reserved"),
        ('{"é":1}'.encode(), "InvalidValue", "printable ASCII"),
        (b"[" + b"0," * 8192 + b"0]", "InvalidValue", "an array of 8193 elements"),
    ],
)
def test_malformed_encodings_are_refused(encoded, code, message):
    with pytest.raises(CallerError) as caught:
        wire_json.decode(encoded)
    assert caught.value.code == code
    assert message in caught.value.message


def test_an_object_of_too_many_fields_is_refused_and_the_limit_is_not():
    fields: dict[str, object] = {f"f{n}": n for n in range(1024)}
    assert len(wire_json.from_json(dict(fields))) == 1024
    with pytest.raises(CallerError, match="an object of 1025 fields"):
        wire_json.from_json({**fields, "more": 1})


def test_names_are_still_checked_after_many_good_ones():
    for batch in range(12):
        wire_json.from_json({f"batch{batch}_{n}": 1 for n in range(1000)})
    with pytest.raises(CallerError, match="reserved"):
        wire_json.from_json({"a": 1, "$a": 1})


def test_python_objects_that_no_json_has_are_refused():
    with pytest.raises(CallerError, match="a tuple is not JSON"):
        wire_json.from_json([(1,)])
    with pytest.raises(CallerError, match="too large for a float64"):
        wire_json.from_json(10**400)


EVERYTHING = {
    "int": Int64(-5),
    "nan": math.nan,
    "inf": [math.inf, -math.inf],
    "zero": -0.0,
    "n": 3,
    "bytes": b"\xff",
    "t": True,
    "s": "é",
}


@pytest.mark.parametrize("name", ["json", "convex_clean_json"])
def test_the_clean_form_is_plain_json(name):
    assert (
        wire_json.encode_format(EVERYTHING, name)
        == (
            '{"bytes":"/w==","inf":["Infinity","-Infinity"],"int":"-5","n":3.0,"nan":"NaN","s":"é",'
            '"t":true,"zero":-0.0}'
        ).encode()
    )


def test_the_export_form_keeps_types_apart_in_readable_json():
    assert (
        wire_json.encode_format(EVERYTHING, "export_json")
        == (
            '{"bytes":{"$bytes":"/w=="},"inf":[{"$float":"AAAAAAAA8H8="},{"$float":"AAAAAAAA8P8="}],'
            '"int":-5,"n":3.0,"nan":{"$float":"AAAAAAAA+H8="},"s":"é","t":true,"zero":-0.0}'
        ).encode()
    )


def test_the_encoded_form_has_two_names_and_others_are_refused():
    assert wire_json.encode_format(1, "convex_json") == b"1.0"
    assert wire_json.encode_format(1, "convex_encoded_json") == b"1.0"
    with pytest.raises(CallerError) as caught:
        wire_json.encode_format(1, "yaml")
    assert caught.value.code == "BadFormat"

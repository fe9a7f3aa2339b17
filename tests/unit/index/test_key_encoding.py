"""Index keys byte by byte (convex-protocol 2.3)."""

import math

import pytest

from syncline.errors import CorruptionError
from syncline.index.key_encoding import (
    MISSING,
    decode_values,
    encode_value,
    encode_values,
    prefix_successor,
    values_range,
)
from syncline.index.key_range import KeyRange, merge
from syncline.values.value import Int64

IN_ORDER = [
    (MISSING, "01"),
    (None, "03"),
    (Int64(-(2**63)), "04 8000000000000000"),
    (Int64(-(2**31) - 1), "04 ffffffff7fffffff"),
    (Int64(-(2**31)), "05 80000000"),
    (Int64(-32769), "05 ffff7fff"),
    (Int64(-32768), "06 8000"),
    (Int64(-129), "06 ff7f"),
    (Int64(-128), "07 80"),
    (Int64(-1), "07 ff"),
    (Int64(0), "08"),
    (Int64(1), "09 01"),
    (Int64(127), "09 7f"),
    (Int64(128), "0a 0080"),
    (Int64(32768), "0b 00008000"),
    (Int64(2**31), "0c 0000000080000000"),
    (Int64(2**63 - 1), "0c 7fffffffffffffff"),
    (-math.nan, "0d 0007ffffffffffff"),
    (-math.inf, "0d 000fffffffffffff"),
    (-1, "0d 400fffffffffffff"),
    (-0.0, "0d 7fffffffffffffff"),
    (0, "0d 8000000000000000"),
    (5e-324, "0d 8000000000000001"),
    (1, "0d bff0000000000000"),
    (math.inf, "0d fff0000000000000"),
    (math.nan, "0d fff8000000000000"),
    (False, "0e"),
    (True, "0f"),
    ("", "10 00"),
    ("\x00", "10 00ff 00"),
    ("a", "10 61 00"),
    ("a\x00", "10 61 00ff 00"),
    ("a\x01", "10 61 01 00"),
    ("é", "10 c3a9 00"),
    (b"", "11 00"),
    (b"\x00\xff", "11 00ff ff 00"),
    (b"\xff", "11 ff 00"),
    ([], "12 00"),
    ([None], "12 03 00"),
    ([[]], "12 12 00 00"),
    ({}, "15 00"),
    ({"": None}, "15 00ff 00 03 00"),
    ({"a": None}, "15 61 00 03 00"),
    ({"b": 0, "a": "x"}, "15 61 00 10 78 00 62 00 0d 8000000000000000 00"),
]


@pytest.mark.parametrize(("value", "key"), IN_ORDER)
def test_the_documented_bytes(value, key):
    assert encode_value(value) == bytes.fromhex(key)


def test_the_examples_are_in_order():
    keys = [bytes.fromhex(key) for _, key in IN_ORDER]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_keys_of_an_entry_are_concatenated_and_read_back_by_count():
    data = encode_values(["a", MISSING, 2, Int64(3)])
    assert data == b"\x10a\x00\x01\x0d\xc0" + bytes(7) + b"\x09\x03"
    assert decode_values(data, 2) == ["a", MISSING]
    assert decode_values(data) == ["a", MISSING, 2, Int64(3)]
    assert decode_values(b"") == []


@pytest.mark.parametrize(
    "data",
    ["00", "02", "13", "ff", "10", "10 61", "10 ff 00", "09", "0c 00", "0d 80", "12", "12 01 00",
     "15 61", "15 61 00 01 00", "15 ff 00 03 00", "12" * 100_000],
    ids=lambda data: data[:12],
)  # fmt: skip
def test_bytes_that_are_no_keys_are_corruption(data):
    with pytest.raises(CorruptionError) as caught:
        decode_values(bytes.fromhex(data))
    assert caught.value.code == "InvalidIndexKey"


def test_the_range_of_a_string_leaves_longer_strings_with_a_nul_out():
    wanted = values_range(encode_value("a"))
    assert encode_values(["a", "z"]) in wanted
    assert encode_values(["a\x00b", "z"]) not in wanted
    # which the successor of the prefix would let in
    successor = prefix_successor(encode_value("a"))
    assert successor is not None
    assert encode_values(["a\x00b", "z"]) < successor


@pytest.mark.parametrize(
    ("prefix", "successor"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"", None), (b"a\x00", b"a\x01")],
)
def test_prefix_successors(prefix, successor):
    assert prefix_successor(prefix) == successor


def test_ranges_are_half_open():
    both = KeyRange(b"a", b"c")
    assert b"a" in both
    assert b"bzz" in both
    assert b"c" not in both
    assert not both.overlaps(KeyRange(b"c", b"d"))
    assert both.overlaps(KeyRange(b"b", b"d"))
    assert not both.overlaps(KeyRange(b"b", b"b"))
    assert not KeyRange(b"b", b"b").overlaps(both)
    assert b"k" in KeyRange.point(b"k")
    assert b"k\x00" not in KeyRange.point(b"k")


def test_touching_ranges_become_one():
    a, b, c = KeyRange(b"a", b"b"), KeyRange(b"b", b"c"), KeyRange(b"d", b"e")
    assert merge([c, b, a, a]) == (KeyRange(b"a", b"c"), c)
    assert merge([KeyRange(b"b", b"a")]) == ()
    assert merge([]) == ()

"""The ends of values in keys, byte by byte (convex-protocol.md 2.3)."""

import pytest

from syncline.index.key_spans import cut_ends, value_ends


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        (b"", []),
        (b"\x01\x03\x08\x0e\x0f", [1, 2, 3, 4, 5]),
        (b"\x04" + b"\x80" * 8 + b"\x05" + b"\x80" * 4, [9, 14]),
        (b"\x06\x80\x00\x07\xff", [3, 5]),
        (b"\x09\x01\x0a\x01\x00\x0b\x01\x00\x00\x00\x0c" + b"\x7f" * 8, [2, 5, 10, 19]),
        (b"\x0d" + b"\x00" * 8, [9]),
        (b"\x10ab\x00\x11\x00\xff\x00", [4, 8]),
        (b"\x10\x00\x10\x00", [2, 4]),
        (b"\x12\x00\x12\x08\x10\x00\x00", [2, 7]),
        (b"\x15\x00\x15a\x00\x08\x00", [2, 7]),
        (b"\x15\x00\xff\x00\x08b\x00\x12\x00\x00", [10]),
        (b"\x12\x15\x00\x00", [4]),
        (b"\x08\x02", [1]),
        (b"\x08\x0d\x00", [1]),
        (b"\x10ab", []),
        (b"\x12\x08", []),
        (b"\x12\x10a", []),
        (b"\x15a", []),
        (b"\x15a\x00", []),
        (b"\x15a\x00\x08", []),
        (b"\x15a\x00\x02\x00", []),
    ],
)
def test_values_end_by_their_tags(code: bytes, ends: list[int]):
    assert value_ends(code, 0) == ends
    assert value_ends(b"index!" + code) == [6 + end for end in ends]


@pytest.mark.parametrize(
    ("code", "cuts"),
    [
        (b"\x10a\x00\xffb\x00\xff\x00", [3, 6]),
        (b"\x11\x00\xff\x00", [2]),
        (b"\x10ab\x00", []),
        (b"\x15\x00\xff\x00\x08\x00", [2]),
        (b"\x15a\x00\x08\x00", []),
        (b"\x12\x10\x00\xff\x00\x00", []),
        (b"\x0d\x00\xff\x00\xff\x00\xff\x00\xff", []),
    ],
)
def test_a_shorter_value_could_end_at_an_escaped_nul_only(code: bytes, cuts: list[int]):
    assert cut_ends(code, 0, len(code)) == cuts

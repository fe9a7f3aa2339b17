"""Document ids: the published vectors and every reason to refuse a text (convex-protocol 2.4)."""

import pytest

from syncline.values.document_id import decode_id, encode_id

VECTORS = [
    (10001, bytes(range(16)), "j57000820c20a1g7104gm2rc1m70ynr8"),
    (1, bytes(16), "0400000000000000000000000000248"),
    (127, b"\xff" * 16, "fzzzzzzzzzzzzzzzzzzzzzzzzzzpzsr"),
]
GOOD = VECTORS[0][2]


@pytest.mark.parametrize(("table", "internal", "text"), VECTORS)
def test_the_published_vectors(table, internal, text):
    assert encode_id(table, internal) == text
    assert decode_id(text) == (table, internal)


@pytest.mark.parametrize(
    ("table", "length"),
    [
        (1, 31),
        (127, 31),
        (128, 32),
        (10001, 32),
        (16383, 32),
        (16384, 34),
        (2**21, 36),
        (2**32 - 1, 37),
    ],
)
def test_the_length_follows_from_the_table_number(table, length):
    text = encode_id(table, b"\x80" * 16)
    assert len(text) == length
    assert decode_id(text) == (table, b"\x80" * 16)


def test_ids_of_one_table_share_their_first_characters():
    assert encode_id(10001, bytes(16))[:3] == encode_id(10001, b"\xff" * 15 + b"\x00")[:3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + "0",
        "0" + GOOD,
        GOOD.upper(),
        GOOD[:-1] + "9",
        GOOD[:-1] + "!",
        GOOD[:-1] + "l",
        GOOD[:-2] + "_8",
        " " + GOOD[1:],
        GOOD[:-1] + "é",
        GOOD[:-1] + "\ud800",
        "k" + GOOD[1:],
        VECTORS[0][2][:-1] + chr(ord(GOOD[-1]) + 1),
        "0400000000000000000000000000249",
        "0" * 31,
        "0" * 32,
        "z" * 37,
        "x" * 100_000,
    ],
)
def test_everything_else_is_refused(text):
    assert decode_id(text) is None


def test_a_table_number_in_more_bytes_than_needed_is_refused():
    # 81 00 is the number 1 in two bytes; the checksum is right.
    data = b"\x81\x00" + bytes(16)
    first = second = 0
    for byte in data:
        first = (first + byte) % 256
        second = (second + first) % 256
    number = int.from_bytes(data + bytes((first, second)), "big")
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    text = "".join(digits[number >> shift & 31] for shift in range(155, -1, -5))
    assert len(text) == 32
    assert decode_id(text) is None


@pytest.mark.parametrize("table", [0, -1, 2**32])
def test_table_numbers_are_32_bits_and_not_zero(table):
    with pytest.raises(ValueError, match="table number"):
        encode_id(table, bytes(16))


@pytest.mark.parametrize("length", [0, 15, 17])
def test_internal_ids_have_16_bytes(length):
    with pytest.raises(ValueError, match="16 bytes"):
        encode_id(1, bytes(length))

"""Cursors: deterministic, short, and bound to their query."""

import pickle

import pytest

from syncline.query.cursor import (
    Cursor,
    InvalidCursor,
    decode_cursor,
    encode_cursor,
    fingerprint,
)
from syncline.query.index_range import IndexRange

Q = IndexRange("t.by_a", ("a", "_creationTime"))
QUERY = fingerprint(Q, reverse=False)
POSITIONS = [None, b"", b"\x10a\x00", bytes(range(256))]


@pytest.mark.parametrize("position", POSITIONS)
def test_a_cursor_gives_its_position_back(position):
    text = encode_cursor(Cursor(position), QUERY)
    assert decode_cursor(text, QUERY) == Cursor(position)
    assert encode_cursor(Cursor(position), QUERY) == text


def test_the_text_of_a_cursor_never_changes_between_versions():
    assert encode_cursor(Cursor(None), QUERY) == "YrRZgF55XRsB"


def test_an_end_cursor_is_short():
    assert len(encode_cursor(Cursor(None), QUERY)) == 12


@pytest.mark.parametrize(
    "other",
    [
        fingerprint(Q, reverse=True),
        fingerprint(IndexRange("t.by_b", ("a", "_creationTime")), reverse=False),
        fingerprint(IndexRange("u.by_a", ("a", "_creationTime")), reverse=False),
        fingerprint(IndexRange("t.by_a", ("b", "_creationTime")), reverse=False),
        fingerprint(Q.eq("a", 1), reverse=False),
        fingerprint(Q.gte("a", 1), reverse=False),
        fingerprint(Q.lt("a", 1), reverse=False),
        fingerprint(Q.lte("a", 1), reverse=False),
    ],
)
def test_a_cursor_of_another_query_is_refused(other):
    for position in POSITIONS:
        with pytest.raises(InvalidCursor):
            decode_cursor(encode_cursor(Cursor(position), other), QUERY)


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 12, "ä", "YrRZgF55XRsB=", "YrRZgF55XRsA", "*" * 12]
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidCursor):
        decode_cursor(text, QUERY)


def test_a_garbled_position_is_refused():
    text = encode_cursor(Cursor(b"\x10abc\x00"), QUERY)
    for at, character in enumerate(text):
        garbled = text[:at] + ("B" if character == "A" else "A") + text[at + 1 :]
        with pytest.raises(InvalidCursor):
            decode_cursor(garbled, QUERY)


def test_the_refusal_is_what_clients_recognise():
    error = InvalidCursor()
    assert error.data == {"isConvexSystemError": True, "paginationError": "InvalidCursor"}
    assert str(error).startswith("InvalidCursor: ")
    assert pickle.loads(pickle.dumps(error)).data == error.data

"""Timestamps on the wire (convex-protocol 1.4)."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import CallerError
from syncline.timestamps import decode_timestamp, encode_timestamp


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (0, "AAAAAAAAAAA="),
        (100, "ZAAAAAAAAAA="),
        (200, "yAAAAAAAAAA="),
        (2**63 - 1, "/////////38="),
    ],
)
def test_the_documented_forms(ts, text):
    assert encode_timestamp(ts) == text
    assert decode_timestamp(text) == ts


@given(st.integers(0, 2**63 - 1))
def test_a_timestamp_survives_the_wire(ts):
    assert encode_timestamp(ts) == base64.b64encode(struct.pack("<Q", ts)).decode()
    assert decode_timestamp(encode_timestamp(ts)) == ts


@pytest.mark.parametrize(
    "text", ["", "ZA==", "ZAAAAAAAAAA", "AAAAAAAAAIA=", "AAAAAAAAAAAA", "!AAAAAAAAAA=", "é", "0"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(CallerError) as caught:
        decode_timestamp(text)
    assert caught.value.code == "InvalidTimestamp"

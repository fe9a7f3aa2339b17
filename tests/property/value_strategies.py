"""Strategies for values, and an order on them written naively from convex-protocol 2.3."""

import math
import struct
from functools import cmp_to_key
from typing import Any

from hypothesis import strategies as st

from syncline.index.key_encoding import MISSING
from syncline.values.value import Int64, normalize_number

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# Few and hard bytes, so that prefixes and escapes meet.
BYTES = st.one_of(
    st.binary(max_size=8), st.lists(st.sampled_from([0, 1, 254, 255]), max_size=4).map(bytes)
)
HARD_TEXT = st.text(st.sampled_from("\x00\x01a\x7f\u00ff\uffff\U00010000"), max_size=4)
FIELD_NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=4).filter(
    lambda name: not name.startswith("$")
)
FLOATS = st.one_of(
    st.floats(allow_subnormal=True),
    st.integers(-(2**54), 2**54).map(float),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, -math.nan, 5e-324, 2.0**53]),
)
NUMBERS = FLOATS.map(normalize_number)
INT64S = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -1, 127, 128, -128, -129, 2**31, -(2**31)]),
).map(Int64)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, INT64S, TEXT, HARD_TEXT, BYTES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(FIELD_NAMES, inner, max_size=4)
    ),
    max_leaves=12,
)

_RANKS = {
    type(MISSING): 0,
    type(None): 1,
    Int64: 2,
    int: 3,
    float: 3,
    bool: 4,
    str: 5,
    bytes: 6,
    list: 7,
    dict: 8,
}


def float_rank(number: float) -> int:
    """IEEE 754 total order as an integer."""
    (bits,) = struct.unpack(">q", struct.pack(">d", number))
    return bits if bits >= 0 else -(bits & (2**63 - 1)) - 1


def compare(a: Any, b: Any) -> int:
    """-1, 0 or 1 by the documented order, without any encoding."""
    if _RANKS[type(a)] != _RANKS[type(b)]:
        return -1 if _RANKS[type(a)] < _RANKS[type(b)] else 1
    if isinstance(a, dict):
        return compare_all([x for name in sorted(a) for x in (name, a[name])],
                           [x for name in sorted(b) for x in (name, b[name])])  # fmt: skip
    if isinstance(a, list):
        return compare_all(a, b)
    if isinstance(a, str):
        a, b = a.encode(), b.encode()
    elif isinstance(a, int | float) and not isinstance(a, bool):
        a, b = float_rank(a), float_rank(b)
    if a is b or a == b:
        return 0
    return -1 if a < b else 1


def compare_all(a: list[Any], b: list[Any]) -> int:
    """Element by element, a prefix first."""
    for x, y in zip(a, b, strict=False):
        if order := compare(x, y):
            return order
    return (len(a) > len(b)) - (len(a) < len(b))


by_order = cmp_to_key(compare)

"""One range of a file is exactly those bytes, whatever a client asks."""

from hypothesis import given
from hypothesis import strategies as st

from syncline.drivers.byte_ranges import RangeNotSatisfiable, requested_range

SIZES = st.integers(0, 30)
PLACES = st.integers(0, 40)


def served(header: str, content: bytes) -> bytes | None:
    """The bytes that are served; None: 416."""
    try:
        part = requested_range(header, len(content))
    except RangeNotSatisfiable:
        return None
    return content if part is None else content[part.start : part.start + part.length]


@given(size=SIZES, first=PLACES, last=PLACES)
def test_a_range_is_a_slice(size: int, first: int, last: int):
    content = bytes(range(size))
    wanted = content if last < first else content[first : last + 1] or None
    assert served(f"bytes={first}-{last}", content) == wanted


@given(size=SIZES, first=PLACES)
def test_an_open_range_goes_to_the_end(size: int, first: int):
    content = bytes(range(size))
    assert served(f"bytes={first}-", content) == (content[first:] or None)


@given(size=SIZES, length=PLACES)
def test_a_suffix_is_the_last_bytes(size: int, length: int):
    content = bytes(range(size))
    last = content[-length:] if length else b""
    assert served(f"bytes=-{length}", content) == (last or None)


@given(header=st.text(alphabet="bytes=0123456789-, x", max_size=20), size=SIZES)
def test_whatever_is_asked_a_part_lies_within_the_file(header: str, size: int):
    try:
        part = requested_range(header, size)
    except RangeNotSatisfiable:
        return
    if part is not None:
        assert part.length >= 1
        assert part.start >= 0
        assert part.start + part.length <= size

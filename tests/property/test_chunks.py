"""Chunks of a Transition: always small enough, never in the middle of a character."""

import json

from hypothesis import given
from hypothesis import strategies as st

from syncline.sync.chunks import split_transition

TEXTS = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\\x00\U0001f600'))
)


@given(TEXTS.map(lambda text: text * 7), st.integers(256, 600))
def test_chunks_join_to_the_frame_and_keep_to_their_size(text: str, bytes_max: int):
    frame = text.encode()
    chunks = split_transition(frame, bytes_max)
    assert all(len(chunk) <= bytes_max for chunk in chunks)
    parts = [json.loads(chunk.decode()) for chunk in chunks]
    assert "".join(part["chunk"] for part in parts) == text
    assert all(part["totalParts"] == len(parts) for part in parts)


@given(st.sampled_from(["a", '"', "é", "\U0001f600"]), st.integers(256, 5_000))
def test_there_are_about_as_many_chunks_as_the_escaped_size_needs(character: str, bytes_max: int):
    frame = (character * 20_000).encode()
    chunks = split_transition(frame, bytes_max)
    escaped = len(json.dumps(character * 20_000, ensure_ascii=False).encode())
    needed = escaped / (bytes_max - 128)
    assert len(chunks) <= needed * 1.2 + 2

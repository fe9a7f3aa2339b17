"""Frames arrive whole, whatever pieces the socket makes of them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.commit.record import DocumentChange
from syncline.index.key_range import KeyRange
from syncline.local.executor_frames import (
    Broken,
    Cancel,
    Finished,
    FromExecutor,
    LoadBundle,
    Loaded,
    LoadFailed,
    Pages,
    Reads,
    Ready,
    Run,
    ToExecutor,
    UnloadBundle,
    UseCatalog,
)
from syncline.local.framing import FrameReader, append_frame
from syncline.local.heartbeat import Heartbeat
from syncline.ports import FunctionError, FunctionOutcome, Page, RangeRead, Row, TextRead

OUTCOME = FunctionOutcome(
    value=b'{"a":1.0}',
    error=FunctionError("Uncaught X", is_server_made=False, data=b"1.0"),
    log_lines=("[LOG] 'ü'",),
    read_ranges=(KeyRange(b"\x00a", b"\xffb"),),
    changes=(DocumentChange("id", 10_001, None, b"{}", 0, (), (b"k1", b"k2")),),
    journal="j",
    read_identity=True,
    read_time=False,
    read_random=True,
    documents_read=3,
    bytes_read=2**40,
    own_seconds=0.25,
)
TO_EXECUTOR = [
    LoadBundle("hash", "/folder"),
    UnloadBundle("hash"),
    UseCatalog(1, 2**62, b"[]"),
    Run(
        1,
        2,
        "query",
        "a:b",
        b"{}",
        None,
        False,
        2**62,
        2**62,
        2**63 - 1,
        None,
        "hash",
        "0" * 16,
        False,
        None,
    ),
    Run(1, 2, "mutation", "a:b", b"[{}]", b"{}", True, 0, 0, 0, "j", "hash", "0" * 16, False, "id"),
    Pages(1, [Page((Row(b"k", 2**62, b"{}"),), done=False), Page((), done=True)]),
    Cancel(7),
]
FROM_EXECUTOR = [
    Ready(),
    Loaded("hash", {"functions": [], "modules": {"a": "1"}, "schema": None}),
    LoadFailed("hash", "Code", "text\nof lines"),
    Reads(3, [RangeRead(b"a", b"b", 10), RangeRead(b"", b"\xff", 1, reverse=True)]),
    Reads(4, [TextRead(b"index1", ("a", "b"), ((0, b"x"),), b"rank", 7), RangeRead(b"", b"b", 1)]),
    Finished(4, OUTCOME),
    Broken(5, "Traceback"),
]


@pytest.mark.parametrize(
    ("message", "kind"),
    [(message, ToExecutor) for message in TO_EXECUTOR]
    + [(message, FromExecutor) for message in FROM_EXECUTOR],
    ids=lambda value: type(value).__name__,
)
def test_a_message_comes_back_as_it_was(message, kind):
    buffer = bytearray()
    append_frame(buffer, message)
    (frame,) = FrameReader().feed(bytes(buffer))
    assert msgspec.msgpack.Decoder(kind).decode(frame) == message


def test_a_frame_is_its_length_and_then_the_message():
    buffer = bytearray(b"before")
    append_frame(buffer, Cancel(7))
    assert bytes(buffer) == b"before" + b"\x00\x00\x00\x03" + b"\x92\x06\x07"


@given(st.lists(st.integers(0, 2**32), max_size=20), st.lists(st.integers(0, 60), max_size=20))
def test_frames_survive_any_cutting(numbers, cuts):
    buffer = bytearray()
    for number in numbers:
        append_frame(buffer, Broken(number, "x" * (number % 50)))
    data = bytes(buffer)
    reader, decode = FrameReader(), msgspec.msgpack.Decoder(FromExecutor).decode
    received = []
    at = 0
    for size in [*cuts, len(data)]:
        received += [decode(frame) for frame in reader.feed(data[at : at + size])]
        at += size
    assert received == [Broken(number, "x" * (number % 50)) for number in numbers]


def test_a_heartbeat_is_seen_through_another_mapping():
    ours = Heartbeat.create()
    theirs = Heartbeat(ours.fd)
    try:
        assert theirs.read() == (0, 0.0)
        ours.begin(7, 12.5)
        assert theirs.read() == (7, 12.5)
        ours.end()
        assert theirs.read() == (0, 0.0)
    finally:
        theirs._memory.close()
        ours.close()

"""Where segments are kept between processes: a port, and what it keeps."""

from typing import Protocol

import msgspec

from syncline.commit.record import Position


class StoredSegment(msgspec.Struct, frozen=True, gc=False):
    """A search index's segment as it was at a commit (package segments)."""

    position: Position
    content: bytes


class SegmentStore(Protocol):
    """Segments that outlive the processes that made them."""

    async def load(self, name: str) -> StoredSegment | None:
        """The newest one under a name; None: there is none."""
        ...

    async def save(self, name: str, segment: StoredSegment) -> None:
        """Keep a segment in place of the one before."""
        ...

"""The one thing that a stepped coroutine may wait for: pages of index ranges at the snapshot."""

from collections.abc import Generator, Sequence

from syncline.ports import Page, Read


class ReadRequest:
    """Awaiting it yields it to whoever steps the coroutine; the answer is one page a read."""

    __slots__ = ("reads",)

    def __init__(self, reads: Sequence[Read]) -> None:
        self.reads = reads

    def __await__(self) -> "Generator[ReadRequest, Sequence[Page], Sequence[Page]]":
        return (yield self)

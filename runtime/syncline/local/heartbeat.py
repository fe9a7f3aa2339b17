"""Shared memory in which an executor says what it is stepping, and until when at most.

The executor writes before and after each step; the pool's watchdog reads. Deadlines are on the
monotonic clock, which all processes of a machine share. Sixteen bytes: call number (unsigned, 0: a
bundle is being loaded) and deadline in seconds (float, 0.0: nothing is being stepped).
"""

import mmap
import os
import struct
import sys
from typing import Self

_LAYOUT = struct.Struct("<Qd")


class Heartbeat:
    """One executor's sixteen bytes, seen from either side."""

    __slots__ = ("_memory", "fd")

    def __init__(self, fd: int) -> None:
        """`fd`: a file of at least sixteen bytes, inherited from who created it."""
        self.fd = fd
        self._memory = mmap.mmap(fd, _LAYOUT.size)

    @classmethod
    def create(cls) -> Self:
        """A new one, saying that nothing is stepped."""
        if sys.platform == "linux":
            fd = os.memfd_create("syncline-heartbeat")
        else:
            import tempfile  # which executors need not load

            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        os.ftruncate(fd, _LAYOUT.size)
        return cls(fd)

    def begin(self, call: int, deadline: float) -> None:
        """A step of `call` starts, or a load (0)."""
        _LAYOUT.pack_into(self._memory, 0, call, deadline)

    def end(self) -> None:
        """The step has ended."""
        _LAYOUT.pack_into(self._memory, 0, 0, 0.0)

    def read(self) -> tuple[int, float]:
        """(call, deadline); may be torn if read while it is written: look twice before acting."""
        call, deadline = _LAYOUT.unpack_from(self._memory)
        return call, deadline

    def close(self) -> None:
        """Release the memory and the file."""
        self._memory.close()
        os.close(self.fd)

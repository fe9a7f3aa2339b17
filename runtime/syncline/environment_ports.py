"""The port of environment variables' values, and how functions read them.

The log knows names and versions only: a value never leaves the store but towards the functions.
Adapters: a file, SSM Parameter Store, and memory for tests; one contract suite (tests/contract).
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from syncline.index.key_range import KeyRange

BUILT_IN: Final = ("CONVEX_CLOUD_URL", "CONVEX_SITE_URL")
"""Variables that every deployment has, and that nobody sets (convex-protocol.md 6.9)."""


class EnvironmentRead(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Asks for all environment variables; [lo, hi) holds the rows of their names and versions.

    The answer is one row, whose document is a JSON object: values by name, with the built-in ones.
    A variable whose value is kept no more is left out: its row has changed meanwhile.
    """

    lo: bytes
    hi: bytes

    @property
    def covers(self) -> KeyRange:
        """All keys that the answer can depend on."""
        return KeyRange(self.lo, self.hi)


class Version(NamedTuple):
    """One value that a variable has, or had: never another one."""

    name: str
    """A letter, then letters, digits and "_"."""
    number: str
    """32 hex digits: when it was made (nanoseconds since the epoch), then random ones."""


def new_number(now_ns: int, random: int) -> str:
    """The number of a version that is made now; `random` has 64 bits."""
    return f"{now_ns:016x}{random:016x}"


def made_ns(number: str) -> int:
    """When a version was made."""
    return int(number[:16], 16)


class EnvironmentValues(Protocol):
    """Values by version. Calls raise UnavailableError when the store can't be reached."""

    async def put(self, values: Mapping[Version, str]) -> None:
        """Keep values, durably, under versions that are new."""
        ...

    async def get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        """Those of the values that are kept."""
        ...

    async def kept(self) -> Collection[Version]:
        """Every version that is kept."""
        ...

    async def delete(self, versions: Collection[Version]) -> None:
        """Forget values; some may be gone already."""
        ...

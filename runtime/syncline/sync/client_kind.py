"""Which client is on the other side, and what it understands (convex-protocol.md 1.1, 1.9)."""

import re
from typing import Final

import msgspec

from syncline.errors import CallerError

PING_INTERVAL_MS: Final = 15_000
"""Half of what PyPI waits before it reconnects (30 s without a frame); npm waits 60 s."""

_SILENCE_MS: Final = 30_000
_SILENCE_NPM_MS: Final = 60_000
"""What clients bear without a frame before they reconnect (convex-protocol.md 1.9)."""

_CHUNKS_SINCE: Final = (1, 28, 0)

_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+][0-9A-Za-z.+-]{1,64})?")
_HEADER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,63}?)-(\d.*)", re.DOTALL)


class ClientKind(msgspec.Struct, frozen=True):
    """A client's name ("npm", "python", "unknown", ...) and version, None if it gave none."""

    name: str = "unknown"
    version: tuple[int, int, int] | None = None

    @property
    def knows_chunks(self) -> bool:
        """Whether TransitionChunk may be sent; any other client reconnects in a loop on one."""
        return self.name == "npm" and self.version is not None and self.version >= _CHUNKS_SINCE

    @property
    def knows_late_answers(self) -> bool:
        """Whether an answer to a mutation that is settled already is ignored, as npm does."""
        return self.name == "npm"

    @property
    def silence_ms(self) -> int:
        """So long it bears without a frame; it reconnects after that."""
        return _SILENCE_NPM_MS if self.name == "npm" else _SILENCE_MS

    @property
    def ping_interval_ms(self) -> int:
        """After so long a silence a Ping message is due."""
        return PING_INTERVAL_MS


def client_kind(path_version: str | None, header: str | None) -> ClientKind:
    """The client by the version segment of `/api/<version>/sync` and its `Convex-Client` header.

    The path names an npm version and wins: browsers send no header.

    Raises:
        CallerError: InvalidClientVersion (HTTP 400), if what is given can't be parsed.
    """
    if path_version is not None:
        return ClientKind("npm", _parse_version(path_version))
    if header is None:
        return ClientKind()
    parts = _HEADER.fullmatch(header)
    if parts is None:
        raise _invalid(header)
    return ClientKind(parts[1], _parse_version(parts[2]))


def _parse_version(text: str) -> tuple[int, int, int]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise _invalid(text)
    return int(match[1]), int(match[2]), int(match[3])


def _invalid(text: str) -> CallerError:
    return CallerError(
        "InvalidClientVersion",
        f"The client version {text[:80]!r} can't be read: expected <major>.<minor>.<patch> in the "
        "path, or <name>-<major>.<minor>.<patch> in the Convex-Client header.",
    )

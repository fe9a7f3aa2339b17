"""What main process and executors say to each other, in frames (framing.py).

A call is strictly alternating: Run, then Reads and Pages in turn, then Finished (or Broken); calls
interleave freely.
"""

from typing import Any, Literal

import msgspec

from syncline.ports import FunctionOutcome, Page, Read

CATALOGS_KEPT = 4
"""Catalogs that both ends remember; the oldest sent goes first."""


class LoadBundle(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Import a folder as the version `bundle`."""

    bundle: str
    folder: str


class UnloadBundle(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Forget a version; calls that run it go on."""

    bundle: str


class UseCatalog(msgspec.Struct, array_like=True, tag=3, gc=False):
    """A catalog that Run frames will name by number."""

    number: int
    version: int
    rows: bytes
    """JSON array of the `_tables` rows."""


class Run(msgspec.Struct, array_like=True, tag=4, gc=False):
    """Start a call; the fields are those of ports.FunctionCall."""

    number: int
    catalog: int
    kind: Literal["query", "mutation"]
    path: str
    arguments: bytes
    identity: bytes | None
    is_admin: bool
    begin_ts: int
    now_ns: int
    seed: int
    journal: str | None
    bundle: str
    request_id: str
    is_inner: bool
    scheduled: str | None


class Pages(msgspec.Struct, array_like=True, tag=5, gc=False):
    """What a call asked for, in the order asked."""

    number: int
    pages: list[Page]


class Cancel(msgspec.Struct, array_like=True, tag=6, gc=False):
    """Nobody waits for the call any more."""

    number: int


class Ready(msgspec.Struct, array_like=True, tag=1, gc=False):
    """The executor has started."""


class Loaded(msgspec.Struct, array_like=True, tag=2, gc=False):
    """The bundle is loaded; `spec` is a ports.BundleSpec as plain data."""

    bundle: str
    spec: dict[str, Any]


class LoadFailed(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The bundle is not loaded: a DeveloperError's code and message."""

    bundle: str
    code: str
    message: str


class Reads(msgspec.Struct, array_like=True, tag=4, gc=False):
    """A call goes on when it has these pages."""

    number: int
    reads: list[Read]


class Finished(msgspec.Struct, array_like=True, tag=5, gc=False):
    """A call has ended."""

    number: int
    outcome: FunctionOutcome


class Broken(msgspec.Struct, array_like=True, tag=6, gc=False):
    """The executor itself failed at a call: a defect of ours, with its traceback."""

    number: int
    message: str


ToExecutor = LoadBundle | UnloadBundle | UseCatalog | Run | Pages | Cancel
FromExecutor = Ready | Loaded | LoadFailed | Reads | Finished | Broken

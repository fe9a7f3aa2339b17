"""Environment variables: names and versions in the log, values in a store of their own.

A change puts the values into the store under new versions, then commits the versions, and lets go
of the former ones once no snapshot can name them. So whoever reads a row finds its value, a crash
in between leaves a value that nobody can read and a later sweep finds, and no value is in the log,
in a view or in a read set: functions are handed them beside the rows (environment_ports.py).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from syncline.drivers.snapshot_reader import Snapshot
from syncline.drivers.system_calls import system_mutation
from syncline.environment_ports import (
    BUILT_IN,
    EnvironmentRead,
    EnvironmentValues,
    Version,
    made_ns,
    new_number,
)
from syncline.errors import CallerError
from syncline.execution.context import ALL_VARIABLES
from syncline.limits import (
    VARIABLE_KEPT_SECONDS,
    VARIABLE_NAME_CHARACTERS_MAX,
    VARIABLE_VALUE_BYTES_MAX,
    VARIABLES_BYTES_MAX,
)
from syncline.ports import Clock, Entropy, Page, RangeRead, Row, SnapshotReads

if TYPE_CHECKING:
    from syncline.drivers.engine import Engine

_PAGE: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class _Variable(msgspec.Struct):
    """What matters of a row of `_environment_variables`."""

    name: str
    version: str = ""
    """Empty in rows of before values had a store: they are as good as not set."""


_decode = msgspec.json.Decoder(_Variable).decode


class EnvironmentVariables:
    """The variables of the engine's deployment.

    `others_commit`: other processes change them, too.
    """

    def __init__(
        self,
        engine: "Engine",
        values: EnvironmentValues,
        *,
        clock: Clock,
        entropy: Entropy,
        built_in: Mapping[str, str],
        others_commit: bool,
    ) -> None:
        self._engine = engine
        self._values = values
        self._clock = clock
        self._entropy = entropy
        self._built_in = dict(built_in)
        self._others_commit = others_commit
        self._known: Mapping[Version, str] = {}
        """Values of the versions that were last asked for: a version never has another one."""
        self._rows: list[bytes] = []
        self._document = orjson.dumps(self._built_in)
        """The answer to a read which finds these rows."""

    # Reading

    async def read(self, read: EnvironmentRead, snapshot: Snapshot) -> Page:
        """All variables of a snapshot (snapshot_reader.EnvironmentReads)."""
        rows = await _rows(snapshot, read.lo, read.hi)
        if rows == self._rows:
            document = self._document
        else:
            versions = _versions(rows)
            values = await self._get(versions)
            named = {version.name: value for version, value in values.items()}
            document = orjson.dumps({**self._built_in, **named})
            if len(values) == len(versions):
                self._rows, self._document = rows, document
        return Page((Row(read.lo, snapshot.ts, document),), done=True)

    async def _get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        known = self._known
        missing = [each for each in versions if each not in known]
        found: Mapping[Version, str] = {}
        if missing:
            found = await self._values.get(missing)
        self._known = {
            each: value
            for each in versions
            if (value := known.get(each, found.get(each))) is not None
        }
        return self._known

    async def document(self) -> bytes:
        """All variables as they are now, the built-in ones too: a JSON object of texts."""
        read = EnvironmentRead(ALL_VARIABLES.lo, ALL_VARIABLES.hi)
        page = await self.read(read, await self._newest())
        return page.rows[0].document

    async def variables(self) -> dict[str, str]:
        """The variables that were set, by name in order."""
        values: dict[str, str] = orjson.loads(await self.document())
        return {name: values[name] for name in sorted(values) if name not in BUILT_IN}

    async def _newest(self) -> Snapshot:
        if self._others_commit:
            await self._engine.fetch()
        return self._engine.replica.reads(self._engine.latest_ts())

    # Changing

    async def change(self, changes: Mapping[str, str | None]) -> None:
        """Give variables these values; None removes one. All of it happens, or nothing.

        Raises:
            CallerError: a name or value is none, or it would be too many.
            UnavailableError: the store or the log can't be reached; nothing has changed.
        """
        for name, value in changes.items():
            check_variable(name, value)
        before = await self.variables()
        # What has its value already need not make anybody run again.
        wanted = {name: value for name, value in changes.items() if before.get(name) != value}
        if not wanted:
            return
        check_total({**before, **changes})
        now = self._clock.now_ns()
        # A removal has a version, too: that it is kept tells the sweep when it was.
        versions = {name: Version(name, new_number(now, self._entropy.bits(64))) for name in wanted}
        await self._values.put({versions[name]: value or "" for name, value in wanted.items()})
        numbers: dict[str, Any] = {
            name: None if value is None else versions[name].number for name, value in wanted.items()
        }
        await system_mutation(
            self._engine, "_system/environment:set", {"versions": numbers, "madeAt": now / 1e6}
        )
        await self.sweep()

    async def sweep(self) -> None:
        """Let go of values that no snapshot can name any more."""
        # In this order: what becomes current after this is too young to go.
        current = set(_versions(await _rows(await self._newest(), *_BOUNDS)))
        kept = await self._values.kept()
        newest: dict[str, int] = {}
        for name, number in kept:
            newest[name] = max(newest.get(name, 0), made_ns(number))
        # A version was replaced no earlier than the next one of its name was made, which commits
        # within half of that time (system_functions/environment.py).
        settled = self._clock.now_ns() - VARIABLE_KEPT_SECONDS * 10**9
        old = [each for each in kept if each not in current and newest[each.name] < settled]
        if old:
            await self._values.delete(old)


_BOUNDS: Final = (ALL_VARIABLES.lo, ALL_VARIABLES.hi)


async def _rows(reads: SnapshotReads, lo: bytes, hi: bytes) -> list[bytes]:
    rows: list[bytes] = []
    while True:
        [page] = await reads.read([RangeRead(lo, hi, _PAGE)])
        rows += [row.document for row in page.rows]
        if page.done:
            return rows
        lo = page.rows[-1].key + b"\0"


def _versions(rows: Iterable[bytes]) -> list[Version]:
    found = map(_decode, rows)
    return [Version(each.name, each.version) for each in found if each.version]


def check_variable(name: str, value: str | None) -> None:
    """Refuse what can't be set (convex-protocol.md 6.8). CallerError; it never shows a value."""
    if len(name) > VARIABLE_NAME_CHARACTERS_MAX:
        raise CallerError(
            "EnvironmentVariableNameTooLong",
            f"The name of an environment variable has {len(name)} characters "
            f"(limit: {VARIABLE_NAME_CHARACTERS_MAX}).",
        )
    if _NAME.fullmatch(name) is None:
        raise CallerError(
            "EnvironmentVariableNameInvalid",
            f"{name!r} is no name of an environment variable: a letter first, then letters, "
            "digits and _.",
        )
    if name in BUILT_IN:
        raise CallerError(
            "EnvironmentVariableNameReserved",
            f"{name} is built in: it always is an address of this deployment.",
        )
    if value is not None and (size := _size(name, value)) > VARIABLE_VALUE_BYTES_MAX:
        raise CallerError(
            "EnvironmentVariableTooLarge",
            f"The value of {name} has {size} bytes (limit: {VARIABLE_VALUE_BYTES_MAX}).",
        )


def check_total(variables: Mapping[str, str | None]) -> None:
    """Refuse variables that are too large together. CallerError."""
    total = sum(_size(name, value) for name, value in variables.items() if value is not None)
    if total > VARIABLES_BYTES_MAX:
        raise CallerError(
            "EnvironmentVariablesTooLarge",
            f"The values of all environment variables would have {total} bytes "
            f"(limit: {VARIABLES_BYTES_MAX}).",
        )


def _size(name: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError:
        # Not the error's own text, which quotes the value.
        raise CallerError(
            "EnvironmentVariableInvalid", f"The value of {name} is no valid Unicode text."
        ) from None

"""One psycopg connection that comes back after it was lost, and turns loss into LogUnavailable.

Calls on it queue up. Whatever goes wrong in the middle of one (the server is gone, the caller was
cancelled) leaves the outcome in doubt: the connection is dropped then, never used half-way, and
the next call makes a new one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import AsyncConnection, AsyncCursor, generators
from psycopg.adapt import Buffer, Loader
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow

from syncline.ports import LogUnavailable

# Generic plans by index: a plan made for the values at hand costs more than the routine itself,
# and one made while a table was empty must not scan it when it has grown.
_SETTINGS = (
    ("synchronous_commit", "on"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("bytea_output", "hex"),
    ("timezone", "UTC"),
)
Conninfo: TypeAlias = str | Callable[[], str]
"""For libpq; a callable makes it anew for each connection, where a password expires."""

CANCEL_SECONDS = 5.0
"""How long a server is asked to give up on a statement; ours."""

_OPTIONS = " ".join(f"-c {name}={value}" for name, value in _SETTINGS)


class _JsonBytes(Loader):
    """Documents are handed on as the bytes that they are stored as."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


@contextmanager
def losses() -> Generator[None]:
    """Turns psycopg's errors about a lost or unwilling server into LogUnavailable."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise LogUnavailable(
            "LogUnavailable", f"The log's database can't be reached: {error}"
        ) from error


def _require_ok(results: Sequence[PGresult]) -> PGresult:
    """The one result of a statement; psycopg's own exception if it failed."""
    result = results[0]
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result


async def connect(conninfo: Conninfo) -> AsyncConnection[TupleRow]:
    """An autocommit connection with our settings, loaders and dumpers."""
    connection = await AsyncConnection.connect(
        conninfo if isinstance(conninfo, str) else conninfo(),
        autocommit=True,
        options=_OPTIONS,
        application_name="syncline",
        connect_timeout=10,
        keepalives_idle=30,
        tcp_user_timeout=15_000,
    )
    connection.adapters.register_loader("json", _JsonBytes)
    return connection


class _Answers:
    """Waits for answers on one connection, watching its socket from one call to the next.

    psycopg watches it anew for each wait, which costs as much as the rest of the call.
    """

    def __init__(self) -> None:
        self._socket: int | None = None
        self._waiting: asyncio.Future[list[PGresult]] | None = None
        self._results: list[PGresult] = []

    async def next(self, pgconn: PGconn) -> list[PGresult]:
        """The results of the query that was just sent. Raises psycopg.OperationalError."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._results = []
        if self._socket is None:
            self._watch(pgconn)
        return await self._waiting

    def _watch(self, pgconn: PGconn) -> None:
        self._socket = pgconn.socket
        asyncio.get_running_loop().add_reader(self._socket, self._read, pgconn)

    def _read(self, pgconn: PGconn) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            # Nobody asked: the server says good-bye, and the next call will find out.
            self.stop()
            return
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    waiting.set_result(self._results)
                    return
                self._results.append(result)
            # Anew: after an error on a socket uvloop calls once, and then watches it no longer,
            # although what the server said before it closed may be all that was read by then.
            self.stop()
            self._watch(pgconn)
        except Exception as error:
            # At once: libpq has closed the socket, and a connection made next may get its number.
            self.stop()
            waiting.set_exception(error)

    def stop(self) -> None:
        """Watch the socket no longer: others wait on it, or it is closed."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket = None


class Connection:
    """A connection that is made when first used and made again after it was lost."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection[TupleRow] | None = None
        # Kept, because making one costs as much as sending a statement.
        self._cursors: dict[LiteralString, AsyncCursor[TupleRow]] = {}
        self._prepared: dict[bytes, bytes] = {}
        self._answers = _Answers()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[AsyncConnection[TupleRow]]:
        """The connection for one call alone.

        Raises:
            LogUnavailable: it could not be made, or was lost meanwhile.
        """
        async with self._turn:
            try:
                with losses():
                    yield self._connection or await self._connect()
            except BaseException:
                await self.close()
                raise

    async def _connect(self) -> AsyncConnection[TupleRow]:
        connection = self._connection = await connect(self._conninfo)
        return connection

    async def rows(
        self, statement: LiteralString, parameters: Sequence[Any] = ()
    ) -> list[TupleRow]:
        """Run one prepared statement that returns rows, in its own transaction."""
        async with self.turn() as connection:
            self._answers.stop()
            cursor = self._cursors.get(statement)
            if cursor is None:
                cursor = self._cursors[statement] = connection.cursor(binary=True)
            await cursor.execute(statement, parameters, prepare=True)
            return await cursor.fetchall()

    async def binary_row(
        self, statement: bytes, values: Sequence[bytes | None]
    ) -> list[bytes | None]:
        """Run a statement that returns one row; values and columns in their binary form.

        For the one call that every mutation waits for: without a cursor's conversions it takes
        half as long (docs/performance.md).
        """
        # As `turn` does, whose generator this call can't afford.
        async with self._turn:
            try:
                connection = self._connection or await self._connect()
                return await self._binary_row(connection, statement, values)
            except BaseException:
                await self.close()
                with losses():
                    raise

    async def _binary_row(
        self,
        connection: AsyncConnection[TupleRow],
        statement: bytes,
        values: Sequence[bytes | None],
    ) -> list[bytes | None]:
        pgconn = connection.pgconn
        if statement not in self._prepared:
            name = b"syncline_%d" % len(self._prepared)
            pgconn.send_prepare(name, statement)
            self._answers.stop()
            _require_ok(await connection.wait(generators.execute(pgconn)))
            self._prepared[statement] = name
        pgconn.send_query_prepared(
            self._prepared[statement],
            values,
            param_formats=[Format.BINARY] * len(values),
            result_format=Format.BINARY,
        )
        if pgconn.flush():
            # More than the socket takes at once.
            self._answers.stop()
            answer = await connection.wait(generators.execute(pgconn))
        else:
            answer = await self._answer(connection)
        result = _require_ok(answer)
        return [result.get_value(0, at) for at in range(result.nfields)]

    async def _answer(self, connection: AsyncConnection[TupleRow]) -> list[PGresult]:
        try:
            return await self._answers.next(connection.pgconn)
        except asyncio.CancelledError:
            # The server would finish what nobody waits for any more.
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
            raise

    async def close(self) -> None:
        """Drop the connection, if there is one; the next call makes another."""
        self._answers.stop()
        connection, self._connection = self._connection, None
        self._cursors.clear()
        self._prepared.clear()
        if connection is not None:
            await connection.close()

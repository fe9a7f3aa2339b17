"""The RDS Data API over a PostgreSQL of ours: what boto3's real client talks to locally.

It has the limits of the real one (aws-facts.md 3.2) and its ways to say no: errors of statements
with their SQLSTATE, a database that resumes, transactions that nobody used for three minutes.
"""

import asyncio
import base64
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import psycopg
from aiohttp import web
from psycopg import AsyncConnection
from psycopg.types.numeric import Float8, Int8

REQUEST_BYTES_MAX: Final = 4 * 2**20
ROW_BYTES_MAX: Final = 64 * 1024
REPLY_BYTES_MAX: Final = 2**20
STATEMENT_CHARACTERS_MAX: Final = 65_536
STATEMENT_SECONDS_MAX: Final = 45
TRANSACTION_IDLE_SECONDS_MAX: Final = 180
"""AWS quotas (aws-facts.md 3.2)."""

CONNECTIONS_MAX: Final = 16
"""Statements that run at once; ours."""

_PARAMETER: Final = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


class _Refused(Exception):  # noqa: N818 - says what became of the request
    """An error in the service's own shape."""

    def __init__(self, kind: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status


class _Request(msgspec.Struct, rename="camel"):
    resource_arn: str
    secret_arn: str = ""
    sql: str = ""
    parameters: list[dict[str, Any]] = []
    parameter_sets: list[list[dict[str, Any]]] = []
    transaction_id: str | None = None


@dataclass(slots=True)
class _Transaction:
    connection: AsyncConnection[Any]
    used_at: float
    """By the event loop's clock."""


class RdsDataEndpoint:
    """One cluster; `start` before use, `stop` after."""

    def __init__(self, conninfo: str, *, resumes_after: int = 0) -> None:
        """`resumes_after`: so many calls are told that the database resumes, then it is awake."""
        self._conninfo = conninfo
        self.resumes_after = resumes_after
        self.calls = 0
        """Statements that were asked for, refused ones included."""
        self._idle: list[AsyncConnection[Any]] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._transactions: dict[str, _Transaction] = {}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """For `endpoint_url`."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; 0 takes a free port."""
        app = web.Application(client_max_size=2 * REQUEST_BYTES_MAX)
        for path, handle in (
            ("/Execute", self._execute),
            ("/BatchExecute", self._batch_execute),
            ("/BeginTransaction", self._begin),
            ("/CommitTransaction", self._commit),
            ("/RollbackTransaction", self._roll_back),
        ):
            app.router.add_post(path, self._answering(handle))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", port))
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """End every transaction and connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        for transaction in self._transactions.values():
            await transaction.connection.close()
        for connection in self._idle:
            await connection.close()
        self._transactions.clear()
        self._idle.clear()

    def _answering(self, handle: Any) -> Any:
        async def answer(request: web.Request) -> web.Response:
            try:
                body = await request.read()
                if len(body) > REQUEST_BYTES_MAX:
                    raise _Refused("BadRequestException", "Request is larger than 4 MiB", 413)
                reply = await handle(self._read(body))
            except _Refused as error:
                return web.json_response(
                    {"message": error.message},
                    status=error.status,
                    headers={"x-amzn-ErrorType": error.kind},
                )
            return web.Response(body=msgspec.json.encode(reply), content_type="application/json")

        return answer

    def _read(self, body: bytes) -> _Request:
        self.calls += 1
        try:
            request = msgspec.json.decode(body, type=_Request)
        except msgspec.DecodeError as error:
            raise _Refused("BadRequestException", f"Malformed request: {error}") from error
        if self.resumes_after > 0:
            self.resumes_after -= 1
            raise _Refused(
                "DatabaseResumingException",
                "The Aurora DB instance is resuming after being auto-paused. "
                "Please wait a few seconds and try again.",
            )
        if len(request.sql) > STATEMENT_CHARACTERS_MAX:
            raise _Refused("BadRequestException", "SQL statement is too long")
        return request

    # Statements

    async def _execute(self, request: _Request) -> dict[str, object]:
        records = await self._run(request, [request.parameters])
        return {"numberOfRecordsUpdated": 0, "records": records}

    async def _batch_execute(self, request: _Request) -> dict[str, object]:
        await self._run(request, request.parameter_sets or [[]])
        return {"updateResults": [{} for _ in request.parameter_sets]}

    async def _run(
        self, request: _Request, sets: Sequence[Sequence[Mapping[str, Any]]]
    ) -> list[list[dict[str, object]]]:
        statement = _PARAMETER.sub(r"%(\1)s", request.sql.replace("%", "%%"))
        known = [{each["name"]: _value(each["value"]) for each in one} for one in sets]
        if request.transaction_id is not None:
            transaction = self._transaction(request.transaction_id)
            records = await _executed(transaction.connection, statement, known)
            transaction.used_at = asyncio.get_running_loop().time()
            return records
        async with self._room:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                if len(known) == 1:
                    return await _executed(connection, statement, known)
                async with connection.transaction():
                    return await _executed(connection, statement, known)
            finally:
                if connection.closed:
                    await connection.close()
                else:
                    self._idle.append(connection)

    async def _connect(self) -> AsyncConnection[Any]:
        try:
            return await AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                options=f"-c statement_timeout={STATEMENT_SECONDS_MAX * 1000}",
            )
        except psycopg.OperationalError as error:
            raise _Refused(
                "DatabaseUnavailableException", f"The database can't be reached: {error}", 504
            ) from error

    # Transactions

    async def _begin(self, request: _Request) -> dict[str, object]:
        del request
        connection = await self._connect()
        await connection.execute("BEGIN")
        name = base64.b64encode(secrets.token_bytes(32)).decode()
        self._transactions[name] = _Transaction(connection, asyncio.get_running_loop().time())
        return {"transactionId": name}

    async def _commit(self, request: _Request) -> dict[str, object]:
        return {"transactionStatus": await self._end(request, "COMMIT", "Transaction Committed")}

    async def _roll_back(self, request: _Request) -> dict[str, object]:
        status = "Rollback Complete"
        return {"transactionStatus": await self._end(request, "ROLLBACK", status)}

    async def _end(self, request: _Request, statement: str, status: str) -> str:
        connection = self._transaction(request.transaction_id or "").connection
        del self._transactions[request.transaction_id or ""]
        try:
            await _executed(connection, statement, [{}])
        finally:
            await connection.close()
        return status

    def _transaction(self, name: str) -> _Transaction:
        found = self._transactions.get(name)
        now = asyncio.get_running_loop().time()
        if found is None or now - found.used_at > TRANSACTION_IDLE_SECONDS_MAX:
            raise _Refused(
                "TransactionNotFoundException", f"Transaction {name} is not found", status=404
            )
        return found


async def _executed(
    connection: AsyncConnection[Any],
    statement: str,
    sets: Sequence[Mapping[str, object]],
) -> list[list[dict[str, object]]]:
    """The last set's rows; refuses what the service would not return."""
    records: list[list[dict[str, object]]] = []
    try:
        for values in sets:
            cursor = await connection.execute(statement.encode(), values or None)
            rows = await cursor.fetchall() if cursor.description else []
            records = [[_field(column) for column in row] for row in rows]
    except psycopg.Error as error:
        state = error.sqlstate
        if state is None:
            with suppress(psycopg.Error):
                await connection.close()
            raise _Refused("InternalServerErrorException", str(error), 500) from error
        if state == "57014":
            raise _Refused("StatementTimeoutException", "Statement timed out") from error
        raise _Refused("DatabaseErrorException", f"ERROR: {error}; SQLState: {state}") from error
    sizes = [len(msgspec.json.encode(record)) for record in records]
    if max(sizes, default=0) > ROW_BYTES_MAX:
        raise _Refused("UnsupportedResultException", "A row of the result exceeds 64 KB")
    if sum(sizes) > REPLY_BYTES_MAX:
        raise _Refused("UnsupportedResultException", "Database response exceeded size limit")
    return records


def _value(field: Mapping[str, Any]) -> object:
    ((kind, value),) = field.items()
    match kind:
        case "isNull":
            return None
        case "longValue":
            return Int8(value)
        case "doubleValue":
            return Float8(value)
        case "blobValue":
            return base64.b64decode(value)
        case "stringValue" | "booleanValue":
            return value
        case _:
            raise _Refused("BadRequestException", f"Array parameters are not supported: {kind}")


def _field(value: object) -> dict[str, object]:
    match value:
        case None:
            return {"isNull": True}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"longValue": value}
        case float():
            return {"doubleValue": value}
        case bytes():
            return {"blobValue": base64.b64encode(value).decode()}
        case str():
            return {"stringValue": value}
        case _:
            raise _Refused(
                "UnsupportedResultException", f"A column has the type {type(value).__name__}"
            )

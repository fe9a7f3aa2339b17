"""The RDS Data API as an asyncio client: one statement a call, and errors by what they mean.

boto3 blocks, so calls run in threads. A cancelled caller leaves its call running: what it did is in
doubt then, as after any lost answer. Nothing here is bound to an event loop, so that a Lambda may
keep a client from one invocation to the next. SDK retries are off: a statement whose answer was
lost must not run again behind its caller's back.

A paused database answers DatabaseResumingException, without running anything, until it is awake:
about 15 s, 30 s and more after a day (aws-facts.md 3.1). Only that is tried again here.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from syncline.aws.settings import DataApiDatabase
from syncline.ports import LogUnavailable

if TYPE_CHECKING:
    from mypy_boto3_rds_data import RDSDataServiceClient
    from mypy_boto3_rds_data.type_defs import (
        ExecuteStatementRequestTypeDef,
        FieldUnionTypeDef,
        SqlParameterTypeDef,
    )

Scalar: TypeAlias = "int | float | str | bytes | bool | None"
"""What a parameter or a column may be; arrays are none of it."""

Row: TypeAlias = tuple[Scalar, ...]

STATEMENT_SECONDS_MAX: Final = 45
"""The Data API ends a statement that takes longer (aws-facts.md 3.2)."""

RESUME_DELAYS: Final[tuple[float, ...]] = (0.25, 0.5, 1.0, *[2.0] * 20)
"""Seconds before each new try while the database resumes: 42 s in all; ours."""

_RESUMING = "DatabaseResumingException"
_SQL_STATE = re.compile(r"SQLState: ([0-9A-Z]{5})")
_LOST_STATES = ("08", "53", "57", "58")
"""Classes of SQLSTATE that speak of the server, not of the statement (PostgreSQL, appendix A)."""

_T = TypeVar("_T")


def make_client(
    *, region: str | None = None, endpoint_url: str | None = None
) -> "RDSDataServiceClient":
    """A client that waits as long as a statement may take, and never repeats one by itself."""
    return boto3.client(  # pyright: ignore[reportUnknownMemberType] # overloads of services without stubs
        "rds-data",
        region_name=region,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=5,
            read_timeout=STATEMENT_SECONDS_MAX + 5,
            retries={"total_max_attempts": 1},
            # As many as asyncio's pool has threads: a call never waits for a connection.
            max_pool_connections=32,
        ),
    )


def sql_state(error: ClientError) -> str | None:
    """The SQLSTATE of an error that PostgreSQL reported; None: it is the Data API's own."""
    found = _SQL_STATE.search(error.response.get("Error", {}).get("Message", ""))
    return found[1] if found else None


class DataApi:
    """Statements on one database.

    Every method raises LogUnavailable when it is unknown what became of the call, or nothing can
    be reached; and botocore's ClientError, with a `sql_state`, when PostgreSQL refused the
    statement: nothing of it was done then.

    Args:
        client: of `make_client`.
        database: where, and by which login.
        resume_delays: seconds before each new try while the database resumes.
        wait: sleeps that long.
    """

    def __init__(
        self,
        client: "RDSDataServiceClient",
        database: DataApiDatabase,
        *,
        resume_delays: Sequence[float] = RESUME_DELAYS,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._cluster = database.cluster_arn
        self._secret = database.secret_arn
        self._database = database.name
        self._resume_delays = resume_delays
        self._wait = wait

    async def rows(
        self,
        statement: str,
        parameters: Mapping[str, Scalar] | None = None,
        *,
        transaction: str | None = None,
    ) -> list[Row]:
        """Run one statement, in its own transaction if none is named; parameters are ":name"."""
        request: ExecuteStatementRequestTypeDef = {
            "resourceArn": self._cluster,
            "secretArn": self._secret,
            "database": self._database,
            "sql": statement,
            "parameters": _parameters(parameters or {}),
        }
        if transaction:
            request["transactionId"] = transaction

        def call() -> list[Row]:
            answer = self._client.execute_statement(**request)
            return [tuple(map(_scalar, record)) for record in answer.get("records", [])]

        return await self._call(call)

    async def for_each(self, statement: str, sets: Sequence[Mapping[str, Scalar]]) -> None:
        """Run one statement for each set of parameters, in one request; answers nothing."""

        def call() -> None:
            self._client.batch_execute_statement(
                resourceArn=self._cluster,
                secretArn=self._secret,
                database=self._database,
                sql=statement,
                parameterSets=[_parameters(each) for each in sets],
            )

        await self._call(call)

    async def begin(self) -> str:
        """Begin a transaction; it ends by itself after three minutes without a call."""

        def call() -> str:
            answer = self._client.begin_transaction(
                resourceArn=self._cluster, secretArn=self._secret, database=self._database
            )
            return answer["transactionId"]

        return await self._call(call)

    async def commit(self, transaction: str) -> None:
        """Commit a transaction."""

        def call() -> None:
            self._client.commit_transaction(
                resourceArn=self._cluster, secretArn=self._secret, transactionId=transaction
            )

        await self._call(call)

    async def rollback(self, transaction: str) -> None:
        """Roll a transaction back."""

        def call() -> None:
            self._client.rollback_transaction(
                resourceArn=self._cluster, secretArn=self._secret, transactionId=transaction
            )

        await self._call(call)

    async def _call(self, call: Callable[[], _T]) -> _T:
        for delay in (*self._resume_delays, None):
            try:
                return await asyncio.to_thread(call)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != _RESUMING:
                    _fail(error)
                if delay is None:
                    raise LogUnavailable(
                        "LogUnavailable",
                        "The log's database was paused and is still waking up after "
                        f"{sum(self._resume_delays):.0f} s: try again in a minute.",
                    ) from error
                await self._wait(delay)
            except BotoCoreError as error:
                raise LogUnavailable(
                    "LogUnavailable", f"The log's database can't be reached: {error}"
                ) from error
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Close the client's connections."""
        await asyncio.to_thread(self._client.close)


def _fail(error: ClientError) -> NoReturn:
    """Only what PostgreSQL itself says of a statement is certain."""
    state = sql_state(error)
    if state is not None and not state.startswith(_LOST_STATES):
        raise error
    details = error.response.get("Error", {})
    raise LogUnavailable(
        "LogUnavailable",
        "The log's database can't be reached through the Data API: "
        f"{details.get('Code', 'unknown error')}: {details.get('Message', '')}",
    ) from error


def _parameters(values: Mapping[str, Scalar]) -> list["SqlParameterTypeDef"]:
    return [{"name": name, "value": _field(value)} for name, value in values.items()]


def _field(value: Scalar) -> "FieldUnionTypeDef":
    match value:
        case None:
            return {"isNull": True}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"longValue": value}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"blobValue": value}


def _scalar(field: Mapping[str, object]) -> Scalar:
    ((kind, value),) = field.items()
    if kind == "isNull":
        return None
    assert isinstance(value, int | float | str | bytes), "our routines answer with nothing else"
    return value

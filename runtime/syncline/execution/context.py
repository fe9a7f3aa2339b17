"""What queries and mutations are handed as `ctx` (api.md, "ctx").

Every method that reads or writes is awaited; nothing here does I/O: coroutines wait for
ReadRequest only, and whoever steps them answers it.
"""

import logging
from collections.abc import Awaitable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from random import Random
from typing import Any, Protocol

import msgspec

from syncline.execution.call_logger import call_logger
from syncline.execution.calls import ContextCall, ContextCalls
from syncline.execution.database import DatabaseReader, DatabaseWriter
from syncline.execution.determinism.call_state import CallState
from syncline.execution.gather import gather
from syncline.execution.identity import UserIdentity, user_identity
from syncline.execution.row_rules import RowRules
from syncline.execution.scheduler import FindDefinition, Scheduler
from syncline.execution.storage import StorageReader, StorageWriter
from syncline.execution.vector_search import (
    VectorFilterBuilder,
    VectorResult,
    vector_search,
)
from syncline.index.key_encoding import values_range
from syncline.limits import VECTOR_RESULTS_DEFAULT
from syncline.schema.catalog import ENVIRONMENT_VARIABLES, environment_range
from syncline.transaction.transaction import Transaction

ALL_VARIABLES = values_range(ENVIRONMENT_VARIABLES.indexes["by_name"].index_id)
"""The index range of every environment variable's row."""


class Level(msgspec.Struct, frozen=True, gc=False):
    """Where a context stands among nested calls."""

    depth: int
    """0 for the function that was called."""
    is_system: bool
    """A function of `_system/`: it may write system tables and call its like."""
    is_ruled: bool = True
    """False within a row rule: rules must be able to look things up."""


class NestedRunner(Protocol):
    """Runs another function inside this run's transaction."""

    def __call__(
        self, function: object, arguments: dict[str, object], kind: str, level: Level
    ) -> Coroutine[Any, Any, Any]:
        """The result of a nested query or mutation called from `level`."""
        ...


class EnvironmentNeeded(BaseException):
    """Ends a run that reads its first environment variable; it starts over knowing them all."""


class Run:
    """What the contexts of one run share, nested calls included."""

    def __init__(
        self,
        transaction: Transaction,
        state: CallState,
        calls: ContextCalls,
        identity: bytes | None,
        nested: NestedRunner,
        find: FindDefinition,
        rules: RowRules,
    ) -> None:
        self.transaction = transaction
        self.state = state
        self.calls = calls
        self.identity = identity
        self.nested = nested
        self.find = find
        self.rules = rules
        rules.context = QueryCtx(self, Level(0, is_system=False, is_ruled=False))
        self.environment: Mapping[str, str] | None = None
        """Every variable, once they have been read."""
        self.needs_environment = False

    @cached_property
    def user(self) -> UserIdentity | None:
        """Who is signed in."""
        return None if self.identity is None else user_identity(self.identity)


class Environment(Mapping[str, str]):
    """`ctx.env`: the deployment's environment variables; each one read is in the read set."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, name: str) -> str:
        variables = self._variables()
        self._run.transaction.reads.add_range(environment_range(name))
        if name not in variables:
            raise KeyError(f"The environment variable {name!r} is not set on this deployment.")
        return variables[name]

    def __iter__(self) -> Iterator[str]:
        variables = self._variables()
        self._run.transaction.reads.add_range(ALL_VARIABLES)
        return iter(variables)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _variables(self) -> Mapping[str, str]:
        if self._run.environment is None:
            # No method of a mapping can be awaited, and most functions read no variable at all.
            self._run.needs_environment = True
            raise EnvironmentNeeded
        return self._run.environment


class Auth:
    """`ctx.auth`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def get_user_identity(self) -> ContextCall[UserIdentity | None]:
        """Who is signed in, or None."""
        return self._run.calls.made("ctx.auth.get_user_identity", self._identity())

    async def _identity(self) -> UserIdentity | None:
        self._run.calls.read_identity = True
        return self._run.user


class QueryCtx:
    """The context of a query: reads at one snapshot."""

    def __init__(self, run: Run, level: Level) -> None:
        self._run = run
        self._level = level

    @cached_property
    def db(self) -> DatabaseReader:
        """The database."""
        return DatabaseReader(
            self._run.transaction,
            self._run.calls,
            is_system=self._level.is_system,
            rules=self._rules,
        )

    @property
    def _rules(self) -> RowRules | None:
        is_ruled = self._level.is_ruled and not self._level.is_system
        return self._run.rules if is_ruled else None

    @property
    def storage(self) -> StorageReader:
        """Files: their URLs and what is known of them."""
        return StorageReader(self._run.transaction, self._run.calls, self._run.state)

    @property
    def auth(self) -> Auth:
        """Who is calling."""
        return Auth(self._run)

    @property
    def now(self) -> datetime:
        """The time of the run in UTC, the same however often it is asked for."""
        return datetime.fromtimestamp(self._run.state.clock_ns("ctx.now") / 1e9, UTC)

    @property
    def env(self) -> Mapping[str, str]:
        """Environment variables by name; KeyError for one that is not set."""
        return Environment(self._run)

    @property
    def random(self) -> Random:
        """Seeded randomness: another seed for every run."""
        return self._run.state.random

    @cached_property
    def log(self) -> logging.Logger:
        """A standard logger; its lines reach the client's console in development."""
        return call_logger(self._run.state)

    def gather(self, *awaitables: Awaitable[Any]) -> ContextCall[list[Any]]:
        """Await several at once; results in argument order, reads sent as batches."""
        return self._run.calls.made(
            "ctx.gather", gather(self._run.transaction, self._run.calls, awaitables)
        )

    def vector_search(
        self,
        table: str,
        index: str,
        /,
        *,
        vector: Sequence[float],
        limit: int = VECTOR_RESULTS_DEFAULT,
        filter: VectorFilterBuilder | None = None,  # noqa: A002 - the name that api.md promises
    ) -> ContextCall[list[VectorResult]]:
        """The documents whose vectors are nearest by cosine, nearest first: `_id` and `_score`.

        `filter`: `lambda q: q.eq(field, value)`, or `q.or_` of several of them. `limit`: 1 to 256.
        """
        guard = self._rules.of(table) if self._rules is not None else None
        return self._run.calls.made(
            "ctx.vector_search",
            vector_search(self._run.transaction, (table, index), vector, limit, filter, guard),
        )

    def run_query(self, function: object, /, **arguments: object) -> ContextCall[Any]:
        """Run another query at the same snapshot, in this transaction."""
        return self._run.calls.made(
            "ctx.run_query", self._run.nested(function, arguments, "query", self._level)
        )


class MutationCtx(QueryCtx):
    """The context of a mutation: a serializable transaction."""

    @cached_property
    def db(self) -> DatabaseWriter:
        """The database."""
        return DatabaseWriter(
            self._run.transaction,
            self._run.calls,
            is_system=self._level.is_system,
            rules=self._rules,
        )

    @property
    def storage(self) -> StorageWriter:
        """Files: upload URLs and deletion too."""
        return StorageWriter(self._run.transaction, self._run.calls, self._run.state)

    @property
    def scheduler(self) -> Scheduler:
        """Functions that run later."""
        run = self._run
        return Scheduler(run.transaction, run.calls, run.state, run.find)

    def run_mutation(self, function: object, /, **arguments: object) -> ContextCall[Any]:
        """Run another mutation as a sub-transaction: if it fails, its writes alone are undone."""
        return self._run.calls.made(
            "ctx.run_mutation", self._run.nested(function, arguments, "mutation", self._level)
        )

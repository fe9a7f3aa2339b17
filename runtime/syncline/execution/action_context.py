"""What actions are handed as `ctx` (api.md, "ctx").

An action runs as a task on an ordinary event loop and may use whatever Python offers. Nothing here
is repeatable or transactional: each `ctx.run_*` is a transaction of its own, and its answer is the
deployment's at that moment.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from random import Random
from typing import Any, Literal, cast

from syncline.action_ports import (
    ActionBackend,
    ActionReply,
    ActionRequest,
    RunFunction,
    SearchVectors,
)
from syncline.errors import ApplicationError, CallFailedError, DeveloperError
from syncline.execution.action_scheduler import ActionScheduler
from syncline.execution.action_storage import ActionStorage
from syncline.execution.call_logger import call_logger
from syncline.execution.determinism.call_state import LogLines
from syncline.execution.identity import UserIdentity, user_identity
from syncline.execution.vector_search import VectorResult
from syncline.file_ports import DirectUpload
from syncline.index.key_encoding import MISSING
from syncline.limits import VECTOR_RESULTS_DEFAULT
from syncline.ports import Clock
from syncline.query.vector_filter import VectorConditions, no_condition
from syncline.registration.registry import path_of
from syncline.values import wire_json
from syncline.values.value import Value, normalize


class ActionRun:
    """What the parts of one action's context share."""

    def __init__(
        self,
        backend: ActionBackend,
        *,
        identity: bytes | None,
        environment: Mapping[str, str],
        log: LogLines,
        clock: Clock,
        random: Random,
        put: Callable[[DirectUpload, bytes], Awaitable[None]],
    ) -> None:
        """`put`: sends a file to an address."""
        self.backend = backend
        self.identity = identity
        self.environment = environment
        self.log = log
        self.clock = clock
        self.random = random
        self.put = put

    async def ask(self, request: ActionRequest) -> Value:
        """The deployment's answer to a request.

        Raises:
            ApplicationError: the function that was called raised it.
            CallFailedError: it failed in another way.
            UnavailableError: the deployment can't be reached, or is going down.
        """
        return reply_value(await self.backend.ask(request))


def reply_value(reply: ActionReply) -> Value:
    """The value of a reply. Raises ApplicationError and CallFailedError, see `ActionRun.ask`."""
    if reply.value is not None:
        return wire_json.decode(reply.value)
    assert reply.error is not None, "a reply has a value or an error"
    if reply.error.data is not None:
        raise ApplicationError(wire_json.decode(reply.error.data))
    raise CallFailedError(reply.error.message)


class ActionAuth:
    """`ctx.auth`."""

    def __init__(self, run: ActionRun) -> None:
        self._run = run

    async def get_user_identity(self) -> UserIdentity | None:
        """Who is signed in, or None."""
        attributes = self._run.identity
        return user_identity(attributes) if attributes is not None else None


class _Environment(Mapping[str, str]):
    """`ctx.env`."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        if name not in self._variables:
            raise KeyError(f"The environment variable {name!r} is not set on this deployment.")
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


class ActionCtx:
    """The context of an action: no database, but every other function of the deployment."""

    def __init__(self, run: ActionRun) -> None:
        self._run = run

    @property
    def storage(self) -> ActionStorage:
        """Files, with their content."""
        return ActionStorage(self._run)

    @property
    def scheduler(self) -> ActionScheduler:
        """Functions that run later."""
        return ActionScheduler(self._run)

    @property
    def auth(self) -> ActionAuth:
        """Who is calling."""
        return ActionAuth(self._run)

    @property
    def now(self) -> datetime:
        """The time in UTC."""
        return datetime.fromtimestamp(self._run.clock.now_ns() / 1e9, UTC)

    @property
    def env(self) -> Mapping[str, str]:
        """Environment variables as they were at the start; KeyError for one that is not set."""
        return _Environment(self._run.environment)

    @property
    def random(self) -> Random:
        """Randomness with a seed that nobody knows; for secrets use the module `secrets`."""
        return self._run.random

    @cached_property
    def log(self) -> logging.Logger:
        """A standard logger; its lines reach the client's console in development."""
        return call_logger(self._run.log)

    async def run_query(self, function: object, /, **arguments: object) -> Any:
        """Run a query at the newest snapshot, which shows what this action's mutations wrote."""
        return await self._call("query", function, arguments)

    async def run_mutation(self, function: object, /, **arguments: object) -> Any:
        """Run a mutation, a transaction of its own; when this returns, it is durable."""
        return await self._call("mutation", function, arguments)

    async def run_action(self, function: object, /, **arguments: object) -> Any:
        """Run another action and wait for it; `await other(ctx, ...)` calls it here instead."""
        return await self._call("action", function, arguments)

    async def vector_search(
        self,
        table: str,
        index: str,
        /,
        *,
        vector: Sequence[float],
        limit: int = VECTOR_RESULTS_DEFAULT,
        filter: Callable[[VectorConditions], VectorConditions] | None = None,  # noqa: A002 - api.md's name
    ) -> list[VectorResult]:
        """The documents whose vectors are nearest by cosine, nearest first: `_id` and `_score`.

        As in queries, but of all documents: row rules hold for the queries that read them.
        """
        conditions: tuple[tuple[str, object], ...] = ()
        if filter is not None:
            conditions = filter(VectorConditions(f"{table}.{index}")).any_of
            if not conditions:
                raise no_condition(f"{table}.{index}")
        arguments: dict[str, object] = {
            "table": table,
            "index": index,
            "vector": [float(each) for each in vector],
            "limit": limit,
            "conditions": [
                {"field": field} if value is MISSING else {"field": field, "value": value}
                for field, value in conditions
            ],
        }
        found = await self._run.ask(SearchVectors(wire_json.encode(normalize(arguments))))
        return cast("list[VectorResult]", found)

    async def _call(
        self,
        kind: Literal["query", "mutation", "action"],
        function: object,
        arguments: dict[str, object],
    ) -> Value:
        encoded = wire_json.encode(normalize(arguments))
        return await self._run.ask(RunFunction(kind, path_of(function), encoded))

    async def gather(self, *awaitables: Awaitable[Any]) -> list[Any]:
        """Await several at once; results in argument order.

        The first failure is raised when what else still ran has been cancelled and has ended.
        """
        import asyncio  # which processes that run no actions need not load

        for at, each in enumerate(awaitables):
            if not isinstance(each, Awaitable):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
                raise DeveloperError(
                    "NotAwaitable",
                    f"ctx.gather takes awaitables; argument {at + 1} is of type "
                    f"{type(each).__name__}.",
                )
        tasks = [asyncio.ensure_future(each) for each in awaitables]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

"""One run of a query or mutation as a value machine: step it, answer its reads, get its outcome.

    execution = Execution(call, bundle)
    step = execution.step(None)
    while isinstance(step, NeedReads):
        step = execution.step(pages for step.reads)

No I/O, no event loop: the user's coroutine is stepped by hand, so it can wait for nothing but reads
at the snapshot. Every failure of user code is an outcome, never an exception.
"""

from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from syncline.environment_ports import EnvironmentRead
from syncline.errors import DeveloperError
from syncline.execution.arguments import (
    ServerMadeError,
    check_arguments,
    checked_result,
    decode_arguments,
    encode_result,
)
from syncline.execution.called_function import (
    display_name,
    function_error,
    require_callable,
    require_kind,
)
from syncline.execution.calls import ContextCalls, forgotten_await
from syncline.execution.context import ALL_VARIABLES, Level, MutationCtx, QueryCtx, Run
from syncline.execution.database import DatabaseWriter
from syncline.execution.determinism.call_state import CallState
from syncline.execution.determinism.time_limit import TimeLimitExceeded, timeout_message
from syncline.execution.row_rules import RowRules
from syncline.execution.scheduled_functions import ScheduledFunctions
from syncline.function_path import SYSTEM_PREFIX
from syncline.limits import NESTED_CALLS_MAX
from syncline.ports import FunctionCall, FunctionOutcome, Page, Read
from syncline.registration.registry import FunctionDefinition, LoadedBundle, path_of
from syncline.schema.catalog import module_range
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.transaction import Transaction
from syncline.transaction.usage import LimitExceededError
from syncline.values.value import Value, normalize

_variables = msgspec.json.Decoder(dict[str, str]).decode


class NeedReads(msgspec.Struct, frozen=True, gc=False):
    """The run waits for one page a read, in this order."""

    reads: tuple[Read, ...]


class Execution:
    """One run. `step` until it returns a FunctionOutcome; `close` to give up."""

    def __init__(self, call: FunctionCall, bundle: LoadedBundle) -> None:
        self._call = call
        self._bundle = bundle
        self._begin(self._main())

    def _begin(self, coroutine: Coroutine[Any, Any, bytes]) -> None:
        call = self._call
        self._state = CallState(now_ns=call.now_ns, seed=call.seed)
        self._transaction = Transaction(call.catalog, now_ns=call.now_ns, seed=call.seed)
        self._calls = ContextCalls(call.journal)
        # An admin who acts as a user sees what that user sees.
        are_ruled = not call.is_admin or call.identity is not None
        rules = RowRules(self._bundle.rules, self._calls, are_applied=are_ruled)
        self._run = Run(
            self._transaction,
            self._state,
            self._calls,
            call.identity,
            self._nested,
            self._definition,
            rules,
        )
        self._coroutine = coroutine

    def step(self, pages: Sequence[Page] | None) -> NeedReads | FunctionOutcome:
        """Go on until the next reads or the end; `pages` answer the reads of the step before.

        Raises TimeLimitExceeded and KeyboardInterrupt, which come from outside.
        """
        value: bytes | None = None
        error: BaseException | None = None
        request: ReadRequest | None = None
        try:
            with self._state:
                request = self._advance(pages)
        except StopIteration as finished:
            value = finished.value
        except (TimeLimitExceeded, KeyboardInterrupt):
            raise
        except BaseException as raised:
            # `sys.exit()` in a function ends the call, not who runs it.
            error = raised
        if self._run.needs_environment:
            # Nothing of this attempt was visible: the same inputs lead here again.
            self.close()
            self._begin(self._main_with_environment())
            return self.step(None)
        if request is not None:
            return NeedReads(tuple(request.reads))
        return self._finish(value, error)

    def _advance(self, pages: Sequence[Page] | None) -> ReadRequest:
        request = self._coroutine.send(pages)
        if isinstance(request, ReadRequest):
            return request
        refused = self._calls.refuse(request)
        # Raised where it waits, so that the trace shows the line.
        self._coroutine.throw(refused)
        self._coroutine.close()
        raise refused

    def close(self) -> None:
        """Give the run up: its coroutine is closed, nothing is reported."""
        # Whatever user code raises while it is being closed has nobody to go to.
        with self._state, suppress(Exception):
            self._coroutine.close()
        self._calls.close()

    def time_out(self, seconds: float) -> FunctionOutcome:
        """The outcome of a run that was interrupted for having used up its time."""
        # How long a run takes is the machine's doing: such a result is not kept for long.
        self._state.read_time = True
        return self._finish(None, ServerMadeError("FunctionTimedOut", timeout_message(seconds)))

    def _finish(self, value: bytes | None, error: BaseException | None) -> FunctionOutcome:
        transaction, calls, state = self._transaction, self._calls, self._state
        forgotten = calls.close()
        if error is None:
            error = calls.refused or (state.violations[0] if state.violations else None)
        if error is None and forgotten is not None:
            error = forgotten_await(forgotten)
        with state:
            # Exceptions of users have texts made by users.
            described = None if error is None else function_error(error)
        return FunctionOutcome(
            value=value if error is None else None,
            error=described,
            log_lines=tuple(state.log_lines),
            read_ranges=transaction.reads.merged(),
            changes=transaction.changes() if error is None else (),
            journal=calls.next_journal,
            read_identity=calls.read_identity,
            read_time=state.read_time,
            read_random=state.read_random,
            documents_read=transaction.usage.documents_read,
            bytes_read=transaction.usage.bytes_read,
            own_seconds=0.0,
        )

    # The function that was called

    async def _main(self) -> bytes:
        call = self._call
        if call.scheduled is not None:
            return await self._scheduled(call.scheduled)
        return await self._called()

    async def _called(self, given: dict[str, Value] | None = None) -> bytes:
        """The function's result, as JSON. `given`: its arguments instead of the call's."""
        call = self._call
        definition = self._find(call.path)
        require_kind(definition, call.kind)
        arguments = decode_arguments(call.path, call.arguments) if given is None else given
        check_arguments(definition, arguments, self._transaction.name_of)
        result = await self._invoke(definition, arguments, Level(0, is_system=False))
        return encode_result(call.path, result)

    async def _scheduled(self, job: str) -> bytes:
        """The function, unless it has run; that it has commits with its effects (rule 22)."""
        rows = DatabaseWriter(self._transaction, self._calls, is_system=True)
        functions = ScheduledFunctions(rows, self._call.now_ns / 1e6)
        found = await functions.pending(job)
        if found is None:
            return b"null"
        result = await self._called(found["args"][0])
        await functions.end(job, None)
        return result

    async def _main_with_environment(self) -> bytes:
        """The run from its start, now that it is known to want environment variables."""
        # Outside of the transaction: only variables that are asked for are in the read set.
        read = EnvironmentRead(ALL_VARIABLES.lo, ALL_VARIABLES.hi)
        [page] = await ReadRequest([read])
        self._run.environment = _variables(page.rows[0].document)
        return await self._main()

    def _find(self, path: str) -> FunctionDefinition:
        """The function, if the caller may call it; its module's row is in the read set."""
        return require_callable(
            self._definition(path),
            path,
            is_admin=self._call.is_admin,
            is_inner=self._call.is_inner,
        )

    def _definition(self, path: str) -> FunctionDefinition | None:
        if not path.startswith(SYSTEM_PREFIX):
            self._transaction.reads.add_range(module_range(path.rpartition(":")[0]))
        return self._bundle.definitions.get(path)

    async def _invoke(
        self, definition: FunctionDefinition, arguments: dict[str, Value], level: Level
    ) -> Value:
        is_system = definition.path.startswith(SYSTEM_PREFIX)
        level = msgspec.structs.replace(level, is_system=is_system)
        make = MutationCtx if definition.kind == "mutation" else QueryCtx
        returned = await definition.handler(make(self._run, level), **definition.bind(arguments))
        return checked_result(definition, returned, self._transaction.name_of)

    # Nested calls

    async def _nested(
        self, function: object, arguments: dict[str, object], kind: str, level: Level
    ) -> Any:
        path = path_of(function)
        definition = self._definition(path)
        if definition is None or (path.startswith(SYSTEM_PREFIX) and not level.is_system):
            raise DeveloperError(
                "FunctionNotFound", f"Could not find function for '{display_name(path)}'."
            )
        require_kind(definition, kind)
        if level.depth >= NESTED_CALLS_MAX:
            raise LimitExceededError(
                "TooManyNestedCalls",
                f"Functions call each other more than {NESTED_CALLS_MAX} levels deep.",
            )
        given = normalize(arguments)
        assert isinstance(given, dict)
        check_arguments(definition, given, self._transaction.name_of)
        inner = msgspec.structs.replace(level, depth=level.depth + 1)
        if kind == "query":
            return await self._invoke(definition, given, inner)
        savepoint = self._transaction.open_savepoint()
        try:
            result = await self._invoke(definition, given, inner)
        except BaseException:
            self._transaction.roll_back(savepoint)
            raise
        self._transaction.release()
        return result

"""One run of a query or mutation as a value machine: step it, answer its reads, get its outcome.

    execution = Execution(call, bundle)
    step = execution.step(None)
    while isinstance(step, NeedReads):
        step = execution.step(pages for step.reads)

No I/O, no event loop: the user's coroutine is stepped by hand, so it can wait for nothing but reads
at the snapshot. Every failure of user code is an outcome, never an exception.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.errors import ApplicationError, CallerError, DeveloperError, SynclineError
from syncline.execution.calls import ContextCalls, forgotten_await
from syncline.execution.context import MutationCtx, QueryCtx, Run
from syncline.execution.determinism.call_state import CallState, NondeterminismError
from syncline.execution.determinism.time_limit import TimeLimitExceeded
from syncline.execution.gather import not_awaitable_here
from syncline.execution.stack_trace import describe
from syncline.function_path import parse
from syncline.limits import ARGUMENTS_BYTES_MAX, NESTED_CALLS_MAX, RESULT_BYTES_MAX
from syncline.ports import FunctionCall, FunctionError, FunctionOutcome, Page, RangeRead
from syncline.registration.registry import FunctionDefinition, FunctionReference, LoadedBundle
from syncline.schema.catalog import module_range
from syncline.transaction.read_request import ReadRequest
from syncline.transaction.transaction import Transaction
from syncline.transaction.usage import LimitExceededError
from syncline.values import wire_json
from syncline.values.value import Value, normalize

SYSTEM_PREFIX = "_system/"


@dataclass(frozen=True, slots=True)
class NeedReads:
    """The run waits for one page a read, in this order."""

    reads: tuple[RangeRead, ...]


class ServerMadeError(CallerError):
    """A failure in our own words, shown to clients in production too."""


class Execution:
    """One run. `step` until it returns a FunctionOutcome; `close` to give up."""

    def __init__(self, call: FunctionCall, bundle: LoadedBundle) -> None:
        self._call = call
        self._bundle = bundle
        self._state = CallState(now_ns=call.now_ns, seed=call.seed)
        self._transaction = Transaction(call.catalog, now_ns=call.now_ns, seed=call.seed)
        self._calls = ContextCalls(call.journal)
        self._run = Run(self._transaction, self._state, self._calls, call.identity, self._nested)
        self._depth = 0
        self._coroutine: Coroutine[Any, Any, bytes] = self._main()

    def step(self, pages: Sequence[Page] | None) -> NeedReads | FunctionOutcome:
        """Go on until the next reads or the end; `pages` answer the reads of the step before."""
        try:
            with self._state:
                request = self._coroutine.send(pages)
                if not isinstance(request, ReadRequest):
                    self._coroutine.throw(not_awaitable_here(request))
                    raise not_awaitable_here(request)
            return NeedReads(tuple(request.reads))
        except StopIteration as finished:
            return self._finish(finished.value, None)
        except (TimeLimitExceeded, KeyboardInterrupt):
            raise
        except BaseException as error:
            # `sys.exit()` in a function ends the call, not who runs it.
            return self._finish(None, error)

    def close(self) -> None:
        """Give the run up: its coroutine is closed, nothing is reported."""
        with self._state:
            self._coroutine.close()
        self._calls.close()

    def time_out(self, seconds: float) -> FunctionOutcome:
        """The outcome of a run that was interrupted for having used up its time."""
        message = f"Function execution timed out (maximum duration: {seconds:g}s)"
        return self._finish(None, ServerMadeError("FunctionTimedOut", message))

    def _finish(self, value: bytes | None, error: BaseException | None) -> FunctionOutcome:
        forgotten = self._calls.close()
        if error is None and self._state.violations:
            error = self._state.violations[0]
        if error is None and forgotten is not None:
            error = forgotten_await(forgotten)
        transaction, calls, state = self._transaction, self._calls, self._state
        return FunctionOutcome(
            value=value if error is None else None,
            error=None if error is None else _function_error(error),
            log_lines=tuple(state.log_lines),
            read_ranges=transaction.read_ranges(),
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
        definition = self._find(call.path)
        if definition.kind != call.kind:
            path = parse(call.path)
            raise ServerMadeError(
                "WrongFunctionKind",
                f"Trying to execute {path.canonical} as {call.kind.title()}, but it is defined as "
                f"{definition.kind.title()}.",
            )
        arguments = self._arguments(definition)
        result = await self._invoke(definition, arguments)
        encoded = wire_json.encode(result)
        if len(encoded) > RESULT_BYTES_MAX:
            raise ServerMadeError(
                "ReturnValueTooLarge",
                f"Return value of {parse(call.path).canonical} is too large "
                f"(actual: {_mib(len(encoded))}, limit: {_mib(RESULT_BYTES_MAX)})",
            )
        return encoded

    def _find(self, path: str) -> FunctionDefinition:
        """The function, if the caller may call it; its module's row is in the read set."""
        module = path.rpartition(":")[0]
        is_system = path.startswith(SYSTEM_PREFIX)
        if not is_system:
            self._transaction.add_range(module_range(module))
        definition = self._bundle.definitions.get(path)
        is_hidden = is_system or (definition is not None and definition.visibility == "internal")
        if definition is None or (is_hidden and not self._call.is_admin):
            public = "" if self._call.is_admin else "public "
            raise ServerMadeError(
                "FunctionNotFound", f"Could not find {public}function for '{_display(path)}'."
            )
        return definition

    def _arguments(self, definition: FunctionDefinition) -> dict[str, Value]:
        path = parse(self._call.path)
        data = self._call.arguments
        if len(data) > ARGUMENTS_BYTES_MAX:
            raise ServerMadeError(
                "ArgumentsTooLarge",
                f"Arguments for {path.canonical} are too large "
                f"(actual: {_mib(len(data))}, limit: {_mib(ARGUMENTS_BYTES_MAX)})",
            )
        try:
            decoded = wire_json.decode(data)
        except CallerError as error:
            raise ServerMadeError(
                "InvalidArguments", f"Invalid arguments for {path.canonical}: {error.message}"
            ) from error
        if isinstance(decoded, list) and len(decoded) == 1:
            decoded = decoded[0]
        if not isinstance(decoded, dict):
            raise ServerMadeError(
                "InvalidArguments",
                f"Invalid arguments for {path.canonical}: the arguments must be one object.",
            )
        self._check_arguments(definition, decoded)
        return decoded

    def _check_arguments(self, definition: FunctionDefinition, arguments: dict[str, Value]) -> None:
        failure = definition.args.check(arguments, self._transaction.catalog.name_of)
        if failure is not None:
            raise ServerMadeError("ArgumentValidationError", f"ArgumentValidationError: {failure}")

    async def _invoke(self, definition: FunctionDefinition, arguments: dict[str, Value]) -> Value:
        is_system = definition.path.startswith(SYSTEM_PREFIX)
        make = MutationCtx if definition.kind == "mutation" else QueryCtx
        ctx = make(self._run, is_system=is_system)
        returned = await definition.handler(ctx, **definition.bind(arguments))
        result = normalize(returned)
        failure = definition.returns.check(result, self._transaction.catalog.name_of)
        if failure is not None:
            raise ServerMadeError("ReturnsValidationError", f"ReturnsValidationError: {failure}")
        return result

    # Nested calls

    async def _nested(self, function: object, arguments: dict[str, object], kind: str) -> Any:
        definition = self._nested_definition(function, kind)
        normalized = normalize(arguments)
        assert isinstance(normalized, dict)
        self._check_arguments(definition, normalized)
        if self._depth >= NESTED_CALLS_MAX:
            raise LimitExceededError(
                "TooManyNestedCalls",
                f"Functions call each other more than {NESTED_CALLS_MAX} levels deep.",
            )
        savepoint = self._transaction.savepoint() if kind == "mutation" else None
        self._depth += 1
        try:
            return await self._invoke(definition, normalized)
        except BaseException:
            if savepoint is not None:
                self._transaction.roll_back(savepoint)
            raise
        finally:
            self._depth -= 1

    def _nested_definition(self, function: object, kind: str) -> FunctionDefinition:
        path = _path_of(function)
        self._transaction.add_range(module_range(path.rpartition(":")[0]))
        definition = self._bundle.definitions.get(path)
        if definition is None:
            raise DeveloperError("FunctionNotFound", f"Could not find function for '{path}'.")
        if definition.kind != kind:
            raise DeveloperError(
                "WrongFunctionKind",
                f"Trying to execute {parse(path).canonical} as {kind.title()}, but it is defined "
                f"as {definition.kind.title()}.",
            )
        return definition


def _path_of(function: object) -> str:
    """A function object, a path, or a generated reference with a `path`."""
    if isinstance(function, FunctionReference):
        return function.path
    if isinstance(function, str):
        return str(parse(function))
    path = getattr(function, "path", None)
    if isinstance(path, str):
        return str(parse(path))
    raise DeveloperError(
        "NotAFunction",
        "Name the function to run by the function itself, or by its path such as "
        f"'messages:expire'; got {type(function).__name__}.",
    )


def _display(path: str) -> str:
    try:
        return parse(path).display
    except CallerError:
        return path


def _mib(size: int) -> str:
    return f"{size / 2**20:.4g} MiB"


def _function_error(error: BaseException) -> FunctionError:
    if isinstance(error, ServerMadeError | LimitExceededError | NondeterminismError):
        return FunctionError(error.message, is_server_made=True, data=None)
    data = None
    if isinstance(error, ApplicationError):
        try:
            data = wire_json.encode(normalize(error.data))
        except SynclineError as invalid:
            return FunctionError(describe(invalid), is_server_made=False, data=None)
    return FunctionError(describe(error), is_server_made=False, data=data)

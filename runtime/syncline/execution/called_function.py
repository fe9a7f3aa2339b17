"""Which function a call names, and how its failure is told: the same for every kind of function."""

from syncline.errors import ApplicationError, CallerError, SynclineError
from syncline.execution.arguments import ServerMadeError
from syncline.execution.determinism.call_state import NondeterminismError
from syncline.execution.stack_trace import describe
from syncline.function_path import SYSTEM_PREFIX, parse
from syncline.ports import FunctionError
from syncline.registration.registry import FunctionDefinition
from syncline.transaction.usage import LimitExceededError
from syncline.values import wire_json
from syncline.values.value import normalize


def require_callable(
    definition: FunctionDefinition | None, path: str, *, is_admin: bool, is_inner: bool
) -> FunctionDefinition:
    """The function found under `path`, if who calls may call it (convex-protocol 6.1).

    Admins may call everything; functions (`is_inner`) what is public or internal.
    """
    if definition is not None and not is_admin:
        is_system = path.startswith(SYSTEM_PREFIX)
        if is_system or (definition.visibility == "internal" and not is_inner):
            definition = None
    if definition is None:
        public = "" if is_admin or is_inner else "public "
        raise ServerMadeError(
            "FunctionNotFound", f"Could not find {public}function for '{display_name(path)}'."
        )
    return definition


def require_kind(definition: FunctionDefinition, kind: str) -> None:
    """ServerMadeError: it is called as another kind of function than it is."""
    if definition.kind != kind:
        raise ServerMadeError(
            "WrongFunctionKind",
            f"Trying to execute {parse(definition.path).canonical} as {kind.title()}, but it is "
            f"defined as {definition.kind.title()}.",
        )


def display_name(path: str) -> str:
    """The path as messages show it."""
    try:
        return parse(path).display
    except CallerError:
        return path


def function_error(error: BaseException) -> FunctionError:
    """What a failed run tells its caller."""
    if isinstance(error, ServerMadeError | LimitExceededError | NondeterminismError):
        return FunctionError(error.message, is_server_made=True, data=None)
    data = None
    if isinstance(error, ApplicationError):
        try:
            data = wire_json.encode(normalize(error.data))
        except SynclineError as invalid:
            return FunctionError(describe(invalid), is_server_made=False, data=None)
    return FunctionError(describe(error), is_server_made=False, data=data)

"""What crosses a function's border: its arguments and its result, with the texts for clients.

Texts: convex-protocol 6.1 and 6.2. All of them are made by the server and name no user data but
what a validator's message shows.
"""

from syncline.errors import CallerError
from syncline.function_path import parse
from syncline.limits import ARGUMENTS_BYTES_MAX, RESULT_BYTES_MAX
from syncline.registration.registry import FunctionDefinition
from syncline.schema.validator_types import TableNames
from syncline.values import wire_json
from syncline.values.value import Value, normalize


class ServerMadeError(CallerError):
    """A failure in our own words, shown to clients in production too."""


def decode_arguments(path: str, data: bytes) -> dict[str, Value]:
    """The arguments from JSON: an object, or an array of one object."""
    name = parse(path).canonical
    if len(data) > ARGUMENTS_BYTES_MAX:
        raise ServerMadeError(
            "ArgumentsTooLarge",
            f"Arguments for {name} are too large "
            f"(actual: {_mib(len(data))}, limit: {_mib(ARGUMENTS_BYTES_MAX)})",
        )
    try:
        decoded = wire_json.decode(data)
    except CallerError as error:
        raise ServerMadeError(
            "InvalidArguments", f"Invalid arguments for {name}: {error.message}"
        ) from error
    if isinstance(decoded, list) and len(decoded) == 1:
        decoded = decoded[0]
    if not isinstance(decoded, dict):
        raise ServerMadeError(
            "InvalidArguments",
            f"Invalid arguments for {name}: the arguments must be one object.",
        )
    return decoded


def check_arguments(
    definition: FunctionDefinition, arguments: dict[str, Value], names: TableNames
) -> None:
    """Hold arguments against the function's validator."""
    failure = definition.args.check(arguments, names)
    if failure is not None:
        raise ServerMadeError("ArgumentValidationError", f"ArgumentValidationError: {failure}")


def checked_result(definition: FunctionDefinition, returned: object, names: TableNames) -> Value:
    """What a function returned, as a value that its validator lets pass."""
    result = normalize(returned)
    failure = definition.returns.check(result, names)
    if failure is not None:
        raise ServerMadeError("ReturnsValidationError", f"ReturnsValidationError: {failure}")
    return result


def encode_result(path: str, result: Value) -> bytes:
    """The result as JSON."""
    encoded = wire_json.encode(result)
    if len(encoded) > RESULT_BYTES_MAX:
        raise ServerMadeError(
            "ReturnValueTooLarge",
            f"Return value of {parse(path).canonical} is too large "
            f"(actual: {_mib(len(encoded))}, limit: {_mib(RESULT_BYTES_MAX)})",
        )
    return encoded


def _mib(size: int) -> str:
    return f"{size / 2**20:.4g} MiB"

"""Calling `_system/...` functions from the server itself: values in, values out."""

from syncline.drivers.answers import Answer, Caller
from syncline.drivers.deployment import Deployment
from syncline.errors import CallerError
from syncline.values import wire_json
from syncline.values.value import Value

SYSTEM = Caller(is_admin=True)


class SystemCallError(CallerError):
    """A system function refused; `message` is for the person who asked."""


async def system_query(
    deployment: Deployment, path: str, arguments: dict[str, Value], *, at: int | None = None
) -> Value:
    """The value of a system query at `at`, or now. Raises SystemCallError."""
    answer = await deployment.query(path, wire_json.encode(arguments), SYSTEM, at=at)
    return wire_json.decode(_value(answer))


async def system_query_json(
    deployment: Deployment, path: str, arguments: dict[str, Value], *, at: int | None = None
) -> bytes:
    """The same as undecoded JSON. Raises SystemCallError."""
    answer = await deployment.query(path, wire_json.encode(arguments), SYSTEM, at=at)
    return _value(answer)


async def system_mutation(
    deployment: Deployment, path: str, arguments: bytes | dict[str, Value]
) -> Value:
    """The value of a system mutation, durable. Raises SystemCallError."""
    encoded = arguments if isinstance(arguments, bytes) else wire_json.encode(arguments)
    return wire_json.decode(_value(await deployment.mutation(path, encoded, SYSTEM)))


async def system_mutation_at(
    deployment: Deployment, path: str, arguments: dict[str, Value]
) -> tuple[Value, int]:
    """The value of a system mutation and the ts that it was committed at."""
    answer = await deployment.mutation(path, wire_json.encode(arguments), SYSTEM)
    return wire_json.decode(_value(answer)), answer.ts


def _value(answer: Answer) -> bytes:
    if answer.value is not None:
        return answer.value
    data = wire_json.decode(answer.error_data) if answer.error_data is not None else None
    if isinstance(data, str):
        raise SystemCallError("SystemCallFailed", data)
    # The first line is the request id, which means nothing to whoever reads an import's state.
    message = answer.error_message or "The call failed."
    raise SystemCallError("SystemCallFailed", message.partition("Server Error\n")[2] or message)

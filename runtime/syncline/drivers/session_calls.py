"""Between what a session asks for and what the engine answers, for both drivers of sessions."""

from syncline.drivers.answers import Answer
from syncline.errors import CallerError
from syncline.function_path import parse
from syncline.sync.session import CallResult


def query_path(text: str) -> str:
    """The path in one spelling; one that can't be read stays as it is and finds no function."""
    try:
        return str(parse(text))
    except CallerError:
        return text


def call_result(answer: Answer) -> CallResult:
    """An answer as the session machine takes it."""
    return CallResult(
        answer.ts,
        answer.value,
        answer.error_message,
        answer.error_data,
        answer.log_lines,
        recorded=answer.recorded,
    )

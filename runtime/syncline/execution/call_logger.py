"""`ctx.log`: a standard logger whose records become log lines of the call."""

import logging
from collections.abc import Mapping

from syncline.execution.determinism.call_state import CallState, LogLevel, LogLines
from syncline.execution.stack_trace import describe
from syncline.values.render import inspect

_LEVELS: Mapping[str, LogLevel] = {
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARNING": "WARN",
    "ERROR": "ERROR",
    "CRITICAL": "ERROR",
}


class _IntoLines(logging.Handler):
    def __init__(self, lines: CallState | LogLines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        level = _LEVELS.get(record.levelname, "LOG")
        text = inspect(record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        self._lines.log(level, text if error is None else f"{text}\n{describe(error)}")


def call_logger(lines: CallState | LogLines) -> logging.Logger:
    """A logger of this call alone."""
    logger = logging.Logger("ctx.log", logging.DEBUG)
    logger.addHandler(_IntoLines(lines))
    return logger

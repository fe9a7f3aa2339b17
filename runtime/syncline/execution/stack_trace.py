"""An exception of user code as clients see it: name, message and the frames of user modules."""

import traceback
from types import TracebackType

from syncline.errors import ApplicationError
from syncline.execution.determinism.call_state import MODULE_MARK

FRAMES_MAX = 20
"""Frames shown, innermost first; ours: deep recursion says nothing more after that."""


def describe(error: BaseException) -> str:
    """Name and message, then one line a frame: `    at function (functions/file.py:line)`."""
    # The name that official clients know for errors with data (convex-protocol 6.1).
    name = "ConvexError" if isinstance(error, ApplicationError) else type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = "(its text can't be made)"
    head = f"Uncaught {name}: {text}" if text else f"Uncaught {name}"
    frames = [
        f"    at {function} (functions/{file}:{line})"
        for function, file, line in _user_frames(error.__traceback__)
    ]
    return "\n".join([head, *reversed(frames[-FRAMES_MAX:])])


def _user_frames(start: TracebackType | None) -> list[tuple[str, str, int]]:
    return [
        (
            frame.f_code.co_qualname
            if hasattr(frame.f_code, "co_qualname")
            else frame.f_code.co_name,
            str(frame.f_globals[MODULE_MARK]),
            line,
        )
        for frame, line in traceback.walk_tb(start)
        if MODULE_MARK in frame.f_globals
    ]

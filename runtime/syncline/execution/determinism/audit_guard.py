"""The backstop: an audit hook that refuses files, sockets and processes while a call is stepped.

It sees what user code reaches around the import gate and what libraries do on its behalf; it does
not see clocks, entropy, what is already open, nor threads (style anchors 8.3). It is active only in
the thread and for the span of a step, and what it refuses is recorded with the call as well as
raised. A hook can't be removed, so there is one a process and it does nothing elsewhere.
"""

import linecache
import sys
from inspect import currentframe
from pathlib import Path
from typing import Final

from syncline.execution.determinism.call_state import CallState, current
from syncline.execution.determinism.refusals import Refusal, refused_event

_installed = False

_STANDARD_LIBRARY: Final = Path(linecache.__file__).parent
_TRUSTED_READERS: Final = frozenset(
    {
        "<frozen importlib._bootstrap>",
        "<frozen importlib._bootstrap_external>",
        "<frozen zipimport>",
        linecache.__file__,
        str(_STANDARD_LIBRARY / "tokenize.py"),
        str(_STANDARD_LIBRARY / "zoneinfo" / "_common.py"),
    }
)
"""Code of the standard library that reads source files and time zones: late imports, tracebacks and
`ZoneInfo(...)` are no effects, and give the same on every process of a deployment."""

_READING: Final = frozenset({"open", "os.listdir", "os.scandir"})


def install() -> None:
    """Add the hook to this process; more than once changes nothing."""
    global _installed  # noqa: PLW0603 - hooks belong to the process and can't be removed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    # First the cheap question: nearly all events come from outside of steps.
    state = current()
    if state is None or state.is_loading:
        return
    refusal = refused_event(event)
    if refusal is not None:
        _judge(state, refusal, event, arguments)


def _judge(state: CallState, refusal: Refusal, event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _is_time_zone(arguments):
        return
    if event in _READING and _is_trusted_reader():
        return
    subject = f"({arguments[0]!r})" if arguments and isinstance(arguments[0], str) else ""
    state.refuse(refusal.tag, f"{event}{subject}", refusal.remedy)


def _is_time_zone(arguments: tuple[object, ...]) -> bool:
    """ZoneInfo opens its files from C, so it is known by what it opens."""
    zoneinfo = sys.modules.get("zoneinfo")
    path = arguments[0]
    if zoneinfo is None or not isinstance(path, str) or arguments[1] not in {"r", "rb"}:
        return False
    return any(Path(path).is_relative_to(folder) for folder in zoneinfo.TZPATH)


def _is_trusted_reader() -> bool:
    frame = currentframe()
    while frame is not None:
        if frame.f_code.co_filename in _TRUSTED_READERS:
            return True
        frame = frame.f_back
    return False

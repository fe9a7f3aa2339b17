"""What the call being stepped may know of the world: a frozen clock, a seed, its log, its sins.

The stepper makes one CallState a call and enters it around each step; the facades, the import
gate's stand-ins, `print` and the audit guard find it in a ContextVar, so that other threads of the
process (which don't inherit it) are left alone. Outside of a step `current()` is None and
everything is real: that is how actions run.
"""

from contextvars import ContextVar, Token
from dataclasses import dataclass
from inspect import currentframe
from random import Random
from types import TracebackType
from typing import Final, Literal, NoReturn

from syncline.errors import DeveloperError
from syncline.limits import LOG_LINE_BYTES_MAX, LOG_LINES_MAX

LogLevel = Literal["DEBUG", "INFO", "LOG", "WARN", "ERROR"]

_TRUNCATED = " (truncated due to length)"
_OVERFLOW = f"[ERROR] Log overflow (maximum {LOG_LINES_MAX}). Remaining log lines omitted."

MODULE_MARK: Final = "__syncline_module__"
"""The name that user modules carry in their globals: their file, relative to the folder."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a user's module: file relative to the functions folder, line from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def calling_line() -> SourceLine | None:
    """The innermost line of a user's module on the stack, None if there is none."""
    frame = currentframe()
    while frame is not None:
        file = frame.f_globals.get(MODULE_MARK)
        if file is not None:
            return SourceLine(file, frame.f_lineno)
        frame = frame.f_back
    return None


class NondeterminismError(DeveloperError):
    """A query or mutation used what it may not; `code` is the tag of a refusal."""


class LogLines:
    """The log lines of one call, within limits."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, level: LogLevel, text: str) -> None:
        """Add a log line; `text` may hold line breaks."""
        lines = self.lines
        if len(lines) >= LOG_LINES_MAX:
            return
        if len(lines) == LOG_LINES_MAX - 1:
            lines.append(_OVERFLOW)
            return
        line = f"[{level}] {text}"
        # A character takes at most four bytes: only lines that might be too long are measured.
        if len(line) * 4 > LOG_LINE_BYTES_MAX:
            line = _truncated(line)
        lines.append(line)


class CallState:
    """One run of a query or mutation, as ambient Python sees it; each attempt gets a new one."""

    __slots__ = (
        "_log",
        "_now_ns",
        "_random",
        "_seed",
        "_token",
        "read_random",
        "read_time",
        "violations",
    )

    is_loading = False
    """True while a module is imported: no call yet, so no clock, but a fixed seed."""

    def __init__(self, *, now_ns: int, seed: int) -> None:
        """`now_ns`: the frozen clock, nanoseconds since the epoch; `seed`: any whole number."""
        self._now_ns = now_ns
        self._seed = seed
        self._random: Random | None = None
        self._token: Token[CallState | None] | None = None
        self._log = LogLines()
        self.violations: list[NondeterminismError] = []
        self.read_time = False
        self.read_random = False

    def __enter__(self) -> "CallState":
        """Enter before each step of the coroutine; a step never nests in itself."""
        self._token = _CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._token is not None, "a state is left by who entered it"
        _CURRENT.reset(self._token)
        self._token = None

    def clock_ns(self, name: str = "ctx.now") -> int:
        """The frozen clock; `name` is what the user called, for messages."""
        del name
        self.read_time = True
        return self._now_ns

    @property
    def random(self) -> Random:
        """The seeded generator of this call: the same seed gives the same numbers."""
        self.read_random = True
        generator = self._random
        if generator is None:
            # Never for secrets, the seed is recorded with the commit: facades.py refuses `secrets`.
            generator = self._random = Random(self._seed)  # noqa: S311 - repeatable on purpose
        return generator

    @property
    def log_lines(self) -> list[str]:
        """What the call has logged so far."""
        return self._log.lines

    def log(self, level: LogLevel, text: str) -> None:
        """Add a log line; `text` may hold line breaks."""
        self._log.log(level, text)

    def refuse(self, tag: str, name: str, remedy: str) -> NoReturn:
        """Record that the call used what it may not, and raise it.

        A violation that user code swallows stays in `violations`: the call fails with the first of
        them at its end, whatever it returned (see `raise_swallowed`).
        """
        place = calling_line()
        where = f" ({place})" if place else ""
        situation = "while modules load" if self.is_loading else "in queries and mutations"
        error = NondeterminismError(tag, f"`{name}` is not available {situation}{where}. {remedy}")
        self.violations.append(error)
        raise error

    def raise_swallowed(self) -> None:
        """Raise the first recorded violation, if any; call it when the coroutine has returned."""
        if self.violations:
            raise self.violations[0]


class LoadingState(CallState):
    """The state while modules are imported: a fixed seed, no clock (style anchors 8.5)."""

    __slots__ = ()
    is_loading = True

    def __init__(self) -> None:
        super().__init__(now_ns=0, seed=0)

    def clock_ns(self, name: str = "ctx.now") -> int:
        """Refused: a time kept by a module would differ between the processes that load it.

        Raises:
            NondeterminismError: always.
        """
        self.refuse("NoClockWhileLoading", name, "Read the clock inside a function.")


_CURRENT: ContextVar[CallState | None] = ContextVar("syncline_call_state", default=None)


def current() -> CallState | None:
    """The call being stepped in this thread; None: code that may use the real world."""
    return _CURRENT.get()


ACTION_LOG: ContextVar[LogLines | None] = ContextVar("syncline_action_log", default=None)
"""Log lines of the action that runs, in all of its tasks and threads; None: no action runs."""


def current_log() -> CallState | LogLines | None:
    """Where `print` goes: to the call being stepped or the action that runs; None: elsewhere."""
    return _CURRENT.get() or ACTION_LOG.get()


def _truncated(line: str) -> str:
    encoded = line.encode("utf-8", "surrogatepass")
    if len(encoded) <= LOG_LINE_BYTES_MAX:
        return line
    kept = encoded[: LOG_LINE_BYTES_MAX - len(_TRUNCATED)].decode("utf-8", "ignore")
    return kept + _TRUNCATED

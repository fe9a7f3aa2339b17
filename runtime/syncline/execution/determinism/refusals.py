"""What queries and mutations may not use, as data: tags, remedies, and the modules behind them.

A tag is stable (tests and clients may compare it); the form is the reference's
(`No...InQueriesOrMutations`). A module that is missing here is handed over as it is: what it opens
is caught by the audit guard, what it reads of clock and entropy is not (docs/functions.md lists the
known misses).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of effect that queries and mutations can't have."""

    tag: str
    remedy: str
    also_while_loading: bool = False
    """Refused at import too: its result would differ between the processes that load a module."""


NETWORK: Final = Refusal(
    "NoNetworkInQueriesOrMutations",
    "If you need the network, write an action: it may call queries and mutations.",
)
FILES: Final = Refusal(
    "NoFilesInQueriesOrMutations",
    "Keep data in documents (ctx.db) or in file storage (ctx.storage), or use an action.",
)
THREADS: Final = Refusal(
    "NoThreadsInQueriesOrMutations",
    "A query or mutation runs alone: call the code directly, or use an action.",
)
EVENT_LOOP: Final = Refusal(
    "NoEventLoopInQueriesOrMutations",
    "Await context methods directly, several at once with ctx.gather(...), or use an action.",
)
PROCESSES: Final = Refusal(
    "NoProcessesInQueriesOrMutations",
    "Use an action.",
)
SLEEP: Final = Refusal(
    "NoSleepInQueriesOrMutations",
    "Schedule a function for later with ctx.scheduler.run_after(...), or use an action.",
)
ENVIRONMENT: Final = Refusal(
    "NoEnvironmentInQueriesOrMutations",
    'Read ctx.env["NAME"] inside the function; `syncline env set NAME value` sets it.',
    also_while_loading=True,
)
ENTROPY: Final = Refusal(
    "NoSecretsInQueriesOrMutations",
    "The seed of a call is recorded with it, so nothing made from it is secret: make the secret "
    "in an action and pass it in; where it need not be secret, use ctx.random.",
    also_while_loading=True,
)
MACHINE: Final = Refusal(
    "NoMachineStateInQueriesOrMutations",
    "It differs from process to process; use an action.",
)
DYNAMIC_CODE: Final = Refusal(
    "NoDynamicCodeInQueriesOrMutations",
    "Write the code in a module, or use an action.",
)
ADDRESSES: Final = Refusal(
    "NoAddressesInQueriesOrMutations",
    "Addresses differ from process to process: compare values, or use hashlib for a digest.",
)
CONSOLE: Final = Refusal(
    "NoConsoleInQueriesOrMutations",
    "Nobody is there to answer; print(...) and ctx.log write to the log.",
)

_NETWORK_MODULES = (
    "socket ssl select selectors socketserver ftplib smtplib poplib imaplib telnetlib nntplib "
    "http.client http.server xmlrpc urllib.request urllib.robotparser urllib3 requests httpx "
    "httpcore aiohttp aiobotocore websockets websocket boto3 botocore grpc paramiko psycopg "
    "psycopg2 asyncpg pymysql pymongo redis kafka pika"
)
_BY_REFUSAL: Final[tuple[tuple[Refusal, str], ...]] = (
    (NETWORK, _NETWORK_MODULES),
    (FILES, "shutil tempfile glob fileinput sqlite3 dbm shelve mmap fcntl"),
    (THREADS, "threading _thread concurrent.futures multiprocessing"),
    (EVENT_LOOP, "asyncio anyio trio curio uvloop gevent"),
    (PROCESSES, "subprocess pty signal"),
    (MACHINE, "ctypes cffi gc resource platform getpass pwd grp faulthandler tracemalloc"),
)

REFUSED_MODULES: Final[Mapping[str, Refusal]] = {
    name: refusal for refusal, names in _BY_REFUSAL for name in names.split()
}
"""Full module name to what using it is; submodules follow their package."""

_OS_PROCESS = (
    "system popen fork forkpty execl execle execlp execlpe execv execve execvp execvpe posix_spawn "
    "posix_spawnp spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe kill killpg "
    "abort _exit wait wait3 wait4 waitpid waitid register_at_fork"
)
OS_REFUSALS: Final[Mapping[str, Refusal]] = {
    **dict.fromkeys(_OS_PROCESS.split(), PROCESSES),
    **dict.fromkeys(("getenv", "getenvb", "putenv", "unsetenv", "get_exec_path"), ENVIRONMENT),
    **dict.fromkeys(("urandom", "getrandom"), ENTROPY),
    **dict.fromkeys(
        "getpid getppid getuid geteuid getgid getegid getlogin cpu_count getloadavg times uname "
        "get_terminal_size sched_getaffinity".split(),
        MACHINE,
    ),
}
"""Functions of `os` that are not about files."""

OS_PURE: Final = frozenset({"fspath", "fsencode", "fsdecode", "strerror", "PathLike"})
OS_PATH_PURE: Final = frozenset(
    "join split splitext splitdrive splitroot basename dirname normpath normcase isabs commonpath "
    "commonprefix".split()
)
"""What of `os` and `os.path` only looks at its arguments."""

_AUDIT_PREFIXES: Final = {
    "socket.": NETWORK,
    "ssl.": NETWORK,
    "urllib.": NETWORK,
    "http.": NETWORK,
    "ftplib.": NETWORK,
    "smtplib.": NETWORK,
    "imaplib.": NETWORK,
    "poplib.": NETWORK,
    "nntplib.": NETWORK,
    "telnetlib.": NETWORK,
    "shutil.": FILES,
    "tempfile.": FILES,
    "glob.": FILES,
    "pathlib.": FILES,
    "sqlite3.": FILES,
    "fcntl.": FILES,
    "mmap.": FILES,
    "subprocess.": PROCESSES,
    "pty.": PROCESSES,
    "signal.": PROCESSES,
    "ctypes.": MACHINE,
    "gc.": MACHINE,
    "webbrowser.": PROCESSES,
}
_AUDIT_EVENTS: Final = {
    "open": FILES,
    "_thread.start_new_thread": THREADS,
    "_thread.start_joinable_thread": THREADS,
    "time.sleep": SLEEP,
    "os.putenv": ENVIRONMENT,
    "os.unsetenv": ENVIRONMENT,
    "builtins.input": CONSOLE,
    "builtins.breakpoint": CONSOLE,
    **dict.fromkeys(
        (
            f"os.{name}"
            for name in (
                "system exec fork forkpty posix_spawn spawn startfile startfile/2 kill killpg"
            ).split()
        ),
        PROCESSES,
    ),
    **dict.fromkeys(
        (
            f"os.{name}"
            for name in (
                "listdir scandir walk fwalk mkdir rmdir remove rename link symlink truncate utime "
                "chmod chown chflags chdir fchdir lockf getxattr listxattr setxattr removexattr "
                "add_dll_directory listdrives listmounts listvolumes"
            ).split()
        ),
        FILES,
    ),
}


def refused_event(event: str) -> Refusal | None:
    """What an audit event of the interpreter is, if queries and mutations may not cause it.

    `builtins.id` is left to the import gate: libraries use it harmlessly (`copy`, `reprlib`).
    """
    refusal = _AUDIT_EVENTS.get(event)
    if refusal is None:
        refusal = _AUDIT_PREFIXES.get(event[: event.find(".") + 1])
    return refusal

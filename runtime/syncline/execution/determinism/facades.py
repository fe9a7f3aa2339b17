"""Clock, randomness and the machine as user modules see them.

While a query or mutation is stepped the clock stands still and randomness comes from the call's
seed (both are recorded as read); secrets, sleeping and the environment are refused. While modules
load there is no clock and the seed is fixed. Elsewhere (actions) everything is real.
"""

import datetime as dt
import os as real_os
import random as real_random
import secrets as real_secrets
import time as real_time
import uuid as real_uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import ModuleType

from syncline.execution.determinism.call_state import current
from syncline.execution.determinism.refusals import (
    ENTROPY,
    ENVIRONMENT,
    FILES,
    MACHINE,
    OS_PATH_PURE,
    OS_PURE,
    OS_REFUSALS,
    SLEEP,
)
from syncline.execution.determinism.stand_in import StandIn, check, guarded, guarded_class, twin

Submodule = Callable[[str], ModuleType]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def frozen_datetime(now_ns: int) -> dt.datetime:
    """The aware UTC datetime of a frozen clock, to the microsecond."""
    return _EPOCH + dt.timedelta(microseconds=now_ns // 1000)


def time_facade(submodule: Submodule) -> StandIn:
    """`time`: every clock is the frozen one."""
    overrides: dict[str, object] = {}
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        overrides[name] = _clock(name, getattr(real_time, name), in_seconds=True)
        overrides[f"{name}_ns"] = _clock(f"{name}_ns", getattr(real_time, f"{name}_ns"))
    for name in ("gmtime", "localtime", "ctime"):
        overrides[name] = _calendar(name, getattr(real_time, name))

    def asctime(moment: real_time.struct_time | None = None, /) -> str:
        return real_time.asctime(_gmtime("time.asctime") if moment is None else moment)

    def strftime(form: str, moment: real_time.struct_time | None = None, /) -> str:
        return real_time.strftime(form, _gmtime("time.strftime") if moment is None else moment)

    overrides |= {
        "asctime": asctime,
        "strftime": strftime,
        "sleep": guarded(real_time.sleep, SLEEP, "time.sleep"),
    }
    refused = [name for name in dir(real_time) if name.startswith("clock_")]
    return StandIn(
        "time",
        None,
        submodule=submodule,
        overrides=overrides,
        refusals={**dict.fromkeys(refused, MACHINE)},
    )


def _clock(
    name: str, real: Callable[[], float], *, in_seconds: bool = False
) -> Callable[[], float]:
    full_name = f"time.{name}"

    def read() -> float:
        state = current()
        if state is None:
            return real()
        now_ns = state.clock_ns(full_name)
        return now_ns / 1e9 if in_seconds else now_ns

    read.__name__ = name
    return read


def _calendar(name: str, real: Callable[[float | None], object]) -> Callable[..., object]:
    def convert(seconds: float | None = None, /) -> object:
        state = current()
        if seconds is None and state is not None:
            seconds = state.clock_ns(f"time.{name}") / 1e9
        return real(seconds)

    convert.__name__ = name
    return convert


def _gmtime(name: str) -> real_time.struct_time:
    state = current()
    return real_time.gmtime(None if state is None else state.clock_ns(name) / 1e9)


def datetime_facade(submodule: Submodule) -> StandIn:
    """`datetime`: `now`, `utcnow` and `today` read the frozen clock; the rest is real.

    The classes are twins of the real ones: instances are real, isinstance and subclasses work.
    """

    def now(tz: dt.tzinfo | None = None) -> dt.datetime:
        state = current()
        if state is None:
            return dt.datetime.now(tz)
        moment = frozen_datetime(state.clock_ns("datetime.datetime.now"))
        return moment.replace(tzinfo=None) if tz is None else moment.astimezone(tz)

    def utcnow() -> dt.datetime:
        return now(dt.UTC).replace(tzinfo=None)

    def today() -> dt.date:
        state = current()
        if state is None:
            return dt.date.today()  # noqa: DTZ011 - this is what was called
        return frozen_datetime(state.clock_ns("datetime.date.today")).date()

    moments = {"now": staticmethod(now), "utcnow": staticmethod(utcnow), "today": staticmethod(now)}
    overrides: dict[str, object] = {
        "datetime": twin(dt.datetime, dt.datetime, moments),
        "date": twin(dt.date, dt.date, {"today": staticmethod(today)}),
    }
    return StandIn("datetime", None, submodule=submodule, overrides=overrides)


def random_facade(submodule: Submodule) -> StandIn:
    """`random`: the module's functions and unseeded generators draw from the call's seed."""
    overrides: dict[str, object] = {}
    shared = real_random.random.__self__
    for name in dir(real_random):
        if getattr(getattr(real_random, name), "__self__", None) is shared:
            overrides[name] = _drawing(name, getattr(real_random, name))

    def seed(self: real_random.Random, a: object = None, version: int = 2) -> None:
        state = current()
        if a is None and state is not None:
            a = state.random.getrandbits(64)
        real_random.Random.seed(self, a, version)  # type: ignore[arg-type] - as the caller gave it

    seeded = type("Random", (real_random.Random,), {"seed": seed, "__module__": "random"})
    overrides["Random"] = twin(real_random.Random, seeded, {"seed": seed})
    overrides["SystemRandom"] = guarded_class(
        real_random.SystemRandom, ENTROPY, "random.SystemRandom"
    )
    return StandIn("random", None, submodule=submodule, overrides=overrides)


def _drawing(name: str, real: Callable[..., object]) -> Callable[..., object]:
    def draw(*args: object, **kwargs: object) -> object:
        state = current()
        if state is None:
            return real(*args, **kwargs)
        if name == "seed" and not args and not kwargs:
            args = (state.random.getrandbits(64),)
        return getattr(state.random, name)(*args, **kwargs)

    draw.__name__ = name
    return draw


def uuid_facade(submodule: Submodule) -> StandIn:
    """`uuid`: version 4 from the call's seed; what reads the machine or the clock is refused."""

    def uuid4() -> real_uuid.UUID:
        state = current()
        if state is None:
            return real_uuid.uuid4()
        return real_uuid.UUID(int=state.random.getrandbits(128), version=4)

    return StandIn(
        "uuid",
        None,
        submodule=submodule,
        overrides={"uuid4": uuid4},
        refusals=dict.fromkeys(("uuid1", "uuid6", "uuid7", "uuid8", "getnode"), MACHINE),
    )


def secrets_facade(submodule: Submodule) -> StandIn:
    """`secrets`: refused, since the seed of a call is recorded; comparing digests is fine."""
    pure = frozenset({"compare_digest"})
    return StandIn(real_secrets.__name__, ENTROPY, submodule=submodule, pure=pure)


class Environment(MutableMapping[str, str]):
    """`os.environ`: refused in queries and mutations and while modules load."""

    def __init__(self, real: MutableMapping[str, str], name: str) -> None:
        self._real = real
        self._name = name

    def _checked(self) -> MutableMapping[str, str]:
        check(ENVIRONMENT, self._name)
        return self._real

    def __getitem__(self, name: str) -> str:
        return self._checked()[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._checked()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._checked()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._checked())

    def __len__(self) -> int:
        return len(self._checked())

    def copy(self) -> dict[str, str]:
        """A plain dict of it, as `os.environ.copy()` gives."""
        return dict(self._checked())


def os_facade(submodule: Submodule) -> StandIn:
    """`os`: constants and pure functions come through, the rest is refused by what it touches."""
    environ = Environment(real_os.environ, "os.environ")
    return StandIn(
        "os",
        FILES,
        submodule=submodule,
        overrides={"environ": environ, "path": path_facade(submodule)},
        refusals=OS_REFUSALS,
        pure=OS_PURE,
    )


def path_facade(submodule: Submodule) -> StandIn:
    """`os.path`: what only looks at its arguments comes through."""
    return StandIn(real_os.path.__name__, FILES, submodule=submodule, pure=OS_PATH_PURE)


def importlib_facade(
    submodule: Submodule, import_module: Callable[[str, str | None], ModuleType]
) -> StandIn:
    """`importlib`: `import_module` gives what an import statement would give."""

    def facade(name: str, package: str | None = None) -> ModuleType:
        return import_module(name, package)

    facade.__name__ = "import_module"
    return StandIn("importlib", None, submodule=submodule, overrides={"import_module": facade})


FACADES: Mapping[str, Callable[[Submodule], StandIn]] = {
    "time": time_facade,
    "datetime": datetime_facade,
    "random": random_facade,
    "uuid": uuid_facade,
    "secrets": secrets_facade,
    "os": os_facade,
    "os.path": path_facade,
    real_os.path.__name__: path_facade,
}

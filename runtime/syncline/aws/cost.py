"""What a month costs: how often things happen, times what each asks of AWS, times the prices.

`MEASURED` is the one table of requests per event, `ASSUMED` of what only a real account can tell
(durations, sizes). `docs/cost.md` shows both; a test compares.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from syncline.aws.prices import PRICES, Price

MINUTES: Final = 43_800
HOURS: Final = 730
"""Of an average month."""

CONNECTION_MINUTES_MAX: Final = 115
"""A connection is closed before API Gateway's two hours, and opened again by its client."""

PASSES_A_MINUTE: Final = 3
"""The ticker looks at every session so often while anybody is connected."""

VARIABLES_AT_ONCE: Final = 10
"""Environment variables of one request to Parameter Store; each is opened by one to KMS."""

AWAKE_SECONDS_MORE: Final = 120
"""A lone commit keeps the database awake until its mark is closed (a quiet minute, and the sweep
after it), and for the pause that is set on top of that."""

Event: TypeAlias = Literal[
    "warm mutation",
    "cold mutation",
    "warm update",
    "cold update",
    "connection",
    "ping",
    "pass",
    "http call",
    "scheduled mutation",
    "busy minute",
    "minute",
    "month",
]

WHAT_EVENTS_ARE: Final[Mapping[Event, str]] = MappingProxyType({
    "warm mutation": "from a client's message to its answer, its own update and the view",
    "cold mutation": "the same in processes that have just started",
    "warm update": "a new result pushed to a client because somebody else wrote",
    "cold update": "the same in a process that has just started",
    "connection": "a client connects, subscribes to one query, and goes",
    "ping": "one message that keeps a silent client",
    "pass": "looking at one session, every 20 seconds",
    "http call": "one function called through the HTTP API",
    "scheduled mutation": "from its notice to the view, with one update that it causes",
    "busy minute": "a minute in which anybody is connected",
    "minute": "every minute, also of an idle deployment",
    "month": "what is there, used or not",
})  # fmt: skip

ESTIMATED: Final = "estimated by design"

COUNTED: Final = "database and tables counted in tests; queues by design"

BASIS: Final[Mapping[Event, str]] = MappingProxyType({
    **dict.fromkeys(WHAT_EVENTS_ARE, ESTIMATED),
    **dict.fromkeys(
        ("warm mutation", "cold mutation", "warm update", "scheduled mutation"), COUNTED
    ),
})  # fmt: skip
"""How the numbers of each event in MEASURED were found."""

MEASURED: Final[Mapping[Event, Mapping[str, float]]] = MappingProxyType({
    "warm mutation": {
        "socket messages": 3, "lane requests": 6, "function calls": 2, "database calls": 2,
        "table reads": 22, "table writes": 7,
    },
    "cold mutation": {
        "socket messages": 3, "lane requests": 6, "function calls": 2, "database calls": 3,
        "table reads": 31, "table writes": 7, "secret reads": 3, "bucket reads": 1,
    },
    "warm update": {
        "socket messages": 1, "lane requests": 2.1, "function calls": 1, "database calls": 1,
        "table reads": 2, "table writes": 2,
    },
    "cold update": {
        "socket messages": 1, "lane requests": 2.1, "function calls": 1, "database calls": 2,
        "table reads": 8, "table writes": 3, "secret reads": 2, "bucket reads": 1,
    },
    "connection": {
        "socket messages": 4, "lane requests": 11, "function calls": 6, "database calls": 1,
        "table reads": 8, "table writes": 8, "edge requests": 1, "edge functions": 1,
    },
    "ping": {"socket messages": 1},
    "pass": {"session scans": 1},
    "http call": {
        "http requests": 1, "function calls": 1, "edge requests": 1, "database calls": 1,
        "table reads": 3,
    },
    "scheduled mutation": {
        "socket messages": 1, "lane requests": 4.2, "tick requests": 3, "function calls": 3,
        "database calls": 4, "table reads": 75, "table writes": 14,
    },
    "busy minute": {"tick requests": 7, "function calls": 3},
    "minute": {
        "function calls": 1, "table reads": 7, "lane requests": 30, "tick requests": 30,
        "key requests": 2,
    },
    "month": {
        "keys": 1, "secrets": 2, "alarms": 33, "metrics": 5, "dashboards": 1,
        "parameter requests": HOURS,
    },
})  # fmt: skip
"""Requests to AWS per event, by meter; "table" and "session" requests become units by ASSUMED."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that only a deployment on AWS can tell. `why`: where it comes from until then."""

    value: float
    unit: str
    why: str


ASSUMED: Final[Mapping[str, Assumption]] = MappingProxyType({
    "seconds of a call": Assumption(0.1, "s", "two calls of the Data API, 50 ms each"),
    "seconds of a start": Assumption(2.5, "s", "imports and a first connection to every service"),
    "memory": Assumption(1.73, "GB", "the memory of the session and follower functions"),
    "seconds of a ping": Assumption(0.002, "s", "32 posts at a time, 50 ms each"),
    "seconds of a minute": Assumption(0.0125, "s", "80 ms of the sweeper, which has 256 MiB"),
    "units of a read": Assumption(1, "read units", "sessions and documents of up to 4 KB"),
    "units of a scanned session": Assumption(0.5, "read units", "4 KB, read eventually"),
    "units of a write": Assumption(2, "write units", "a session of 2 KB"),
    "database I/O of a commit": Assumption(8, "requests", "log, head, keys and their indexes"),
    "logs of a call": Assumption(1.2, "KB", "Lambda's own three lines, and one of metrics"),
    "traces of a call": Assumption(0.05, "traces", "X-Ray's default sampling on a busy function"),
    "traces of a minute": Assumption(1, "traces", "its first request of each second, always"),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A month.

    Raises:
        ValueError: a number is negative, or a share or duration out of its range.
    """

    connections: float = 0
    """Open at the same time, on average."""
    mutations: float = 0
    updates: float = 0
    """Results pushed because others wrote: mutations, times clients whose queries they touch."""
    http_calls: float = 0
    scheduled: float = 0
    """Runs of scheduled functions and crons; of actions, what the start and the end cost."""
    storage_gb: float = 0
    """Documents. They are stored in the log and in the view."""
    files_gb: float = 0.1
    """Bundles of functions, imports and exports."""
    document_kb: float = 1
    """Of a document that a mutation writes; each mutation writes one."""
    variables: float = 0
    """Environment variables, where functions read any: a new process asks for all of them."""
    indexes: float = 2
    """Of the written table, beside its ids."""
    update_kb: float = 2
    """Of a result as it is sent."""
    ping_seconds: float = 40
    """Between two pings of a silent client: 40 for npm's, 20 for the others."""
    cold_share: float = 0.02
    """Of mutations and updates that a new process handles."""
    awake_hours: float | None = None
    """Of the database; None: what commits that are spread evenly keep it awake."""
    pause_seconds: float = 600
    """The setting `database_pause_seconds`."""
    acus: float = 0.5
    """Capacity units of the database while awake, on average; 0.5 is the least."""

    @property
    def commits(self) -> float:
        """What is written to the log."""
        return self.mutations + self.scheduled

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}: it can't be negative")
        if self.cold_share > 1:
            raise ValueError(f"cold_share is {self.cold_share}: it is a share, from 0 to 1")
        if self.ping_seconds == 0:
            raise ValueError("ping_seconds is 0: 20 or 40 are what the ticker does")
        if self.awake_hours is not None and self.awake_hours > HOURS:
            raise ValueError(f"awake_hours is {self.awake_hours}: a month has {HOURS}")


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the bill."""

    meter: str
    price: Price
    quantity: float

    @property
    def usd(self) -> float:
        """US dollars of the month."""
        return self.price.of(self.quantity)


def bill(workload: Workload) -> tuple[Item, ...]:
    """Every line of the month's bill that is not zero, in the order of the prices."""
    times = events(workload)
    quantities = _requested(times) | _sized(workload, times)
    return tuple(
        Item(meter, price, quantities[meter])
        for meter, price in PRICES.items()
        if quantities.get(meter, 0) > 0
    )


def events(workload: Workload) -> Mapping[Event, float]:
    """How often each event happens in the month."""
    cold, warm = workload.cold_share, 1 - workload.cold_share
    minutes = workload.connections * MINUTES
    return {
        "warm mutation": workload.mutations * warm,
        "cold mutation": workload.mutations * cold,
        "warm update": workload.updates * warm,
        "cold update": workload.updates * cold,
        "connection": minutes / CONNECTION_MINUTES_MAX,
        "ping": minutes * 60 / workload.ping_seconds,
        "pass": minutes * PASSES_A_MINUTE,
        "http call": workload.http_calls,
        "scheduled mutation": workload.scheduled,
        # Fewer than one connection on average: somebody is there for that share of the time.
        "busy minute": min(workload.connections, 1) * MINUTES,
        "minute": MINUTES,
        "month": 1,
    }


def awake_hours(workload: Workload) -> float:
    """Hours in which the database is awake: all of them from about 3,700 commits a month on."""
    if workload.awake_hours is not None:
        return workload.awake_hours
    seconds = workload.commits * (workload.pause_seconds + AWAKE_SECONDS_MORE)
    return min(HOURS, seconds / 3600)


def _requested(times: Mapping[Event, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for event, requests in MEASURED.items():
        for meter, count in requests.items():
            total[meter] = total.get(meter, 0) + count * times[event]
    return total


def _sized(workload: Workload, times: Mapping[Event, float]) -> dict[str, float]:
    """What is billed by size or time, in the place of what is counted by requests."""
    assumed = {name: assumption.value for name, assumption in ASSUMED.items()}
    requests = _requested(times)
    calls = requests["function calls"]
    idle_calls = times["minute"]
    cold = times["cold mutation"] + times["cold update"]
    seconds = (calls - idle_calls) * assumed["seconds of a call"]
    seconds += cold * assumed["seconds of a start"] + times["ping"] * assumed["seconds of a ping"]
    seconds += idle_calls * assumed["seconds of a minute"]
    asking = math.ceil(workload.variables / VARIABLES_AT_ONCE)
    # An index entry holds an id and a timestamp: one unit, whatever the document's size.
    written = workload.commits * (math.ceil(workload.document_kb) + workload.indexes)
    frames = max(1, math.ceil(workload.update_kb / 32)) - 1
    return {
        "socket messages": requests["socket messages"] + frames * workload.updates,
        "connection minutes": workload.connections * MINUTES,
        "gb seconds": seconds * assumed["memory"],
        "read units": requests["table reads"] * assumed["units of a read"]
        + requests["session scans"] * assumed["units of a scanned session"],
        "write units": requests["table writes"] * assumed["units of a write"] + written,
        "table gb": workload.storage_gb,
        "recovery gb": workload.storage_gb,
        "acu hours": awake_hours(workload) * workload.acus,
        "database io": workload.commits * assumed["database I/O of a commit"],
        "database gb": workload.storage_gb,
        "key requests": requests["key requests"] + cold * workload.variables,
        "parameter requests": requests["parameter requests"] + cold * asking,
        "edge gb": (workload.mutations + workload.updates) * workload.update_kb / 10**6,
        "bucket gb": workload.files_gb,
        "log gb": calls * assumed["logs of a call"] / 10**6,
        "traces": (calls - idle_calls) * assumed["traces of a call"]
        + idle_calls * assumed["traces of a minute"],
    }

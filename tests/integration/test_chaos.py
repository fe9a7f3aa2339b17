"""kill -9 of the server and of Postgres, again and again, under the load of official clients.

Every acknowledged mutation of every client must be there afterwards. None may be there twice, but
those of PyPI clients, which repeat a request under a new session id when the connection breaks. In
the end every subscription shows what a fresh query returns.

The pace is set by the clients: the next kill comes when each of them has been answered some calls
that it made after the last one. So npm clients, which wait longer after each attempt that fails,
have come back and begin anew with their shortest wait.
"""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.node_toolchain import install_packages, node_toolchain
from tests.checkers.acknowledgements import ClientHistory, Findings, Write, judge
from tests.clients.program import ClientProgram, Event
from tests.clients.server import PROJECT, DevServer

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(400)]

FUNCTIONS = Path(__file__).with_name("chaos_functions")
CLIENTS = PROJECT / "tests" / "clients"

KILLS_MIN = 30
ACKNOWLEDGED_MIN = 5_000
ANSWERS_BETWEEN_KILLS = 20
"""That many calls of each client, made after a kill, are answered before the next."""

PAGE_ROWS = 2_000

_POSTGRES_STARTS_AGAIN = re.compile(r"Postgres has stopped; starting it again")


@dataclass
class Load:
    """Client programs with the names of the clients in each."""

    programs: dict[ClientProgram, tuple[str, ...]] = field(default_factory=dict)

    @property
    def clients(self) -> list[str]:
        return [client for clients in self.programs.values() for client in clients]

    @property
    def acknowledged(self) -> int:
        """Mutations of which the acknowledgement was seen so far."""
        events = (event for program in self.programs for event in program.events)
        return sum(event["event"] == "acknowledged" for event in events)

    def wait_for_answers(self, *, since: float, each: int) -> None:
        """Until every client was answered that many calls made after `since` (Unix time, s)."""
        for program, clients in self.programs.items():
            answered = Counter[str]()
            while any(answered[client] < each for client in clients):
                event = program.event("acknowledged")
                answered[event["client"]] += event["called"] >= since * 1000

    def wait_for_end_of_calls(self) -> None:
        for program, clients in self.programs.items():
            for _ in clients:
                program.event("finished")

    def finish(self) -> list[Event]:
        """Wait for the end of all programs; returns all that they said."""
        return [event for program in self.programs for event in program.finish()]


def _start_load(server: DevServer, stack: ExitStack) -> Load:
    install_packages(CLIENTS)
    toolchain = node_toolchain()
    node = toolchain.command("node", "node/chaos_load.mjs", "load", server.url, "all")
    npm = stack.enter_context(ClientProgram(node, toolchain.environment()))
    load = Load({npm: ("npm-1", "npm-2", "npm-3", "npm-4", "http-1", "http-2")})
    for name in ("pypi-1", "pypi-2"):
        command = [sys.executable, "-u", "python/chaos_load.py", "load", server.url, name]
        program = stack.enter_context(ClientProgram(command, server.environment()))
        load.programs[program] = (name,)
    return load


def _kill_server(server: DevServer) -> None:
    server.restart()


def _kill_postgres(server: DevServer) -> None:
    lines = server.log.count("\n")
    server.kill_postgres(backends=True)
    server.wait_for_log(_POSTGRES_STARTS_AGAIN, begin=lines)


def _kill_both(server: DevServer) -> None:
    server.kill()
    server.kill_postgres(backends=True)
    server.start()


def _kill_in_turn(
    server: DevServer, load: Load, *, kills_min: int, acknowledged_min: int
) -> Counter[str]:
    kills = Counter[str]()
    ways: tuple[tuple[str, Callable[[DevServer], None]], ...] = (
        ("server", _kill_server),
        ("Postgres", _kill_postgres),
    )
    load.wait_for_answers(since=0.0, each=ANSWERS_BETWEEN_KILLS)
    while kills.total() < kills_min or load.acknowledged < acknowledged_min:
        name, kill = ways[kills.total() % len(ways)]
        begun = time.time()
        kill(server)
        kills[name] += 1
        load.wait_for_answers(since=begun, each=ANSWERS_BETWEEN_KILLS)
    return kills


def _histories(clients: list[str], events: list[Event]) -> list[ClientHistory]:
    histories = {name: ClientHistory(name, name.startswith("pypi")) for name in clients}
    for event in events:
        match event["event"]:
            case "acknowledged":
                histories[event["client"]].acknowledged.add(event["number"])
            case "unknown":
                histories[event["client"]].unknown.add(event["number"])
            case "finished":
                histories[event["client"]].called = event["called"]
    for each in histories.values():
        assert each.acknowledged | each.unknown == set(range(1, each.called + 1)), each.client
        assert not each.acknowledged & each.unknown, each.client
    return list(histories.values())


def _rows(server: DevServer) -> Iterator[Write]:
    cursor, done = None, False
    while not done:
        options = {"numItems": PAGE_ROWS, "cursor": cursor}
        page = server.query("journal:entries", page=options)
        for row in page["page"]:
            yield row["client"], int(row["number"])
        cursor, done = page["continueCursor"], page["isDone"]


def _report(
    kills: Counter[str], histories: list[ClientHistory], findings: Findings, events: list[Event]
) -> None:
    print()
    print(f"{kills.total()} kills: " + ", ".join(f"{n} of {name}" for name, n in kills.items()))
    for kind in ("npm", "http", "pypi"):
        of_kind = [each for each in histories if each.client.startswith(kind)]
        acknowledged = sum(len(each.acknowledged) for each in of_kind)
        unknown = sum(len(each.unknown) for each in of_kind)
        print(f"{kind}: {len(of_kind)} clients, {acknowledged} acknowledged, {unknown} unknown")
    print(f"acknowledged: {sum(len(each.acknowledged) for each in histories)}")
    print(f"lost: {len(findings.lost)}, doubled: {len(findings.doubled)}", end=", ")
    print(f"made up: {len(findings.made_up)}", end=", ")
    print(f"repeated by PyPI clients: {len(findings.repeated)}")
    reasons = Counter[tuple[str, str]]()
    for event in events:
        if event["event"] == "unknown":
            reasons[event["client"].partition("-")[0], event["error"][:120]] += 1
    for (kind, error), count in reasons.most_common():
        print(f"unknown to {kind}, {count} times: {error}")


def test_thirty_kills_lose_no_acknowledged_mutation_and_double_none(tmp_path: Path):
    begun = time.monotonic()
    with DevServer(FUNCTIONS, tmp_path) as server, ExitStack() as stack:
        load = _start_load(server, stack)
        kills = _kill_in_turn(server, load, kills_min=KILLS_MIN, acknowledged_min=ACKNOWLEDGED_MIN)
        server.mutation("journal:enter_phase", name="ending")
        load.wait_for_end_of_calls()
        _kill_both(server)
        kills.update(("server", "Postgres"))
        server.mutation("journal:enter_phase", name="closed")
        events = load.finish()
        rows = list(_rows(server))
        fresh = server.query("journal:glance")
    histories = _histories(load.clients, events)
    findings = judge(histories, rows)
    _report(kills, histories, findings, events)
    print(f"{time.monotonic() - begun:.0f} s")
    assert findings.is_good, findings
    assert sum(len(each.acknowledged) for each in histories) >= ACKNOWLEDGED_MIN
    assert not [
        event for event in events if event["event"] == "unknown" and "npm" in event["client"]
    ]
    _check_convergence(load.clients, events, fresh, rows)


def _check_convergence(
    clients: list[str], events: list[Event], fresh: Event, rows: list[Write]
) -> None:
    """All subscriptions show what a fresh query returns, which is what the rows add up to."""
    converged = {event["client"]: event for event in events if event["event"] == "converged"}
    assert set(converged) == {name for name in clients if not name.startswith("http")}
    for name, event in converged.items():
        assert event["shown"] == fresh, name
        assert event["errors"] == [], name
    of_clients = {name: [number for client, number in rows if client == name] for name in clients}
    tallies = [[name, len(of_clients[name]), sum(of_clients[name])] for name in sorted(clients)]
    assert fresh == {"phase": "closed", "tallies": tallies}

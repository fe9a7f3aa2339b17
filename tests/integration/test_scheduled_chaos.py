"""The server is killed again and again while jobs are due, running and being cancelled.

Every scheduled mutation takes effect exactly once or was cancelled, every action starts at most
once (architecture.md, rule 4; protocols.md rule 22).
"""

import random
import threading
import time
import urllib.error
from collections import Counter
from http.client import HTTPException
from pathlib import Path

from tests.clients.server import DevServer

FUNCTIONS = Path(__file__).with_name("scheduled_functions")
KILLS = 3
JOBS_A_ROUND = 100
SPREAD_SECONDS = 1.0
SETTLE_SECONDS_MAX = 30.0

Job = tuple[str, int]
"""A function's name and the number that it was scheduled with."""


def _disturb(server: DevServer, round_: int, trace: Path, chance: random.Random) -> None:
    """Schedule a round of jobs and cancel some of them, until the server is gone."""
    try:
        jobs = server.mutation(
            "jobs:plan",
            first=round_ * JOBS_A_ROUND,
            count=JOBS_A_ROUND,
            seconds=SPREAD_SECONDS,
            trace=str(trace),
        )
        while len(jobs) > 1:
            some = chance.sample(jobs, 2)
            server.mutation("jobs:cancel", jobs=some)
            jobs = [job for job in jobs if job not in some][4:]
    except (urllib.error.URLError, OSError, HTTPException):
        # Killed: what became of the call in flight is for the rows to say.
        return


def _settle(server: DevServer) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while left := server.query("jobs:unfinished"):
        assert time.monotonic() < deadline, f"{left} jobs do not end:\n{server.log[-4000:]}"
        time.sleep(0.05)


def test_killed_servers_run_mutations_exactly_once_and_actions_at_most_once(tmp_path: Path):
    chance = random.Random(22)
    trace = tmp_path / "starts"
    trace.touch()
    with DevServer(FUNCTIONS, tmp_path / "project") as server:
        for round_ in range(KILLS):
            disturbing = threading.Thread(target=_disturb, args=(server, round_, trace, chance))
            disturbing.start()
            time.sleep(SPREAD_SECONDS * chance.uniform(0.2, 0.9))
            server.restart()
            disturbing.join()
        _disturb(server, KILLS, trace, chance)
        _settle(server)
        outcome = server.query("jobs:outcome")
    states: dict[Job, str] = {(name, number): state for name, number, state in outcome["jobs"]}
    assert len(states) == len(outcome["jobs"])
    mutations = {n: state for (name, n), state in states.items() if name.endswith(":work")}
    actions = {n: state for (name, n), state in states.items() if name.endswith(":act")}
    effects = Counter(outcome["effects"])
    starts = Counter(map(int, trace.read_text().split()))
    counts = {
        "mutations": Counter(mutations.values()),
        "actions": Counter(actions.values()),
        "started": len(starts),
        "errors": Counter(outcome["errors"]),
    }
    print(counts)
    assert set(mutations.values()) == {"success", "canceled"}, counts
    assert effects == Counter(n for n, state in mutations.items() if state == "success"), counts
    assert set(starts.values()) == {1}, [n for n, times in starts.items() if times > 1]
    succeeded = {n for n, state in actions.items() if state == "success"}
    assert succeeded <= set(starts)
    assert succeeded <= set(outcome["action_effects"]) <= set(starts)
    assert len(states) >= (KILLS - 1) * JOBS_A_ROUND, counts
    assert min(counts["mutations"][state] for state in ("canceled", "success")) > 10, counts

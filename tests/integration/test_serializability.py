"""Histories of the official clients against `syncline dev`, judged by the checkers.

More than 10,000 transactions of npm and PyPI clients in several processes meet on few keys; what
every client asked for and was told, and when, must have a serial explanation in real-time order.
Meanwhile, and counted by the engine itself, subscribers of other keys are not run again.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from scripts.node_toolchain import install_packages, node_toolchain
from tests.checkers import counters, list_append, write_skew
from tests.checkers.history import Verdict
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, DevServer
from tests.integration.history_plan import (
    COUNTERS,
    LISTS,
    MONEY,
    OVERTAKEN,
    PAIRS,
    UNDONE,
    Answered,
    Call,
    Planner,
    answered,
    increments,
    transactions,
    withdrawals,
)

pytestmark = pytest.mark.clients

FUNCTIONS = Path(__file__).parent / "histories_functions"
BATCH = 200
"""Calls that the client programs report at once."""
SEED_VARIABLE = "SYNCLINE_HISTORY_SEED"

# program, scenario, clients, calls: as many as each manages in about the same time
PROGRAMS = (
    ("node", "play", {"live": 8, "http": 0, "lanes": 3}, 5000),
    ("node", "play", {"live": 4, "http": 8, "lanes": 2}, 4000),
    ("python", "play_live", {}, 1000),
    ("python", "play_http", {}, 1000),
)
QUIET = 30


def start(kind: str, scenario: str, url: str, plan: Path) -> ClientProgram:
    """A program of official clients with a plan in a file."""
    if kind == "python":
        command = [sys.executable, "-u", "python/histories.py", scenario, url, str(plan)]
        return ClientProgram(command, dict(os.environ))
    toolchain = node_toolchain()
    command = toolchain.command("node", "node/histories.mjs", scenario, url, str(plan))
    return ClientProgram(command, toolchain.environment())


def write_plan(path: Path, plan: Any) -> Path:
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    install_packages(PROJECT / "tests" / "clients")


@pytest.fixture
def seed() -> int:
    """Fresh for every run; the environment variable repeats the plans of an earlier one."""
    return int(os.environ.get(SEED_VARIABLE) or SystemRandom().getrandbits(32))


class Run:
    """One server, the planned calls of all programs, and what came of them."""

    def __init__(self, server: DevServer, folder: Path, seed: int) -> None:
        self.server = server
        self.folder = folder
        self.planner = Planner(Random(seed))
        self.history: list[Answered] = []

    def play(self) -> None:
        """Start all programs at once and collect their histories."""
        plans = [
            write_plan(
                self.folder / f"plan-{number}.json",
                {**clients, "calls": self.planner.calls_of_one_program(total)},
            )
            for number, (_, _, clients, total) in enumerate(PROGRAMS)
        ]
        with ExitStack() as stack:
            before = time.monotonic_ns()
            programs = [
                stack.enter_context(start(kind, scenario, self.server.url, plan))
                for (kind, scenario, _, _), plan in zip(PROGRAMS, plans, strict=True)
            ]
            for program in programs:
                clock = int(program.event("begun")["clock"])
                assert before <= clock <= time.monotonic_ns(), "the programs' clocks differ"
            for program, (_, _, _, total) in zip(programs, PROGRAMS, strict=True):
                for _ in range(total // BATCH + 1):
                    played = program.event("played")["history"]
                    self.history += answered(self.planner.calls, played)
                program.finish()

    def look_at_all_lists(self) -> None:
        """Read every list when all is done: one more transaction each."""
        for key in LISTS:
            call = self.planner.add("query", "lists:look", keys=[key], turn=-1)
            self.history.append(self._ask(call))

    def _ask(self, call: Call) -> Answered:
        invoked = time.monotonic_ns()
        value = self.server.query(call.path, **call.args)
        return Answered(call, invoked, time.monotonic_ns(), value, None)

    def verdicts(self) -> dict[str, Verdict]:
        """What the checkers say about each part of the history."""
        query = self.server.query
        verdicts = {
            f"counter {name}": counters.check(
                increments(self.history, name), int(query("counters:follow", name=name))
            )
            for name in COUNTERS
        }
        left = {pair: tuple(map(int, query("accounts:balance", pair=pair))) for pair in PAIRS}
        verdicts["accounts"] = write_skew.check(
            withdrawals(self.history), first=dict.fromkeys(PAIRS, (MONEY, MONEY)), final=left
        )
        verdicts["lists"] = list_append.check(transactions(self.history), realtime=True)
        return verdicts


def count_retries(log: str) -> Counter[str]:
    """Runs of mutations that were overtaken and repeated, by function, as the server says."""
    retries: Counter[str] = Counter()
    for path, number in re.findall(r"^M (\S+)  .*, (\d+) retries$", log, re.MULTILINE):
        retries[path] += int(number)
    return retries


def count_runs(log: str, path: str) -> int:
    """How often a query's function was run, as the server says."""
    return len(re.findall(rf"^Q {path}  .*, cache miss", log, re.MULTILINE))


def overlap(history: list[Answered]) -> int:
    """How many calls were under way at the same time, at most."""
    moments = sorted(
        [(each.invoked, 1) for each in history] + [(each.completed, -1) for each in history]
    )
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_concurrent_histories_of_the_official_clients_are_strictly_serializable(
    tmp_path: Path, seed: int
):
    print(f"\n{SEED_VARIABLE}={seed}")
    quiet = [{"path": "counters:read", "args": {"name": f"quiet-{n}"}} for n in range(QUIET)]
    hot = {"path": "counters:follow", "args": {"name": COUNTERS[0]}}
    signal = {"path": "counters:read", "args": {"name": "signal"}}
    watched = write_plan(tmp_path / "watched.json", [*quiet, hot, signal])
    with DevServer(FUNCTIONS, tmp_path) as server:
        for pair in PAIRS:
            server.mutation("accounts:open_pair", pair=pair, left=MONEY, right=MONEY)
        with start("node", "watch", server.url, watched) as watchers:
            watchers.event("watching")
            run = Run(server, tmp_path, seed)
            run.play()
            run.look_at_all_lists()
            verdicts = run.verdicts()
            server.mutation("counters:increment", name="signal")
            seen = watchers.only("watched")["seen"]
        assert server.stop() == 0
        log = server.log
    report(run, log)
    bad = {part: str(verdict) for part, verdict in verdicts.items() if not verdict.is_good}
    assert not bad, f"{SEED_VARIABLE}={seed}\n" + "\n".join(f"{k}:\n{v}" for k, v in bad.items())
    check_that_it_was_a_contest(run, log)
    *of_quiet, of_hot, of_signal = seen
    assert of_quiet == [[0]] * QUIET
    assert of_signal == [0, 1]
    assert of_hot == sorted(set(of_hot)), "a subscriber saw the counter stand still or fall"
    assert count_runs(log, "counters:read") == QUIET + 2, "unrelated subscribers were run again"
    assert count_runs(log, "counters:follow") >= len(of_hot) > 100


def report(run: Run, log: str) -> None:
    paths = Counter(each.call.path for each in run.history)
    micro = sum(len(each.operations) for each in transactions(run.history))
    begin = min(each.invoked for each in run.history)
    seconds = (max(each.completed for each in run.history) - begin) / 1e9
    print(f"{len(run.history)} transactions in {seconds:.1f} s: {dict(paths)}")
    print(f"list operations: {micro}; at most {overlap(run.history)} calls at the same time")
    given_up = sum(OVERTAKEN in (each.error or "") for each in run.history)
    print(f"overtaken and run again: {dict(count_retries(log))}; given up: {given_up}")
    runs = {path: count_runs(log, path) for path in ("counters:read", "counters:follow")}
    print(f"query runs: {runs}, of {QUIET} quiet subscriptions and a few others")


def check_that_it_was_a_contest(run: Run, log: str) -> None:
    """Enough was asked for, it was answered, and transactions did meet."""
    assert len(run.history) == len(run.planner.calls) > 10_000
    errors = [each.error for each in run.history if each.error is not None]
    overtaken = [error for error in errors if OVERTAKEN in error]
    assert len(overtaken) <= len(run.history) / 100, overtaken[0]
    assert errors.count(UNDONE) == len(errors) - len(overtaken) > 100
    refused = [each for each in withdrawals(run.history) if each.status == "fail"]
    assert len(refused) > 100, "the accounts never ran out of money"
    assert overlap(run.history) >= 20
    retries = count_retries(log)
    for path in ("counters:increment", "accounts:withdraw", "lists:transact"):
        assert retries[path] > 0, f"no two calls of {path} ever met"

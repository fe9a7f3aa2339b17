"""Histories of the official clients against `syncline dev`, judged by the checkers.

More than 10,000 transactions of npm and PyPI clients in several processes meet on few keys; what
every client asked for and was told, and when, must have a serial explanation in real-time order.
Meanwhile, and counted by the engine itself, subscribers of other keys are not run again.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
import uvloop
from convex import ConvexError
from convex.http_client import ConvexHttpClient

from scripts.node_toolchain import install_packages, node_toolchain
from tests.checkers import counters, list_append, write_skew
from tests.checkers.history import Read, Verdict
from tests.clients.program import ClientProgram
from tests.clients.server import PROJECT, DevServer
from tests.integration.counted_server import CountedServer
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
    check_that_forgeries_are_found(run)
    *of_quiet, of_hot, of_signal = seen
    assert of_quiet == [[0]] * QUIET
    assert of_signal == [0, 1]
    assert of_hot == sorted(set(of_hot)), "a subscriber saw the counter stand still or fall"
    assert count_runs(log, "counters:read") == QUIET + 2, "unrelated subscribers were run again"
    assert count_runs(log, "counters:follow") >= len(of_hot) > 10


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


def check_that_forgeries_are_found(run: Run) -> None:
    """The same history with one lie in it is refused: the verdicts above were no matter of form."""
    twice = [each for each in increments(run.history, COUNTERS[0]) if each.status == "ok"]
    twice[5] = replace(twice[5], result=twice[6].result)
    assert "duplicate-result" in counters.check(twice, len(twice)).kinds

    of_pair = [each for each in withdrawals(run.history) if each.pair == PAIRS[0] and each.seen]
    of_pair.sort(key=lambda each: -sum(each.seen or ()))
    first = next(n for n, (a, b) in enumerate(pairwise(of_pair)) if a.side != b.side)
    of_pair[first + 1] = replace(of_pair[first + 1], seen=of_pair[first].seen)
    opened, left = {PAIRS[0]: (MONEY, MONEY)}, {PAIRS[0]: of_pair[-1].after(of_pair[-1].seen)}
    assert "write-skew" in write_skew.check(of_pair, first=opened, final=left).kinds

    stale = transactions(run.history)
    while not (read := stale[-1].operations[0]).values:
        stale.pop()  # a look at a list that nobody came to use
    stale[-1] = replace(stale[-1], operations=(Read(read.key, read.values[:-1]),))
    verdict = list_append.check(stale, realtime=True)
    # Without the lie it was good; what a checker calls this one depends on what it left out.
    assert not verdict.is_good
    assert all(stale[-1].id in each.transactions for each in verdict.anomalies), str(verdict)


QUERIES = (
    *({"path": "counters:read", "args": {"name": f"counter-{n}"}} for n in range(40)),
    *({"path": "accounts:balance", "args": {"pair": f"pair-{n}"}} for n in range(10)),
    {"path": "lists:look", "args": {"keys": ["list-1"], "turn": 0}},
    {"path": "lists:look", "args": {"keys": ["rows-1"], "turn": 0}},
    {"path": "lists:look", "args": {"keys": ["list-1", "rows-1"], "turn": 0}},
    {"path": "lists:look", "args": {"keys": ["list-absent"], "turn": 0}},
    {"path": "counters:read", "args": {"name": "fence"}},
)
COUNTER_7, PAIR_1, LIST, ROWS, BOTH, ABSENT, FENCE = 7, 41, 50, 51, 52, 53, 54
SUBSCRIBERS = 2


def transact(*operations: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return {"operations": list(operations), **arguments}


# A write, and the subscriptions that it concerns.
WRITES = (
    ("counters:increment", {"name": "counter-7"}, {COUNTER_7}),
    ("counters:increment", {"name": "counter-7"}, {COUNTER_7}),
    ("counters:increment", {"name": "counter-70"}, set()),
    ("accounts:open_pair", {"pair": "pair-1", "left": 10, "right": 10}, {PAIR_1}),
    ("accounts:open_pair", {"pair": "pair-10", "left": 10, "right": 10}, set()),
    ("accounts:withdraw", {"pair": "pair-1", "side": 0, "amount": 15}, {PAIR_1}),
    ("accounts:withdraw", {"pair": "pair-1", "side": 1, "amount": 15}, set()),
    ("lists:transact", transact({"key": "list-1", "append": 1}), {LIST, BOTH}),
    ("lists:transact", transact({"key": "rows-1", "append": 1}), {ROWS, BOTH}),
    ("lists:transact", transact({"key": "rows-10", "append": 1}), set()),
    ("lists:transact", transact({"key": "list-10", "append": 1}), set()),
    ("lists:transact", transact({"key": "list-1"}, {"key": "rows-1"}), set()),
    ("lists:transact", transact({"key": "list-absent", "append": 1}), {ABSENT}),
    ("lists:transact", transact({"key": "list-1", "append": 2}, fails=True), set()),
    (
        "lists:transact",
        transact({"key": "list-1", "append": 3}, {"key": "rows-1", "append": 3}),
        {LIST, ROWS, BOTH},
    ),
)


async def shown(program: ClientProgram, queries: set[int]) -> None:
    """Wait until every subscriber was shown a result of each of these queries, and of no other."""
    missing = {(client, query) for client in range(SUBSCRIBERS) for query in queries}
    while missing:
        event = await asyncio.to_thread(program.event, "shown")
        who = event["client"], event["query"]
        assert who in missing, f"not concerned, or shown twice: {event}"
        missing.remove(who)


async def write(client: ConvexHttpClient, path: str, arguments: dict[str, Any]) -> None:
    with suppress(ConvexError) if arguments.get("fails") else nullcontext():
        await asyncio.to_thread(client.mutation, path, arguments)


async def count_executions(folder: Path, plan: Path) -> None:
    async with CountedServer(FUNCTIONS, folder) as server:
        client = ConvexHttpClient(server.url)
        with start("node", "report", server.url, plan) as program:
            await shown(program, set(range(len(QUERIES))))
            assert server.executions == len(QUERIES), "subscribers of one query share its runs"
            for path, arguments, concerned in WRITES:
                before = server.executions
                await write(client, path, arguments)
                await write(client, "counters:increment", {"name": "fence"})
                await shown(program, {*concerned, FENCE})
                runs = server.executions - before - 1
                assert runs == len(concerned), f"{path} {arguments}: {runs} runs"
            before = server.executions
            lanes = [ConvexHttpClient(server.url) for _ in range(8)]
            for _ in range(50):
                unwatched = {"name": "counter-70"}
                calls = [write(lane, "counters:increment", unwatched) for lane in lanes]
                await asyncio.gather(*calls)
            await write(client, "counters:increment", {"name": "fence"})
            await shown(program, {FENCE})
            assert server.executions - before == 1, "only the fence's query is concerned"
            print(f"\n{server.executions} runs of {len(QUERIES)} queries with ", end="")
            print(f"{SUBSCRIBERS} subscribers each, after {2 * len(WRITES) + 401} mutations")


def test_only_subscribers_that_a_write_concerns_are_run_again_by_the_engines_own_count(
    tmp_path: Path,
):
    plan = write_plan(tmp_path / "plan.json", {"clients": SUBSCRIBERS, "queries": QUERIES})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(count_executions(tmp_path / "data", plan))

"""One world from start to end, and the check of the five rules (architecture.md) on what it left.

    python -m tests.simulation.campaign SEED [SWITCHED-OFF RULE ...]

runs one again, with the newest steps of its trace if it fails.
"""

import asyncio
import os
import sys
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Final

from syncline.commit.record import Duplicate
from syncline.drivers.answers import Caller
from syncline.drivers.follower import Follower
from syncline.errors import UnavailableError
from syncline.index.key_encoding import prefix_successor
from syncline.ports import Documents, RangeRead, SnapshotReads
from syncline.simulated.world import CRASH, DELAY, DUPLICATE, LOSE, REORDER, FaultPlan
from tests.simulation.cluster import Cluster, functions, identity_of
from tests.simulation.model_client import Snapshot
from tests.simulation.reference_model import Divergence, ReferenceModel
from tests.simulation.view import SharedView
from tests.simulation.workload import SimulatedClient, start_clients

CLIENTS: Final = 3
STEPS: Final = 12
SETTLE_SECONDS_MAX: Final = 240
"""Virtual seconds after the last fault until everything has settled; more is a failure."""


class RuleBrokenError(Exception):
    """One of the five rules does not hold; the message says where."""


@dataclass(frozen=True)
class Report:
    """What a world has seen."""

    seed: int
    commits: int
    mutations: int
    snapshots: int
    steps: int
    probes: Counter[str]


def fault_plan(random: Random) -> FaultPlan:
    """Worlds differ in how bad they are; some are quiet."""
    level = random.choice([0.0, 0.3, 1.0, 1.0])
    return FaultPlan(
        {
            CRASH: 0.002 * level,
            DELAY: 0.01 * level,
            f"{DELAY} at append: ordered": 0.1 * level,
            f"{DELAY} at session store: stored": 0.1 * level,
            f"{DELAY} at interest: registered": 0.05 * level,
            DUPLICATE: 0.1 * level,
            REORDER: 0.1 * level,
            LOSE: 0.02 * level,
            f"{LOSE} at hints": 0.3 * level,
            "doubt at gateway post": 0.02 * level,
        },
        delay_seconds_max=random.choice([0.5, 3.0, 25.0]),
    )


class Run:
    """One world."""

    def __init__(self, seed: int, switched_off: frozenset[str] = frozenset()) -> None:
        draws = Random(f"{seed}/plan")
        functions()  # imported outside of the world's loop
        self.seed = seed
        self.switched_off = switched_off
        self.cluster = Cluster(seed, fault_plan(draws), switched_off=switched_off)
        self._draws = draws
        self._clients: list[SimulatedClient] = []
        self._judged = 0

    def __call__(self) -> Report:
        """Run it. RuleBrokenError, AssertionError or an error of the loop: a rule is broken."""
        with self.cluster.world as world:
            return world.run(self._live())

    async def _live(self) -> Report:
        cluster = self.cluster
        cluster.start()
        await self._push(0)
        self._clients = start_clients(cluster, CLIENTS)
        operator = asyncio.get_running_loop().create_task(self._operate())
        await asyncio.gather(*(client.live(STEPS) for client in self._clients))
        await operator
        cluster.world.is_calm = True
        await self._settle()
        await self._judge()
        await self._check_views()
        return Report(
            self.seed,
            len(cluster.history),
            sum(len(client.told) for client in self._clients),
            self._judged,
            cluster.world.loop.steps,
            cluster.world.probes,
        )

    async def _push(self, number: int) -> None:
        """Until it is deployed: nodes die over it."""
        while True:
            await self.cluster.push(number)
            if self._newest().bundle == functions().folders[number].name:
                return
            await asyncio.sleep(0.2)

    async def _operate(self) -> None:
        """What happens to a deployment in its life, in any order."""
        draws = self._draws
        deeds = [self._crash_database] * draws.choice([0, 1, 3])
        deeds += [self._shorten] * draws.choice([0, 1, 2])
        deeds += [self._restore] * draws.choice([0, 0, 0, 1])
        deeds += [self._impersonate] * draws.choice([0, 1])
        deeds += [self._deploy_other] * draws.choice([0, 1])
        draws.shuffle(deeds)
        for deed in deeds:
            await asyncio.sleep(draws.uniform(0.1, 1.5))
            await deed()

    async def _crash_database(self) -> None:
        """At any time, or where it hurts: when something is visible and not durable yet."""
        log = self.cluster.log
        if self._draws.random() < 0.7:
            for _ in range(2_000):
                if log.holds_unflushed:
                    break
                await asyncio.sleep(0.001)
            await asyncio.sleep(self._draws.choice([0.0, 0.01, 0.3]))
        self.cluster.world.probe("database crashed")
        if log.holds_unflushed:
            self.cluster.world.probe("database crashed before a flush")
        log.crash()

    async def _impersonate(self) -> None:
        """Somebody sends a request that was answered to another: it must not be told (rule 4)."""
        known = {(commit.session, commit.request) for commit in self.cluster.history}
        told = [
            each
            for client in self._clients
            for each in client.told
            if each.settled is not None and (each.session, each.request) in known
        ]
        machine = self.cluster.machines[0]
        if not told or machine.engine is None:
            return
        one = self._draws.choice(told)
        stranger = Caller(identity_of("mallory"))
        call = machine.engine.mutation(
            "app:peek", b"{}", stranger, request=(one.session, one.request)
        )
        task = self.cluster.world.loop.spawn(machine.process, call, name="impersonate")
        await asyncio.wait([task], timeout=30)
        if task.done() and task.result().value is not None:
            raise RuleBrokenError(f"request {one.request} of {one.session} was given to a stranger")
        self.cluster.world.probe("impersonated")

    async def _shorten(self) -> None:
        await self.cluster.shorten()

    async def _deploy_other(self) -> None:
        await self.cluster.push(1)

    async def _restore(self) -> None:
        await self._judge()
        for client in self._clients:
            client.snapshots.clear()
            client.forget_history()
        await self.cluster.restore()

    # The end

    async def _settle(self) -> None:
        """Wait until every request is answered and every client shows the newest state."""
        for _ in range(SETTLE_SECONDS_MAX):
            await asyncio.sleep(1)
            is_up = all(machine.engine for machine in self.cluster.machines)
            is_settled = all(client.is_settled for client in self._clients)
            if is_up and is_settled and not await self._stale():
                return
        open_ends = [client.name for client in self._clients if not client.is_settled]
        raise RuleBrokenError(
            f"not settled: {open_ends}\n" + "\n".join(map(str, await self._stale()))
        )

    async def _stale(self) -> list[Divergence]:
        """Where what clients hold differs from the newest state."""
        reference = self._newest()
        found: list[Divergence] = []
        for client in self._clients:
            if client.snapshots:
                last = client.snapshots[-1]
                at_head = Snapshot(reference.head, last.token, last.results)
                found += await reference.judge(at_head, identity_of)
        return found

    def _newest(self) -> ReferenceModel:
        reference = ReferenceModel(functions().runner)
        for commit in self.cluster.history:
            reference.apply(commit)
        return reference

    # The rules

    async def _judge(self) -> None:
        """Rules 1 to 4 on everything so far."""
        reference = ReferenceModel(functions().runner)
        log = self.cluster.log

        async def outcome_of(session: str, request: int) -> Duplicate | None:
            return log.recorded(session, request)

        history = self.cluster.history
        found = await reference.replay(history, outcome_of)
        for client in self._clients:
            for snapshot in client.snapshots:
                if snapshot.ts <= reference.head:
                    found += await reference.judge(snapshot, identity_of)
                else:
                    found.append(Divergence(snapshot.ts, client.name, "shown, and not in the log"))
            self._judged += len(client.snapshots)
        found += self._unkept_promises()
        if found:
            raise RuleBrokenError("\n".join(map(str, found)))

    def _unkept_promises(self) -> list[Divergence]:
        """Rule 4: what was acknowledged is there, once."""
        history = self.cluster.history
        requests = Counter((commit.session, commit.request) for commit in history)
        found = [
            Divergence(0, str(request), f"took effect {count} times")
            for request, count in requests.items()
            if count > 1
        ]
        stamps = {(commit.session, commit.request): commit.ts for commit in history}
        lost = {(commit.session, commit.request) for commit in self.cluster.lost}
        for told in (each for client in self._clients for each in client.told):
            request = (told.session, told.request)
            if told.settled is None or not told.settled.is_success or request in lost:
                continue
            if stamps.get(request) != told.settled.ts:
                detail = f"acknowledged at {told.settled.ts}, in the log at {stamps.get(request)}"
                found.append(Divergence(told.settled.ts or 0, told.path, detail))
        return found

    async def _check_views(self) -> None:
        """Rule 5: the view, and what every node makes of it, equal the log, row for row."""
        view = SharedView(self.cluster.view)
        await Follower(self.cluster.log, view).catch_up()
        reference = self._newest()
        await self._compare("the view", reference, self.cluster.view.newest, reference.head)
        for machine in self.cluster.machines:
            engine = machine.engine
            assert engine is not None, "a node is down though everything is calm"
            while True:
                await engine.committer.follow()
                ts = engine.durable_ts()
                try:
                    await self._compare(machine.name, reference, engine.replica.reads(ts), ts)
                except UnavailableError:
                    # Its log was reset in between.
                    continue
                break

    async def _compare(
        self, name: str, reference: ReferenceModel, reads: SnapshotReads | Documents, ts: int
    ) -> None:
        for table_name in ("counters", "messages", "_tables"):
            table = reference.catalog_at(ts).table(table_name)
            indexes = table.indexes.values() if table else ()
            for index in (each for each in indexes if each.is_queryable):
                lo = index.index_id
                hi = prefix_successor(lo)
                assert hi is not None
                read = RangeRead(lo, hi, 10_000)
                (page,) = await reads.read([read])
                rows = [(row.key, row.ts, row.document) for row in page.rows if row.document]
                expected = reference.page(read, ts).rows
                if rows != [(row.key, row.ts, row.document) for row in expected]:
                    raise RuleBrokenError(
                        f"{name} has other rows in {table_name}.{index.name}:\n{rows}\n"
                        f"where the log has\n{expected}"
                    )


def describe(run: Run, error: BaseException) -> str:
    """A failure with the way to see it again."""
    hashes = os.environ.get("PYTHONHASHSEED", "random")
    rules = " ".join(map(repr, sorted(run.switched_off)))
    return (
        f"seed {run.seed}: {type(error).__name__}: {error}\n"
        f"Again: PYTHONHASHSEED={hashes} python -m tests.simulation.campaign {run.seed} {rules}"
    )


if __name__ == "__main__":
    one = Run(int(sys.argv[1]), frozenset(sys.argv[2:]))
    try:
        print(one())
        print("trace", one.cluster.world.loop.trace)
    except BaseException:
        print(*one.cluster.world.loop.recent, sep="\n", file=sys.stderr)
        raise

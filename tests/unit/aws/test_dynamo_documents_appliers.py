"""Appliers of the view in DynamoDB: late, paused, doubled and throttled (protocols.md rule 13)."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.commit.record import Commit, Position
from syncline.errors import DeveloperError, UnavailableError
from syncline.limits import BATCH_AGE_SECONDS_MAX
from syncline.local.memory_documents import MemoryDocuments
from syncline.ports import StoredRow
from tests.contract.documents_backends import key
from tests.unit.aws.view_on_moto import (
    MINUTE_NS,
    Deployment,
    Wire,
    apply_all,
    entries_of,
    position_of,
    stored_items,
    tapped,
)


@pytest.fixture
def wire(moto: None) -> Iterator[Wire]:
    with tapped() as wire:
        yield wire


@pytest.fixture
def deployment(wire: Wire) -> Deployment:
    return Deployment()


@pytest.fixture
def view(deployment: Deployment) -> DynamoDocuments:
    return deployment.view()


class Gate:
    """Holds the next put back, in its thread and after the check of its age, until opened."""

    def __init__(self, wire: Wire) -> None:
        self.opened = threading.Event()
        self.reached = asyncio.Event()
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        wire.intercept = self._hold

    def _hold(self, operation: str, _request: object) -> None:
        if operation == "PutItem":
            self._wire.intercept = lambda *_: None
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self.opened.wait(60)


def pages_of(commits: list[Commit], random: Random) -> Iterator[list[Commit]]:
    """The commits in order, in pages of any size."""
    at = 0
    while at < len(commits):
        size = random.randint(1, 4)
        yield commits[at : at + size]
        at += size


async def follow(view: DynamoDocuments, commits: list[Commit], random: Random) -> None:
    """A follower that begins anew at the view's position whenever it is told to."""
    while (applied := await view.position()) != position_of(commits[-1]):
        with suppress(UnavailableError):
            for page in pages_of([each for each in commits if each.ts > applied.ts], random):
                await view.apply(page)


@pytest.mark.parametrize("seed", range(6))
def test_appliers_at_once_leave_what_one_leaves(deployment, seed):
    async def scenario() -> None:
        random = Random(seed)
        for _ in range(12):
            names = random.sample("abc", random.randint(1, 2))
            values = [random.choice([None, 1, 2, "x" * 1200]) for _ in names]
            await deployment.commit(**dict(zip(names, values, strict=True)))
        commits = deployment.commits
        await asyncio.gather(
            *(follow(deployment.view(), commits, Random(seed * 7 + at)) for at in range(3))
        )
        assert await entries_of(deployment.view()) == deployment.expected()
        alone = MemoryDocuments()
        await alone.apply(commits)
        assert await entries_of(alone) == deployment.expected()

    asyncio.run(scenario())


def test_a_paused_applier_changes_nothing_that_others_have_gone_past(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(a=1)
        await deployment.commit(a=2, b=1)
        gate = Gate(wire)
        paused = asyncio.create_task(view.apply(deployment.commits[:1]))
        await gate.reached.wait()
        await deployment.commit(a=None)
        await deployment.commit(c=1)
        await apply_all(deployment.view(), deployment.commits)
        before = stored_items()
        gate.opened.set()
        await paused
        assert stored_items() == before
        assert await view.position() == deployment.position
        assert await entries_of(view) == deployment.expected()

    asyncio.run(scenario())


def test_an_applier_that_slept_past_the_age_limit_signs_nothing_more(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(**{f"d{at}": at for at in range(12)})
        gate = Gate(wire)
        sleeping = asyncio.create_task(view.apply(deployment.commits))
        await gate.reached.wait()
        deployment.clock.ns += BATCH_AGE_SECONDS_MAX * 10**9
        put = wire.count("PutItem")
        gate.opened.set()
        with pytest.raises(UnavailableError) as caught:
            await sleeping
        assert caught.value.code == "BatchTooOld"
        assert wire.count("PutItem") <= put + 8
        assert wire.count("UpdateItem") == 0
        assert await view.watermark() == 0
        await view.apply(deployment.commits)
        assert await entries_of(view) == deployment.expected()

    asyncio.run(scenario())


@pytest.mark.parametrize("step", [BATCH_AGE_SECONDS_MAX * 10**9, -1])
def test_every_request_is_checked_before_it_is_signed(deployment, view, wire, step):
    async def scenario() -> None:
        await deployment.commit(**{f"d{at}": at for at in range(12)})

        def leap(operation: str, _request: object) -> None:
            if operation == "GetItem":
                deployment.clock.ns += step

        wire.operations.clear()
        wire.intercept = leap
        with pytest.raises(UnavailableError) as caught:
            await view.apply(deployment.commits)
        assert caught.value.code == "BatchTooOld"
        assert set(wire.operations) == {"GetItem"}
        wire.operations.clear()
        with pytest.raises(UnavailableError):
            await view.add_index_rows([StoredRow(key(1), 10, b"1")])
        assert set(wire.operations) == {"GetItem"}

    asyncio.run(scenario())


def test_an_applier_just_below_the_age_limit_goes_on(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(a=1)

        def leap(operation: str, _request: object) -> None:
            if operation == "GetItem":
                deployment.clock.ns += BATCH_AGE_SECONDS_MAX * 10**9 - 1

        wire.intercept = leap
        await view.apply(deployment.commits)
        assert await view.watermark() == 10

    asyncio.run(scenario())


def test_nothing_is_put_again_after_its_tombstone_has_gone(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(a=1)
        await deployment.commit(a=None)
        gate = Gate(wire)
        late = asyncio.create_task(view.apply(deployment.commits[:1]))
        await gate.reached.wait()
        # The other two have arrived before the tombstones go, as requests do within ten minutes.
        while len(stored_items()) < 2:  # noqa: ASYNC110 - they come from threads
            await asyncio.sleep(0)
        other = deployment.view()
        await other.apply(deployment.commits)
        deployment.clock.ns += 30 * MINUTE_NS
        await other.collect_tombstones(100)
        written = {item["k"]["B"] for item in stored_items()}
        assert written == set()
        gate.opened.set()
        with pytest.raises(UnavailableError):
            await late
        # Only the request that had been signed when it fell asleep; AWS refuses one that old.
        assert wire.count("PutItem") <= 3 + 1 + 2

    asyncio.run(scenario())


def test_throttled_puts_are_made_again(deployment, view, wire):
    async def scenario() -> None:
        codes = [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "RequestLimitExceeded",
            "InternalServerError",
        ]

        def throttle(operation: str, _request: object) -> str | None:
            return codes.pop() if operation == "PutItem" and codes else None

        wire.intercept = throttle
        await view.apply([await deployment.commit(a=1, b=2)])
        assert wire.count("PutItem") == 6 + 4
        assert await entries_of(view) == deployment.expected()
        assert await view.watermark() == 10

    asyncio.run(scenario())


def test_what_is_refused_ends_the_batch_and_leaves_the_watermark(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(**{f"d{at}": at for at in range(20)})

        def refuse(operation: str, _request: object) -> str | None:
            return "AccessDeniedException" if operation == "PutItem" else None

        wire.intercept = refuse
        with pytest.raises(DeveloperError):
            await view.apply(deployment.commits)
        assert wire.count("PutItem") <= 8
        assert await view.watermark() == 0

    asyncio.run(scenario())


def test_a_cancelled_call_ends_when_its_requests_have_and_begins_no_other(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(**{f"d{at}": at for at in range(20)})
        gate = Gate(wire)
        applying = asyncio.create_task(view.apply(deployment.commits))
        await gate.reached.wait()
        applying.cancel()
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0))])
        assert not applying.done()
        put = wire.count("PutItem")
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await applying
        after = wire.count("PutItem")
        assert after <= put + 8
        stored = len(stored_items())
        assert stored <= after < 60
        assert await view.watermark() == 0
        assert len(stored_items()) == stored

    asyncio.run(scenario())


def test_commits_that_do_not_begin_at_the_watermark_are_refused(deployment, view):
    async def scenario() -> None:
        for value in (1, 2, 3):
            await deployment.commit(a=value)
        with pytest.raises(UnavailableError) as caught:
            await view.apply(deployment.commits[1:])
        assert caught.value.code == "ViewMoved"
        assert stored_items() == []

    asyncio.run(scenario())


def test_the_watermark_goes_on_from_where_others_have_moved_it(deployment, view, wire):
    async def scenario() -> None:
        for value in (1, 2, 3):
            await deployment.commit(a=value)
        gate = Gate(wire)
        slower = asyncio.create_task(view.apply(deployment.commits))
        await gate.reached.wait()
        await deployment.view().apply(deployment.commits[:2])
        assert await view.watermark() == 20
        gate.opened.set()
        await slower
        assert await view.watermark() == 30
        assert await entries_of(view) == deployment.expected()

    asyncio.run(scenario())


def test_the_watermark_of_another_generation_is_left_alone(deployment, view, wire):
    async def scenario() -> None:
        await deployment.commit(a=1)
        gate = Gate(wire)
        late = asyncio.create_task(view.apply(deployment.commits))
        await gate.reached.wait()
        assert await deployment.control.switch(1, 2, Position(0, 0))
        gate.opened.set()
        await late
        assert (await deployment.control.read()).applied == Position(0, 0)
        assert await entries_of(deployment.view()) == {}

    asyncio.run(scenario())


def test_puts_of_one_key_in_a_batch_are_one(deployment, view, wire):
    async def scenario() -> None:
        for _ in range(5):
            await deployment.commit(a=1)
        await view.apply(deployment.commits)
        assert wire.count("PutItem") == 3

    asyncio.run(scenario())


def test_every_put_is_conditional(deployment, view, wire):
    async def scenario() -> None:
        bodies: list[dict] = []

        def note(operation: str, request) -> None:
            if operation in {"PutItem", "DeleteItem"}:
                bodies.append(json.loads(request["body"]))

        wire.intercept = note
        await view.apply([await deployment.commit(a=b"x" * 400_000, b=1)])
        await view.apply([await deployment.commit(a=None)])
        deployment.clock.ns += 31 * MINUTE_NS
        await view.collect_tombstones(100)
        assert len(bodies) == 6 + 2 + 3 + 3
        assert all("ConditionExpression" in body for body in bodies)

    asyncio.run(scenario())

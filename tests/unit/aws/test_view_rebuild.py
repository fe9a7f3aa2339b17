"""Verifying the view in DynamoDB against the log, and building it anew from there."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import boto3
import pytest
from msgspec.structs import replace

from syncline.aws.document_keys import partition_key, stored_key
from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.aws.rebuild_progress import RebuildProgress
from syncline.aws.view_rebuild import RebuildStep, rebuild, remove_other_generations
from syncline.aws.view_verify import Difference, verify
from syncline.commit.record import Loaded, StoredDocument
from syncline.drivers.replica import TABLES
from syncline.errors import UnavailableError
from syncline.index.index_definition import index_id
from syncline.simulated.memory_log import MemoryLog
from syncline.values import wire_json
from tests.contract.documents_backends import key
from tests.unit.aws.view_on_moto import (
    Deployment,
    Wire,
    apply_all,
    entries_of,
    position_of,
    stored_items,
    tapped,
)

LARGE = b'{"v":"%s"}' % (b"L" * 500_000)


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


async def a_history(deployment: Deployment) -> None:
    """Documents that come, move, grow and go."""
    await deployment.commit(a=1, b=2, c=LARGE)
    await deployment.commit(a=3, d="x" * 1500)
    await deployment.commit(b=None, e=5)
    await deployment.commit(d="y" * 1500, c=6)
    await deployment.commit(e=None, b=7)


def plant(place: bytes, **attributes: dict) -> None:
    """Put an entry into the first generation behind the view's back; none: remove it."""
    name = {"p": {"B": partition_key(1, place)}, "k": {"B": stored_key(place)}}
    client = boto3.client("dynamodb")
    if attributes:
        client.put_item(TableName="documents", Item=name | attributes)
    else:
        client.delete_item(TableName="documents", Key=name)


# verify


def test_a_view_that_followed_the_log_is_found_equal_wherever_the_snapshot_is(deployment, view):
    async def scenario() -> None:
        await a_history(deployment)
        await apply_all(view, deployment.commits)
        for folded in (0, 20, 50):
            await deployment.log.fold(folded, commits_max=10)
            report = await verify(deployment.log, view)
            assert report.differences == ()
            assert report.entries == len(deployment.expected()) == 12
            assert report.position == deployment.position

    asyncio.run(scenario())


def test_planted_differences_of_each_kind_are_named(deployment, view):
    async def scenario() -> None:
        await a_history(deployment)
        await apply_all(view, deployment.commits)
        await deployment.log.fold(30, commits_max=10)
        gone, dead, older, other = (key(name, ordinal=0) for name in "abcd")
        extra, nameless = key(99, "ghost"), key(98)
        plant(gone)
        plant(dead, t={"N": "60"}, x={"N": "1"})
        plant(older, t={"N": "30"}, d={"B": deployment.documents["c"][1]})
        plant(other, t={"N": "40"}, d={"B": b"other"})
        plant(extra, t={"N": "7"}, d={"B": b"{}"})
        plant(nameless, t={"N": "8"}, d={"B": b"{}"})
        report = await verify(deployment.log, view)
        assert report.differences_count == 6
        assert list(report.differences) == sorted(
            [
                Difference("missing", gone, "a", 20),
                Difference("missing", dead, "b", 50),
                Difference("different", older, "c", 40),
                Difference("different", other, "d", 40),
                Difference("extra", extra, "ghost", 7),
                Difference("extra", nameless, "", 8),
            ],
            key=lambda each: each.key,
        )

    asyncio.run(scenario())


def test_what_the_view_has_before_its_watermark_says_so_is_no_difference(deployment, view, wire):
    async def scenario() -> None:
        await a_history(deployment)
        await apply_all(view, deployment.commits[:3])

        def meanwhile(operation: str, _request: object) -> None:
            if operation == "Scan":
                wire.intercept = lambda *_: None
                asyncio.run(apply_all(deployment.view(), deployment.commits))

        for folded in (0, 50):
            await deployment.log.fold(folded, commits_max=10)
            wire.intercept = meanwhile
            report = await verify(deployment.log, view)
            assert report.differences == ()
        assert report.position == deployment.position

    asyncio.run(scenario())


def a_table(number: int, ordinals: list[int], next_ordinal: int) -> bytes:
    indexes = [{"ordinal": ordinal} for ordinal in ordinals]
    return wire_json.encode({"number": number, "indexes": indexes, "nextOrdinal": next_ordinal})


def tables_row(deployment: Deployment, document: bytes) -> None:
    """A row of the system table that says which indexes there are, as of the first commit."""
    place = index_id(TABLES, 0) + b"\x10t\x00"
    deployment.log._documents["t"] = StoredDocument("t", TABLES, 10, document, (place,))


def test_entries_of_a_dropped_index_may_be_there_or_not(deployment, view):
    async def scenario() -> None:
        await deployment.commit(a=1, b=2)
        await deployment.log.fold(10, commits_max=10)
        await view.apply(deployment.commits)
        tables_row(deployment, a_table(10_001, [2, 3], 4))
        assert (await verify(deployment.log, view)).differences_count == 1
        tables_row(deployment, a_table(10_001, [2], 4))
        await view.drop_index(index_id(10_001, 3))
        (missing,) = (await verify(deployment.log, view)).differences
        assert missing.document_id == "t"
        built = await rebuild(deployment.log, deployment.control, deployment.tables)
        assert (await verify(deployment.log, view)).differences == ()
        assert {k[:6] for k in await entries_of(built.view)} == {
            index_id(10_001, ordinal) for ordinal in (0, 2)
        }

    asyncio.run(scenario())


def test_a_removed_index_is_emptied_in_steps_that_several_may_make(deployment, view):
    async def scenario() -> None:
        await deployment.commit(a=1, b=2, c=3)
        await view.apply(deployment.commits)
        dropped = index_id(10_001, 3)
        assert await view.drop_entries(dropped, 2) == 2
        assert await deployment.view().drop_entries(dropped, 2) == 1
        assert await view.drop_entries(dropped, 2) == 0
        assert {k[:6] for k in await entries_of(view)} == {
            index_id(10_001, ordinal) for ordinal in (0, 2)
        }

    asyncio.run(scenario())


# rebuild


@pytest.mark.parametrize("folded", [0, 30, 50])
def test_a_rebuilt_view_equals_the_old_one_and_takes_its_place(deployment, view, folded):
    async def scenario() -> None:
        await a_history(deployment)
        await deployment.log.fold(folded, commits_max=10)
        await apply_all(view, deployment.commits)
        steps: list[RebuildStep] = []
        built = await rebuild(
            deployment.log, deployment.control, deployment.tables, on_step=steps.append
        )
        assert (built.generation, built.position) == (2, deployment.position)
        state = await deployment.control.read()
        assert (state.generation, state.applied) == (2, deployment.position)
        assert await entries_of(deployment.view()) == deployment.expected()
        assert (await verify(deployment.log, deployment.view())).differences == ()
        copied = len(deployment.log._documents)
        assert steps[-1] == RebuildStep("following", 2, copied, deployment.position)
        await deployment.commit(a=None)
        await deployment.view().apply(deployment.commits)
        assert await entries_of(deployment.view()) == deployment.expected()

    asyncio.run(scenario())


def test_a_view_rebuilt_at_any_ts_is_what_the_live_one_was_then(deployment, view):
    async def scenario() -> None:
        await a_history(deployment)
        seen = []
        for each in deployment.commits:
            await view.apply([each])
            seen.append((position_of(each), await entries_of(view)))
        for folded, wanted in ((30, seen), (50, seen[::4])):
            await deployment.log.fold(folded, commits_max=10)
            for position, entries in wanted:
                built = await rebuild(
                    deployment.log, deployment.control, deployment.tables, at=position
                )
                assert await entries_of(built.view) == entries
                report = await verify(deployment.log, built.view)
                assert (report.position, report.differences) == (position, ())
        assert (await deployment.control.read()).generation == 1
        assert await remove_other_generations(deployment.control, deployment.tables) > 0
        assert {item["p"]["B"][3] for item in stored_items()} == {1}
        assert await entries_of(deployment.view()) == deployment.expected()

    asyncio.run(scenario())


def test_a_commit_that_the_log_lacks_can_not_be_gone_back_to(deployment):
    async def scenario() -> None:
        await a_history(deployment)
        for folded in (0, 50):
            await deployment.log.fold(folded, commits_max=10)
            other = replace(position_of(deployment.commits[2]), nonce=77)
            with pytest.raises(UnavailableError) as caught:
                await rebuild(deployment.log, deployment.control, deployment.tables, at=other)
            assert caught.value.code == "OutOfRetention"

    asyncio.run(scenario())


class MachineGoneError(Exception):
    """The machine that built is gone."""


async def build_until(deployment: Deployment, phase: str, count: int) -> None:
    """A rebuild that ends with the `count`-th step of a phase."""
    steps: list[str] = []

    def on_step(step: RebuildStep) -> None:
        steps.append(step.phase)
        if steps.count(phase) == count:
            raise MachineGoneError

    with pytest.raises(MachineGoneError):
        await rebuild(deployment.log, deployment.control, deployment.tables, on_step=on_step)


class OneByOneLog(MemoryLog):
    """Its snapshot comes in batches of one document."""

    async def load(self) -> Loaded:
        found = await super().load()

        async def single() -> AsyncIterator[Sequence[StoredDocument]]:
            async for batch in found.documents:
                for each in batch:
                    yield [each]

        return Loaded(found.position, single())


@pytest.mark.parametrize(("phase", "count"), [("filling", 2), ("following", 1), ("following", 2)])
def test_an_interrupted_rebuild_goes_on_where_it_was(deployment, wire, phase, count):
    async def scenario() -> None:
        deployment.log = OneByOneLog(deployment.clock)
        await a_history(deployment)
        await deployment.log.fold(30, commits_max=10)
        await build_until(deployment, phase, count)
        # What the first snapshot brought goes before the second one is opened.
        await deployment.commit(a=None, d=None)
        await deployment.commit(b="z", f=1)
        await deployment.log.fold(70, commits_max=10)
        wire.operations.clear()
        steps: list[RebuildStep] = []
        built = await rebuild(
            deployment.log, deployment.control, deployment.tables, on_step=steps.append
        )
        assert built.generation == 2
        assert await entries_of(deployment.view()) == deployment.expected()
        assert (await verify(deployment.log, deployment.view())).differences == ()
        if phase == "following":
            assert {step.phase for step in steps} == {"following"}

    asyncio.run(scenario())


def test_documents_that_are_there_are_not_copied_again(deployment, wire):
    async def scenario() -> None:
        deployment.log = OneByOneLog(deployment.clock)
        await deployment.commit(**{f"d{at}": at for at in range(6)})
        await deployment.log.fold(10, commits_max=10)
        await build_until(deployment, "filling", 4)
        wire.operations.clear()
        await rebuild(deployment.log, deployment.control, deployment.tables)
        assert wire.count("PutItem") == 2 * 3
        assert await entries_of(deployment.view()) == deployment.expected()

    asyncio.run(scenario())


def test_an_attempt_that_was_taken_over_writes_nothing_more(deployment):
    async def scenario() -> None:
        deployment.log = OneByOneLog(deployment.clock)
        await deployment.commit(a=1, b=2)
        await deployment.log.fold(10, commits_max=10)

        first = RebuildProgress("control", deployment.control)
        building = await first.begin(resume=True)
        built = await rebuild(deployment.log, deployment.control, deployment.tables)
        assert built.generation == building.generation == 2
        with pytest.raises(UnavailableError) as caught:
            await deployment.tables.view(first).apply(deployment.commits)
        assert caught.value.code == "RebuildTakenOver"
        with pytest.raises(UnavailableError):
            await first.copied(1)
        # Not even the last attempt itself, once its generation is live.
        again = RebuildProgress("control", deployment.control)
        assert (await again.begin(resume=True)).generation == 3

    asyncio.run(scenario())


def test_a_rebuild_whose_commits_were_pruned_begins_anew(deployment, view):
    async def scenario() -> None:
        await a_history(deployment)
        await deployment.log.fold(20, commits_max=10)
        await build_until(deployment, "following", 1)
        await apply_all(view, deployment.commits)
        await deployment.log.report_applied("documents", 50)
        await deployment.log.fold(50, commits_max=10)
        assert await deployment.log.prune(keep_after=40, records_before=0)
        with pytest.raises(UnavailableError) as caught:
            await rebuild(deployment.log, deployment.control, deployment.tables)
        assert caught.value.code == "OutOfRetention"
        built = await rebuild(deployment.log, deployment.control, deployment.tables)
        assert built.generation == 3
        assert await entries_of(deployment.view()) == deployment.expected()
        # The first is left over, and of no consequence.
        assert await remove_other_generations(deployment.control, deployment.tables) > 0
        assert await entries_of(deployment.view()) == deployment.expected()

    asyncio.run(scenario())

"""The view in DynamoDB: large documents and keys, pages, expiry, and generations."""

import asyncio
import json
from base64 import b64decode

import boto3
import pytest

from syncline.aws.control import ControlState
from syncline.aws.document_items import COPY_BYTES_MAX, FULL_KEY_BYTES_MAX, PART_BYTES_MAX
from syncline.aws.document_reads import PAGE_PARTS_MAX
from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.commit.record import Position
from syncline.errors import UnavailableError
from syncline.ports import StoredRow
from tests.contract.documents_backends import change, commit, key, page_of, rows_of, whole
from tests.unit.aws.view_on_moto import (
    MINUTE_NS,
    START,
    Deployment,
    Wire,
    entries_of,
    stored_items,
    tapped,
)

LARGE = b"L" * (COPY_BYTES_MAX + PART_BYTES_MAX)


@pytest.fixture
def wire(moto: None):
    with tapped() as wire:
        yield wire


@pytest.fixture
def deployment(wire: Wire) -> Deployment:
    return Deployment()


@pytest.fixture
def view(deployment: Deployment) -> DynamoDocuments:
    return deployment.view()


def parts() -> list[dict]:
    return [item for item in stored_items() if item["p"]["B"][4:8] == b"part"]


def expiries(items: list[dict]) -> set[int | None]:
    return {int(item["x"]["N"]) if "x" in item else None for item in items}


def test_small_documents_are_copied_into_entries_and_large_ones_share_parts(deployment, view):
    async def scenario() -> None:
        fits, exceeds = b"s" * COPY_BYTES_MAX, b"s" * (COPY_BYTES_MAX + 1)
        await view.apply([await deployment.commit(fits=fits, exceeds=exceeds)])
        assert await entries_of(view) == deployment.expected()
        assert len(parts()) == 1
        entries = [item for item in stored_items() if item not in parts()]
        copies = sorted(len(item["d"]["B"]) if "d" in item else 0 for item in entries)
        assert copies == [0, 0, 0, COPY_BYTES_MAX, COPY_BYTES_MAX, COPY_BYTES_MAX]

    asyncio.run(scenario())


def test_no_item_exceeds_what_dynamodb_takes(deployment, view):
    async def scenario() -> None:
        longest = key("k" * (FULL_KEY_BYTES_MAX - 11), "a")
        assert len(longest) == FULL_KEY_BYTES_MAX
        await view.apply([
            commit(10, change("a", b"s" * COPY_BYTES_MAX, (longest,))),
            commit(20, change("b", LARGE, (key("b" * 500_000, "b"),)), previous_ts=10),
        ])  # fmt: skip
        sizes = [
            sum(len(name) + len(next(iter(value.values()))) for name, value in item.items())
            for item in stored_items()
        ]
        assert max(sizes) <= 400 * 1024
        assert max(len(item["k"]["B"]) for item in stored_items()) <= 1024

    asyncio.run(scenario())


def test_parts_of_a_replaced_document_expire_and_those_of_the_new_one_stay(deployment, view):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=LARGE)])
        assert len(parts()) == 2
        assert expiries(parts()) == {None}
        deployment.clock.ns += MINUTE_NS
        await view.apply([await deployment.commit(a=LARGE + b"2")])
        by_ts = {ts: expiries([i for i in parts() if i["k"]["B"][7] == ts]) for ts in (10, 20)}
        assert by_ts == {10: {1_800_000_000 + 60 + 1800}, 20: {None}}
        assert await entries_of(view) == deployment.expected()

    asyncio.run(scenario())


def test_a_reader_that_finds_a_part_gone_reads_the_entry_again(deployment, view, wire):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=LARGE)])
        place = key("a", ordinal=0)

        def lose_parts(operation: str, request) -> None:
            values = json.loads(request["body"]).get("ExpressionAttributeValues", {}).values()
            if operation != "Query" or all(b64decode(v["B"])[4:8] != b"part" for v in values):
                return
            wire.intercept = lambda *_: None
            for part in parts():
                name = {"p": part["p"], "k": part["k"]}
                boto3.client("dynamodb").delete_item(TableName="documents", Key=name)
            (entry,) = [item for item in stored_items() if item["k"]["B"] == place]
            entry = {"p": entry["p"], "k": entry["k"], "t": {"N": "99"}, "d": {"B": b"newer"}}
            boto3.client("dynamodb").put_item(TableName="documents", Item=entry)

        wire.intercept = lose_parts
        assert await rows_of(view, *whole(0)) == [StoredRow(place, 99, b"newer")]
        with pytest.raises(UnavailableError) as caught:
            await rows_of(view, *whole(2))
        assert caught.value.code == "DocumentReplaced"

    asyncio.run(scenario())


def test_keys_larger_than_an_item_are_found_replaced_and_deleted(deployment, view):
    async def scenario() -> None:
        keys = [key("x" * 1000 + "y" * size, "a") for size in (10, 70_000, 500_000)]
        for at, each in enumerate(keys):
            await view.apply([commit(at + 1, change("a", b"%d" % at, (each,)), previous_ts=at)])
        assert await rows_of(view, *whole(), 2) == [
            StoredRow(each, at + 1, b"%d" % at) for at, each in enumerate(keys)
        ]
        dead = change("a", None, (), (3, b"2", (keys[2],)))
        await view.apply([commit(4, dead, previous_ts=3)])
        rows = await rows_of(view, *whole(), 1, reverse=True)
        assert rows[0] == StoredRow(keys[2], 4, None)
        assert len(rows) == 3
        gone = [item for item in parts() if item["k"]["B"][7] in (3, 4)]
        assert len(gone) == 4
        assert expiries(gone) == {1_800_000_000 + 1800}

    asyncio.run(scenario())


def test_pages_end_where_an_answer_of_dynamodb_ends(deployment, view, wire):
    async def scenario() -> None:
        names = {f"d{at}": b"x" * 300_000 for at in range(8)}
        await view.apply([await deployment.commit(**names)])
        page = await page_of(view, *whole(0))
        assert 0 < len(page.rows) < 8
        assert not page.done
        before = wire.count("Query")
        assert len(await rows_of(view, *whole(0))) == 8
        assert wire.count("Query") - before > 1

    asyncio.run(scenario())


def test_a_page_fetches_a_bounded_number_of_parts(deployment, view):
    async def scenario() -> None:
        count = PAGE_PARTS_MAX // 2 + 1
        await view.apply([
            commit(10, *(change(f"{at}", LARGE, (key(at, f"{at}"),)) for at in range(count)))
        ])  # fmt: skip
        page = await page_of(view, *whole())
        assert len(page.rows) == PAGE_PARTS_MAX // 2
        assert not page.done
        assert len(await rows_of(view, *whole())) == count

    asyncio.run(scenario())


def test_one_query_answers_a_read_and_every_read_is_consistent(deployment, view, wire):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=1, b=2)])
        bodies: list[dict] = []
        wire.intercept = lambda _operation, request: bodies.append(json.loads(request["body"]))
        await view.watermark()
        assert len((await page_of(view, *whole(0), 5)).rows) == 2
        assert [body.get("ConsistentRead") for body in bodies] == [True, True]
        assert all("IndexName" not in body for body in bodies)

    asyncio.run(scenario())


def test_tombstones_go_half_an_hour_after_they_were_written_and_not_before(deployment, view):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=1, b=2)])
        await view.apply([await deployment.commit(a=None)])
        tombstones = [item for item in stored_items() if "x" in item]
        assert expiries(tombstones) == {1_800_000_000 + 1800}
        assert len(tombstones) == 3
        deployment.clock.ns += 30 * MINUTE_NS - 1
        await view.collect_tombstones(100)
        assert len(stored_items()) == 6
        deployment.clock.ns += 1
        await view.collect_tombstones(20)
        assert len(stored_items()) == 6
        await view.collect_tombstones(21)
        assert await entries_of(view) == deployment.expected()
        assert len(stored_items()) == 3

    asyncio.run(scenario())


def test_a_tombstone_that_was_written_again_is_not_taken_for_the_old_one(deployment, view):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=1)])
        await view.apply([await deployment.commit(a=None)])
        deployment.clock.ns += 25 * MINUTE_NS
        # As if the one who wrote the tombstones had not come to move the watermark.
        again = DynamoDocuments(
            "documents", StuckAt(Position(10, 1)), clock_ns=deployment.clock.now_ns
        )
        await again.apply(deployment.commits)
        deployment.clock.ns += 6 * MINUTE_NS
        await view.collect_tombstones(100)
        assert expiries(stored_items()) == {1_800_000_000 + (25 + 30) * 60}
        assert len(stored_items()) == 3

    asyncio.run(scenario())


class StuckAt:
    """A watermark that is moved, and found where it was."""

    def __init__(self, position: Position) -> None:
        self.position = position

    async def read(self):
        return ControlState(1, self.position, START, 0, is_dirty=False)

    async def advance_applied(self, generation: int, begin: Position, to: Position) -> bool:
        return True


def test_a_task_reads_the_generation_that_its_watermark_was_said_of(deployment, view):
    async def scenario() -> None:
        await view.apply([await deployment.commit(a=1)])
        assert await view.watermark() == 10
        assert await deployment.control.switch(1, 2, START)
        assert await entries_of(view) == deployment.expected()

        async def newcomer() -> None:
            assert await entries_of(view) == {}
            assert await view.watermark() == 0

        await asyncio.create_task(newcomer())
        assert await entries_of(view) == deployment.expected()
        assert await view.watermark() == 0
        assert await entries_of(view) == {}

    asyncio.run(scenario())

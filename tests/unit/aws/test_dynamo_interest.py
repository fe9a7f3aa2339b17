"""Interests in DynamoDB: the same answers as in memory, and nothing left behind."""

import asyncio
from collections.abc import Callable, Collection

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.aws import dynamo_interest
from syncline.aws.dynamo_interest import QUERIES_MAX, DynamoInterest
from syncline.drivers.memory_interest import MemoryInterest
from syncline.errors import DeveloperError
from syncline.index.index_definition import index_id
from syncline.index.key_encoding import encode_value, values_range
from syncline.index.key_range import KeyRange
from syncline.values.value import Value
from tests.contract.moto_tables import create_table, moto_table

KEYS_OF_TABLE = {"b": "B", "q": "B"}


def key(*values: Value, ordinal: int = 2) -> bytes:
    return index_id(10_001, ordinal) + b"".join(map(encode_value, values))


def equal(*values: Value, ordinal: int = 2) -> KeyRange:
    return values_range(key(*values, ordinal=ordinal))


@pytest.fixture
def interest(moto: None) -> DynamoInterest:
    create_table("interest", KEYS_OF_TABLE)
    return DynamoInterest("interest")


def items() -> list[dict[str, dict[str, bytes]]]:
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName="interest")
    return [item for page in pages for item in page["Items"]]


VALUES = st.sampled_from([None, 0, 7, 2.5, 1.7e12, "a", "a\x00", "ab", "abc", "b", b"\xff"])
WRITTEN = st.builds(
    lambda values, ordinal: key(*values, ordinal=ordinal),
    st.lists(VALUES, max_size=3),
    st.sampled_from([2, 3]),
)
RANGES = st.one_of(
    WRITTEN.map(values_range),
    WRITTEN.map(KeyRange.point),
    st.tuples(WRITTEN, WRITTEN).map(lambda pair: KeyRange(min(pair), max(pair))),
)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(RANGES, max_size=4), max_size=5), st.lists(WRITTEN, max_size=4), st.data())
def test_it_answers_what_memory_answers(read_sets, written, data):
    async def scenario() -> None:
        stored, remembered = DynamoInterest("interest"), MemoryInterest()
        queries = [(f"c{number % 2}", 2**63 - number) for number in range(len(read_sets))]
        for query, ranges in zip(queries, read_sets, strict=True):
            await stored.register(query, ranges)
            await remembered.register(query, ranges)
        assert await stored.match(written) == set(await remembered.match(written))
        if queries:
            for gone in data.draw(st.lists(st.sampled_from(queries))):
                stored.unregister(gone)
                remembered.unregister(gone)
            await stored.settle()
        for each in written:
            assert await stored.match([each]) == set(await remembered.match([each]))

    with moto_table("interest", KEYS_OF_TABLE):
        asyncio.run(scenario())


def test_nothing_is_left_of_queries_that_went_and_everything_of_others(interest):
    async def scenario() -> None:
        await interest.register(("c", 1), [equal(number) for number in range(60)])
        await interest.register(("c", 2), [equal(1), equal("x", ordinal=3)])
        kept = len(items()) - 61
        interest.unregister(("c", 1))
        interest.unregister(("never", 9))
        assert len(items()) == kept + 61
        await interest.settle()
        assert len(items()) == kept == 3
        assert await interest.match([key(1, "id")]) == {("c", 2)}
        await interest.settle()
        assert len(items()) == kept

    asyncio.run(scenario())


def test_a_list_of_many_ranges_lies_in_several_items(interest, monkeypatch):
    monkeypatch.setattr(dynamo_interest, "ITEM_BYTES_MAX", 1000)

    async def scenario() -> None:
        await interest.register(("c", 1), [equal(number) for number in range(40)])
        assert sum("listed" in item for item in items()) == 3
        interest.unregister(("c", 1))
        await interest.settle()
        assert items() == []

    asyncio.run(scenario())


def test_every_item_expires_after_its_connection_must_have_ended_and_is_not_found_then(
    interest, monkeypatch
):
    class Later:
        def __init__(self, after: float) -> None:
            self.after = after

        def time(self) -> float:
            return self.after

    async def scenario() -> None:
        monkeypatch.setattr(dynamo_interest, "time", Later(1e9))
        await interest.register(("c", 1), [equal("a")])
        assert {item["expires"]["N"] for item in items()} == {str(10**9 + 7800)}
        monkeypatch.setattr(dynamo_interest, "time", Later(1e9 + 7799))
        assert await interest.match([key("a")]) == {("c", 1)}
        monkeypatch.setattr(dynamo_interest, "time", Later(1e9 + 7800))
        assert await interest.match([key("a")]) == set()

    asyncio.run(scenario())


def test_a_bucket_of_several_pages_is_read_to_its_end(interest):
    async def scenario() -> None:
        # Bounds of 3,000 bytes each: 1 MB is 175 of them.
        for number in range(200):
            await interest.register((f"c{number}", 1), [KeyRange(key("h" * 3000, 1), key("i"))])
        assert len(await interest.match([key("hi")])) == 200

    asyncio.run(scenario())


def test_keys_of_an_import_are_matched_by_reading_the_whole_table(interest):
    async def scenario() -> None:
        await interest.register(("c", 1), [equal("k17")])
        await interest.register(("c", 2), [equal("k18"), equal()])
        await interest.register(("c", 3), [equal("other"), equal("k")])
        queried = count_calls(interest, "Query")
        written = [key(f"k{number}", "id") for number in range(QUERIES_MAX)]
        assert await interest.match(written) == {("c", 1), ("c", 2)}
        assert queried == []

    asyncio.run(scenario())


def count_calls(interest: DynamoInterest, operation: str) -> list[dict[str, object]]:
    """What the adapter asks from now on, as it goes."""
    asked: list[dict[str, object]] = []
    client_of(interest).meta.events.register(
        f"provide-client-params.dynamodb.{operation}", lambda params, **_: asked.append(params)
    )
    return asked


def client_of(interest: DynamoInterest):
    return interest._model._get_connection().connection.client


def leave_over(interest: DynamoInterest, chosen: Callable[[int], Collection[int]]) -> list[int]:
    """Have DynamoDB leave writes of batches over: `chosen` tells which of how many."""
    sizes: list[int] = []
    left: list[dict[str, object]] = []

    def take_away(params, **_):
        writes = params["RequestItems"]["interest"]
        sizes.append(len(writes))
        numbers = set(chosen(len(writes)))
        left[:] = [write for number, write in enumerate(writes) if number in numbers]
        kept = [write for number, write in enumerate(writes) if number not in numbers]
        return {**params, "RequestItems": {"interest": kept}}

    def name_them(parsed, **_):
        if left:
            parsed["UnprocessedItems"] = {"interest": list(left)}

    events = client_of(interest).meta.events
    events.register("provide-client-params.dynamodb.BatchWriteItem", take_away)
    events.register("after-call.dynamodb.BatchWriteItem", name_them)
    return sizes


def test_writes_for_which_there_was_no_room_are_made_again_and_no_others(interest):
    async def scenario() -> None:
        sizes = leave_over(interest, lambda size: range(3, size))
        await interest.register(("c", 1), [equal(number) for number in range(9)])
        assert sizes == [10, 7, 4, 1]
        assert len(items()) == 10
        interest.unregister(("c", 1))
        await interest.settle()
        assert items() == []

    asyncio.run(scenario())


def test_what_could_not_be_removed_is_removed_the_next_time(interest):
    def deny(**_):
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchWriteItem")

    async def scenario() -> None:
        await interest.register(("c", 1), [equal("a")])
        interest.unregister(("c", 1))
        events = client_of(interest).meta.events
        events.register("provide-client-params.dynamodb.BatchWriteItem", deny)
        with pytest.raises(DeveloperError, match="AccessDenied"):
            await interest.settle()
        assert len(items()) == 2
        events.unregister("provide-client-params.dynamodb.BatchWriteItem", deny)
        await interest.settle()
        assert items() == []

    asyncio.run(scenario())

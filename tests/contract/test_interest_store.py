"""The contract of the interest store (protocols.md rules 17, 18), for every adapter.

What a query is interested in no longer may be reported for a while; what it is interested in must
be reported at once.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.index.index_definition import index_id
from syncline.index.key_encoding import encode_value, values_range
from syncline.index.key_range import KeyRange
from syncline.ports import InterestStore
from syncline.values.value import Value
from tests.contract.interest_backends import INTEREST, InterestBackend

TABLE = 10_001
EVERY_ADAPTER = pytest.mark.parametrize("backend", INTEREST.values(), ids=INTEREST.keys())


def with_store(
    backend: InterestBackend, scenario: Callable[[InterestStore], Awaitable[None]]
) -> None:
    """Run a scenario on an empty store."""

    async def run() -> None:
        async with backend.open() as store:
            await scenario(store)

    asyncio.run(run())


def prefix(*values: Value, ordinal: int = 2, table: int = TABLE) -> bytes:
    return index_id(table, ordinal) + b"".join(map(encode_value, values))


def equal(*values: Value, ordinal: int = 2) -> KeyRange:
    return values_range(prefix(*values, ordinal=ordinal))


@EVERY_ADAPTER
def test_a_key_finds_the_queries_that_read_around_it_and_no_others(backend):
    async def scenario(store: InterestStore) -> None:
        await store.register("channel", [equal("general")])
        await store.register("channel too", [equal("general")])
        await store.register("newer", [KeyRange(prefix("general", 5), prefix("general", 9))])
        await store.register("whole", [equal()])
        await store.register("from g", [KeyRange(prefix("g"), prefix("h"))])
        await store.register("other channel", [equal("random")])
        await store.register("other index", [equal("general", ordinal=3)])
        await store.register("document", [KeyRange.point(prefix("general", 7, "id"))])
        await store.register("nothing", [])
        always = {"channel", "channel too", "whole", "from g"}
        assert set(await store.match([prefix("general", 4, "id")])) == always
        assert set(await store.match([prefix("general", 5)])) == always | {"newer"}
        found = await store.match([prefix("general", 7, "id")])
        assert set(found) == always | {"newer", "document"}
        assert set(await store.match([prefix("general", 9)])) == always
        assert set(await store.match([prefix("h")])) == {"whole"}
        assert set(await store.match([prefix("general", table=TABLE + 1)])) == set()
        both = await store.match([prefix("random", 1), prefix("general", 1, ordinal=3)])
        assert set(both) == {"other channel", "other index", "whole"}
        assert set(await store.match([])) == set()

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_new_interest_counts_at_once(backend):
    async def scenario(store: InterestStore) -> None:
        await store.register("q", [equal("a"), equal("b")])
        await store.register("q", [equal("b"), equal("c")])
        assert "q" in await store.match([prefix("c", 1)])
        assert "q" in await store.match([prefix("b", 1)])
        store.unregister("q")
        await store.register("q", [equal("d")])
        assert "q" in await store.match([prefix("d", 1)])

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_a_query_that_goes_takes_no_other_with_it(backend):
    async def scenario(store: InterestStore) -> None:
        for name in ("q", "r"):
            await store.register(name, [equal("a"), equal("b", ordinal=3)])
        store.unregister("q")
        store.unregister("never registered")
        assert "r" in await store.match([prefix("a", 1)])
        assert "r" in await store.match([prefix("b", 1, ordinal=3)])

    with_store(backend, scenario)


@EVERY_ADAPTER
def test_any_number_of_queries_may_read_the_same_and_long_keys_too(backend):
    async def scenario(store: InterestStore) -> None:
        long = "l" * 1500
        for number in range(300):
            await store.register(f"q{number}", [equal("hot"), equal(long, number)])
        assert len(set(await store.match([prefix("hot", 1)]))) == 300
        assert set(await store.match([prefix(long, 17, "id")])) == {"q17"}
        assert set(await store.match([prefix(long + "m", 17, "id")])) == set()

    with_store(backend, scenario)


VALUES = st.sampled_from([None, -1, 0, 2.5, "", "a", "a\x00", "b", b"", b"\xff", "l" * 1000])
KEYS = st.builds(
    lambda values, ordinal: prefix(*values, ordinal=ordinal),
    st.lists(VALUES, max_size=3),
    st.sampled_from([2, 3]),
)
RANGES = st.one_of(
    KEYS.map(values_range),
    KEYS.map(KeyRange.point),
    st.tuples(KEYS, KEYS).map(lambda pair: KeyRange(min(pair), max(pair))),
)
QUERIES = st.sampled_from(["p", "q", "r"])
STEPS = st.lists(
    st.one_of(
        st.tuples(QUERIES, st.none() | st.lists(RANGES, max_size=4)),
        st.tuples(st.just("match"), st.lists(KEYS, max_size=3)),
    ),
    max_size=20,
)


@EVERY_ADAPTER
def test_no_interest_is_missed_and_none_is_made_up(backend):
    @settings(max_examples=backend.examples, deadline=None)
    @given(STEPS)
    def holds(steps):
        with_store(backend, lambda store: follow(store, steps))

    holds()


async def follow(store: InterestStore, steps) -> None:
    """Take the steps, and check each answer."""
    present: dict[str, list[KeyRange]] = {}
    ever: dict[str, list[KeyRange]] = {}

    def holding(interests: dict[str, list[KeyRange]], keys: list[bytes]) -> set[str]:
        return {
            query
            for query, ranges in interests.items()
            if any(each in one for one in ranges for each in keys)
        }

    for who, argument in steps:
        if who == "match":
            found = set(await store.match(argument))
            assert holding(present, argument) <= found <= holding(ever, argument)
        elif argument is None:
            store.unregister(who)
            present.pop(who, None)
        else:
            await store.register(who, argument)
            present[who] = argument
            ever.setdefault(who, []).extend(argument)

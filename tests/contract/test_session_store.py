"""The contract of the session store (protocols.md rule 19), for every adapter."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from syncline.ports import SessionRecord, SessionStore
from tests.contract.session_backends import SESSIONS, WithSessions

EVERY_ADAPTER = pytest.mark.parametrize("with_sessions", SESSIONS.values(), ids=SESSIONS.keys())


FIRST = SessionRecord(
    1, 0, sending=False, interest=0, tick_ms=1_700_000_015_000, silence_ms=60_000, state=b"one"
)


@EVERY_ADAPTER
def test_what_was_never_opened_is_not_there(with_sessions: WithSessions):
    async def scenario(store: SessionStore) -> None:
        assert await store.load("L0SM9cOFvHcCIhw=") is None
        await store.put("L0SM9cOFvHcCIhx=", FIRST)
        assert await store.load("L0SM9cOFvHcCIhw=") is None

    with_sessions(scenario)


@EVERY_ADAPTER
def test_a_record_comes_back_as_it_was_stored(with_sessions: WithSessions):
    async def scenario(store: SessionStore) -> None:
        assert await store.put("c", FIRST)
        assert await store.load("c") == FIRST
        # A queue's numbers have 20 digits and more, names of read sets 63 bits.
        changed = SessionRecord(
            version=2,
            sequence=1885 * 10**25,
            sending=True,
            interest=2**63,
            tick_ms=None,
            silence_ms=0,
            state=b"x" * 5000,
        )
        assert await store.put("c", changed)
        assert await store.load("c") == changed
        cleared = replace(changed, version=3, sending=False)
        assert await store.put("c", cleared)
        assert await store.load("c") == cleared

    with_sessions(scenario)


@EVERY_ADAPTER
def test_only_the_next_version_is_stored(with_sessions: WithSessions):
    async def scenario(store: SessionStore) -> None:
        assert not await store.put("c", replace(FIRST, version=2))
        assert await store.load("c") is None
        assert await store.put("c", FIRST)
        for version in (1, 3):
            assert not await store.put("c", replace(FIRST, version=version, sending=True))
        assert await store.load("c") == FIRST
        assert await store.put("c", replace(FIRST, version=2))
        assert not await store.put("c", replace(FIRST, version=2, sequence=7))

    with_sessions(scenario)


@EVERY_ADAPTER
def test_of_several_who_store_one_version_one_is_told_that_it_did(with_sessions: WithSessions):
    async def scenario(store: SessionStore) -> None:
        records = [replace(FIRST, sequence=number) for number in range(4)]
        stored = await asyncio.gather(*(store.put("c", record) for record in records))
        assert sorted(stored) == [False, False, False, True]
        assert await store.load("c") == records[stored.index(True)]

    with_sessions(scenario)


@EVERY_ADAPTER
def test_a_large_state_comes_back_whole_and_may_become_small_again(with_sessions: WithSessions):
    async def scenario(store: SessionStore) -> None:
        large = replace(FIRST, state=Random(1).randbytes(700_000))
        assert await store.put("c", large)
        assert await store.load("c") == large
        again = replace(large, version=2, sending=True)
        assert await store.put("c", again)
        assert not await store.put("c", replace(again, state=Random(2).randbytes(10**6)))
        assert await store.load("c") == again
        small = replace(FIRST, version=3)
        assert await store.put("c", small)
        assert await store.load("c") == small

    with_sessions(scenario)

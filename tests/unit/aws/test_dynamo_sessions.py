"""Sessions in DynamoDB: expiry, ticks that are due, parts, and answers that get lost."""

import asyncio
import time
from dataclasses import replace
from random import randbytes

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pynamodb.exceptions import UpdateError

from syncline.aws.dynamo_sessions import STATE_BYTES_MAX, DynamoSessions, OpenSession
from syncline.errors import CallerError, CorruptionError, DeveloperError
from syncline.ports import SessionRecord
from tests.contract.moto_tables import create_table

NOW = int(time.time())


@pytest.fixture
def sessions(moto: None) -> DynamoSessions:
    create_table("sessions", {"c": "S"})
    return DynamoSessions("sessions")


def record(
    version: int = 1,
    *,
    tick: int | None = NOW,
    state: bytes = b"",
    sending: bool = False,
    silence: int = 0,
) -> SessionRecord:
    """A record of a session that wants a tick at `tick` (epoch seconds)."""
    tick_ms = None if tick is None else tick * 1000
    return SessionRecord(version, 0, sending, 0, tick_ms, silence, state)


def item(connection: str) -> dict[str, dict[str, str]]:
    key = {"c": {"S": connection}}
    return boto3.client("dynamodb").get_item(TableName="sessions", Key=key)["Item"]


def stored_names() -> list[str]:
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName="sessions")
    return sorted(each["c"]["S"] for page in pages for each in page["Items"])


async def due(sessions: DynamoSessions, now: int, segments: int = 1) -> list[str]:
    return sorted([
        each.connection
        for segment in range(segments)
        async for page in sessions.open_sessions(segment, segments, now_ms=now * 1000)
        for each in page
        if each.is_due
    ])  # fmt: skip


def test_a_session_expires_after_its_connection_must_have_ended_whatever_is_stored_later(sessions):
    async def scenario() -> None:
        assert await sessions.put("c", record())
        first = int(item("c")["expires"]["N"])
        assert NOW + 7800 <= first <= time.time() + 7800
        marked = str(first - 60)
        boto3.client("dynamodb").update_item(
            TableName="sessions",
            Key={"c": {"S": "c"}},
            UpdateExpression="SET expires = :e",
            ExpressionAttributeValues={":e": {"N": marked}},
        )
        assert await sessions.put("c", record(2))
        assert item("c")["expires"]["N"] == marked

    asyncio.run(scenario())


def test_a_tick_is_due_when_the_session_wants_one(sessions):
    async def scenario() -> None:
        await sessions.put("silent", record())
        await sessions.put("talking", record(tick=NOW + 15))
        assert await due(sessions, NOW) == ["silent"]
        assert await due(sessions, NOW + 14) == ["silent"]
        assert await due(sessions, NOW + 15) == ["silent", "talking"]
        await sessions.put("silent", record(2, tick=NOW + 16))
        assert await due(sessions, NOW + 15) == ["talking"]

    asyncio.run(scenario())


def test_every_session_that_is_not_over_is_seen_with_what_its_client_bears(sessions):
    async def scenario() -> None:
        assert await sessions.is_empty()
        await sessions.put("patient", record(tick=None, silence=60_000))
        await sessions.put("over", record(tick=None))
        assert not await sessions.is_empty()
        (page,) = [page async for page in sessions.open_sessions(0, 1, now_ms=NOW * 1000)]
        assert page == [OpenSession("patient", 60_000, is_due=False)]
        await sessions.put("patient", record(2, tick=None))
        assert await sessions.is_empty()

    asyncio.run(scenario())


def test_closed_and_expired_sessions_get_no_tick_but_a_stuck_sender_is_found(sessions):
    async def scenario() -> None:
        await sessions.put("closed", record())
        await sessions.put("closed", record(2, tick=None))
        await sessions.put("stuck", record(tick=None, sending=True))
        assert await due(sessions, NOW + 60) == ["stuck"]
        assert await sessions.load("stuck") == record(tick=None, sending=True)
        assert await due(sessions, NOW + 3 * 3600) == []

    asyncio.run(scenario())


def test_all_segments_together_see_every_session_once_and_no_part(sessions):
    async def scenario() -> None:
        for number in range(30):
            await sessions.put(f"c{number}", record())
        await sessions.put("large", record(state=randbytes(500_000)))
        expected = sorted([*(f"c{number}" for number in range(30)), "large"])
        for segments in (1, 4):
            assert await due(sessions, NOW + 60, segments) == expected

    asyncio.run(scenario())


def test_a_state_is_compressed_and_cut_into_parts_that_are_written_once(sessions):
    async def scenario() -> None:
        await sessions.put("c", record(state=b"x" * 10**6))
        assert stored_names() == ["c"]
        large = record(2, state=randbytes(900_000))
        await sessions.put("c", large)
        names = stored_names()
        assert len(names) == 4
        assert "state" not in item("c")
        await sessions.put("c", replace(large, version=3))
        assert stored_names() == names
        assert all(int(item(name)["expires"]["N"]) >= NOW + 7800 for name in names)

    asyncio.run(scenario())


def test_a_state_above_the_bound_is_refused_and_nothing_is_stored(sessions):
    async def scenario() -> None:
        with pytest.raises(CallerError) as caught:
            await sessions.put("c", record(state=randbytes(STATE_BYTES_MAX)))
        assert caught.value.code == "SessionTooLarge"
        assert stored_names() == []

    asyncio.run(scenario())


def test_a_missing_part_is_noticed(sessions):
    async def scenario() -> None:
        await sessions.put("c", record(state=randbytes(500_000)))
        part = next(name for name in stored_names() if "#" in name)
        boto3.client("dynamodb").delete_item(TableName="sessions", Key={"c": {"S": part}})
        with pytest.raises(CorruptionError, match="Parts of the session"):
            await sessions.load("c")

    asyncio.run(scenario())


class Lossy(DynamoSessions):
    """Its first writes happen, but their answers don't arrive; `before`: other errors first."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__("sessions")
        self.errors = list(errors)

    def _update(self, *arguments):
        answer = super()._update(*arguments)
        if self.errors:
            raise UpdateError("lost", self.errors.pop())
        return answer


LOST = ReadTimeoutError(endpoint_url="https://dynamodb.test")


def test_who_stored_a_version_is_told_so_even_if_the_first_answer_was_lost(sessions):
    async def scenario() -> None:
        lossy = Lossy(LOST, LOST)
        assert await lossy.put("c", record())
        assert await sessions.put("c", record(2))
        lossy.errors.append(LOST)
        assert not await lossy.put("c", record(2, tick=NOW + 1))
        assert await sessions.load("c") == record(2)

    asyncio.run(scenario())


def test_throttling_passes_and_a_refusal_is_reported(sessions):
    async def scenario() -> None:
        throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")
        assert await Lossy(throttled, throttled).put("c", record())
        denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateItem")
        with pytest.raises(DeveloperError):
            await Lossy(denied).put("d", record())

    asyncio.run(scenario())

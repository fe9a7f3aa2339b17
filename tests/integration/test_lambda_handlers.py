"""The Lambda handlers, each step by hand: subscribe, mutate, follow, refresh, keep alive."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.little_cloud import LittleCloud, little_cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    with mock_aws(), little_cloud(monkeypatch) as found:
        found.push()
        yield found


def subscribed(cloud: LittleCloud, connection_id: str, channel: str) -> list[dict[str, Any]]:
    """A client that has connected and follows a channel; what it was told."""
    cloud.connect(connection_id)
    cloud.say(connection_id, type="Connect", sessionId=str(uuid.uuid4()), connectionCount=0)
    cloud.say(
        connection_id,
        type="ModifyQuerySet",
        baseVersion=0,
        newVersion=1,
        modifications=[
            {
                "type": "Add",
                "queryId": 0,
                "udfPath": "messages:list_by_channel",
                "args": [{"channel": channel}],
            }
        ],
    )
    cloud.deliver()
    return cloud.said(connection_id)


def values(frames: list[dict[str, Any]]) -> list[Any]:
    """Every query result in Transitions, in order."""
    return [
        change["value"]
        for frame in frames
        if frame["type"] == "Transition"
        for change in frame["modifications"]
    ]


def send(cloud: LittleCloud, connection_id: str, request: int, channel: str, body: str) -> None:
    cloud.say(
        connection_id,
        type="Mutation",
        requestId=request,
        udfPath="messages:send",
        args=[{"channel": channel, "body": body}],
    )


def test_a_mutation_is_answered_and_every_subscriber_of_its_channel_sees_it(cloud: LittleCloud):
    assert values(subscribed(cloud, "ann", "red")) == [[]]
    assert values(subscribed(cloud, "bob", "red")) == [[]]
    assert values(subscribed(cloud, "eve", "blue")) == [[]]
    send(cloud, "ann", 0, "red", "hello")
    cloud.deliver()
    told = cloud.said("ann")
    assert [frame["type"] for frame in told] == ["MutationResponse", "Transition"]
    assert told[0]["success"] is True
    assert values(told) == [["hello"]]
    assert values(cloud.said("bob")) == [["hello"]]
    assert cloud.said("eve") == []


def test_a_cold_process_goes_on_where_another_stopped(cloud: LittleCloud):
    assert values(subscribed(cloud, "ann", "red")) == [[]]
    cloud.restart()
    send(cloud, "ann", 0, "red", "one")
    cloud.deliver()
    assert values(cloud.said("ann")) == [["one"]]
    cloud.restart()
    send(cloud, "ann", 1, "red", "two")
    cloud.deliver()
    assert values(cloud.said("ann")) == [["one", "two"]]


def test_requests_that_arrive_swapped_run_in_the_order_of_their_ids(cloud: LittleCloud):
    subscribed(cloud, "ann", "red")
    send(cloud, "ann", 1, "red", "second")
    send(cloud, "ann", 0, "red", "first")
    cloud.deliver()
    assert values(cloud.said("ann"))[-1] == ["first", "second"]


def test_a_client_that_left_is_forgotten(cloud: LittleCloud):
    subscribed(cloud, "ann", "red")
    cloud.disconnect("ann")
    cloud.deliver()
    subscribed(cloud, "bob", "red")
    send(cloud, "bob", 0, "red", "hello")
    cloud.deliver()
    assert "ann" not in cloud.gateway.frames
    assert values(cloud.said("bob")) == [["hello"]]


def test_clients_are_kept_alive_from_outside_their_lanes(cloud: LittleCloud):
    subscribed(cloud, "ann", "red")
    cloud.connect("guest", version=None)
    cloud.deliver()
    pings: dict[str, int] = {"ann": 0, "guest": 0}
    for slot in (4, 5):
        cloud.process.run(cloud.process.deployed.tick_queue.fan_out({slot: 0}))
        cloud.tick()
        for connection_id in pings:
            pings[connection_id] += cloud.said(connection_id).count({"type": "Ping"})
    assert pings == {"ann": 1, "guest": 2}


def test_the_minute_asks_for_a_sweep_while_something_may_be_left(cloud: LittleCloud):
    cloud.deliver()
    assert cloud.process.run(cloud.process.deployed.control.dirty()) is not None
    cloud.sweep()
    assert cloud.deliver() == 1


def test_an_idle_deployment_asks_nobody_for_anything(cloud: LittleCloud):
    cloud.deliver()

    async def close_marks() -> None:
        deployed = cloud.process.deployed
        mark = await deployed.control.dirty()
        assert mark is not None
        assert await deployed.control.clear(mark, await deployed.log.close_mark(mark))

    cloud.process.run(close_marks())
    calls = len(cloud.log_calls)
    cloud.sweep()
    assert cloud.deliver() == 0
    cloud.tick()
    assert values(subscribed(cloud, "ann", "red")) == [[]]
    assert len(cloud.log_calls) == calls, "a page load of an idle deployment wakes no database"
    send(cloud, "ann", 0, "red", "hello")
    cloud.deliver()
    assert values(cloud.said("ann")) == [["hello"]]
    assert len(cloud.log_calls) > calls

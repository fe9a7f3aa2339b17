"""Handlers die at every call that they make, before it and after it; nothing is lost or doubled.

One mutation with two subscribers is the story; it is told again for every call that its handlers
were seen to make, each time with a death there. Then every message is given out twice, and two
followers work at once (protocols.md rules 2, 5, 13, 17, 19).
"""

import asyncio
import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from syncline.aws.process import Process
from syncline.aws.view_verify import verify
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.kill_points import AFTER, BEFORE, KillSwitch, watching
from tests.integration.little_cloud import LittleCloud, little_cloud
from tests.simulation.model_client import ModelClient, Settled, Snapshot

CHANNEL = "red"
KILL_SHARES = 2
"""Tests among which the kill points are dealt, so that workers share them."""

READS = ("GetItem", "Query", "Scan", "GetSecretValue", "GetObject", "log tail")
"""Calls after which nothing has changed: a death there is one before the next call."""


class Client:
    """A model of the npm client on a socket of the little cloud, coming back when it is closed."""

    def __init__(self, cloud: LittleCloud, name: str) -> None:
        self._cloud = cloud
        self._name = name
        self._numbers = itertools.count()
        self._socket = ""
        self.shown: Any = None
        self.settled: list[Settled] = []
        self._model = ModelClient(str(uuid.uuid4()), self._show)
        self._model.subscribe("messages:list_by_channel", {"channel": CHANNEL})
        self._connect()

    def _show(self, snapshot: Snapshot) -> None:
        (result,) = snapshot.results.values()
        self.shown = result.value

    def _connect(self) -> None:
        self._socket = f"{self._name}{next(self._numbers)}="
        self._cloud.connect(self._socket)
        socket = self._socket
        self._model.open(lambda text: self._cloud.say(socket, **json.loads(text)))

    def send(self, body: str) -> None:
        arguments = {"channel": CHANNEL, "body": body}
        self._model.mutate("messages:send", arguments, self.settled.append)

    def look(self) -> bool:
        """Take what has arrived; come back if the connection was closed. False: nothing new."""
        gateway = self._cloud.gateway
        if self._socket in gateway.closed:
            gateway.closed.remove(self._socket)
            self._model.lost()
            self._cloud.disconnect(self._socket)
            self._connect()
            return True
        frames = self._cloud.said(self._socket)
        for frame in frames:
            self._model.receive(json.dumps(frame))
        return bool(frames)


class Story:
    """A cloud with two clients, who agree on all that was ever sent."""

    def __init__(self, cloud: LittleCloud, switch: KillSwitch) -> None:
        self.cloud = cloud
        self.switch = switch
        self.ann, self.bob = Client(cloud, "ann"), Client(cloud, "bob")
        self.sent: list[str] = []
        self.settle()

    def settle(self) -> None:
        """Deliver until nothing moves any more, sweep what hints were lost of, and again."""
        for _ in range(2):
            while self.cloud.deliver() + self.ann.look() + self.bob.look():
                pass
            self.cloud.sweep()

    def tell(self, body: str) -> None:
        """One mutation, and what must be true after it."""
        self.sent.append(body)
        self.ann.send(body)
        self.settle()
        assert len(self.ann.settled) == len(self.sent)
        assert self.ann.settled[-1].is_success
        assert self.ann.shown == self.sent
        assert self.bob.shown == self.sent

    async def _verify(self) -> int:
        deployed = self.cloud.process.deployed
        report = await verify(self.cloud.log, deployed.documents)
        assert report.differences_count == 0, report.differences
        assert report.position == self.cloud.log.head
        return report.entries

    def check_view(self) -> None:
        """The view equals the log, row for row."""
        assert self.cloud.process.run(self._verify()) > len(self.sent)


@pytest.fixture
def switch() -> KillSwitch:
    return KillSwitch()


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch, switch: KillSwitch) -> Iterator[Story]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    with mock_aws(), little_cloud(monkeypatch) as cloud:
        cloud.push()
        with watching(switch):
            cloud.watch(switch)
            cloud.restart()
            yield Story(cloud, switch)


def enumerated(story: Story) -> list[str]:
    """The calls that one mutation makes from its message to its last Transition."""
    story.tell("rehearsal")
    story.switch.watch()
    story.tell("recorded")
    calls = list(story.switch.calls)
    story.switch.disarm()
    return calls


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("share", range(KILL_SHARES))
def test_a_death_at_any_call_loses_and_doubles_nothing(story: Story, when: str, share: int):
    calls = enumerated(story)
    assert any("append" in call for call in calls)
    assert any("post" in call for call in calls)
    assert any("UpdateItem" in call for call in calls)
    points = [
        at
        for at, call in enumerate(calls)
        if when == BEFORE or not any(name in call for name in READS)
    ]
    deaths = 0
    for at in points[share::KILL_SHARES]:
        story.switch.arm(at, when)
        story.tell(f"{when} {at}")
        deaths += story.cloud.deaths
        story.cloud.deaths = 0
        story.switch.disarm()
    print(f"{deaths} deaths {when} {len(points)} of {len(calls)} calls, share {share}")
    assert deaths > len(points) // KILL_SHARES // 2
    story.check_view()


def test_messages_that_are_given_out_twice_take_effect_once(story: Story):
    story.cloud.redelivers = True
    for number in range(5):
        story.tell(f"twice {number}")
    story.check_view()


def test_two_followers_at_once_leave_the_view_equal_to_the_log(story: Story):
    cloud = story.cloud
    other = Process(cloud.settings)
    other.deployed.__dict__ |= {"log": cloud.log, "gateway": cloud.gateway}

    async def follow_together() -> None:
        one, two = cloud.process.deployed.upkeep, other.deployed.upkeep
        await asyncio.gather(one.catch_up(), two.catch_up(), return_exceptions=True)

    for number in range(4):
        story.sent.append(f"shared {number}")
        story.ann.send(story.sent[-1])
        cloud.deliver_sessions()
        cloud.process.run(follow_together())
        story.settle()
        assert story.bob.shown == story.sent
    other.close()
    story.check_view()

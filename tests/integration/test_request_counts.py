"""How often handlers ask AWS for something, as `aws.cost.MEASURED` says and docs/cost.md shows.

Counted where the calls are made: the SDK's clients, the log, the sockets. What AWS itself asks of
the queues (API Gateway's sends, Lambda's polls) is not seen here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import orjson
import pytest
from moto import mock_aws

from syncline.aws.cost import MEASURED
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.kill_points import KillSwitch, watching
from tests.integration.little_cloud import LittleCloud, little_cloud
from tests.integration.test_kill_points import CHANNEL, Client

METERS: Final[Mapping[str, str]] = {
    "dynamodb GetItem": "table reads",
    "dynamodb BatchGetItem": "table reads",
    "dynamodb Query": "table reads",
    "dynamodb PutItem": "table writes",
    "dynamodb UpdateItem": "table writes",
    "dynamodb DeleteItem": "table writes",
    "dynamodb BatchWriteItem": "table writes",
    "log append": "database calls",
    "log tail": "database calls",
    "gateway post": "posts",
    "secretsmanager GetSecretValue": "secret reads",
    "s3 GetObject": "bucket reads",
    "sqs SendMessageBatch": "sends",
}
COUNTED: Final = ("database calls", "table reads", "table writes")


class Counted:
    """A cloud with one client that is subscribed to what it writes."""

    def __init__(self, cloud: LittleCloud, switch: KillSwitch) -> None:
        self.cloud = cloud
        self._switch = switch
        self.clients = [Client(cloud, "ann")]
        self._bodies = 0
        self.settle()
        for _ in range(2):
            self.mutation()

    def settle(self) -> None:
        while self.cloud.deliver() + sum(client.look() for client in self.clients):
            pass

    def mutation(self) -> Counter[str]:
        """What one mutation costs from its message until all is quiet."""
        self._switch.watch()
        self._bodies += 1
        self.clients[0].send(str(self._bodies))
        self.settle()
        return Counter(METERS[call] for call in self._switch.calls)

    def scheduled(self) -> Counter[str]:
        """What the run of a scheduled mutation costs from its notice until all is quiet."""
        later = {"channel": CHANNEL, "body": "later"}
        call = self.cloud.process.engine

        async def plan() -> None:
            engine = await call()
            answer = await engine.mutation("messages:send_later", orjson.dumps(later))
            assert answer.value is not None, answer.error_message

        self.cloud.process.run(plan())
        self.cloud.deliver_follower()
        self.cloud.deliver_sessions()
        self._switch.watch()
        self.settle()
        assert self.clients[0].shown[-1] == "later"
        return Counter(METERS[call] for call in self._switch.calls)

    def join(self) -> None:
        """One more client that follows the same."""
        self.clients.append(Client(self.cloud, f"guest{len(self.clients)}"))
        self.settle()
        self.mutation()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    switch = KillSwitch()
    with mock_aws(), little_cloud(monkeypatch) as cloud:
        cloud.push()
        with watching(switch):
            cloud.watch(switch)
            cloud.restart()
            yield Counted(cloud, switch)
            switch.disarm()


def test_a_warm_mutation_asks_for_what_the_table_says(counted: Counted):
    found = counted.mutation()
    print("warm mutation", dict(found))
    assert {name: found[name] for name in COUNTED} == {
        name: MEASURED["warm mutation"][name] for name in COUNTED
    }
    assert found["posts"] == 2
    assert found["database calls"] == 2, "one append by the session, one look by the follower"


def test_a_warm_update_asks_for_what_the_table_says(counted: Counted):
    alone = counted.mutation()
    counted.join()
    more = counted.mutation() - alone
    print("warm update", dict(more))
    assert {name: more[name] for name in COUNTED} == {
        name: MEASURED["warm update"][name] for name in COUNTED
    }
    assert more["posts"] == 1


def test_a_scheduled_mutation_asks_for_what_the_table_says(counted: Counted):
    counted.scheduled()
    found = counted.scheduled()
    print("scheduled mutation", dict(found))
    assert {name: found[name] for name in COUNTED} == {
        name: MEASURED["scheduled mutation"][name] for name in COUNTED
    }


def test_a_cold_mutation_asks_for_what_the_table_says(counted: Counted):
    counted.cloud.restart()
    found = counted.mutation()
    print("cold mutation", dict(found))
    assert {name: found[name] for name in COUNTED} == {
        name: MEASURED["cold mutation"][name] for name in COUNTED
    }

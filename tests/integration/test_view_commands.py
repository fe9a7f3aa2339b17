"""`syncline verify` and `syncline rebuild` on a deployment of moto's."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from syncline.aws.account import FOLLOWER_HANDLER
from syncline.aws.deployed import Deployed
from syncline.cli.app import app
from syncline.local_cloud.moto_queues import make_queues_faithful
from tests.integration.little_cloud import LittleCloud, little_cloud
from tests.integration.test_lambda_handlers import send, subscribed


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleCloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    make_queues_faithful()
    with mock_aws(), little_cloud(monkeypatch) as found:
        found.push()
        subscribed(found, "ann", "red")
        for number in range(3):
            send(found, "ann", number, "red", f"message {number}")
        found.deliver()
        # The commands make adapters of their own; the log's model is this one.
        monkeypatch.setattr(Deployed, "log", found.log, raising=True)
        _make_follower(found)
        yield found


def _make_follower(cloud: LittleCloud) -> None:
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as code:
        code.writestr("x.py", "")
    for deployment in ("other", "little"):
        boto3.client("lambda").create_function(
            FunctionName=f"{deployment}-follower",
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler=FOLLOWER_HANDLER,
            Code={"ZipFile": packed.getvalue()},
            Environment={"Variables": replace(cloud.settings, deployment=deployment).environment()},
        )


def syncline(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--deployment", "little"])
    return result.exit_code, result.output


def test_a_view_that_lost_a_row_is_found_out_and_rebuilt(cloud: LittleCloud):
    code, text = syncline("verify")
    assert code == 0, text
    assert "as the log says" in text
    table = boto3.client("dynamodb")
    rows = table.scan(TableName="documents")["Items"]
    lost = next(row for row in rows if b"message 1" in row.get("d", {}).get("B", b""))
    table.delete_item(TableName="documents", Key={"p": lost["p"], "k": lost["k"]})
    code, text = syncline("verify", "--json")
    assert code == 1
    report = json.loads(text)
    assert report["differences"] == 1
    assert report["first"][0]["kind"] == "missing"
    code, text = syncline("rebuild")
    assert code == 0, text
    assert "Generation 2 is live" in text
    code, text = syncline("verify")
    assert code == 0, text
    send(cloud, "ann", 3, "red", "after it")
    cloud.deliver()
    assert cloud.said("ann")[-1]["modifications"][0]["value"][-1] == "after it"


def test_an_unknown_deployment_is_named(cloud: LittleCloud):
    result = CliRunner().invoke(app, ["verify", "--deployment", "nowhere"])
    assert result.exit_code != 0
    assert "nowhere" in str(result.exception)

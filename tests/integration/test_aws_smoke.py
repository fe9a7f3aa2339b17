"""The checks of scripts/aws_smoke.py, as far as they can be tried without AWS.

Those that need an address only are run against a development deployment: whether they ask what they
mean to ask is shown there, what AWS answers is not.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scripts import smoke_account, smoke_clients
from scripts.aws_smoke import ALL_CHECKS, chosen, listing, run
from scripts.smoke_clients import Check, Deployment, SmokeError
from scripts.smoke_socket import inversions, percentile, timestamp
from syncline.aws.data_api import DataApi
from syncline.aws.settings import DataApiDatabase
from tests.clients.server import PROJECT, DevServer
from tests.contract.log_backends import data_api_client, running_data_api, running_postgres

CHECKS = {check.name: check for check in ALL_CHECKS}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with DevServer(PROJECT / "functions", tmp_path_factory.mktemp("smoke")) as server:
        yield Deployment(server.url)


def test_the_list_names_every_check_with_its_question_and_source():
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.aws_smoke", "--list"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert shown == listing() + "\n"
    for check in ALL_CHECKS:
        assert f"{check.name} " in shown
        assert check.question in shown
        assert check.source in shown
    assert len(CHECKS) == len(ALL_CHECKS)


def test_the_operations_page_has_the_same_list():
    page = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| `{name}` |" not in page] == []


def test_the_script_is_typed():
    files = sorted((PROJECT / "scripts").glob("*smoke*.py"))
    assert len(files) == 4
    command = [sys.executable, "-m", "pyright", *map(str, files)]
    ran = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=110
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.parametrize("name", ["first-call", "http", "inbound-order", "latency", "subprotocol"])
def test_clients_checks_get_along_with_a_deployment(deployment: Deployment, name: str):
    assert asyncio.run(CHECKS[name].run(deployment))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataApi]:
    where = DataApiDatabase("arn:aws:rds:cluster", "arn:aws:login", "postgres")
    with (
        running_postgres(tmp_path_factory.mktemp("postgres")) as server,
        running_data_api(server.conninfo) as endpoint,
    ):
        yield DataApi(data_api_client(endpoint.url), where)


def test_questions_to_the_data_api_are_understood(database: DataApi):
    assert "works" in asyncio.run(smoke_account.call_commit(database))
    assert "ms" in asyncio.run(smoke_account.data_api_latency(database))
    told = asyncio.run(smoke_account.data_api_limits(database))
    assert told.count("refused") == 2, told
    assert "s until" in asyncio.run(smoke_account.resume(database))
    left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'syncline_smoke'"
    assert asyncio.run(database.rows(left)) == [(0,)]


def test_a_mutation_that_fails_fails_the_check(deployment: Deployment):
    broken = replace(deployment, call="channels:none")
    for name in ("first-call", "http", "inbound-order", "latency"):
        with pytest.raises(SmokeError):
            asyncio.run(CHECKS[name].run(broken))


def test_a_failed_check_is_told_and_the_others_run(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
):
    async def fail(_: Deployment) -> str:
        raise SmokeError("it rains")

    async def pass_(_: Deployment) -> str:
        return "sunny"

    checks = [Check("rain", "?", "-", fail), Check("sun", "?", "-", pass_)]
    assert asyncio.run(run(checks, deployment)) == 1
    told = capsys.readouterr().out
    assert "FAIL  rain: SmokeError: it rains" in told
    assert "ok    sun: sunny" in told
    assert "1 of 2" in told


def test_slow_checks_and_those_of_the_account_run_when_asked_for():
    quick = chosen([], with_slow=False, with_account=False)
    assert set(quick) < set(smoke_clients.CHECKS)
    assert not any(check.is_slow for check in quick)
    assert chosen([], with_slow=True, with_account=True) == list(ALL_CHECKS)
    assert [c.name for c in chosen(["lag"], with_slow=False, with_account=False)] == ["lag"]
    with pytest.raises(SystemExit, match="nonsense"):
        chosen(["nonsense"], with_slow=False, with_account=True)


def test_inversions_and_percentiles_are_counted():
    assert inversions([1, 2, 3]) == 0
    assert inversions([2, 1, 3, 2]) == 2
    assert [percentile([4, 1, 3, 2], share) for share in (0, 0.5, 0.75, 0.99)] == [1, 2, 3, 4]
    assert timestamp("ZAAAAAAAAAA=") == 100

"""The contract of environment variables' values (environment_ports.py)."""

import asyncio
import stat
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from syncline.aws import clients
from syncline.aws.parameter_store import PARTS_MAX, ParameterStore, path_of
from syncline.environment_ports import EnvironmentValues, Version, made_ns, new_number
from syncline.errors import DeveloperError, UnavailableError
from syncline.limits import VARIABLE_NAME_CHARACTERS_MAX, VARIABLE_VALUE_BYTES_MAX
from syncline.local.data_folder import DataFolderError
from syncline.local.environment_file import EnvironmentFile
from tests.contract.environment_backends import STORES, WithStore
from tests.contract.moto_tables import moto_cloud

T = TypeVar("T")
Open = Callable[[], EnvironmentValues]

FIRST = Version("API_KEY", new_number(10**18, 1))
SECOND = Version("API_KEY", new_number(10**18 + 5, 2))
LONGEST = Version("N" * VARIABLE_NAME_CHARACTERS_MAX, new_number(10**18, 3))
OTHER = Version("OTHER", new_number(10**18, 4))


@pytest.fixture(params=STORES.values(), ids=STORES.keys())
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with_store: WithStore = request.param
    with with_store(tmp_path) as open_store:
        yield open_store


def wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def put(store: EnvironmentValues, values: Mapping[Version, str]) -> None:
    wait(store.put(values))


def test_a_version_tells_when_it_was_made():
    assert made_ns(SECOND.number) == 10**18 + 5
    assert len(new_number(2**63, 2**64 - 1)) == 32


@pytest.mark.parametrize(
    "value",
    [
        "secret",
        "",
        " with\nlines\0and ümläuts 🔑 ",
        "{{ssm:not-a-reference}}",
        "x" * 3071,
        "x" * 3072,
        "x" * VARIABLE_VALUE_BYTES_MAX,
        "é" * (VARIABLE_VALUE_BYTES_MAX // 2),
    ],
    ids=lambda value: f"{value[:6]!a}-{len(value)}",
)
def test_what_was_put_is_found_by_another_process(opened: Open, value: str):
    put(opened(), {LONGEST: value})
    assert wait(opened().get([LONGEST])) == {LONGEST: value}


def test_versions_are_apart_and_missing_ones_are_left_out(opened: Open):
    store = opened()
    put(store, {FIRST: "a", OTHER: "c"})
    put(store, {SECOND: "b"})
    missing = Version("API_KEY", new_number(1, 1))
    found = wait(store.get([FIRST, missing, SECOND, OTHER]))
    assert found == {FIRST: "a", SECOND: "b", OTHER: "c"}
    assert wait(store.get([])) == {}
    assert set(wait(opened().kept())) == {FIRST, SECOND, OTHER}


def test_what_was_deleted_is_gone_and_the_rest_stays(opened: Open):
    put(opened(), {FIRST: "a", SECOND: "b" * VARIABLE_VALUE_BYTES_MAX, OTHER: "c"})
    wait(opened().delete([FIRST, SECOND, LONGEST]))
    wait(opened().delete([FIRST]))
    assert wait(opened().get([FIRST, SECOND, OTHER])) == {OTHER: "c"}
    assert set(wait(opened().kept())) == {OTHER}


def test_many_variables_are_read_at_once(opened: Open):
    values = {Version(f"V{n}", new_number(10**18, n)): f"{n}" * 1500 for n in range(23)}
    put(opened(), values)
    assert wait(opened().get(list(values))) == values
    assert set(wait(opened().kept())) == values.keys()


# The file


def test_the_file_is_its_owner_s_alone_even_after_a_crash_left_another(tmp_path: Path):
    path = tmp_path / "environment.json"
    left = path.with_suffix(".partial")
    left.write_text("torn")
    left.chmod(0o644)
    put(EnvironmentFile(path), {FIRST: "a"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["environment.json"]


@pytest.mark.parametrize("content", [b"{", b'{"A": "hidden"}', b"\xff", b'["hidden"]'])
def test_a_damaged_file_is_named_and_not_quoted(tmp_path: Path, content: bytes):
    path = tmp_path / "environment.json"
    path.write_bytes(content)
    with pytest.raises(DataFolderError, match=r"environment.json.* set the variables") as refused:
        EnvironmentFile(path)
    assert "hidden" not in str(refused.value)
    assert refused.value.__cause__ is None


# Parameter Store


def test_parameters_are_secure_strings_of_the_standard_tier_under_the_key():
    with moto_cloud():
        key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        client = clients.ssm()
        store = ParameterStore(client, path=path_of("prod"), key=key)
        put(store, {FIRST: "{{x}}" * 1000})
        found = client.describe_parameters()["Parameters"]
        assert {each["Name"] for each in found} == {
            f"/syncline/prod/environment/API_KEY/{FIRST.number}/{part}" for part in (0, 1)
        }
        assert {(each["Type"], each["Tier"], each["KeyId"]) for each in found} == {
            ("SecureString", "Standard", key)
        }


def test_parts_are_within_the_limits_of_the_standard_tier():
    sent: list[int] = []

    class Client:
        def put_parameter(self, **given: Any) -> None:
            sent.append(len(given["Value"].encode()))

    store = ParameterStore(Client(), path="/p", key="k")
    put(store, {FIRST: "é" * (VARIABLE_VALUE_BYTES_MAX // 2)})
    assert len(sent) == PARTS_MAX
    assert max(sent) <= 4096


def test_another_deployment_s_parameters_are_not_seen():
    with moto_cloud():
        client = clients.ssm()
        prod, test = (
            ParameterStore(client, path=path_of(name), key="alias/aws/ssm")
            for name in ("prod", "prod-test")
        )
        put(test, {FIRST: "a"})
        assert not wait(prod.kept())
        assert wait(prod.get([FIRST])) == {}


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ThrottlingException", 400, UnavailableError),
        ("InternalServerError", 500, UnavailableError),
        ("AccessDeniedException", 400, DeveloperError),
    ],
)
def test_refusals_of_parameter_store_are_ours(code: str, status: int, error: type[Exception]):
    from botocore.exceptions import ClientError

    class Client:
        def get_parameters(self, **given: Any) -> Any:
            raise ClientError(
                {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Get"
            )

    with pytest.raises(error, match=code):
        wait(ParameterStore(Client(), path="/p", key="k").get([FIRST]))

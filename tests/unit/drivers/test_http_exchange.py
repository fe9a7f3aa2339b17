"""Uploads, downloads and pushes over HTTP, with a deployment whose system functions are faked."""

import io
import zipfile
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from syncline.drivers.admin_key import admin_key
from syncline.drivers.answers import Answer
from syncline.drivers.http_api import HttpApi
from syncline.drivers.http_exchange import PUSH_BYTES_MAX
from syncline.drivers.http_messages import HttpRequest, HttpResponse
from tests.unit.drivers.fake_deployment import (
    NAME,
    SECRET,
    FakeDeployment,
    api_of,
    respond,
    run,
)

ADMIN = f"Convex {admin_key(NAME, SECRET)}"


@pytest.fixture
def deployment() -> FakeDeployment:
    return FakeDeployment()


@pytest.fixture
def api(deployment: FakeDeployment, tmp_path: Path) -> HttpApi:
    return api_of(deployment, tmp_path)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/import/start_upload"),
        ("POST", "/api/import/upload_part"),
        ("POST", "/api/import/finish_upload"),
        ("PUT", "/api/import/upload_part"),
        ("POST", "/api/syncline/upload_url"),
        ("POST", "/api/perform_import"),
        ("POST", "/api/export/request/zip"),
        ("GET", "/api/export/zip/1"),
        ("POST", "/api/syncline/push"),
    ],
)
def test_moving_files_needs_an_admin_key(api: HttpApi, method: str, path: str):
    response = respond(api, method, path)
    assert (response.status, orjson.loads(response.body)["code"]) == (403, "AdminKeyRequired")


async def start_import(api: HttpApi, parts: list[bytes], **options: object) -> tuple[int, object]:
    """Upload parts in reverse order and finish; waits until the background work has ended."""

    async def post(path: str, body: bytes = b"", **query: str) -> tuple[int, object]:
        headers = {"authorization": ADMIN}
        response = await api.handle(HttpRequest("POST", path, query, headers, body))
        return response.status, orjson.loads(bytes(response.body))

    _, started = await post("/api/import/start_upload")
    upload = started["uploadToken"]
    tokens = {}
    for number in range(len(parts), 0, -1):
        _, tokens[number] = await post(
            "/api/import/upload_part",
            parts[number - 1],
            uploadToken=upload,
            partNumber=str(number),
        )
    wanted = {"mode": "append", "format": "jsonLines", "tableName": "t", **options}
    body = {
        "import": {name: value for name, value in wanted.items() if value is not None},
        "uploadToken": upload,
        "partTokens": [tokens[number] for number in sorted(tokens)],
    }
    answer = await post("/api/import/finish_upload", orjson.dumps(body))
    tasks = api.exchange.importer._tasks
    while tasks:
        await next(iter(tasks))
    return answer


def states(deployment: FakeDeployment) -> list[dict[str, object]]:
    return [
        orjson.loads(arguments)["state"]
        for _, path, arguments, *_ in deployment.calls
        if path == "_system/imports:set_state"
    ]


def fake_import(deployment: FakeDeployment, *, filled: bytes = b"[]") -> None:
    deployment.answers |= {
        "_system/imports:create": Answer(1, b'"the-id"'),
        "_system/imports:set_state": Answer(1, b"null"),
        "_system/imports:inspect": Answer(1, filled),
    }


def test_an_upload_in_parts_is_joined_in_order_and_waits_without_need_to_confirm(
    api: HttpApi, deployment: FakeDeployment
):
    fake_import(deployment)
    answer = run(start_import(api, [b'{"a"', b":1}\n", b'{"a":2}']))
    assert answer == (200, {"importId": "the-id"})
    assert states(deployment) == [
        {"state": "waiting_for_confirmation", "require_manual_confirmation": False}
    ]


def test_a_bad_file_fails_the_import_with_its_line(api: HttpApi, deployment: FakeDeployment):
    fake_import(deployment)
    run(start_import(api, [b'{"a":1}\n{"a":']))
    (state,) = states(deployment)
    assert state["state"] == "failed"
    assert "line 2: Not valid JSON" in str(state["error_message"])


def test_an_import_into_a_filled_table_fails_unless_it_says_how(
    api: HttpApi, deployment: FakeDeployment
):
    fake_import(deployment, filled=b'["t"]')
    run(start_import(api, [b'{"a":1}'], mode="requireEmpty"))
    (state,) = states(deployment)
    assert state["state"] == "failed"
    assert "--append" in str(state["error_message"])


def test_replacing_documents_is_announced_for_confirmation(
    api: HttpApi, deployment: FakeDeployment
):
    fake_import(deployment, filled=b'["t"]')
    run(start_import(api, [b'{"a":1}'], mode="replace"))
    (state,) = states(deployment)
    assert state["require_manual_confirmation"] is True
    assert "t: 1 documents created; all documents in it now are deleted" in (
        str(state["message_to_confirm"])
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"mode": "merge"}, "BadImport"),
        ({"format": "xml"}, "BadImport"),
        ({"tableName": None}, "BadImport"),
        ({"tableName": "_tables"}, "BadImport"),
        ({"tableName": "../x"}, "BadImport"),
        ({"format": "zip"}, "BadImport"),
        ({"componentPath": "child"}, "ComponentNotFound"),
    ],
)
def test_an_impossible_import_is_refused(api: HttpApi, options: dict[str, object], code: str):
    status, answer = run(start_import(api, [b"{}"], **options))
    assert (status, answer["code"]) == (400, code)


def test_an_upload_that_lacks_a_part_is_refused(api: HttpApi):
    body = {
        "import": {"mode": "append", "format": "csv", "tableName": "t"},
        "uploadToken": "0" * 32,
        "partTokens": ["1-ab"],
    }
    response = respond(
        api, "POST", "/api/import/finish_upload", orjson.dumps(body), authorization=ADMIN
    )
    assert (response.status, orjson.loads(response.body)["code"]) == (400, "BadUpload")


@pytest.mark.parametrize(
    "query",
    [
        {"uploadToken": "../../etc", "partNumber": "1"},
        {"uploadToken": "0" * 32, "partNumber": "0"},
        {"uploadToken": "0" * 32, "partNumber": "10000"},
        {"uploadToken": "0" * 32, "partNumber": "../1"},
        {"uploadToken": "0" * 32},
    ],
)
def test_parts_are_kept_under_their_token_and_number_only(
    api: HttpApi, tmp_path: Path, query: dict[str, str]
):
    response = respond(
        api, "POST", "/api/import/upload_part", b"x", query=query, authorization=ADMIN
    )
    assert response.status == 400
    assert not list(tmp_path.rglob("*"))


def test_a_part_goes_to_the_address_that_was_asked_for(api: HttpApi, tmp_path: Path):
    query = {"uploadToken": "0" * 32, "partNumber": "12"}
    response = respond(api, "POST", "/api/syncline/upload_url", query=query, authorization=ADMIN)
    place = orjson.loads(response.body)
    assert place["partToken"].startswith("12-")
    url = urlsplit(place["url"])
    assert not url.netloc
    put = respond(api, "PUT", url.path, b"x", query=dict(parse_qsl(url.query)), authorization=ADMIN)
    assert put.status == 200
    assert (tmp_path / f"{'0' * 32}.parts/12").read_bytes() == b"x"


@pytest.mark.parametrize(
    "query",
    [
        {"uploadToken": "../../etc", "partNumber": "1"},
        {"uploadToken": "0" * 32, "partNumber": "0"},
        {"uploadToken": "0" * 32},
    ],
)
def test_there_is_no_address_for_what_is_no_part(api: HttpApi, query: dict[str, str]):
    response = respond(api, "POST", "/api/syncline/upload_url", query=query, authorization=ADMIN)
    assert response.status == 400


def test_a_part_as_large_as_the_deployment_takes_fits_and_one_byte_more_names_the_way_past_it(
    deployment: FakeDeployment, tmp_path: Path
):
    api = api_of(deployment, tmp_path, part_bytes_max=10)
    query = {"uploadToken": "0" * 32, "partNumber": "1"}

    def upload(body: bytes) -> HttpResponse:
        path = "/api/import/upload_part"
        return respond(api, "POST", path, body, query=query, authorization=ADMIN)

    assert upload(bytes(10)).status == 200
    refused = upload(bytes(11))
    assert (refused.status, orjson.loads(refused.body)["code"]) == (413, "PartTooLarge")
    assert "`syncline import`" in orjson.loads(refused.body)["message"]


@pytest.mark.parametrize("ts", ["7", "x", "../secret", "9" * 40])
def test_only_exports_that_exist_can_be_downloaded(api: HttpApi, tmp_path: Path, ts: str):
    (tmp_path / "snapshot_8.zip").write_bytes(b"PK")
    response = respond(api, "GET", f"/api/export/zip/{ts}", authorization=ADMIN)
    assert response.status == 404
    found = respond(api, "GET", "/api/export/zip/8", authorization=ADMIN)
    assert found.body == tmp_path / "snapshot_8.zip"
    assert ("Content-Disposition", "attachment; filename=snapshot_8.zip") in found.headers


def test_a_pushed_zip_reaches_the_engine_as_a_folder_which_is_removed_afterwards(
    api: HttpApi, deployment: FakeDeployment, tmp_path: Path
):
    body = zipped({"schema.py": b"schema = 1\n", "dir/tasks.py": b"x = 2\n"})
    response = respond(api, "POST", "/api/syncline/push", body, authorization=ADMIN)
    assert response.status == 200
    assert orjson.loads(response.body)["bundle"] == "b" * 32
    assert deployment.pushed == {"schema.py": "schema = 1\n", "dir/tasks.py": "x = 2\n"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no zip",
        zipped({"../evil.py": b"x"}),
        zipped({"/etc/evil.py": b"x"}),
        zipped({"a/../../evil.py": b"x"}),
        zipped({"c:\\evil.py": b"x"}),
        zipped({"data.bin": b"x"}),
        zipped({"big.py": bytes(PUSH_BYTES_MAX + 1)}),
    ],
)
def test_a_push_that_is_no_folder_of_python_files_is_refused_and_leaves_nothing(
    api: HttpApi, deployment: FakeDeployment, tmp_path: Path, body: bytes
):
    response = respond(api, "POST", "/api/syncline/push", body, authorization=ADMIN)
    assert (response.status, orjson.loads(response.body)["code"]) == (400, "BadPush")
    assert not deployment.pushed
    assert not list(tmp_path.rglob("*"))

"""`syncline import` and `export` where files lie in a bucket: parts and zips go past the API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.config import Config
from moto.server import ThreadedMotoServer

from syncline.aws.exchange_bucket import ExchangeBucket
from syncline.cli import data_commands
from syncline.cli.deployment_client import DeploymentClient
from syncline.cli.target import Target
from syncline.drivers.admin_key import admin_key
from syncline.drivers.answers import Answer
from syncline.drivers.http_api import HttpApi
from syncline.errors import CallerError, UnavailableError
from syncline.local.http_api import answer
from tests.unit.drivers.fake_deployment import NAME, SECRET, FakeDeployment, api_of

BUCKET = "files-of-mine"
LINES = b"".join(b'{"number":%d}\n' % number for number in range(2000))
SIGNED = "?X-Amz-Credential=a%2Fb&response-content-disposition=a%3B%20b&token=%2B%3D"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10)
        client = boto3.client(
            "s3",
            region_name="eu-central-1",
            endpoint_url=f"http://{host}:{port}",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield ExchangeBucket(client, BUCKET, tmp_path / "scratch")
        client.close()
    finally:
        server.stop()


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def client_of(api: HttpApi) -> AsyncIterator[DeploymentClient]:
    async def handler(request: web.Request) -> web.StreamResponse:
        return await answer(api, request)

    async with (
        serving(handler) as url,
        DeploymentClient.open(Target(url, admin_key(NAME, SECRET))) as client,
    ):
        yield client


def test_a_file_that_no_lambda_would_take_is_uploaded_in_parts_past_the_api(
    files: ExchangeBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(data_commands, "PART_BYTES", len(LINES) // 3)
    deployment = FakeDeployment()
    deployment.answers |= {
        "_system/imports:create": Answer(1, b'"the-id"'),
        "_system/imports:set_state": Answer(1, b"null"),
        "_system/imports:inspect": Answer(1, b"[]"),
    }
    # Not one part would fit through the API.
    api = api_of(deployment, tmp_path, files=files, part_bytes_max=0)
    (tmp_path / "lines.jsonl").write_bytes(LINES)

    async def run() -> None:
        options = {"mode": "append", "format": "jsonLines", "tableName": "t"}
        async with client_of(api) as client:
            got = await data_commands._upload(client, tmp_path / "lines.jsonl", options)
            assert got == "the-id"
            while tasks := api.exchange.importer._tasks:
                await asyncio.wait(tasks)

    asyncio.run(run())
    (created,) = [call for call in deployment.calls if call[1] == "_system/imports:create"]
    with files.open(orjson.loads(created[2])["file"]) as file:
        assert file.read() == LINES


def test_an_export_is_fetched_from_the_bucket(files: ExchangeBucket, tmp_path: Path):
    with files.create("snapshot_8.zip") as file:
        file.write(LINES)

    async def run() -> bytes:
        async with client_of(api_of(FakeDeployment(), tmp_path, files=files)) as client:
            with pytest.raises(CallerError, match="no export of timestamp 7"):
                await read(client, "/api/export/zip/7")
            return await read(client, "/api/export/zip/8")

    assert asyncio.run(run()) == LINES


async def read(client: DeploymentClient, path: str) -> bytes:
    return b"".join([chunk async for chunk, _ in client.download(path)])


def test_no_address_but_the_deployments_own_gets_the_admin_key_and_signed_ones_stay_as_they_are():
    seen: list[tuple[str, str, bool]] = []

    async def record(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, "Authorization" in request.headers))
        return web.Response()

    async def run() -> None:
        async with serving(record) as elsewhere:

            async def deployment(request: web.Request) -> web.Response:
                if request.path == "/export":
                    headers = {"Location": f"{elsewhere}/zip{SIGNED}"}
                    return web.Response(status=302, headers=headers)
                return await record(request)

            async with serving(deployment) as url, DeploymentClient.open(Target(url, "k")) as own:
                await own.put("/part?n=1", b"x")
                await own.put(f"{elsewhere}/part{SIGNED}", b"x")
                await read(own, "/export")

    asyncio.run(run())
    assert seen == [
        ("PUT", "/part?n=1", True),
        ("PUT", f"/part{SIGNED}", False),
        ("GET", f"/zip{SIGNED}", False),
    ]


def test_an_address_that_refuses_or_is_not_there_is_told():
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, text="<Code>AccessDenied</Code>")

    async def run() -> tuple[Any, ...]:
        async with DeploymentClient.open(Target("http://127.0.0.1:1", "k")) as own:
            async with serving(refuse) as elsewhere:
                with pytest.raises(CallerError) as refused:
                    await own.put(f"{elsewhere}/part", b"x")
            with pytest.raises(UnavailableError) as unreachable:
                await own.put(f"{elsewhere}/part", b"x")
        return refused.value.message, unreachable.value.message

    refused, unreachable = asyncio.run(run())
    assert refused == "HTTP 403: <Code>AccessDenied</Code>"
    assert unreachable.startswith("127.0.0.1, where the file is to go, can't be reached")

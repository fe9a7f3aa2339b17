"""Files of a deployment in memory, spoken to as its HTTP API is."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from syncline.drivers.file_storage import FileStorage
from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse, StreamedBody
from syncline.drivers.http_storage import StorageEndpoints
from syncline.file_ports import FileStore
from syncline.machine import SystemEntropy
from syncline.simulated.memory_files import MemoryFiles
from syncline.testing import Deployment

FUNCTIONS = Path(__file__).resolve().parents[2] / "clients" / "functions" / "files.py"


def digest_of(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class FilesWorld:
    """Use as an async context manager."""

    def __init__(self, folder: Path, files: FileStore | None = None) -> None:
        functions = folder / "functions"
        functions.mkdir(exist_ok=True)
        (functions / "files.py").write_text(FUNCTIONS.read_text())
        self.app = Deployment(functions)
        self.files = files or MemoryFiles()

    async def __aenter__(self) -> "FilesWorld":
        await self.app.__aenter__()
        self.storage = FileStorage(
            self.app.engine,
            self.files,
            clock=self.app.clock,
            entropy=SystemEntropy(),
            url=self.app.engine.url,
        )
        self.endpoints = StorageEndpoints(self.storage)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.app.__aexit__(*error)

    async def request(
        self,
        method: str,
        url: str,
        body: bytes | AsyncIterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        parts = urlsplit(url)
        named = {name.lower(): value for name, value in (headers or {}).items()}
        request = HttpRequest(method, parts.path, dict(parse_qsl(parts.query)), named)
        answer = await self.endpoints.answer(
            HttpRequest(method, parts.path, request.query, named, body)
            if isinstance(body, bytes)
            else HttpRequest(method, parts.path, request.query, named, stream=body)
        )
        assert answer is not None, f"{method} {parts.path} is no endpoint of files"
        return answer

    async def upload_url(self, **limits: object) -> str:
        return str(await self.app.mutation("files:upload_url", **limits))

    async def upload(self, content: bytes, **limits: Any) -> str:
        """Upload a file; its storage id."""
        headers = {"Content-Type": limits.pop("content_type", "text/plain")}
        answer = await self.request("POST", await self.upload_url(**limits), content, headers)
        return json_of(answer)["storageId"]

    async def url(self, storage_id: str, **options: object) -> str:
        return str(await self.app.query("files:url", id=storage_id, **options))

    async def get(self, url: str, **headers: str) -> tuple[HttpResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.request("GET", url, headers=named)
        return answer, await content_of(answer)

    async def pending(self) -> list[dict[str, Any]]:
        """Rows of `_files_pending`, by what they are."""
        return await self._rows("_files_pending")

    async def stored(self) -> list[dict[str, Any]]:
        """Rows of `_files`."""
        return await self._rows("_files")

    async def _rows(self, table: str) -> list[dict[str, Any]]:
        options = {"cursor": None, "numItems": 1000}
        found: Any = await self.app.query(
            "_system/cli/tableData:default", table=table, paginationOpts=options
        )
        return found["page"]


def json_of(answer: HttpResponse) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)


async def content_of(answer: HttpResponse) -> bytes:
    body = answer.body
    if not isinstance(body, StreamedBody):
        assert isinstance(body, bytes)
        return body
    if body.chunks is None:
        return b""
    content = b"".join([piece async for piece in body.chunks])
    assert len(content) == body.length
    return content


async def refusal(work: Any) -> tuple[int, str]:
    """Status and code of the HttpError that is raised."""
    try:
        await work
    except HttpError as error:
        return error.status, error.code
    raise AssertionError("nothing was refused")

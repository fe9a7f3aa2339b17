"""HTTP of files (convex-protocol.md 4, docs/files.md): upload, serve, and direct uploads.

| request | answer |
| --- | --- |
| POST /api/storage/upload?token= | `{"storageId"}` |
| GET, HEAD /api/storage/<key> | a public file |
| GET, HEAD /api/files/<storage id>?expires=&signature= | a private file |
| POST /api/storage/upload/direct?token= | where to PUT a described file, and where to confirm |
| PUT /api/storage/upload/put?upload= | a described file, where it has no other place |
| POST /api/storage/upload/confirm?upload= | `{"storageId"}` |
"""

import base64
import binascii
import re
from typing import Final

import msgspec

from syncline.drivers.byte_ranges import RangeNotSatisfiable, requested_range
from syncline.drivers.file_storage import FileRow, FileStorage, too_large
from syncline.drivers.http_messages import (
    HttpError,
    HttpRequest,
    HttpResponse,
    StreamedBody,
    json_response,
)
from syncline.execution.file_addresses import (
    CONFIRM_PATH,
    DIRECT_PATH,
    PRIVATE_PATH,
    PUBLIC_PATH,
    PUT_PATH,
    UPLOAD_PATH,
    is_public_key,
    is_signed,
)
from syncline.file_ports import FileMissing, WrittenFile
from syncline.limits import CONTENT_TYPE_BYTES_MAX, FILE_BYTES_MAX

PUBLIC_CACHE: Final = "private, max-age=2592000"
"""Files never change; browsers keep them for 30 days (convex-protocol.md 4)."""
ADDRESS_SECONDS: Final = 900
"""So long an address that a request is led to is good, unless the file's own URL ends before."""
UNTYPED: Final = "application/octet-stream"

_CONTENT_TYPE: Final = re.compile(r"[\x20-\x7e]+")
_SHA256_BYTES: Final = 32
_DESCRIPTION_BYTES_MAX: Final = 4096


class _Description(msgspec.Struct, rename="camel"):
    """What a direct upload announces."""

    size: int
    sha256: str
    content_type: str | None = None


class StorageEndpoints:
    """The endpoints; none of them looks at who asks: the URLs are the secrets."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def takes_stream(self, method: str, path: str) -> bool:
        """Whether the body of such a request is read here, piece by piece."""
        return (method, path) in {("POST", UPLOAD_PATH), ("PUT", PUT_PATH)}

    async def answer(self, request: HttpRequest) -> HttpResponse | None:
        """The answer; None: the path is not one of these."""
        match request.method, request.path:
            case "POST", path if path == UPLOAD_PATH:
                return await self._upload(request)
            case "POST", path if path == DIRECT_PATH:
                return await self._describe(request)
            case "PUT", path if path == PUT_PATH:
                await self._storage.put(_text(request, "upload"), request.chunks())
                return HttpResponse(200)
            case "POST", path if path == CONFIRM_PATH:
                return _stored(await self._storage.confirm(_text(request, "upload")))
            case "GET" | "HEAD", path if path.startswith(PUBLIC_PATH):
                return await self._public(request, path.removeprefix(PUBLIC_PATH))
            case "GET" | "HEAD", path if path.startswith(PRIVATE_PATH):
                return await self._private(request, path.removeprefix(PRIVATE_PATH))
            case _:
                return None

    # Uploads

    async def _upload(self, request: HttpRequest) -> HttpResponse:
        length = request.headers.get("content-length", "")
        storage_id = await self._storage.receive(
            _text(request, "token"),
            request.chunks(),
            content_type=_content_type(request.headers.get("content-type")),
            length=int(length) if length.isascii() and length.isdigit() else None,
            sha256=_announced_digest(request.headers.get("digest")),
        )
        return _stored(storage_id)

    async def _describe(self, request: HttpRequest) -> HttpResponse:
        """Answers `url`, `method`, `headers` to send with the PUT, and `confirmUrl`."""
        if len(request.body) > _DESCRIPTION_BYTES_MAX:
            raise HttpError(
                400,
                "BadDescription",
                'POST a description such as {"size", "sha256", "contentType"} here, then PUT the '
                "file where the answer says.",
            )
        try:
            given = msgspec.json.decode(request.body, type=_Description)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HttpError(
                400, "BadDescription", f'{{"size", "sha256", "contentType"?}} is wanted: {error}.'
            ) from error
        if not 0 <= given.size <= FILE_BYTES_MAX:
            raise too_large(FILE_BYTES_MAX)
        upload_id, address = await self._storage.describe(
            _text(request, "token"),
            WrittenFile(given.size, _digest(given.sha256)),
            _content_type(given.content_type),
        )
        return json_response(
            {
                "url": address.url,
                "method": "PUT",
                "headers": address.headers,
                "confirmUrl": f"{self._storage.url}{CONFIRM_PATH}?upload={upload_id}",
            }
        )

    # Serving

    async def _public(self, request: HttpRequest, key: str) -> HttpResponse:
        if not is_public_key(key):
            raise HttpError(
                400, "InvalidStoragePath", f"{key[:100]!r} is not the UUID of a file's URL."
            )
        row = await self._storage.find(key)
        if row is None:
            raise _not_found()
        return await self._serve(request, row, PUBLIC_CACHE, ADDRESS_SECONDS)

    async def _private(self, request: HttpRequest, storage_id: str) -> HttpResponse:
        expires = _text(request, "expires")
        row = await self._storage.get(storage_id)
        if row is None:
            raise _not_found()
        # As it was signed: a number with another spelling is another text.
        until = int(expires) if expires.isascii() and expires.isdigit() and len(expires) < 16 else 0
        if row.secret is None or not is_signed(
            storage_id, row.secret, until, _text(request, "signature")
        ):
            raise HttpError(403, "InvalidSignature", "The URL is not signed for this file.")
        left = int(until - self._storage.now())
        if left <= 0:
            raise HttpError(403, "UrlExpired", "The URL has expired; ask the app for a new one.")
        cache = f"private, max-age={left}"
        return await self._serve(request, row, cache, min(left, ADDRESS_SECONDS))

    async def _serve(
        self, request: HttpRequest, row: FileRow, cache: str, address_seconds: int
    ) -> HttpResponse:
        etag = f'"{row.sha256}"'
        headers = [
            ("Accept-Ranges", "bytes"),
            ("Cache-Control", cache),
            ("ETag", etag),
            # What a page shows is decided by who stored the file, not guessed from its bytes.
            ("X-Content-Type-Options", "nosniff"),
        ]
        if _names_etag(request.headers.get("if-none-match"), etag):
            return HttpResponse(304, headers=tuple(headers))
        content_type = row.content_type or UNTYPED
        asked = request.headers.get("range")
        if request.headers.get("if-range", etag) != etag:
            asked = None
        try:
            part = requested_range(asked, row.size)
        except RangeNotSatisfiable as error:
            headers.append(("Content-Range", f"bytes */{row.size}"))
            return _failed(error, headers)
        if part is None:
            headers.append(("Digest", f"sha-256={row.sha256}"))
            status, start, length = 200, 0, row.size
        else:
            end = part.start + part.length - 1
            headers.append(("Content-Range", f"bytes {part.start}-{end}/{row.size}"))
            status, start, length = 206, part.start, part.length
        if request.method == "HEAD":
            return HttpResponse(status, StreamedBody(None, length), content_type, tuple(headers))
        elsewhere = await self._storage.address(row, address_seconds)
        if elsewhere is not None:
            return HttpResponse(
                302, headers=(("Location", elsewhere), ("Cache-Control", "no-store"))
            )
        try:
            chunks = await self._storage.read(row, start, length)
        except FileMissing as error:
            # Deleted since its row was read.
            raise _not_found() from error
        return HttpResponse(status, StreamedBody(chunks, length), content_type, tuple(headers))


def _failed(error: HttpError, headers: list[tuple[str, str]]) -> HttpResponse:
    content = {"code": error.code, "message": error.message}
    return json_response(content, error.status).with_headers(*headers)


def _stored(storage_id: str) -> HttpResponse:
    return json_response({"storageId": storage_id})


def _not_found() -> HttpError:
    return HttpError(404, "FileNotFound", "There is no such file, or it has been deleted.")


def _text(request: HttpRequest, name: str) -> str:
    return request.query.get(name, "")


def _content_type(given: str | None) -> str | None:
    """The content type to keep. HttpError: 400 BadContentType, one that no header could hold."""
    if not given:
        return None
    if not _CONTENT_TYPE.fullmatch(given) or len(given) > CONTENT_TYPE_BYTES_MAX:
        raise HttpError(
            400,
            "BadContentType",
            f"A Content-Type has at most {CONTENT_TYPE_BYTES_MAX} printable ASCII characters.",
        )
    return given


def _announced_digest(header: str | None) -> bytes | None:
    """The SHA-256 of a `Digest` header (RFC 3230), which may name other algorithms too."""
    for each in (header or "").split(","):
        name, _, value = each.strip().partition("=")
        if name.lower() == "sha-256":
            return _digest(value)
    return None


def _digest(text: str) -> bytes:
    """HttpError: 400 BadDigest."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _SHA256_BYTES:
        raise HttpError(400, "BadDigest", "A SHA-256 is announced as the base64 of its 32 bytes.")
    return digest


def _names_etag(header: str | None, etag: str) -> bool:
    """Whether If-None-Match has the tag, compared weakly (RFC 9110, 13.1.2)."""
    tags = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return etag in tags or tags == ["*"]

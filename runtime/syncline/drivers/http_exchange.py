"""Endpoints for import, export and push: what tools with an admin key call (convex-protocol 7.2).

Uploads come in numbered parts, each answered by a token; the import starts when all tokens are
handed back in order. Where files have addresses of their own (exchange_files.py), `syncline import`
puts parts there, and exports are fetched from there, whatever the API's limits are.
"""

import asyncio
import hashlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

from syncline.drivers.deployment import Deployment
from syncline.drivers.exchange_files import ExchangeFiles
from syncline.drivers.exporter import Exporter, export_file
from syncline.drivers.file_storage import FileStorage
from syncline.drivers.functions_lock import LOCK_FILE
from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse, json_response
from syncline.drivers.importer import FORMATS, MODES, Importer, ImportRequest
from syncline.drivers.push import PushReport
from syncline.drivers.system_calls import SystemCallError
from syncline.limits import IDENTIFIER_CHARACTERS_MAX
from syncline.ports import Entropy

PARTS_MAX: Final = 9999
"""Parts of one upload (convex-protocol.md 7.2)."""
PUSH_BYTES_MAX: Final = 32 * 2**20
"""Bytes of a pushed functions folder, unpacked: the code size limit of convex-protocol.md 6.8."""
PUSH_FILES_MAX: Final = 10_000
NAME_BYTES_MAX: Final = 255
"""Bytes of a pushed file's name with its folders: what every file system takes."""

T = TypeVar("T")

# What the module for zips lets through of its parts when the archive is garbled.
_UNREADABLE_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    IndexError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_TABLE: Final = re.compile(rf"[A-Za-z][A-Za-z0-9_]{{0,{IDENTIFIER_CHARACTERS_MAX - 1}}}")


class _ImportOptions(msgspec.Struct, rename="camel"):
    mode: str
    format: str
    table_name: str | None = None
    component_path: str | None = None


class _FinishUpload(msgspec.Struct, rename="camel"):
    import_: _ImportOptions = msgspec.field(name="import")
    upload_token: str = ""
    part_tokens: list[str] = []


class _PerformImport(msgspec.Struct, rename="camel"):
    import_id: str


class ExchangeEndpoints:
    """The endpoints that move files; every caller is an admin."""

    def __init__(
        self,
        deployment: Deployment,
        files: ExchangeFiles,
        storage: FileStorage,
        entropy: Entropy,
        part_bytes_max: int | None = None,
    ) -> None:
        """`part_bytes_max`: of a part through the API; None: what any request may have."""
        self.importer = Importer(deployment, files, storage)
        self.exporter = Exporter(deployment, files, storage)
        self._deployment = deployment
        self._files = files
        self._entropy = entropy
        self._part_bytes_max = part_bytes_max

    async def start_upload(self) -> HttpResponse:
        """POST /api/import/start_upload."""
        return json_response({"uploadToken": f"{self._entropy.bits(128):032x}"})

    async def upload_part(self, request: HttpRequest) -> HttpResponse:
        """POST or PUT /api/import/upload_part?uploadToken=&partNumber=: answers the part's token.

        Raises:
            HttpError: 413 PartTooLarge: more than this deployment's API takes.
        """
        upload, number = _part(request)
        if self._part_bytes_max is not None and len(request.body) > self._part_bytes_max:
            raise HttpError(
                413,
                "PartTooLarge",
                f"The API of this deployment takes parts of at most {self._part_bytes_max} bytes. "
                "Use `syncline import`, which uploads large files directly to where they are kept.",
            )
        await asyncio.to_thread(self._files.put_part, upload, number, request.body)
        return json_response(f"{number}-{hashlib.sha256(request.body).hexdigest()[:32]}")

    async def upload_url(self, request: HttpRequest) -> HttpResponse:
        """POST /api/syncline/upload_url?uploadToken=&partNumber=: where to PUT the part, now.

        Answers `url` and `partToken`, the token to hand back once the part is there. A `url` that
        begins with "/" is the deployment's own and needs the admin key, which no other must get.
        """
        upload, number = _part(request)
        address = await asyncio.to_thread(self._files.part_address, upload, number)
        if address is None:
            query = urlencode({"uploadToken": upload, "partNumber": number})
            address = f"/api/import/upload_part?{query}"
        return json_response({"url": address, "partToken": f"{number}-put"})

    async def finish_upload(self, request: HttpRequest) -> HttpResponse:
        """POST /api/import/finish_upload: answers the id to follow and to confirm."""
        body = _body(request, _FinishUpload)
        upload = _upload_token(body.upload_token)
        wanted = _import_request(body.import_, upload)
        numbers = [_part_number(token) for token in body.part_tokens]
        try:
            import_id = await self.importer.receive(upload, numbers, wanted)
        except FileNotFoundError as error:
            raise HttpError(
                400, "BadUpload", "The upload is unknown or lacks a part; upload the file again."
            ) from error
        return json_response({"importId": import_id})

    async def perform_import(self, request: HttpRequest) -> HttpResponse:
        """POST /api/perform_import: the confirmation."""
        try:
            await self.importer.perform(_body(request, _PerformImport).import_id)
        except SystemCallError as error:
            raise HttpError(400, "ImportNotWaiting", error.message) from error
        return json_response(None)

    async def request_export(self, request: HttpRequest) -> HttpResponse:
        """POST /api/export/request/zip?includeStorage=true|false: with the files, or without."""
        with_files = request.query.get("includeStorage", "false")
        if with_files not in {"true", "false"}:
            raise HttpError(400, "BadExport", "`includeStorage` is `true` or `false`.")
        try:
            await self.exporter.request(with_files=with_files == "true")
        except SystemCallError as error:
            raise HttpError(409, "ExportInProgress", error.message) from error
        return json_response(None)

    async def download_export(self, ts: str) -> HttpResponse:
        """GET /api/export/zip/<start_ts>: the zip, or a redirect to where it is kept."""
        name = export_file(int(ts)) if ts.isascii() and ts.isdigit() and len(ts) < 20 else None
        missing = HttpError(404, "ExportNotFound", f"There is no export of timestamp {ts[:40]}.")
        if name is None:
            raise missing
        try:
            address = await asyncio.to_thread(self._files.address, name)
        except FileNotFoundError as error:
            raise missing from error
        if address is not None:
            return HttpResponse(302, headers=(("Location", address), ("Cache-Control", "no-store")))
        path = await asyncio.to_thread(self._files.path, name)
        if path is None:
            raise missing
        disposition = ("Content-Disposition", f"attachment; filename={name}")
        return HttpResponse(200, path, "application/zip", (disposition,))

    async def push(self, request: HttpRequest) -> HttpResponse:
        """POST /api/syncline/push: a zip of the functions folder; answers what has changed."""
        name = f"push-{self._entropy.bits(128):032x}"
        folder = await asyncio.to_thread(self._files.unpack_folder, name)
        try:
            await asyncio.to_thread(unpack_functions, request.body, folder)
            report = await self._deployment.push(folder)
        finally:
            await asyncio.to_thread(self._files.remove_folder, folder)
        return json_response(_report(report))


def unpack_functions(archive: bytes, folder: Path) -> None:
    """Unpack the Python files of a pushed zip, and their lock, into an empty folder.

    Raises:
        HttpError: 400 BadPush: no zip, too large, or a name that leads out of the folder or is
            that of a folder too.
    """
    try:
        files = _read_functions(archive)
    except _UNREADABLE_ZIP as error:
        raise HttpError(400, "BadPush", f"The body is not a readable zip: {error}") from error
    folders = {parent for name in files for parent in name.parents}
    for name, content in files.items():
        if name in folders:
            raise HttpError(400, "BadPush", f"{str(name)!r} is a file and a folder.")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _read_functions(archive: bytes) -> dict[PurePosixPath, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entries = [entry for entry in opened.infolist() if not entry.is_dir()]
        if len(entries) > PUSH_FILES_MAX:
            raise HttpError(400, "BadPush", f"More than {PUSH_FILES_MAX} files.")
        left = PUSH_BYTES_MAX
        files: dict[PurePosixPath, bytes] = {}
        for entry in entries:
            name = _safe_name(entry.filename)
            with opened.open(entry) as source:
                # What the directory claims is not trusted: read one byte past the limit.
                files[name] = source.read(left + 1)
            left -= len(files[name])
            if left < 0:
                raise HttpError(
                    400, "BadPush", f"The functions have more than {PUSH_BYTES_MAX} bytes."
                )
    return files


def _safe_name(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    is_known = path.suffix == ".py" or name == LOCK_FILE
    if unsafe or not is_known or len(name.encode()) > NAME_BYTES_MAX:
        raise HttpError(
            400, "BadPush", f"{name[:100]!r} is not the relative name of a Python file."
        )
    return path


def _report(report: PushReport) -> dict[str, object]:
    return {
        "bundle": report.bundle,
        "changedModules": report.changed_modules,
        "removedModules": report.removed_modules,
        "addedIndexes": report.added_indexes,
        "removedIndexes": report.removed_indexes,
        "validatedTables": report.validated_tables,
        "frequentCrons": report.frequent_crons,
    }


def _part(request: HttpRequest) -> tuple[str, int]:
    """Upload and number of the part that a request is about."""
    upload = _upload_token(request.query.get("uploadToken", ""))
    text = request.query.get("partNumber", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= number <= PARTS_MAX:
        raise HttpError(400, "BadPartNumber", f"`partNumber` must be 1 to {PARTS_MAX}.")
    return upload, number


def _upload_token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise HttpError(400, "BadUpload", "`uploadToken` is not one that start_upload gave.")
    return token


def _part_number(token: str) -> int:
    number, _, _ = token.partition("-")
    if not number.isascii() or not number.isdigit() or len(number) > 5:
        raise HttpError(400, "BadUpload", "`partTokens` has one that upload_part never gave.")
    return int(number)


def _import_request(options: _ImportOptions, upload: str) -> ImportRequest:
    if options.component_path:
        raise HttpError(
            400, "ComponentNotFound", f"There is no component {options.component_path!r} here."
        )
    if options.mode not in MODES or options.format not in FORMATS:
        raise HttpError(
            400,
            "BadImport",
            f"`mode` is one of {', '.join(MODES)} and `format` one of {', '.join(FORMATS)}.",
        )
    if (options.format == "zip") == (options.table_name is not None):
        raise HttpError(
            400, "BadImport", "`tableName` is needed for every format but zip, which has its own."
        )
    if options.table_name is not None and not _TABLE.fullmatch(options.table_name):
        raise HttpError(
            400,
            "BadImport",
            f"{options.table_name!r} is not a table name: letters, digits and underscores, "
            "starting with a letter.",
        )
    return ImportRequest(options.format, options.mode, options.table_name, f"import-{upload}")


def _body(request: HttpRequest, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, "BadJsonBody", f"The request can't be read: {error}.") from error

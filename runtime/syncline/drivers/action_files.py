"""Files as actions use them: whole ones to and from the deployment's storage."""

import base64
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from syncline.action_ports import ActionReply, UseFiles
from syncline.drivers.file_storage import FileStorage
from syncline.errors import UnavailableError
from syncline.file_ports import DirectUpload, WrittenFile
from syncline.values import wire_json

PUT_SECONDS_MAX: Final = 300.0
"""That sending a file may be silent; ours."""


class _Read(msgspec.Struct, rename="camel"):
    storage_id: str
    start: float
    length: float


class _Terms(msgspec.Struct, rename="camel"):
    content_type: str | None
    private: bool


class _Offer(_Terms):
    size: float
    sha256: str


class _Confirm(msgspec.Struct, rename="camel"):
    upload_id: str


async def use_files(storage: FileStorage, request: UseFiles) -> ActionReply:
    """The answer to what only the storage itself can do. HttpError: as `FileStorage` says."""
    match request.operation:
        case "read":
            return await _read(storage, msgspec.json.decode(request.arguments, type=_Read))
        case "store":
            terms = msgspec.json.decode(request.arguments, type=_Terms)
            storage_id = await storage.store(
                _pieces(request.data), content_type=terms.content_type, private=terms.private
            )
            return ActionReply(wire_json.encode(storage_id))
        case "offer":
            return await _offer(storage, msgspec.json.decode(request.arguments, type=_Offer))
        case _:
            confirm = msgspec.json.decode(request.arguments, type=_Confirm)
            return ActionReply(wire_json.encode(await storage.confirm(confirm.upload_id)))


async def _read(storage: FileStorage, asked: _Read) -> ActionReply:
    row = await storage.get(asked.storage_id)
    if row is None:
        return ActionReply(b"null")
    start = int(asked.start)
    length = max(0, min(int(asked.length), row.size - start))
    data = b"".join([piece async for piece in await storage.read(row, start, length)])
    return ActionReply(wire_json.encode({"data": data, "size": row.size}))


async def _offer(storage: FileStorage, asked: _Offer) -> ActionReply:
    described = WrittenFile(int(asked.size), base64.b64decode(asked.sha256))
    offered = await storage.offer(described, asked.content_type, private=asked.private)
    if offered is None:
        return ActionReply(b"null")
    upload_id, address = offered
    headers = dict(address.headers)
    return ActionReply(
        wire_json.encode({"uploadId": upload_id, "url": address.url, "headers": {**headers}})
    )


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


def put_file(address: DirectUpload, data: bytes) -> None:
    """PUT a file where the deployment said; blocks. UnavailableError: it was not taken."""
    request = urllib.request.Request(  # noqa: S310 - an address that the deployment has signed
        address.url, data=data, headers=dict(address.headers), method="PUT"
    )
    try:
        with urllib.request.urlopen(request, timeout=PUT_SECONDS_MAX):  # noqa: S310 - the same
            pass
    except (OSError, urllib.error.URLError) as error:
        raise UnavailableError(
            "FilesUnavailable", f"The file could not be sent: {error}"
        ) from error

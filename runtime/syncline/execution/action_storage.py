"""`ctx.storage` of actions (api.md): what queries and mutations have, and the bytes themselves.

An action has its files whole in memory. What is small travels with the request; larger files are
sent straight to where they are kept, if that has an address.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from syncline.action_ports import UseFiles
from syncline.errors import DeveloperError
from syncline.file_ports import DirectUpload
from syncline.values import wire_json
from syncline.values.value import Value, normalize

if TYPE_CHECKING:
    from syncline.execution.action_context import ActionRun

INLINE_BYTES = 3 * 2**20
"""That travel with a request or its answer; ours: a Lambda's request has at most 6 MB, base64."""


class ActionStorage:
    """Files, each call a transaction of its own."""

    def __init__(self, run: "ActionRun") -> None:
        self._run = run

    async def get_url(
        self, storage_id: str, /, *, expires_in: float | timedelta | None = None
    ) -> str | None:
        """Where to GET a file, as in queries; None if there is none."""
        seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        found = await self._ask("get_url", {"storageId": storage_id, "expiresIn": seconds})
        return None if found is None else str(found)

    async def get_metadata(self, storage_id: str, /) -> dict[str, Any] | None:
        """`{storageId, sha256 (hex), size, contentType}` of a file; None if there is none."""
        found = await self._ask("get_metadata", {"storageId": storage_id})
        return found if isinstance(found, dict) else None

    async def generate_upload_url(
        self,
        *,
        max_bytes: int | None = None,
        content_types: Sequence[str] | None = None,
        private: bool = False,
        direct: bool = False,
    ) -> str:
        """Where to POST files for an hour, as in mutations."""
        arguments = {
            "maxBytes": max_bytes,
            "contentTypes": None if content_types is None else list(content_types),
            "private": private,
            "direct": direct,
        }
        return str(await self._ask("generate_upload_url", arguments))

    async def delete(self, storage_id: str, /) -> None:
        """Remove a file, as in mutations."""
        await self._ask("delete", {"storageId": storage_id})

    async def get(self, storage_id: str, /) -> bytes | None:
        """The content of a file; None if there is none."""
        content = bytearray()
        while True:
            arguments = {"storageId": storage_id, "start": len(content), "length": INLINE_BYTES}
            found = await self._ask("read", arguments)
            if not isinstance(found, dict):
                return None
            piece, size = found["data"], found["size"]
            assert isinstance(piece, bytes), "as the deployment answers"
            assert isinstance(size, int), "as the deployment answers"
            content += piece
            if len(content) >= size:
                return bytes(content)

    async def store(
        self, data: bytes, /, *, content_type: str | None = None, private: bool = False
    ) -> str:
        """Keep a new file; returns its storage id."""
        if not isinstance(data, bytes | bytearray | memoryview):  # pyright: ignore[reportUnnecessaryIsInstance] # user input
            raise DeveloperError(
                "InvalidFile", f"ctx.storage.store takes bytes, not {type(data).__name__}."
            )
        content = bytes(data)
        terms: dict[str, object] = {"contentType": content_type, "private": private}
        if len(content) > INLINE_BYTES:
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            offered = await self._ask("offer", {**terms, "size": len(content), "sha256": digest})
            if isinstance(offered, dict):
                headers = offered["headers"]
                assert isinstance(headers, dict), "as the deployment answers"
                named = {name: str(value) for name, value in headers.items()}
                await self._run.put(DirectUpload(str(offered["url"]), named), content)
                return str(await self._ask("confirm", {"uploadId": offered["uploadId"]}))
        return str(await self._ask("store", terms, content))

    async def _ask(self, operation: str, arguments: dict[str, Any], data: bytes = b"") -> Value:
        encoded = wire_json.encode(normalize(arguments))
        return await self._run.ask(UseFiles(operation, encoded, data))

"""`ctx.storage` of queries and mutations (api.md, convex-protocol.md 4): addresses, not bytes.

A file is three things that change together in one transaction: its row of `_storage`, which
functions see; its row of `_files` with the key of its bytes and, if it is private, the secret that
signs its addresses; and nothing in `_files_pending`, which lists every key whose bytes belong to no
file, so that what a crash or a deletion leaves behind is found (docs/files.md).
"""

import base64
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from syncline.errors import DeveloperError
from syncline.execution.calls import ContextCall, ContextCalls
from syncline.execution.database import DatabaseReader, DatabaseWriter
from syncline.execution.determinism.call_state import CallState
from syncline.execution.file_addresses import (
    DIRECT_PATH,
    UPLOAD_PATH,
    is_public_key,
    private_address,
    public_address,
)
from syncline.limits import (
    FILE_BYTES_MAX,
    FILE_URL_SECONDS_DEFAULT,
    FILE_URL_SECONDS_MAX,
    UPLOAD_URL_SECONDS,
)
from syncline.schema.catalog import FILES, STORAGE
from syncline.transaction.transaction import Transaction
from syncline.values.document_id import decode_id

Document = dict[str, Any]


class _File(NamedTuple):
    """Both rows of a file."""

    storage: Document
    file: Document


class StorageReader:
    """Reads of files' rows, at the run's snapshot."""

    def __init__(self, transaction: Transaction, calls: ContextCalls, state: CallState) -> None:
        self._calls = calls
        self._state = state
        self._rows = DatabaseReader(transaction, calls, is_system=True)

    def get_url(
        self, storage_id: str, /, *, expires_in: float | timedelta | None = None
    ) -> ContextCall[str | None]:
        """Where to GET a file; None if there is none.

        Whoever has the URL of a public file gets it for as long as the file is there. The URL of a
        private one expires after `expires_in` (seconds, by default 3600), counted from this run.

        Raises:
            DeveloperError: InvalidStorageId; FileIsPublic: `expires_in` for a public file;
                InvalidExpiry: not above 0, or more than seven days.
        """
        return self._calls.made("ctx.storage.get_url", self._url(storage_id, expires_in))

    async def _url(self, storage_id: str, expires_in: float | timedelta | None) -> str | None:
        seconds = None if expires_in is None else _expiry(expires_in)
        found = await self._find(storage_id, "ctx.storage.get_url")
        if found is None:
            return None
        url = await self._origin()
        secret = found.file["secret"]
        if secret is None:
            if seconds is not None:
                raise DeveloperError(
                    "FileIsPublic",
                    "ctx.storage.get_url: `expires_in` is for private files, and this one is "
                    "public: its URL never expires. Upload with `private=True`.",
                )
            return public_address(url, found.file["key"])
        now = self._state.clock_ns("ctx.storage.get_url") / 1e9
        expires = math.ceil(now + (FILE_URL_SECONDS_DEFAULT if seconds is None else seconds))
        return private_address(url, found.storage["_id"], secret, expires)

    def get_metadata(self, storage_id: str, /) -> ContextCall[Document | None]:
        """`{storageId, sha256 (hex), size, contentType}` of a file; None if there is none."""
        return self._calls.made("ctx.storage.get_metadata", self._metadata(storage_id))

    async def _metadata(self, storage_id: str) -> Document | None:
        found = await self._find(storage_id, "ctx.storage.get_metadata")
        if found is None:
            return None
        row = found.storage
        return {
            "storageId": row["_id"],
            "sha256": base64.b64decode(row["sha256"]).hex(),
            "size": row["size"],
            "contentType": row.get("contentType"),
        }

    async def _origin(self) -> str:
        row = await self._rows.query("_deployment").first()
        assert row is not None, "a function runs because something was pushed"
        return str(row["url"])

    async def _find(self, storage_id: object, call: str) -> _File | None:
        """A file by its id or by its key, which the reference takes for an id too."""
        table = FILES.name
        if isinstance(storage_id, str) and is_public_key(storage_id):
            query = self._rows.query(table).with_index("by_key", lambda q: q.eq("key", storage_id))
        else:
            checked = _storage_id(storage_id, call)
            query = self._rows.query(table).with_index(
                "by_storageId", lambda q: q.eq("storageId", checked)
            )
        file = await query.unique()
        if file is None:
            return None
        row = await self._rows.get(str(file["storageId"]))
        assert row is not None, "both rows are written by the same transactions"
        return _File(row, file)


class StorageWriter(StorageReader):
    """`ctx.storage` of a mutation."""

    def __init__(self, transaction: Transaction, calls: ContextCalls, state: CallState) -> None:
        super().__init__(transaction, calls, state)
        self._writes = DatabaseWriter(transaction, calls, is_system=True)

    def generate_upload_url(
        self,
        *,
        max_bytes: int | None = None,
        content_types: Sequence[str] | None = None,
        private: bool = False,
        direct: bool = False,
    ) -> ContextCall[str]:
        """Where to POST files for an hour, once this mutation is committed (docs/files.md).

        Args:
            max_bytes: of each file; None: 5 GiB.
            content_types: what the uploads' Content-Type may be, such as "image/png" or "image/*";
                None: anything.
            private: the files' URLs will expire.
            direct: the files go straight to where they are kept, past the size limits of the API:
                describe the file by a POST to the URL, and PUT it where the answer says.

        Raises:
            DeveloperError: InvalidUploadLimit.
        """
        return self._calls.made(
            "ctx.storage.generate_upload_url",
            self._upload_url(
                max_bytes, content_types, DIRECT_PATH if direct else UPLOAD_PATH, is_private=private
            ),
        )

    async def _upload_url(
        self,
        max_bytes: int | None,
        content_types: Sequence[str] | None,
        path: str,
        *,
        is_private: bool,
    ) -> str:
        _check_limits(max_bytes, content_types)
        token = await self._writes.insert(
            "_files_pending",
            {
                "kind": "url",
                "expires": self._milliseconds() + UPLOAD_URL_SECONDS * 1000,
                "maxBytes": max_bytes,
                "contentTypes": None if content_types is None else list(content_types),
                "isPrivate": is_private,
            },
        )
        return f"{await self._origin()}{path}?token={token}"

    def delete(self, storage_id: str, /) -> ContextCall[None]:
        """Remove a file: gone for everybody with this commit, its bytes soon after.

        Raises:
            DeveloperError: InvalidStorageId; FileNotFound.
        """
        return self._calls.made("ctx.storage.delete", self._delete(storage_id))

    async def _delete(self, storage_id: str) -> None:
        found = await self._find(storage_id, "ctx.storage.delete")
        if found is None:
            raise DeveloperError(
                "FileNotFound", f"ctx.storage.delete: there is no file {storage_id!r}."
            )
        await self._writes.delete(found.storage["_id"])
        await self._writes.delete(found.file["_id"])
        # Until then whoever uploaded it directly could put it there again.
        is_writable_until = found.file["writableUntil"]
        await self._writes.insert(
            "_files_pending",
            {
                "kind": "deleted",
                "key": found.file["key"],
                "expires": max(self._milliseconds(), is_writable_until or 0),
            },
        )

    def _milliseconds(self) -> float:
        return self._state.clock_ns("ctx.storage") / 1e6


def _storage_id(storage_id: object, call: str) -> str:
    decoded = decode_id(storage_id) if isinstance(storage_id, str) else None
    if not isinstance(storage_id, str) or decoded is None or decoded[0] != STORAGE.number:
        raise DeveloperError(
            "InvalidStorageId",
            f"Invalid argument `id` for `{call}`: {storage_id!r} is not the id of a file.",
        )
    return storage_id


def _expiry(expires_in: float | timedelta) -> float:
    seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else float(expires_in)
    if not 0 < seconds <= FILE_URL_SECONDS_MAX:
        raise DeveloperError(
            "InvalidExpiry",
            "ctx.storage.get_url: `expires_in` is more than 0 seconds and at most "
            f"{FILE_URL_SECONDS_MAX}, not {expires_in!r}.",
        )
    return seconds


def _check_limits(max_bytes: object, content_types: object) -> None:
    if max_bytes is not None and (
        isinstance(max_bytes, bool)
        or not isinstance(max_bytes, int)
        or not 0 <= max_bytes <= FILE_BYTES_MAX
    ):
        raise DeveloperError(
            "InvalidUploadLimit",
            f"`max_bytes` is a whole number from 0 to {FILE_BYTES_MAX}, not {max_bytes!r}.",
        )
    if content_types is not None and (
        not isinstance(content_types, list | tuple)
        or not all(isinstance(each, str) and "/" in each for each in content_types)  # pyright: ignore[reportUnknownVariableType] # user input
    ):
        raise DeveloperError(
            "InvalidUploadLimit",
            f'`content_types` is a list such as ["image/*"], not {content_types!r}.',
        )

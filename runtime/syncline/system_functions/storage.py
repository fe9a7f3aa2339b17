"""Rows of files, as the storage of a deployment reads and writes them (drivers/file_storage.py).

Uploads that are refused are answers, not failures: `{"refused": code}`.
"""

from typing import TYPE_CHECKING, Any, TypedDict

from syncline.errors import ApplicationError
from syncline.execution.file_addresses import fits_content_types, private_key
from syncline.registration.decorators import mutation, query
from syncline.registration.types import Id, PaginationOptions, PaginationResult

if TYPE_CHECKING:
    from syncline import MutationCtx, QueryCtx


class Described(TypedDict):
    """What a file that is put directly has to be."""

    sha256: str
    size: float
    contentType: str | None


@mutation
async def begin_upload(
    ctx: "MutationCtx",
    token: str,
    key: str,
    secret: str,
    contentType: str | None,
    expires: float,
    described: Described | None = None,
    writableUntil: float | None = None,
) -> dict[str, Any]:
    """Take an upload under an upload URL's token: notes the key before any byte is written.

    `key` is without visibility: the URL says which. `secret` is for private files, `expires` (ms)
    when the upload is taken for dead. Answers `uploadId`, `key` and `maxBytes`.
    """
    terms = await _pending(ctx, token)
    if terms is None or terms["kind"] != "url":
        return {"refused": "InvalidUploadUrl"}
    if terms["expires"] < _now(ctx):
        return {"refused": "UploadUrlExpired"}
    allowed, bytes_max = terms["contentTypes"], terms["maxBytes"]
    if allowed is not None and not fits_content_types(contentType, allowed):
        return {"refused": "ContentTypeNotAllowed", "allowed": allowed}
    if described is not None and bytes_max is not None and described["size"] > bytes_max:
        return {"refused": "FileTooLarge", "maxBytes": bytes_max}
    is_private = terms["isPrivate"]
    upload = {
        "key": private_key(key) if is_private else key,
        "secret": secret if is_private else None,
        "expires": expires,
        "described": described,
        "writableUntil": writableUntil,
    }
    upload_id = await ctx.db.insert("_files_pending", {"kind": "upload", **upload})
    return {"uploadId": upload_id, "key": upload["key"], "maxBytes": bytes_max}


@mutation
async def begin_store(
    ctx: "MutationCtx",
    key: str,
    secret: str | None,
    expires: float,
    described: Described | None = None,
    writableUntil: float | None = None,
) -> str:
    """Note the key of a new file, which is private exactly if it has a secret: the upload's id."""
    upload = {
        "kind": "upload",
        "key": key,
        "secret": secret,
        "expires": expires,
        "described": described,
        "writableUntil": writableUntil,
    }
    return await ctx.db.insert("_files_pending", upload)


@query
async def described_upload(ctx: "QueryCtx", uploadId: str) -> dict[str, Any] | None:
    """The `described` of `begin_upload`, with the key; None: unknown, or given up."""
    row = await _pending(ctx, uploadId)
    if row is None or row["kind"] != "upload" or row["described"] is None:
        return None
    return {"key": row["key"], **row["described"]}


@mutation
async def finish_upload(
    ctx: "MutationCtx", uploadId: str, sha256: str, size: float, contentType: str | None
) -> str | None:
    """Make a file of bytes that are all there: its storage id; None: the upload was given up."""
    upload = await _pending(ctx, uploadId)
    if upload is None or upload["kind"] != "upload":
        return None
    fields = {"sha256": sha256, "size": float(size)}
    if contentType is not None:
        fields["contentType"] = contentType
    storage_id = await ctx.db.insert("_storage", fields)
    await _complete(ctx, upload, storage_id)
    return storage_id


@mutation
async def finish_import(ctx: "MutationCtx", uploadId: str, document: dict[str, Any]) -> bool:
    """`finish_upload` with the `_storage` row of a snapshot; False: it was given up.

    ApplicationError: there is a file of that id already.
    """
    upload = await _pending(ctx, uploadId)
    if upload is None or upload["kind"] != "upload":
        return False
    if await ctx.db.system.get(document["_id"]) is not None:
        raise ApplicationError(f"a file with the id {document['_id']} is there already")
    await ctx.db.restore("_storage", {**document, "size": float(document["size"])})
    await _complete(ctx, upload, document["_id"])
    return True


async def _complete(ctx: "MutationCtx", upload: dict[str, Any], storage_id: str) -> None:
    file = {
        "storageId": storage_id,
        "key": upload["key"],
        "secret": upload["secret"],
        "writableUntil": upload["writableUntil"],
    }
    await ctx.db.insert("_files", file)
    await ctx.db.delete(upload["_id"])


@query
async def list_files(ctx: "QueryCtx", paginationOpts: PaginationOptions) -> PaginationResult:
    """All files, oldest first: each as `get` has it, with its `document`."""
    rows = await ctx.db.system.query("_storage").paginate(paginationOpts)
    page = [{**(await _joined(ctx, row)), "document": row} for row in rows["page"]]
    return {**rows, "page": page}


async def _joined(ctx: "QueryCtx", row: dict[str, Any]) -> dict[str, Any]:
    file = await _file_of(ctx, row["_id"])
    assert file is not None, "both rows are written by the same transactions"
    return _both(row, file)


@mutation
async def delete_some(ctx: "MutationCtx", limit: int) -> int:
    """Delete up to `limit` files: how many there were."""
    rows: list[dict[str, Any]] = await ctx.db.system.query("_storage").take(limit)
    for row in rows:
        await ctx.storage.delete(row["_id"])
    return len(rows)


@mutation
async def claim_due(ctx: "MutationCtx", limit: int) -> list[dict[str, Any]]:
    """Give up what is due: the keys whose bytes must go, with the ids to `forget` afterwards."""
    rows: list[dict[str, Any]] = (
        await ctx.db.system.query("_files_pending")
        .with_index("by_expires", lambda q: q.lte("expires", _now(ctx)))
        .take(limit)
    )
    claimed: list[dict[str, Any]] = []
    for row in rows:
        if row["kind"] == "url":
            await ctx.db.delete(row["_id"])
            continue
        if row["kind"] == "upload":
            await ctx.db.patch(row["_id"], {"kind": "deleted"})
        claimed.append({"id": row["_id"], "key": row["key"]})
    return claimed


@query
async def earliest_due(ctx: "QueryCtx") -> float | None:
    """When (ms since the epoch) the next of the pending rows is due."""
    row: dict[str, Any] | None = (
        await ctx.db.system.query("_files_pending").with_index("by_expires").first()
    )
    return None if row is None else row["expires"]


@mutation
async def forget(ctx: "MutationCtx", ids: list[str]) -> None:
    """The bytes of these pending rows are gone."""
    for each in ids:
        if await _pending(ctx, each) is not None:
            await ctx.db.delete(each)


@query
async def find(ctx: "QueryCtx", key: str) -> dict[str, Any] | None:
    """A public file by its key."""
    file = (
        await ctx.db.system.query("_files").with_index("by_key", lambda q: q.eq("key", key)).first()
    )
    return None if file is None or file["secret"] is not None else await _with_row(ctx, file)


@query
async def get(ctx: "QueryCtx", storageId: str) -> dict[str, Any] | None:
    """A file by its storage id, whichever it is, with the secret of a private one."""
    file = await _file_of(ctx, storageId)
    return None if file is None else await _with_row(ctx, file)


async def _file_of(ctx: "QueryCtx", storage_id: str) -> dict[str, Any] | None:
    return (
        await ctx.db.system.query("_files")
        .with_index("by_storageId", lambda q: q.eq("storageId", storage_id))
        .first()
    )


async def _with_row(ctx: "QueryCtx", file: dict[str, Any]) -> dict[str, Any]:
    row = await ctx.db.system.get(file["storageId"])
    assert row is not None, "both rows are written by the same transactions"
    return _both(row, file)


def _both(row: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    return {
        "storageId": row["_id"],
        "key": file["key"],
        "secret": file["secret"],
        "sha256": row["sha256"],
        "size": row["size"],
        "contentType": row.get("contentType"),
    }


async def _pending(ctx: "QueryCtx", pending_id: str) -> dict[str, Any] | None:
    """A row of `_files_pending`; None for whatever else a request may have sent as its id."""
    if ctx.db.normalize_id("_files_pending", pending_id) is None:
        return None
    return await ctx.db.system.get(pending_id)


def _now(ctx: "QueryCtx") -> float:
    return ctx.now.timestamp() * 1000


@mutation
async def generate_upload_url(
    ctx: "MutationCtx",
    maxBytes: int | None = None,
    contentTypes: list[str] | None = None,
    private: bool = False,
    direct: bool = False,
) -> str:
    """`ctx.storage.generate_upload_url` of an action."""
    return await ctx.storage.generate_upload_url(
        max_bytes=maxBytes, content_types=contentTypes, private=private, direct=direct
    )


@query
async def get_url(ctx: "QueryCtx", storageId: str, expiresIn: float | None = None) -> str | None:
    """`ctx.storage.get_url` of an action."""
    return await ctx.storage.get_url(storageId, expires_in=expiresIn)


@query
async def get_metadata(ctx: "QueryCtx", storageId: str) -> dict[str, Any] | None:
    """`ctx.storage.get_metadata` of an action."""
    return await ctx.storage.get_metadata(storageId)


@mutation
async def delete(ctx: "MutationCtx", storageId: Id) -> None:
    """`ctx.storage.delete` of an action."""
    await ctx.storage.delete(storageId)

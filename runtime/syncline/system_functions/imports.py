"""What the importer reads and writes, one transaction each (drivers/importer.py)."""

from typing import TYPE_CHECKING, Any

from syncline.errors import ApplicationError, SynclineError
from syncline.registration.decorators import mutation, query
from syncline.registration.types import Id
from syncline.schema.catalog import FIRST_USER_TABLE

if TYPE_CHECKING:
    from syncline import MutationCtx, QueryCtx

UNFINISHED = ("uploaded", "in_progress")
KEPT = 100
"""State rows that stay; ours: enough to look back."""


@mutation
async def create(
    ctx: "MutationCtx", format: str, mode: str, file: str, tableName: str | None = None
) -> str:
    """Note an uploaded file; returns the import's id."""
    rows: list[dict[str, Any]] = (
        await ctx.db.system.query("_snapshot_imports").order("desc").collect()
    )
    for old in rows[KEPT - 1 :]:
        if old["state"]["state"] in {"completed", "failed"}:
            await ctx.db.delete(old["_id"])
    row = {"format": format, "mode": mode, "tableName": tableName, "file": file}
    return await ctx.db.insert("_snapshot_imports", {**row, "state": {"state": "uploaded"}})


@mutation
async def set_state(ctx: "MutationCtx", importId: Id, state: Any) -> None:
    """Change an import's state, in a form of convex-protocol 7.2."""
    await ctx.db.patch(importId, {"state": state})


@mutation
async def confirm(ctx: "MutationCtx", importId: Id) -> dict[str, Any]:
    """Let an import go on that waits for it; returns its row."""
    row: dict[str, Any] | None = await ctx.db.system.get(importId)
    if row is None or row["state"]["state"] != "waiting_for_confirmation":
        raise ApplicationError("This import is not waiting for a confirmation.")
    state = {"state": "in_progress", "progress_message": "Importing"}
    await ctx.db.patch(importId, {"state": state})
    return row


@mutation
async def fail_interrupted(ctx: "MutationCtx") -> list[str]:
    """Mark what was going on when the server stopped as failed; returns the imports' files."""
    message = "The server stopped in the middle; start again."
    imports: list[dict[str, Any]] = await ctx.db.system.query("_snapshot_imports").collect()
    exports: list[dict[str, Any]] = await ctx.db.system.query("_exports").collect()
    interrupted = [row for row in imports if row["state"]["state"] in UNFINISHED]
    for row in interrupted:
        state = {"state": "failed", "error_message": message}
        await ctx.db.patch(row["_id"], {"state": state})
    for row in exports:
        if row["state"] in {"requested", "in_progress"}:
            await ctx.db.patch(row["_id"], {"state": "failed", "error_message": message})
    return [row["file"] for row in interrupted]


@query
async def inspect(ctx: "QueryCtx", tables: list[str]) -> list[str]:
    """Which of the tables hold documents."""
    filled: list[str] = []
    for name in tables:
        database = ctx.db.system if name.startswith("_") else ctx.db
        if await database.query(name).first() is not None:
            filled.append(name)
    return filled


@mutation
async def clear_batch(
    ctx: "MutationCtx", table: str, limit: int, after: float = 0.0
) -> float | None:
    """Delete up to `limit` documents made at or after `after`, oldest first.

    Returns where to go on, None if there were none: going on there instead of at the start does
    not step over what is deleted already.
    """
    documents: list[dict[str, Any]] = (
        await ctx.db.query(table)
        .with_index("by_creation_time", lambda q: q.gte("_creationTime", after))
        .take(limit)
    )
    for document in documents:
        await ctx.db.delete(document["_id"])
    return documents[-1]["_creationTime"] if documents else None


@mutation
async def prepare(ctx: "MutationCtx", tables: list[Any], mode: str, hasFiles: bool = False) -> None:
    """Give tables the numbers that the ids of the documents to come are made of.

    A table that is missing is made with its number; an empty one with another number is made
    anew, with its indexes and validator. ApplicationError when that can't be.
    """
    for table in tables if mode == "requireEmpty" else ():
        if await ctx.db.query(table["name"]).first() is not None:
            raise ApplicationError(f"There are documents in `{table['name']}` already.")
    is_empty = not hasFiles or await ctx.db.system.query("_storage").first() is None
    if mode == "requireEmpty" and not is_empty:
        raise ApplicationError("There are files already.")
    found: list[dict[str, Any]] = await ctx.db.system.query("_tables").collect()
    rows = {row["name"]: row for row in found}
    moved = [
        table
        for table in tables
        if table["number"] is not None
        and (rows.get(table["name"]) or {}).get("number") != table["number"]
    ]
    for table in moved:
        row = rows.pop(table["name"], None)
        if row is not None:
            await _require_movable(ctx, row, table["number"])
            await ctx.db.delete(row["_id"])
            table["row"] = row
    taken = {row["number"]: name for name, row in rows.items()}
    for table in moved:
        name, number = table["name"], int(table["number"])
        if number < FIRST_USER_TABLE:
            raise ApplicationError(f"`{name}`: {number} is the number of a system table.")
        if number in taken:
            raise ApplicationError(
                f"The ids of `{name}` belong to table number {number}, which is `{taken[number]}` "
                "here. Import into an empty deployment, or leave the `_id`s out."
            )
        taken[number] = name
        await ctx.db.insert("_tables", {**_definition(name, table.get("row")), "number": number})


async def _require_movable(ctx: "MutationCtx", row: dict[str, Any], number: int) -> None:
    name = row["name"]
    if await ctx.db.query(name).first() is not None:
        raise ApplicationError(
            f"The ids in the file belong to table number {number}, but `{name}` has number "
            f"{row['number']} and holds documents. Replace them, or leave the `_id`s out."
        )
    if any(index["state"] == "pending" for index in row["indexes"]):
        raise ApplicationError(f"A push is building indexes of `{name}`; import after it.")


def _definition(name: str, row: dict[str, Any] | None) -> dict[str, Any]:
    """A `_tables` row without number: the old one, or that of a new table."""
    if row is not None:
        return {field: row[field] for field in row if not field.startswith("_")}
    return {
        "name": name,
        "nextOrdinal": 2,
        "indexes": [],
        "validator": None,
        "pendingValidator": None,
    }


@mutation
async def write_batch(
    ctx: "MutationCtx",
    importId: Id,
    progress: str,
    table: str,
    places: list[str],
    documents: list[Any],
) -> None:
    """Insert documents, `_id` and `_creationTime` kept, and note the progress.

    ApplicationError: naming the place in the file of the document that can't be inserted.
    """
    for place, document in zip(places, documents, strict=True):
        try:
            await _write(ctx, table, document)
        except SynclineError as error:
            raise ApplicationError(f"{place}: {error.message}") from error
    state = {"state": "in_progress", "progress_message": progress}
    await ctx.db.patch(importId, {"state": state})


async def _write(ctx: "MutationCtx", table: str, document: dict[str, Any]) -> None:
    document_id = document.pop("_id", None)
    created = document.pop("_creationTime", None)
    if document_id is None:
        document_id = await ctx.db.insert(table, document)
        if created is None:
            return
    elif await ctx.db.get(document_id) is not None:
        raise ApplicationError(f"a document with the `_id` {document_id} is there already")
    created = ctx.now.timestamp() * 1000 if created is None else float(created)
    kept = {"_id": document_id, "_creationTime": created}
    await ctx.db.restore(table, {**document, **kept})

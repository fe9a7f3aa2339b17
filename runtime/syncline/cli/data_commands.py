"""`data`, `import`, `export`: looking at documents and moving them."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

from syncline.cli.deployment_client import DeploymentClient
from syncline.cli.live import follow_state
from syncline.cli.output import PEOPLE, print_json, print_table, say
from syncline.cli.target import (
    DEFAULT_DATA,
    AdminKeyOption,
    DataOption,
    Target,
    UrlOption,
    resolve_target,
)
from syncline.errors import CallerError
from syncline.values.value import Int64, Value

PART_BYTES = 5 * 2**20
"""Bytes of one part of an upload (convex-protocol.md 7.2)."""
PARTS_MAX = 9999

FORMATS = {".csv": "csv", ".jsonl": "jsonLines", ".json": "jsonArray", ".zip": "zip"}


def data(
    table: Annotated[str | None, typer.Argument(help="A table; without it, all tables.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Documents to show.")] = 100,
    order: Annotated[
        Literal["asc", "desc"], typer.Option(help="Oldest (asc) or newest (desc) first.")
    ] = "desc",
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """List tables, or the documents of one."""
    asyncio.run(_data(resolve_target(url, admin_key, data), table, limit, order, json))


async def _data(target: Target, table: str | None, limit: int, order: str, json: bool) -> None:
    async with DeploymentClient.open(target) as client:
        if table is None:
            names = (await client.call("_system/cli/tables:names", {})).value
            if json:
                print_json(names, indent=False)
            elif names:
                print_table([{"table": name} for name in names])
            else:
                say("There are no tables yet.")
            return
        rows, is_done = await _documents(client, table, limit, order)
    if json:
        for row in rows:
            print_json(row, indent=False)
    elif not rows:
        say(f"There are no documents in {table}.")
    else:
        print_table(rows, ("_id", "_creationTime"))
        if not is_done:
            say(f"Showing {limit} documents; --limit shows more.", "dim")


async def _documents(
    client: DeploymentClient, table: str, limit: int, order: str
) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` documents, and whether there are no more."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    is_done = False
    while not is_done and len(rows) < limit:
        options = {"cursor": cursor, "numItems": min(limit - len(rows), 1000)}
        arguments = {"table": table, "order": order, "paginationOpts": options}
        page = (await client.call("_system/cli/tableData:default", arguments)).value
        rows += page["page"]
        cursor, is_done = page["continueCursor"], page["isDone"]
    return rows, is_done


def import_(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .json, .csv or .zip file.")],
    table: Annotated[
        str | None, typer.Option(help="The table to import into; not for a zip.")
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to documents in it.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete the documents of the file's tables first.")
    ] = False,
    replace_all: Annotated[
        bool, typer.Option("--replace-all", help="Clear tables that the zip does not have too.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option("--format", help="csv, jsonLines, jsonArray or zip [default: by extension]."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Import documents from a file; without an option, into empty tables only."""
    if append + replace + replace_all > 1:
        raise CallerError("BadOptions", "Use one of --append, --replace and --replace-all.")
    if not file.is_file():
        raise CallerError("NoFile", f"There is no file {file}.")
    form = form or FORMATS.get(file.suffix.lower())
    if form not in FORMATS.values():
        raise CallerError(
            "UnknownFormat",
            f"{file.name}: what format is it? Use --format {'|'.join(FORMATS.values())}.",
        )
    if form != "zip" and table is None:
        raise CallerError("TableMissing", "Name the table to import into: --table NAME.")
    mode = "append" if append else "replace" if replace else "requireEmpty"
    options = {
        "mode": "replaceAll" if replace_all else mode,
        "format": form,
        **({"tableName": table} if table is not None else {}),
    }
    count = asyncio.run(_import(resolve_target(url, admin_key, data), file, options, yes))
    if json:
        print_json({"documents": count}, indent=False)
    else:
        say(f"Imported {count} documents.", "green")


async def _import(target: Target, file: Path, options: dict[str, Any], yes: bool) -> int:
    async with DeploymentClient.open(target) as client:
        import_id = await _upload(client, file, options)
        asked = False
        with PEOPLE.status("Checking the file") as status:
            states = follow_state(client, "_system/cli/queryImport", {"importId": import_id})
            async with aclosing(states) as rows:
                async for row in rows:
                    state = row["state"]
                    assert isinstance(state, dict)
                    match state["state"]:
                        case "waiting_for_confirmation" if not asked:
                            asked = True
                            status.stop()
                            _confirm(state, yes)
                            status.start()
                            body = orjson.dumps({"importId": import_id})
                            await client.post("/api/perform_import", body)
                        case "in_progress":
                            status.update(str(state.get("progress_message", "Importing")))
                        case "completed":
                            return _count(state["num_rows_written"])
                        case "failed":
                            raise CallerError("ImportFailed", str(state["error_message"]))
                        case _:
                            continue
    raise CallerError("ImportFailed", "The import ended without a result.")


def _count(value: Value) -> int:
    assert isinstance(value, Int64)
    return value.value


def _confirm(state: dict[str, Value], yes: bool) -> None:
    message = state.get("message_to_confirm")
    if not message:
        return
    say(str(message))
    if yes or state.get("require_manual_confirmation") is False:
        return
    if not sys.stdin.isatty():
        raise CallerError("NotConfirmed", "This deletes documents: confirm it with --yes.")
    if not typer.confirm("Import?", default=True, err=True):
        raise CallerError("NotConfirmed", "Nothing was imported.")


def part_lengths(file: Path) -> list[int]:
    """Bytes of each part of an upload; an empty file is one empty part."""
    left = file.stat().st_size
    part = max(PART_BYTES, -(-left // PARTS_MAX))
    lengths = [part] * (left // part)
    return [*lengths, left % part] if left % part or not lengths else lengths


async def _upload(client: DeploymentClient, file: Path, options: dict[str, Any]) -> str:
    parts = part_lengths(file)
    started = orjson.loads(await client.post("/api/import/start_upload"))
    token = started["uploadToken"]
    tokens: list[str] = []
    with _progress() as progress, file.open("rb") as source:
        task = progress.add_task(f"Uploading {file.name}", total=sum(parts))
        for number, length in enumerate(parts, 1):
            part = await asyncio.to_thread(source.read, length)
            query = {"uploadToken": token, "partNumber": str(number)}
            # On AWS it leads into the bucket: Lambda would not take the part.
            place = orjson.loads(await client.post("/api/syncline/upload_url", query=query))
            await client.put(place["url"], part)
            tokens.append(place["partToken"])
            progress.advance(task, length)
    body = {"import": options, "uploadToken": token, "partTokens": tokens}
    answer = await client.post("/api/import/finish_upload", orjson.dumps(body))
    return orjson.loads(answer)["importId"]


def export(
    path: Annotated[
        Path | None,
        typer.Option(help="The zip to write, or a folder [default: snapshot_<time>.zip]."),
    ] = None,
    include_file_storage: Annotated[
        bool, typer.Option("--include-file-storage", help="Export the files too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Export all documents, as they are at one moment, into a zip."""
    if path is not None and path.is_file():
        raise CallerError("FileExists", f"{path} exists already; name another file with --path.")
    target = resolve_target(url, admin_key, data)
    written = asyncio.run(_export(target, path, with_files=include_file_storage))
    if json:
        print_json({"path": str(written), "bytes": written.stat().st_size}, indent=False)
    else:
        say(f"Exported to {written}.", "green")


async def _export(target: Target, path: Path | None, *, with_files: bool) -> Path:
    async with DeploymentClient.open(target) as client:
        await client.post(
            "/api/export/request/zip", query={"includeStorage": str(with_files).lower()}
        )
        with PEOPLE.status("Taking the snapshot"):
            ts = await _exported(client)
        file = _export_path(path, f"snapshot_{ts}.zip")
        # Half a download must not look like an export.
        partial = file.with_name(file.name + ".partial")
        try:
            await _save(client.download(f"/api/export/zip/{ts}"), partial)
            partial.rename(file)
        finally:
            partial.unlink(missing_ok=True)
        return file


def _export_path(path: Path | None, name: str) -> Path:
    if path is None:
        return Path(name)
    return path / name if path.is_dir() else path


async def _exported(client: DeploymentClient) -> int:
    async with aclosing(follow_state(client, "_system/cli/exports:getLatest", {})) as rows:
        async for row in rows:
            if row["state"] == "completed":
                return _count(row["start_ts"])
            if row["state"] == "failed":
                raise CallerError("ExportFailed", str(row.get("error_message", "It failed.")))
    raise CallerError("ExportFailed", "The export ended without a result.")


async def _save(chunks: AsyncGenerator[tuple[bytes, int | None], None], path: Path) -> None:
    with _progress() as progress, path.open("wb") as target:
        task = progress.add_task("Downloading", total=None)
        async for chunk, total in chunks:
            await asyncio.to_thread(target.write, chunk)
            progress.update(task, advance=len(chunk), total=total)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=PEOPLE,
        transient=True,
        disable=not PEOPLE.is_terminal,
    )

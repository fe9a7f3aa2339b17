"""Crons of a server, followed by the official PyPI client while they are saved anew."""

from pathlib import Path

import pytest
from convex import ConvexClient

from tests.clients.server import DevServer

pytestmark = pytest.mark.clients

TICKS = """
from typing import Any

from syncline import MutationCtx, QueryCtx, internal_mutation, query


@internal_mutation
async def tick(ctx: MutationCtx, name: str) -> None:
    await ctx.db.insert("ticks", {"name": name})


@query
async def ticked(ctx: QueryCtx, name: str) -> int:
    return len([tick for tick in await ctx.db.query("ticks").collect() if tick["name"] == name])


@query
async def crons(ctx: QueryCtx) -> list[Any]:
    return [[row["name"], row["last"]] for row in await ctx.db.system.query("_cron_jobs").collect()]


@query
async def states(ctx: QueryCtx) -> list[Any]:
    rows = await ctx.db.system.query("_scheduled_functions").collect()
    return [[row.get("cron"), row["state"]["kind"]] for row in rows]
"""
CRONS = """
from syncline import Crons

crons = Crons()
crons.interval("every second", "ticks:tick", seconds=1, args={"name": "NAME"})
"""


def test_a_live_query_shows_every_run_and_a_save_changes_the_crons(tmp_path: Path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "ticks.py").write_text(TICKS)
    (source / "crons.py").write_text(CRONS)
    with DevServer(source, tmp_path / "project") as server:
        client = ConvexClient(server.url)
        for count in client.subscribe("ticks:ticked", {"name": "NAME"}):
            if count >= 2:
                break
        assert ["every second", "success"] in server.query("ticks:states")

        (server.functions / "crons.py").write_text(CRONS.replace("NAME", "other"))
        for count in client.subscribe("ticks:ticked", {"name": "other"}):
            if count >= 1:
                break

        (server.functions / "crons.py").unlink()
        for crons in client.subscribe("ticks:crons"):
            if crons == []:
                break

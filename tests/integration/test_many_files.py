"""A thousand transfers at once on `syncline dev`: every byte arrives, and memory does not grow.

`python -m benchmarks.files` does the same with 2 GB.
"""

import asyncio
from pathlib import Path

from benchmarks.files import MEBIBYTE, FilePlan, move_files
from tests.clients.conftest import FUNCTIONS
from tests.clients.server import DevServer

PLAN = FilePlan(files=1000, bytes_all=120 * MEBIBYTE, large=2, large_bytes=40 * MEBIBYTE, seed=4)
"""Bounded to about twenty seconds of two cores."""
MEMORY_GROWTH_MAX = 200 * MEBIBYTE
"""Of the server while it moves them: a piece for each of a thousand transfers, in each direction,
and the rows. All of the files together have more, and they pass twice."""


def test_a_thousand_transfers_at_once_lose_nothing_and_hold_little(tmp_path: Path):
    with DevServer(FUNCTIONS, tmp_path) as server:
        moved = asyncio.run(move_files(server.url, server.pid, PLAN))
        assert moved.wrong == []
        assert moved.files == PLAN.files + PLAN.large
        assert moved.bytes_moved == 2 * (PLAN.bytes_all + PLAN.large * PLAN.large_bytes)
        assert moved.memory_growth < MEMORY_GROWTH_MAX
        kept = [path for path in (server.data / "files").rglob("*") if path.is_file()]
        assert len(kept) == moved.files

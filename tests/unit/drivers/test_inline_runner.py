"""The runner without processes: it answers a run's reads until there is an outcome."""

import asyncio
from dataclasses import dataclass

import pytest

from syncline.drivers.inline_runner import InlineRunner
from syncline.errors import UnavailableError
from syncline.ports import FunctionCall, Page, RangeRead
from syncline.schema.catalog import Catalog
from tests.execution_world import NOW_NS, USER_IMPORTS

SOURCE = """
@query
async def first(ctx: QueryCtx) -> Any:
    try:
        return await ctx.db.query("t").first()
    finally:
        print("closed")
"""


@dataclass
class Reads:
    asked: list[RangeRead]
    failure: Exception | None = None

    async def read(self, reads):
        self.asked += reads
        if self.failure is not None:
            raise self.failure
        return [Page((), done=True) for _ in reads]


@pytest.fixture
def folder(tmp_path):
    functions = tmp_path / "functions"
    functions.mkdir()
    (functions / "m.py").write_text(USER_IMPORTS + SOURCE)
    return functions


def call(catalog, bundle="b1"):
    return FunctionCall(
        "query", "m:first", b"{}", None, False, 1, NOW_NS, 1, None, bundle, catalog, "0" * 16
    )


def a_catalog():
    row = {
        "_id": "x", "name": "t", "number": 10_001, "nextOrdinal": 2, "indexes": [],
        "validator": None, "pendingValidator": None,
    }  # fmt: skip
    return Catalog.from_rows([row], 1)


def test_a_call_runs_to_its_end(folder):
    async def run():
        runner = InlineRunner()
        spec = await runner.load("b1", folder)
        assert await runner.load("b1", folder) is spec
        assert [each.path for each in spec.functions] == ["m:first"]
        reads = Reads([])
        outcome = await runner.run(call(a_catalog()), reads)
        assert (outcome.value, outcome.log_lines) == (b"null", ("[LOG] 'closed'",))
        assert [(read.limit, read.reverse) for read in reads.asked] == [(1, False)]
        await runner.close()

    asyncio.run(run())


def test_failing_reads_end_the_call_and_its_coroutine(folder):
    async def run():
        runner = InlineRunner()
        await runner.load("b1", folder)
        reads = Reads([], UnavailableError("OutOfRetention", "too old"))
        with pytest.raises(UnavailableError, match="too old"):
            await runner.run(call(a_catalog()), reads)

    asyncio.run(run())


def test_a_bundle_that_is_not_loaded_is_unavailable(folder):
    async def run():
        with pytest.raises(UnavailableError, match="'b2' is not loaded"):
            await InlineRunner().run(call(a_catalog(), "b2"), Reads([]))

    asyncio.run(run())

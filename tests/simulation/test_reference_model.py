"""The reference model: a serial log passes, and a log or a snapshot that is off is noticed."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec import structs

from syncline.commit.record import Commit, DocumentChange, Duplicate
from syncline.drivers.answers import answer_of, encode_outcome
from syncline.drivers.inline_runner import InlineRunner
from syncline.drivers.mutations import encode_call
from syncline.ports import FunctionCall, RangeRead
from tests.simulation.model_client import Result, Snapshot
from tests.simulation.reference_model import Divergence, ReferenceModel

FUNCTIONS = """
from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query


@mutation
async def increment(ctx: MutationCtx, name: str) -> float:
    counter = await ctx.db.query("counters").filter(lambda each: each["name"] == name).first()
    if counter is None:
        await ctx.db.insert("counters", {"name": name, "value": 1.0})
        return 1.0
    await ctx.db.patch(counter["_id"], {"value": counter["value"] + 1.0})
    return counter["value"] + 1.0


@mutation
async def clear(ctx: MutationCtx) -> None:
    for counter in await ctx.db.query("counters").collect():
        await ctx.db.delete(counter["_id"])


@query
async def total(ctx: QueryCtx) -> float:
    print("adding up")
    return sum([counter["value"] for counter in await ctx.db.query("counters").collect()])


@query
async def empty_or_fail(ctx: QueryCtx) -> None:
    if await ctx.db.query("counters").first() is not None:
        raise ApplicationError({"full": True})
"""

BUNDLE = "b1"


class SerialLog:
    """Makes a log by running mutations one after another, on the newest state unless told."""

    def __init__(self, runner: InlineRunner) -> None:
        self.runner = runner
        self.commits: list[Commit] = []
        self.outcomes: dict[int, Duplicate] = {}
        self._state = ReferenceModel(runner)
        deployed = orjson.dumps({"_id": "d", "_creationTime": 0.0, "bundle": BUNDLE})
        change = DocumentChange("d", 514, None, deployed, 0, (), ())
        self._commit((change,), b'{"function":"_system/push","arguments":{}}')

    def _commit(self, changes: tuple[DocumentChange, ...], call: bytes) -> Commit:
        head = self._state.head
        number = len(self.commits)
        commit = Commit(head + 10, number + 1, head, changes, "s", number, call)
        self.commits.append(commit)
        self._state.apply(commit)
        return commit

    async def mutate(self, path: str, arguments: str = "{}", *, at: int | None = None) -> int:
        """Run at `at` (default: the head) and commit after the head; returns the ts."""
        ts = self._state.head if at is None else at
        number = len(self.commits)
        call = FunctionCall(
            kind="mutation",
            path=path,
            arguments=arguments.encode(),
            identity=None,
            is_admin=False,
            begin_ts=ts,
            now_ns=1_700_000_000_000_000_000 + number,
            seed=number,
            journal=None,
            bundle=BUNDLE,
            catalog=self._state.catalog_at(ts),
            request_id=f"{number:016x}",
        )
        outcome = await self.runner.run(call, self._state.reads_at(ts))
        assert outcome.error is None, outcome.error
        commit = self._commit(outcome.changes, encode_call(call))
        recorded = encode_outcome(answer_of(outcome, 0, call.request_id, redact=False))
        self.outcomes[number] = Duplicate(commit.ts, "", recorded, failed=False)
        return commit.ts

    async def outcome(self, _session: str, request: int) -> Duplicate | None:
        return self.outcomes.get(request)

    async def replayed(self) -> tuple[ReferenceModel, list[Divergence]]:
        model = ReferenceModel(self.runner)
        return model, await model.replay(self.commits, self.outcome)


Scenario = Callable[[SerialLog], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scenario], None]:
    """Play a scenario on a fresh log with the functions above."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            (tmp_path / "counters.py").write_text(FUNCTIONS)
            runner = InlineRunner()
            await runner.load(BUNDLE, tmp_path)
            log = SerialLog(runner)
            for name in ("a", "b", "a"):
                await log.mutate("counters:increment", f'{{"name":"{name}"}}')
            await scenario(log)

        asyncio.run(main())

    return run


def test_a_serial_log_replays_without_divergence(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        await log.mutate("counters:clear")
        await log.mutate("counters:increment", '{"name":"a"}')
        model, found = await log.replayed()
        assert found == []
        values = [orjson.loads(document).get("value") for document in model.documents().values()]
        assert [value for value in values if value is not None] == [1.0]

    play(scenario)


def test_a_mutation_that_ran_on_a_stale_state_is_noticed(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        stale = log.commits[-2].ts
        ts = await log.mutate("counters:increment", '{"name":"a"}', at=stale)
        _, found = await log.replayed()
        assert {divergence.ts for divergence in found} == {ts}
        text = "\n".join(map(str, found))
        assert "counters:increment (s, 4)" in text
        assert "but it is of" in text
        assert "alone it answers" in text

    play(scenario)


def test_a_read_only_mutation_on_a_stale_state_is_noticed_by_its_answer(
    play: Callable[[Scenario], None],
):
    async def scenario(log: SerialLog) -> None:
        before = log.commits[0].ts
        await log.mutate("counters:clear", at=before)
        _, found = await log.replayed()
        assert any("only the serial run changes" in each.detail for each in found)

    play(scenario)


def test_a_recorded_outcome_that_is_missing_or_another_is_noticed(
    play: Callable[[Scenario], None],
):
    async def scenario(log: SerialLog) -> None:
        lost = log.outcomes.pop(1)
        assert [each.detail for each in (await log.replayed())[1]] == [
            "its outcome was never recorded"
        ]
        log.outcomes[1] = structs.replace(lost, outcome=b'{"value":7.0}')
        (found,) = (await log.replayed())[1]
        assert "alone it answers" in found.detail
        log.outcomes[1] = structs.replace(lost, failed=True)
        (found,) = (await log.replayed())[1]
        assert "failed=True" in found.detail

    play(scenario)


def test_a_gap_in_the_log_is_noticed(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        del log.commits[2]
        _, found = await log.replayed()
        assert any(each.detail.startswith("follows") for each in found)

    play(scenario)


def test_a_changed_document_is_noticed(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        commit = log.commits[-1]
        change = commit.changes[-1]
        assert change.after is not None
        forged = structs.replace(change, after=change.after.replace(b"2.0", b"3.0"))
        log.commits[-1] = structs.replace(commit, changes=(*commit.changes[:-1], forged))
        (found,) = (await log.replayed())[1]
        assert "alone it makes it" in found.detail

    play(scenario)


TOTAL = Result("counters:total", "{}", 3.0, log_lines=("[LOG] 'adding up'",))
FAILED = Result(
    "counters:empty_or_fail",
    "{}",
    error="[Request ID: 4f1d2c3b4a596877] Server Error\n",
    data={"full": True},
)


async def judged(log: SerialLog, result: Result, *, at: int = -1) -> list[Divergence]:
    model, _ = await log.replayed()
    return await model.judge(Snapshot(log.commits[at].ts, None, {0: result}))


def test_what_a_query_returns_at_the_ts_is_a_right_result(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        assert await judged(log, TOTAL) == []
        assert await judged(log, replace(TOTAL, value=2.0), at=-2) == []

    play(scenario)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TOTAL, value=2.0),
        replace(TOTAL, log_lines=()),
        replace(TOTAL, value=None, error="[Request ID: 0] Server Error\nboom"),
    ],
)
def test_a_result_of_another_ts_is_noticed(play: Callable[[Scenario], None], wrong: Result):
    async def scenario(log: SerialLog) -> None:
        (found,) = await judged(log, wrong)
        assert "counters:total" in found.subject

    play(scenario)


def test_errors_are_compared_without_their_request_ids(play: Callable[[Scenario], None]):
    async def scenario(log: SerialLog) -> None:
        model, _ = await log.replayed()
        outcome = await model.query_at(log.commits[-1].ts, "counters:empty_or_fail", b"{}")
        assert outcome.error is not None
        right = replace(FAILED, error=f"{FAILED.error}{outcome.error.message}")
        assert await judged(log, right) == []
        assert len(await judged(log, replace(right, data={"full": False}))) == 1
        assert len(await judged(log, replace(right, error=f"{right.error}!"))) == 1
        assert len(await judged(log, right, at=0)) == 1

    play(scenario)


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_end_where_the_limit_says(play: Callable[[Scenario], None], reverse: bool):
    async def scenario(log: SerialLog) -> None:
        model, _ = await log.replayed()
        whole = RangeRead(b"", b"\xff" * 8, 1000, reverse)
        everything = model.page(whole, model.head)
        assert everything.done
        keys = [row.key for row in everything.rows]
        assert keys == sorted(keys, reverse=reverse)
        part = model.page(structs.replace(whole, limit=2), model.head)
        assert part.rows == everything.rows[:2]
        assert not part.done
        assert model.page(structs.replace(whole, limit=len(keys)), model.head).done

    play(scenario)

"""Random pushes, writes in the middle of them, folds and restarts: every index is always right."""

import tempfile
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.drivers.engine import Engine
from syncline.errors import DeveloperError
from syncline.ports import LogUnavailable
from tests.unit.drivers.push_stage import (
    Stage,
    ask,
    change,
    forget_history,
    known_indexes,
    on_stage,
    stored_indexes,
    table,
    users_schema,
)

INDEXES = {
    "by_name": ["name"],
    "by_age": ["age"],
    "by_both": ["age", "name"],
    "by_swapped": ["name", "age"],
}
WRITES = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 3)), max_size=4)
"""Documents by name, and the age that each gets; None: deleted."""
PUSHES = st.tuples(
    st.sampled_from(["push", "failing push", "violated push"]),
    st.tuples(st.sets(st.sampled_from(sorted(INDEXES))), WRITES),
)
STEPS = st.one_of(
    PUSHES,
    PUSHES,
    st.tuples(st.just("write"), WRITES),
    st.tuples(st.sampled_from(["restart", "forget"]), st.none()),
    st.tuples(st.just("crash"), st.integers(0, 20)),
)


class Project:
    """What is deployed and stored, as the tests know it."""

    def __init__(self, stage: Stage, engine: Engine) -> None:
        self.stage = stage
        self.engine = engine
        self.indexes: set[str] = set()
        self.documents: dict[str, tuple[str, int]] = {}
        self.order: list[str] = []

    async def write(self, writes: list[tuple[str, int | None]]) -> None:
        for name, age in writes:
            known = self.documents.get(name)
            if age is None:
                if known is not None:
                    await change(self.engine, "remove", id=known[0])
                    del self.documents[name]
                continue
            row = {"name": name, "age": age}
            if known is None:
                document_id = str(await change(self.engine, "add", row=row))
            else:
                document_id = known[0]
                await change(self.engine, "put", id=document_id, row=row)
            self.documents[name] = (document_id, age)

    async def push(
        self, kind: str, indexes: set[str], writes: list[tuple[str, int | None]]
    ) -> None:
        """A push of these indexes; the writes happen while it backfills (if it does)."""

        async def meanwhile() -> None:
            await self.write(writes)
            if kind == "failing push":
                raise LogUnavailable("LogUnavailable", "gone")

        # Any hook of a push that had nothing to backfill is not for the next one.
        self.stage.log.before_backfills[:] = [meanwhile]
        expression = 'define_table({"name": v.string(), "age": v.number()})'
        if kind == "violated push":
            expression = 'define_table({"name": v.number(), "age": v.number()})'
        for name in sorted(indexes):
            expression += f".index({name!r}, {INDEXES[name]!r})"
        try:
            await self.stage.push(users_schema(expression))
        except (LogUnavailable, DeveloperError):
            assert kind != "push"
        else:
            self.indexes = indexes
            assert kind != "violated push" or not self.documents
        self.stage.log.before_backfills.clear()

    async def check(self) -> None:
        """Each index has all documents in its order, and nothing is half done."""
        info = table(self.engine)
        present = {each.name for each in info.all_indexes[2:]} if info is not None else set[str]()
        assert present == self.indexes
        ages = {name: age for name, (_, age) in self.documents.items()}
        for index in sorted(self.indexes):
            found = await ask(self.engine, "names", index=index)
            assert isinstance(found, list)
            rows = [{"name": str(name), "age": ages[str(name)]} for name in found]
            assert len(rows) == len(ages)
            order = [tuple(row[field] for field in INDEXES[index]) for row in rows]
            assert order == sorted(order)
        assert await ask(self.engine, "everyone") == sorted(ages)


async def take_step(project: Project, step: str, argument) -> None:
    stage = project.stage
    match step:
        case "write":
            await project.write(argument)
        case "restart":
            project.engine = await stage.restart()
        case "crash":
            commits = stage.log.commits
            keep = commits[argument % len(commits)].ts if commits else 0
            project.engine = await stage.restart(keep=keep)
        case "forget":
            await forget_history(stage, project.engine)
            assert stored_indexes(project.engine) <= known_indexes(project.engine)
        case _:
            await project.push(step, *argument)


async def play(steps: list[tuple[str, object]], stage: Stage, engine: Engine) -> None:
    project = Project(stage, engine)
    await project.push("push", {"by_name"}, [])
    await project.write([("a", 1), ("b", 0)])
    for step, argument in [*steps, ("forget", None), ("restart", None)]:
        await take_step(project, step, argument)
        await project.check()


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=8))
def test_every_index_is_right_after_any_pushes_writes_and_restarts(steps):
    with tempfile.TemporaryDirectory() as folder:
        on_stage(Path(folder), partial(play, steps))

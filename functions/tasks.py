"""A task list."""

from typing import Annotated, TypedDict

from syncline import ApplicationError, Id, MutationCtx, QueryCtx, mutation, query, v

TaskId = Annotated[Id, v.id("tasks")]


class Task(TypedDict):
    """A task as clients see it."""

    _id: TaskId
    _creationTime: float
    text: str
    isCompleted: bool


@query
async def get(ctx: QueryCtx) -> list[Task]:
    """All tasks, oldest first."""
    return await ctx.db.query("tasks").collect()


@mutation
async def add(ctx: MutationCtx, text: str) -> TaskId:
    """Add an open task; returns its id."""
    if not text.strip():
        raise ApplicationError("A task needs a text.")
    return await ctx.db.insert("tasks", {"text": text, "isCompleted": False})


@mutation
async def toggle(ctx: MutationCtx, id: TaskId) -> None:
    """Complete an open task, or open a completed one."""
    task = await ctx.db.get(id)
    if task is None:
        raise ApplicationError("This task is gone.")
    await ctx.db.patch(id, {"isCompleted": not task["isCompleted"]})


@mutation
async def remove(ctx: MutationCtx, id: TaskId) -> None:
    """Delete a task; doing it twice is fine."""
    if await ctx.db.get(id) is not None:
        await ctx.db.delete(id)

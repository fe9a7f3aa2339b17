"""The project that `syncline init` writes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncline.errors import CallerError

_SCHEMA: Final = """\
from syncline import define_schema, define_table, v

schema = define_schema(
    {
        "tasks": define_table({"text": v.string(), "isCompleted": v.boolean()}),
    }
)
"""

_TASKS: Final = '''\
from typing import Annotated

from syncline import Id, MutationCtx, QueryCtx, mutation, query, v

TaskId = Annotated[Id, v.id("tasks")]


@query
async def get(ctx: QueryCtx) -> list[dict]:
    """All tasks, oldest first."""
    return await ctx.db.query("tasks").collect()


@mutation
async def add(ctx: MutationCtx, text: str) -> TaskId:
    return await ctx.db.insert("tasks", {"text": text, "isCompleted": False})


@mutation
async def toggle(ctx: MutationCtx, id: TaskId) -> None:
    task = await ctx.db.get(id)
    await ctx.db.patch(id, {"isCompleted": not task["isCompleted"]})
'''

_SAMPLE: Final = """\
{"text": "Start a new app", "isCompleted": true}
{"text": "Write a Python query", "isCompleted": false}
{"text": "Watch it update by itself", "isCompleted": false}
"""

_PYPROJECT: Final = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["syncline"]
"""

_GITIGNORE: Final = """\
.syncline/
.env.local
.venv/
__pycache__/
node_modules/
"""

_README: Final = """\
# {name}

Functions are in `functions/`: a function's public name is `module:function`.

    syncline dev                                          # runs the deployment, reloads on save
    syncline import --table tasks sampleData.jsonl        # in another terminal
    syncline run tasks:get --watch                        # follows the query
    syncline run tasks:add '{{"text": "Buy milk"}}'

Connect any official Convex client to http://127.0.0.1:3210. For TypeScript, `syncline codegen`
writes the typed `api` into `convex/_generated`.
"""

_ENV: Final = "SYNCLINE_URL=http://127.0.0.1:3210\n"


def project_files(name: str) -> Mapping[str, str]:
    """The files of a new project called `name`, by relative path."""
    return {
        "functions/schema.py": _SCHEMA,
        "functions/tasks.py": _TASKS,
        "sampleData.jsonl": _SAMPLE,
        "pyproject.toml": _PYPROJECT.format(name=name),
        ".gitignore": _GITIGNORE,
        "README.md": _README.format(name=name),
        ".env.local": _ENV,
    }


def write_project(directory: Path) -> list[Path]:
    """Write a new project; returns its files.

    Raises:
        CallerError: a file of it is there already; then nothing is written.
    """
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-") or "my-app"
    files = {directory / path: text for path, text in project_files(name).items()}
    if existing := [path for path in files if path.exists()]:
        raise CallerError(
            "FilesExist",
            f"{existing[0]} exists already; start in an empty folder: syncline init my-app",
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)

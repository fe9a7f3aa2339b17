"""Brings a database to the schema that this version knows.

A migration is a file `migrations/NNNN_subject.sql`; its number is the schema version that it leads
to. Each runs once, in order, all of them in one transaction under an advisory lock, so that
processes that start together wait for the first. Files that have been released never change.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL

from syncline.errors import UnavailableError

MIGRATION_LOCK = 0x53594E43
"""Key of the advisory lock: "SYNC"."""

SCHEMA_STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS syncline",
    """
    CREATE TABLE IF NOT EXISTS syncline.schema_version (
        version integer PRIMARY KEY,
        subject text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)
"""Makes the table that says which migrations were applied."""


@cache
def migrations() -> tuple[tuple[int, str, str], ...]:
    """Every migration as (version, subject, SQL), in order; versions count from 1."""
    found: list[tuple[int, str, str]] = []
    for file in files("syncline.postgres").joinpath("migrations").iterdir():
        number, _, subject = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            found.append((int(number), subject, file.read_text(encoding="utf-8")))
    found.sort()
    assert [version for version, _, _ in found] == list(range(1, len(found) + 1))
    return tuple(found)


async def migrate(connection: AsyncConnection[Any]) -> None:
    """Apply what is missing; does nothing but one look on a database that is up to date.

    Raises:
        UnavailableError: `SchemaTooNew`, the database was written by a newer Syncline.
    """
    newest = len(migrations())
    version = await _version(connection)
    if version < newest:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            for statement in SCHEMA_STATEMENTS:
                await connection.execute(statement)
            version = await _version(connection)
            for number, subject, text in migrations()[version:]:
                await connection.execute(text.encode())
                await connection.execute(
                    SQL("INSERT INTO syncline.schema_version (version, subject) VALUES (%s, %s)"),
                    (number, subject),
                )
    require_known(version)


def require_known(version: int) -> None:
    """Refuse a database of a newer Syncline, which may mean other things by the same tables.

    Raises:
        UnavailableError: `SchemaTooNew`.
    """
    newest = len(migrations())
    if version > newest:
        raise UnavailableError(
            "SchemaTooNew",
            f"The log's database has schema version {version}, this Syncline knows {newest}. "
            "Use the Syncline version that wrote it, or a newer one.",
        )


async def _version(connection: AsyncConnection[Any]) -> int:
    cursor = await connection.execute("SELECT to_regclass('syncline.schema_version') IS NOT NULL")
    row = await cursor.fetchone()
    assert row is not None
    if not row[0]:
        return 0
    cursor = await connection.execute(
        "SELECT coalesce(max(version), 0) FROM syncline.schema_version"
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])

"""Brings a database to the schema that this version knows, where only the Data API reaches it.

The same files, the same order, the same lock and one transaction, as `postgres.migration` says. The
Data API takes one statement a call and reads colons as parameters, so a file travels as a parameter
and a function of the same transaction executes it.
"""

from typing import Final

from botocore.exceptions import ClientError

from syncline.aws.data_api import DataApi, sql_state
from syncline.postgres.migration import (
    MIGRATION_LOCK,
    SCHEMA_STATEMENTS,
    migrations,
    require_known,
)

_RUN: Final = """
CREATE OR REPLACE FUNCTION syncline.run_script(script text) RETURNS integer LANGUAGE plpgsql AS
'BEGIN EXECUTE script; RETURN 1; END'
"""

_NO_TABLE: Final = ("3F000", "42P01")
"""SQLSTATE of a schema and of a table that are not there (PostgreSQL, appendix A)."""


async def migrate_through_data_api(api: DataApi) -> None:
    """Apply what is missing; one look at a database that is up to date.

    Raises:
        UnavailableError: `SchemaTooNew`, the database was written by a newer Syncline.
        LogUnavailable: the database can't be reached; again is safe.
    """
    version = await _version(api, None)
    if version < len(migrations()):
        transaction = await api.begin()
        try:
            version = await _apply(api, transaction)
        except BaseException:
            await api.rollback(transaction)
            raise
        await api.commit(transaction)
    require_known(version)


async def _apply(api: DataApi, transaction: str) -> int:
    """Wait for other starters, apply what they have not; returns the version found after them."""
    await api.rows(
        "SELECT count(*) FROM pg_advisory_xact_lock(:lock)",
        {"lock": MIGRATION_LOCK},
        transaction=transaction,
    )
    for statement in SCHEMA_STATEMENTS:
        await api.rows(statement, transaction=transaction)
    found = await _version(api, transaction)
    missing = migrations()[found:]
    if not missing:
        return found
    await api.rows(_RUN, transaction=transaction)
    for number, subject, text in missing:
        await api.rows(
            "SELECT syncline.run_script(:script)", {"script": text}, transaction=transaction
        )
        await api.rows(
            "INSERT INTO syncline.schema_version (version, subject)"
            " VALUES (CAST(:version AS integer), :subject)",
            {"version": number, "subject": subject},
            transaction=transaction,
        )
    await api.rows("DROP FUNCTION syncline.run_script(text)", transaction=transaction)
    return len(migrations())


async def _version(api: DataApi, transaction: str | None) -> int:
    """The schema's version; 0: there is none yet."""
    try:
        ((version,),) = await api.rows(
            "SELECT coalesce(max(version), 0) FROM syncline.schema_version", transaction=transaction
        )
    except ClientError as error:
        if sql_state(error) not in _NO_TABLE:
            raise
        return 0
    assert isinstance(version, int)
    return version

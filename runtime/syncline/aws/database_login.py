"""The database user that functions log in as through IAM, where they have connections of their own.

Made by a deploy, as the schema's owner and through the Data API, after the schema is there.
"""

import re
from typing import Final

from syncline.aws.data_api import DataApi
from syncline.errors import DeveloperError

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")

_STATEMENTS: Final = (
    "DO $$ BEGIN CREATE ROLE {0} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    # Aurora's own role: whoever has it logs in by IAM tokens and by nothing else.
    "GRANT rds_iam TO {0}",
    "GRANT USAGE ON SCHEMA syncline TO {0}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA syncline TO {0}",
    "GRANT EXECUTE ON ALL ROUTINES IN SCHEMA syncline TO {0}",
)


async def make_login(api: DataApi, user: str) -> None:
    """Let `user` log in through IAM and use the log; again changes nothing.

    Raises:
        DeveloperError: no name for a user. LogUnavailable: the database can't be reached.
    """
    if not _NAME.fullmatch(user):
        raise DeveloperError(
            "BadDatabaseUser", f"{user!r} can't name a database user: a-z, 0-9 and _ only."
        )
    for statement in _STATEMENTS:
        await api.rows(statement.format(f'"{user}"'))

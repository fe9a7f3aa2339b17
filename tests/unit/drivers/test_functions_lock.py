"""What functions need besides Syncline, as their bundle carries it."""

import pytest

from syncline.drivers.bundle_files import bundle_hash, read_bundle_files
from syncline.drivers.functions_lock import LOCK_FILE, find_lock, lock_text, pins_of, read_lock
from syncline.errors import DeveloperError

UV_LOCK = """
version = 1

[[package]]
name = "my-app"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "humanize" }]

[[package]]
name = "humanize"
version = "4.9.0"
source = { registry = "https://pypi.org/simple" }
"""


def test_a_requirements_file_is_read_for_every_machine(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# a comment\nRuamel_Yaml.Clib==0.2 \\\n    --hash=sha256:00\n"
        "pywin32==306 ; sys_platform == 'win32'\nrich[jupyter]==14.0  # why\nloose>=1\n"
    )
    pins = {"ruamel-yaml-clib==0.2", "pywin32==306", "rich==14.0", "loose>=1"}
    assert pins_of(lock) == pins
    assert read_lock(lock_text(pins)) == pins


def test_a_uv_lock_is_what_it_locks_without_the_project_itself(tmp_path):
    lock = tmp_path / "uv.lock"
    lock.write_text(UV_LOCK)
    assert pins_of(lock) == {"humanize==4.9.0"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("uv.lock", b"no toml"),
        ("uv.lock", b'[[package]]\nname = "x"\n'),
        ("requirements.txt", b"\xff"),
    ],
)
def test_a_lock_that_can_t_be_read_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DeveloperError, match=name) as refused:
        pins_of(tmp_path / name)
    assert refused.value.code == "BadLock"


def test_the_lock_in_the_folder_is_part_of_the_bundle_however_it_is_written(tmp_path):
    (tmp_path / "messages.py").write_text("x = 1\n")
    without = read_bundle_files(tmp_path)
    assert set(without) == {"messages.py"}
    (tmp_path / "requirements.txt").write_text("humanize==4.9.0\n")
    by_requirements = read_bundle_files(tmp_path)
    assert by_requirements[LOCK_FILE] == b"humanize==4.9.0\n"
    assert bundle_hash(by_requirements) != bundle_hash(without)
    (tmp_path / "uv.lock").write_text(UV_LOCK)
    assert find_lock(tmp_path) == tmp_path / "uv.lock"
    assert read_bundle_files(tmp_path) == by_requirements


def test_what_a_push_says_of_the_lock_counts_before_files_beside_it(tmp_path):
    (tmp_path / "messages.py").write_text("x = 1\n")
    (tmp_path / "requirements.txt").write_text("humanize==4.9.0\n")
    (tmp_path / LOCK_FILE).write_text("humanize==5.0\n")
    assert read_bundle_files(tmp_path)[LOCK_FILE] == b"humanize==5.0\n"

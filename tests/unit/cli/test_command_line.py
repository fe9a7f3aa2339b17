"""The command line without a deployment: where it looks, what it packs, how it fails."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from syncline.cli import data_commands
from syncline.cli.data_commands import part_lengths
from syncline.cli.function_commands import parse_arguments
from syncline.cli.new_project import project_files, write_project
from syncline.cli.project_commands import pack_functions
from syncline.cli.target import read_env_file, resolve_target
from syncline.drivers.admin_key import admin_key
from syncline.errors import CallerError
from syncline.registration.loader import load_bundle

SECRET = "11" * 32


@pytest.fixture(autouse=True)
def _an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SYNCLINE_URL", "SYNCLINE_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


def syncline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "syncline.cli.app", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_env_files_have_comments_quotes_and_export(tmp_path: Path):
    file = tmp_path / "env"
    file.write_text(
        "# A comment=1\nA=1 # one\nexport B=\"two words\"\nC='#x'\n\nnot a line\nD = |x|y \n"
    )
    assert read_env_file(file) == {"A": "1", "B": "two words", "C": "#x", "D": "|x|y"}
    assert read_env_file(tmp_path / "none") == {}


def test_options_win_over_the_environment_which_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
):
    Path(".env.local").write_text("SYNCLINE_URL=http://file/\nSYNCLINE_ADMIN_KEY=local|f\n")
    assert resolve_target(None, None).url == "http://file"
    monkeypatch.setenv("SYNCLINE_URL", "http://environment")
    target = resolve_target(None, None)
    assert (target.url, target.key) == ("http://environment", "local|f")
    assert resolve_target("https://option", "k").url == "https://option"


@pytest.mark.parametrize("url", [None, "http://localhost:99", "http://[::1]:3210"])
def test_the_local_deployment_s_key_comes_from_its_data_folder(url: str | None):
    data = Path("data")
    data.mkdir()
    (data / "secret").write_text(SECRET + "\n")
    assert resolve_target(url, None, data).key == admin_key("local", bytes.fromhex(SECRET))


def test_the_local_key_is_never_sent_to_another_machine():
    Path(".syncline").mkdir()
    Path(".syncline/secret").write_text(SECRET)
    with pytest.raises(CallerError, match="--admin-key"):
        resolve_target("https://example.com", None)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(CallerError, match="is not a URL"):
        resolve_target(url, "key")


def test_without_a_deployment_there_is_no_key_and_the_message_says_what_to_do():
    with pytest.raises(CallerError, match="syncline dev"):
        resolve_target(None, None)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, [0]), (1, [1]), (10, [10]), (11, [10, 1]), (20, [10, 10]), (25, [10, 10, 5])],
)
def test_a_file_is_uploaded_in_parts_that_cover_it(
    monkeypatch: pytest.MonkeyPatch, size: int, expected: list[int]
):
    monkeypatch.setattr(data_commands, "PART_BYTES", 10)
    Path("file").write_bytes(bytes(size))
    assert part_lengths(Path("file")) == expected


def test_a_huge_file_has_larger_parts_rather_than_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(data_commands, "PART_BYTES", 1)
    monkeypatch.setattr(data_commands, "PARTS_MAX", 7)
    Path("file").write_bytes(bytes(100))
    assert len(part_lengths(Path("file"))) <= 7
    assert sum(part_lengths(Path("file"))) == 100


@pytest.mark.parametrize("text", ["", "{", "[1]", "1"])
def test_arguments_are_one_json_object(text: str):
    with pytest.raises(CallerError):
        parse_arguments(text)


def test_a_push_packs_python_files_only():
    for name in ("a.py", "dir/b.py", "dir/data.json", ".hidden/c.py", "__pycache__/d.py"):
        path = Path("functions", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
    with zipfile.ZipFile(io.BytesIO(pack_functions(Path("functions")))) as archive:
        assert archive.namelist() == ["a.py", "dir/b.py"]
    with pytest.raises(CallerError, match="no Python files"):
        pack_functions(Path("nothing"))


def test_a_push_packs_the_pins_of_the_functions_lock():
    Path("functions").mkdir()
    Path("functions/a.py").write_text("x = 1")
    Path("functions/requirements.txt").write_text("humanize==4.9.0\n")
    Path("other.txt").write_text("humanize==4.10.0\n")
    for lock, pins in ((None, b"humanize==4.9.0\n"), (Path("other.txt"), b"humanize==4.10.0\n")):
        with zipfile.ZipFile(io.BytesIO(pack_functions(Path("functions"), lock))) as archive:
            assert archive.namelist() == ["a.py", "functions.lock"]
            assert archive.read("functions.lock") == pins


def test_a_functions_folder_inside_a_hidden_folder_is_packed_too():
    folder = Path(".work/functions")
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("x = 1")
    with zipfile.ZipFile(io.BytesIO(pack_functions(folder))) as archive:
        assert archive.namelist() == ["a.py"]


def test_a_new_project_loads_and_its_sample_data_fits_its_schema(tmp_path: Path):
    written = write_project(tmp_path / "My App!")
    assert {path.relative_to(tmp_path / "My App!").as_posix() for path in written} == set(
        project_files("my-app")
    )
    bundle = load_bundle(tmp_path / "My App!" / "functions", "init-test")
    assert {path for path in bundle.definitions if not path.startswith("_system/")} == {
        "tasks:get",
        "tasks:add",
        "tasks:toggle",
    }
    lines = (tmp_path / "My App!" / "sampleData.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert all(set(json.loads(line)) == {"text", "isCompleted"} for line in lines)
    assert 'name = "my-app"' in (tmp_path / "My App!" / "pyproject.toml").read_text()


def test_init_overwrites_nothing(tmp_path: Path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(CallerError, match="exists already"):
        write_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["admin-key"], "There is no local deployment"),
        (["auth", "token", "--subject", "ada"], "There is no local deployment"),
        (["auth", "token", "--subject", "ada", "--claim", "role"], "name=value, not 'role'"),
        (["dev"], "There is no folder functions"),
        (["push"], "There are no Python files"),
        (["run", "a:b", "--url", "http://127.0.0.1:9", "--admin-key", "k"], "can't be reached"),
        (["run", "a:b", "{", "--admin-key", "k"], "are not JSON"),
        (["import", "none.csv", "--table", "t"], "There is no file"),
        (["import", "x.txt", "--table", "t"], "what format is it?"),
        (["import", "x.csv"], "--table NAME"),
        (["import", "x.csv", "--append", "--replace"], "Use one of"),
        (["export", "--path", "x.csv"], "exists already"),
        (["codegen"], "functions"),
    ],
)
def test_a_failure_is_one_message_and_exit_code_1(arguments: list[str], message: str):
    Path("x.csv").write_text("a\n1\n")
    Path("x.txt").write_text("a\n1\n")
    answer = syncline(*arguments)
    assert answer.returncode == 1, answer.stderr
    assert answer.stderr.startswith("Error: ")
    assert message in answer.stderr.replace("\n", " ")
    assert "Traceback" not in answer.stderr
    assert not answer.stdout


def test_help_names_every_command():
    answer = syncline("--help")
    for name in ("init", "dev", "push", "run", "data", "import", "export", "codegen", "admin-key"):
        assert name in answer.stdout


def test_codegen_writes_once_and_leaves_unchanged_files_alone():
    write_project(Path("app"))
    arguments = ("codegen", "--functions", "app/functions", "--out", "web/_generated")
    assert "Wrote web/_generated/api.d.ts" in syncline(*arguments).stderr
    assert Path("app/functions/_generated/data_model.pyi").is_file()
    assert "up to date" in syncline(*arguments).stderr

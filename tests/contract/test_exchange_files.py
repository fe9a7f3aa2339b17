"""The contract of the files of imports and exports (drivers/exchange_files.py)."""

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.drivers.exchange_files import ExchangeFiles
from tests.contract.exchange_backends import FILES, WithFiles

UPLOAD = "0123456789abcdef" * 2


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExchangeFiles]:
    with_files: WithFiles = request.param
    with with_files(tmp_path) as opened:
        yield opened


def write(files: ExchangeFiles, name: str, content: bytes) -> None:
    with files.create(name) as file:
        file.write(content)


def read(files: ExchangeFiles, name: str) -> bytes:
    with files.open(name) as file:
        return file.read()


def test_parts_are_joined_in_the_order_asked_for(files: ExchangeFiles):
    for number in (10, 1, 2):
        files.put_part(UPLOAD, number, f"part {number}, ".encode())
    files.join_parts(UPLOAD, [2, 10, 1], "import-a")
    assert read(files, "import-a") == b"part 2, part 10, part 1, "


def test_a_part_put_again_replaces_the_first(files: ExchangeFiles):
    files.put_part(UPLOAD, 1, b"old and long")
    files.put_part(UPLOAD, 1, b"new")
    files.join_parts(UPLOAD, [1], "import-a")
    assert read(files, "import-a") == b"new"


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.binary(max_size=9), max_size=5))
def test_a_joined_file_is_its_parts(files: ExchangeFiles, parts: list[bytes]):
    for number, part in enumerate(parts, 1):
        files.put_part(UPLOAD, number, part)
    files.join_parts(UPLOAD, range(1, len(parts) + 1), "import-a")
    assert read(files, "import-a") == b"".join(parts)


def test_a_part_that_was_never_put_stops_joining(files: ExchangeFiles):
    files.put_part(UPLOAD, 1, b"one")
    with pytest.raises(FileNotFoundError):
        files.join_parts(UPLOAD, [1, 2], "import-a")


def test_a_part_of_another_upload_is_none_of_this_one(files: ExchangeFiles):
    files.put_part(UPLOAD, 1, b"one")
    with pytest.raises(FileNotFoundError):
        files.join_parts("f" * 32, [1], "import-a")


def test_joined_parts_are_forgotten(files: ExchangeFiles):
    files.put_part(UPLOAD, 1, b"one")
    files.join_parts(UPLOAD, [1], "import-a")
    with pytest.raises(FileNotFoundError):
        files.join_parts(UPLOAD, [1], "import-b")


def test_what_was_written_can_be_read_in_any_order(files: ExchangeFiles):
    write(files, "import-a", b"0123456789")
    with files.open("import-a") as file:
        assert file.seekable()
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"789"
        file.seek(2)
        assert file.read(2) == b"23"


def test_a_zip_can_be_written_and_read(files: ExchangeFiles):
    with files.create("snapshot_7.zip") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("t/documents.jsonl", '{"a":1}\n' * 1000, zipfile.ZIP_DEFLATED)
        with archive.open("u/documents.jsonl", "w") as entry:
            entry.write(b"{}\n")
    with files.open("snapshot_7.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["t/documents.jsonl", "u/documents.jsonl"]


def test_creating_a_file_again_empties_it(files: ExchangeFiles):
    write(files, "import-a", b"old and long")
    write(files, "import-a", b"new")
    assert read(files, "import-a") == b"new"


def test_a_file_closed_twice_is_there_once(files: ExchangeFiles):
    file = files.create("import-a")
    file.write(b"x")
    file.close()
    file.close()
    assert file.closed
    assert read(files, "import-a") == b"x"


def test_what_is_not_there_can_not_be_opened(files: ExchangeFiles):
    with pytest.raises(FileNotFoundError):
        files.open("import-a")
    assert files.path("import-a") is None
    with pytest.raises(FileNotFoundError):
        files.address("snapshot_7.zip")


def test_a_removed_file_is_gone_and_removing_it_again_does_nothing(files: ExchangeFiles):
    write(files, "import-a", b"x")
    files.remove("import-a")
    files.remove("import-a")
    with pytest.raises(FileNotFoundError):
        files.open("import-a")


def test_an_open_file_stays_readable_when_it_is_removed(files: ExchangeFiles):
    write(files, "import-a", b"x")
    with files.open("import-a") as file:
        files.remove("import-a")
        assert file.read() == b"x"


def test_a_file_lies_on_this_machine_to_be_served(files: ExchangeFiles):
    write(files, "snapshot_7.zip", b"PK")
    for _ in range(2):
        path = files.path("snapshot_7.zip")
        assert path is not None
        assert path.read_bytes() == b"PK"


def test_a_folder_to_unpack_into_is_empty_each_time_and_goes_with_all_that_is_in_it(
    files: ExchangeFiles,
):
    folder = files.unpack_folder("push-1")
    (folder / "deep").mkdir()
    (folder / "deep" / "a.py").write_text("x")
    again = files.unpack_folder("push-1")
    assert again == folder
    assert not list(again.iterdir())
    files.remove_folder(again)
    assert not again.exists()
    files.remove_folder(again)


@pytest.mark.parametrize(
    "use",
    [
        lambda files, name: files.put_part(name, 1, b""),
        lambda files, name: files.join_parts(UPLOAD, [], name),
        lambda files, name: files.open(name),
        lambda files, name: files.create(name),
        lambda files, name: files.remove(name),
        lambda files, name: files.path(name),
        lambda files, name: files.address(name),
        lambda files, name: files.unpack_folder(name),
    ],
)
def test_a_name_that_may_lead_elsewhere_is_refused(
    files: ExchangeFiles, use: Callable[[ExchangeFiles, str], object]
):
    for name in ("", "..", "../x", "a/b", ".hidden", "a\\b", "x" * 102, "ä"):
        with pytest.raises(ValueError, match="not a plain file name"):
            use(files, name)

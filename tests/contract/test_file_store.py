"""The contract of files' bytes (file_ports.py)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.aws.file_bucket import FileBucket, object_key
from syncline.execution.file_addresses import make_key, private_key
from syncline.file_ports import FileMissing, FileStore, WrittenFile
from syncline.local_cloud.moto_objects import make_objects_faithful
from tests.contract.exchange_backends import BUCKET, moto_bucket
from tests.contract.file_backends import FILE_STORES, WithFiles

KEY = make_key(1)
OTHER = private_key(make_key(2))


@pytest.fixture(params=FILE_STORES.values(), ids=FILE_STORES.keys())
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    with_files: WithFiles = request.param
    with with_files(tmp_path) as opened:
        yield opened


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


def write(files: FileStore, key: str, *content: bytes) -> WrittenFile:
    return asyncio.run(files.write(key, pieces(*content), content_type="text/plain"))


def read(files: FileStore, key: str, start: int, length: int) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in await files.read(key, start, length)])

    return asyncio.run(collect())


def is_there(files: FileStore, key: str) -> bool:
    try:
        read(files, key, 0, 1)
    except FileMissing:
        return False
    return True


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_what_was_written_can_be_read(files: FileStore, key: str):
    assert write(files, key, b"hello ", b"world") == WrittenFile(
        11, hashlib.sha256(b"hello world").digest()
    )
    assert read(files, key, 0, 11) == b"hello world"


def test_a_part_can_be_read(files: FileStore):
    write(files, KEY, b"0123456789")
    assert read(files, KEY, 3, 4) == b"3456"
    assert read(files, KEY, 9, 1) == b"9"


@pytest.mark.parametrize("content", [[], [b""]])
def test_an_empty_file_is_a_file(files: FileStore, content: list[bytes]):
    written = write(files, KEY, *content)
    assert written == WrittenFile(0, hashlib.sha256().digest())


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 17, 65_535, 65_536, 65_537, 300_000]), max_size=5),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_file_is_its_pieces_wherever_they_were_cut(
    files: FileStore, sizes: list[int], cut: tuple[float, float]
):
    content = [Random(size).randbytes(size) for size in sizes]
    whole = b"".join(content)
    assert write(files, KEY, *content) == WrittenFile(len(whole), hashlib.sha256(whole).digest())
    start, end = sorted(int(each * len(whole)) for each in cut)
    if start < end:
        assert read(files, KEY, start, end - start) == whole[start:end]


def test_a_file_of_several_parts_is_whole(files: FileStore):
    content = [Random(number).randbytes(3_000_000) for number in range(7)]
    whole = b"".join(content)
    assert write(files, KEY, *content) == WrittenFile(len(whole), hashlib.sha256(whole).digest())
    assert read(files, KEY, 0, len(whole)) == whole
    assert read(files, KEY, 8_388_600, 20) == whole[8_388_600:8_388_620]


@pytest.mark.parametrize("before", [0, 10, 20_000_000])
def test_nothing_is_kept_of_what_broke_off(files: FileStore, before: int):
    class BrokenOffError(Exception):
        pass

    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(before // 1_000_000):
            yield bytes(1_000_000)
        yield bytes(before % 1_000_000)
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        asyncio.run(files.write(KEY, breaking(), content_type=None))
    assert not is_there(files, KEY)
    write(files, KEY, b"again")
    assert read(files, KEY, 0, 5) == b"again"


def test_nothing_is_kept_of_what_was_cancelled(files: FileStore):
    async def scenario() -> None:
        reached = asyncio.Event()

        async def stalling() -> AsyncIterator[bytes]:
            yield bytes(100_000)
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(files.write(KEY, stalling(), content_type=None))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not is_there(files, KEY)


def test_a_deleted_file_is_gone_and_others_stay(files: FileStore):
    write(files, KEY, b"one")
    write(files, OTHER, b"other")
    asyncio.run(files.delete([KEY]))
    asyncio.run(files.delete([KEY, make_key(77)]))
    assert not is_there(files, KEY)
    assert read(files, OTHER, 0, 5) == b"other"


def test_who_reads_already_reads_to_the_end_of_a_deleted_file(files: FileStore):
    content = Random(5).randbytes(500_000)

    async def scenario() -> bytes:
        await files.write(KEY, pieces(content), content_type=None)
        reading = await files.read(KEY, 0, len(content))
        first = await anext(reading)
        await files.delete([KEY])
        return first + b"".join([piece async for piece in reading])

    assert asyncio.run(scenario()) == content


def test_a_file_that_never_was_is_missing(files: FileStore):
    assert not is_there(files, KEY)
    assert asyncio.run(files.inspect(KEY)) is None


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_signed_address_takes_the_described_bytes_and_no_others(tmp_path: Path, key: str):
    content = b"described"
    described = WrittenFile(len(content), hashlib.sha256(content).digest())
    with FILE_STORES["bucket"](tmp_path) as files:
        address = asyncio.run(
            files.upload_address(key, described, content_type="image/png", seconds=60)
        )
        assert address is not None
        signed = parse_qs(urlsplit(address.url).query)["X-Amz-SignedHeaders"][0].split(";")
        assert {name.lower() for name in address.headers} | {"content-length", "host"} == {*signed}
        refused = requests.put(address.url, b"discribed", headers=address.headers, timeout=10)
        assert (refused.status_code, "BadDigest" in refused.text) == (400, True)
        assert asyncio.run(files.inspect(key)) is None
        assert requests.put(address.url, content, headers=address.headers, timeout=10).ok
        assert asyncio.run(files.inspect(key)) == described
        assert read(files, key, 0, len(content)) == content


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_signed_address_gives_a_file_as_it_is_asked_to(tmp_path: Path, key: str):
    with FILE_STORES["bucket"](tmp_path) as files:
        write(files, key, b"0123456789")
        url = asyncio.run(files.download_address(key, content_type="text/x", seconds=60))
        assert url is not None
        got = requests.get(url, headers={"Range": "bytes=2-4"}, timeout=10)
        assert (got.status_code, got.content) == (206, b"234")
        assert got.headers["Content-Type"] == "text/x"
        assert got.headers["Cache-Control"] == "private, max-age=60"


@pytest.mark.parametrize(("key", "cache"), [(KEY, "private, max-age=2592000"), (OTHER, "no-store")])
def test_objects_carry_what_cloudfront_has_to_tell(key: str, cache: str):
    make_objects_faithful()
    with moto_bucket() as client:
        write(FileBucket(client, BUCKET), key, b"x")
        head = client.head_object(Bucket=BUCKET, Key=object_key(key))
    assert head["ContentType"] == "text/plain"
    assert cache in head["CacheControl"]
    assert object_key(key) == (f"api/storage/{KEY}" if key == KEY else f"private/{OTHER}")


def test_many_files_at_once_stay_apart(files: FileStore):
    contents = {make_key(number): Random(number).randbytes(number * 999) for number in range(40)}

    async def scenario() -> None:
        await asyncio.gather(
            *(
                files.write(key, pieces(content[:5000], content[5000:]), content_type=None)
                for key, content in contents.items()
            )
        )

    asyncio.run(scenario())
    for key, content in contents.items():
        if content:
            assert read(files, key, 0, len(content)) == content


@pytest.mark.parametrize("key", ["../up", "a/b", "", ".", "A" * 3 + "/", "%2e"])
def test_a_folder_refuses_keys_that_could_lead_elsewhere(tmp_path: Path, key: str):
    with FILE_STORES["folder"](tmp_path) as files, pytest.raises(ValueError, match="not the key"):
        asyncio.run(files.delete([key]))


def test_a_folder_forgets_what_was_being_written_when_its_process_ended(tmp_path: Path):
    incoming = tmp_path / "files" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / f"1-{KEY}").write_bytes(b"half")
    with FILE_STORES["folder"](tmp_path):
        assert list(incoming.iterdir()) == []

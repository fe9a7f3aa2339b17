"""Files through the whole engine in memory: upload, serve, expire, delete, what is left over."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from syncline.drivers.http_messages import StreamedBody
from syncline.errors import UnavailableError
from syncline.limits import FILE_BYTES_MAX
from syncline.simulated.memory_files import MemoryFiles
from syncline.testing import CallFailedError
from tests.unit.drivers.files_world import FilesWorld, digest_of, json_of, refusal

HELLO = b"hello, files"
HOUR = 3600


@pytest.fixture
def world(tmp_path: Path) -> Callable[[Callable[[FilesWorld], Awaitable[None]]], None]:
    def run(scenario: Callable[[FilesWorld], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with FilesWorld(tmp_path) as opened:
                await scenario(opened)

        asyncio.run(whole())

    return run


def test_an_uploaded_file_is_served_as_it_was(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO)
        answer, content = await w.get(await w.url(storage_id))
        assert (answer.status, content, answer.content_type) == (200, HELLO, "text/plain")
        headers = dict(answer.headers)
        assert headers["Digest"] == f"sha-256={digest_of(HELLO)}"
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["Cache-Control"] == "private, max-age=2592000"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["ETag"]
        assert [row["kind"] for row in await w.pending()] == ["url"]

    world(scenario)


def test_rows_of_storage_have_the_official_fields(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO)
        row = await w.app.query("files:row", id=storage_id)
        assert isinstance(row, dict)
        assert set(row) == {"_id", "_creationTime", "sha256", "size", "contentType"}
        assert (row["sha256"], row["size"]) == (digest_of(HELLO), len(HELLO))
        metadata = await w.app.query("files:metadata", id=storage_id)
        assert isinstance(metadata, dict)
        assert set(metadata) == {"storageId", "sha256", "size", "contentType"}
        assert metadata["sha256"] == hashlib.sha256(HELLO).hexdigest()

    world(scenario)


def test_a_file_without_a_content_type_has_none(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(b"", content_type="")
        row = await w.app.query("files:row", id=storage_id)
        assert isinstance(row, dict)
        assert "contentType" not in row
        answer, content = await w.get(await w.url(storage_id))
        assert (answer.content_type, content) == ("application/octet-stream", b"")

    world(scenario)


def test_one_upload_url_takes_several_files(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url()
        ids = {json_of(await w.request("POST", url, HELLO))["storageId"] for _ in range(3)}
        assert len(ids) == 3

    world(scenario)


def test_the_announced_digest_is_checked(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url()
        right = {"Digest": f"md5=AAAA, SHA-256={digest_of(HELLO)}"}
        assert json_of(await w.request("POST", url, HELLO, right))["storageId"]
        kept = dict(w.files.files)  # type: ignore[attr-defined] # MemoryFiles
        wrong = {"Digest": f"sha-256={digest_of(b'other')}"}
        assert await refusal(w.request("POST", url, HELLO, wrong)) == (400, "DigestMismatch")
        for bad in ("sha-256=AAAA", "sha-256=?", "sha-256="):
            refused = await refusal(w.request("POST", url, HELLO, {"Digest": bad}))
            assert refused == (400, "BadDigest")
        assert w.files.files == kept  # type: ignore[attr-defined] # MemoryFiles
        assert {row["kind"] for row in await w.pending()} == {"url"}

    world(scenario)


def test_an_upload_url_expires_after_an_hour_and_is_then_forgotten(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url()
        await w.app.advance(seconds=HOUR - 1)
        await w.request("POST", url, HELLO)
        await w.app.advance(seconds=2)
        assert await refusal(w.request("POST", url, HELLO)) == (403, "UploadUrlExpired")
        await w.storage.sweep()
        assert await w.pending() == []
        assert await refusal(w.request("POST", url, HELLO)) == (403, "InvalidUploadUrl")

    world(scenario)


@pytest.mark.parametrize("token", ["", "nonsense", "storage"])
def test_a_token_that_never_was_is_refused(world, token: str):
    async def scenario(w: FilesWorld) -> None:
        given = await w.upload(HELLO) if token == "storage" else token
        url = f"http://x/api/storage/upload?token={given}"
        assert await refusal(w.request("POST", url, HELLO)) == (403, "InvalidUploadUrl")

    world(scenario)


def test_the_url_of_a_mutation_that_failed_is_none(world):
    async def scenario(w: FilesWorld) -> None:
        (w.app._functions / "failing.py").write_text(
            "from syncline import mutation, ApplicationError\n"
            "@mutation\nasync def go(ctx):\n"
            "    raise ApplicationError(await ctx.storage.generate_upload_url())\n"
        )
        await w.app.push()
        with pytest.raises(Exception, match="upload") as failed:
            await w.app.mutation("failing:go")
        url = str(failed.value.data)  # type: ignore[attr-defined] # ApplicationError
        assert await refusal(w.request("POST", url, HELLO)) == (403, "InvalidUploadUrl")

    world(scenario)


def test_too_large_a_body_is_refused_by_what_it_says_and_by_what_it_is(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url(max_bytes=10)
        assert json_of(await w.request("POST", url, bytes(10)))["storageId"]
        assert await refusal(w.request("POST", url, bytes(11))) == (413, "FileTooLarge")
        read = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 4
                yield b"more"

        said = w.request("POST", url, endless(), {"Content-Length": "11"})
        assert await refusal(said) == (413, "FileTooLarge")
        assert read == 0
        assert await refusal(w.request("POST", url, endless())) == (413, "FileTooLarge")
        assert read == 12
        assert len(await w.stored()) == len(w.files.files) == 1  # type: ignore[attr-defined] # MemoryFiles
        assert {row["kind"] for row in await w.pending()} == {"url"}

    world(scenario)


@pytest.mark.parametrize(
    ("content_type", "fits"),
    [
        ("image/png", True),
        ("IMAGE/PNG; q=1", True),
        ("application/pdf", True),
        ("application/pdfx", False),
        ("imagex/png", False),
        ("text/plain", False),
        ("image", False),
        ("", False),
    ],
)
def test_content_types_of_an_upload_url_are_kept(world, content_type: str, fits: bool):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url(content_types=["image/*", "application/pdf"])
        posted = w.request("POST", url, HELLO, {"Content-Type": content_type})
        if fits:
            assert json_of(await posted)["storageId"]
        else:
            assert await refusal(posted) == (415, "ContentTypeNotAllowed")

    world(scenario)


@pytest.mark.parametrize("content_type", ["a/b\nX: y", "text/ü", "x" * 256])
def test_a_content_type_that_no_header_could_hold_is_refused(world, content_type: str):
    async def scenario(w: FilesWorld) -> None:
        posted = w.request("POST", await w.upload_url(), HELLO, {"Content-Type": content_type})
        assert await refusal(posted) == (400, "BadContentType")

    world(scenario)


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "content"),
    [
        ("bytes=0-4", 206, "bytes 0-4/12", b"hello"),
        ("bytes=7-", 206, "bytes 7-11/12", b"files"),
        ("bytes=-5", 206, "bytes 7-11/12", b"files"),
        ("bytes=-99", 206, "bytes 0-11/12", HELLO),
        ("bytes=3-99", 206, "bytes 3-11/12", HELLO[3:]),
        ("Bytes = 0-1", 200, None, HELLO),
        ("items=0-1", 200, None, HELLO),
        ("bytes=5-3", 200, None, HELLO),
        ("bytes=", 200, None, HELLO),
        ("bytes=-", 200, None, HELLO),
        ("bytes=x-1", 200, None, HELLO),
        ("bytes=12-", 416, "bytes */12", None),
        ("bytes=-0", 416, "bytes */12", None),
        ("bytes=0-1,3-4", 416, "bytes */12", None),
    ],
)
def test_one_range_is_served(world, asked, status, content_range, content):
    async def scenario(w: FilesWorld) -> None:
        url = await w.url(await w.upload(HELLO))
        answer, got = await w.get(url, Range=asked)
        headers = dict(answer.headers)
        assert (answer.status, headers.get("Content-Range")) == (status, content_range)
        assert content is None or got == content
        assert ("Digest" in headers) == (status == 200)

    world(scenario)


def test_a_browser_that_has_the_file_is_not_sent_it_again(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.url(await w.upload(HELLO))
        etag = dict((await w.get(url))[0].headers)["ETag"]
        for known in (etag, f'"x", W/{etag}', "*"):
            answer, content = await w.get(url, If_None_Match=known)
            assert (answer.status, content) == (304, b"")
        assert (await w.get(url, If_None_Match='"other"'))[0].status == 200
        assert (await w.get(url, Range="bytes=0-1", If_Range=etag))[0].status == 206
        assert (await w.get(url, Range="bytes=0-1", If_Range='"other"'))[0].status == 200

    world(scenario)


def test_head_tells_what_get_would_send(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.url(await w.upload(HELLO))
        head, get = await w.request("HEAD", url), await w.request("GET", url)
        assert (head.status, head.headers, head.content_type) == (
            get.status,
            get.headers,
            get.content_type,
        )
        assert head.body == StreamedBody(None, len(HELLO))

    world(scenario)


def test_unknown_paths_and_files_have_their_own_errors(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.url(await w.upload(HELLO))
        base = url.rpartition("/")[0]
        for path in ("x", "..", "0" * 36, "upload/else"):
            assert await refusal(w.get(f"{base}/{path}")) == (400, "InvalidStoragePath")
        unknown = "00000000-0000-4000-8000-000000000000"
        assert await refusal(w.get(f"{base}/{unknown}")) == (404, "FileNotFound")

    world(scenario)


def test_a_deleted_file_is_gone_at_once_and_its_bytes_by_the_next_sweep(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO)
        url = await w.url(storage_id)
        async with w.app.subscribe("files:url", id=storage_id) as live:
            await w.app.mutation("files:remove", id=storage_id)
            assert live.results == [url, None]
        assert await refusal(w.get(url)) == (404, "FileNotFound")
        assert len(w.files.files) == 1  # type: ignore[attr-defined] # MemoryFiles
        assert await w.storage.sweep() == 1
        assert w.files.files == {}  # type: ignore[attr-defined] # MemoryFiles
        with pytest.raises(CallFailedError, match="there is no file"):
            await w.app.mutation("files:remove", id=storage_id)

    world(scenario)


def test_a_file_can_be_named_by_its_key_too(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO)
        url = await w.url(storage_id)
        key = url.rpartition("/")[2]
        assert await w.url(key) == url
        await w.app.mutation("files:remove", id=key)
        assert await w.app.query("files:url", id=storage_id) is None

    world(scenario)


def test_only_ids_of_files_are_taken(world):
    async def scenario(w: FilesWorld) -> None:
        pending = (await w.upload_url()).rpartition("=")[2]
        for wrong in ("", "x", pending):
            for call in ("url", "metadata"):
                with pytest.raises(CallFailedError, match="is not the id of a file"):
                    await w.app.query(f"files:{call}", id=wrong)

    world(scenario)


@pytest.mark.parametrize(
    "limits",
    [{"max_bytes": -1}, {"max_bytes": FILE_BYTES_MAX + 1}, {"content_types": ["image"]}],
)
def test_limits_without_sense_are_explained(world, limits: dict[str, object]):
    async def scenario(w: FilesWorld) -> None:
        with pytest.raises(CallFailedError, match=r"`(max_bytes|content_types)` is"):
            await w.upload_url(**limits)

    world(scenario)


# Private files


def test_a_private_file_is_served_until_its_url_expires(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO, private=True)
        url = await w.url(storage_id, expires_in=60)
        answer, content = await w.get(url)
        assert content == HELLO
        assert dict(answer.headers)["Cache-Control"] in (
            "private, max-age=59",
            "private, max-age=60",
        )
        await w.app.advance(seconds=61)
        assert await refusal(w.get(url)) == (403, "UrlExpired")
        assert (await w.get(await w.url(storage_id)))[1] == HELLO

    world(scenario)


def test_a_private_url_holds_for_its_file_and_its_moment_only(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.url(await w.upload(HELLO, private=True))
        other = await w.url(await w.upload(b"other", private=True))
        public = await w.upload(b"public")
        head, _, query = url.partition("?")
        expires, signature = query.split("&")
        number = int(expires.partition("=")[2])
        for forged in (
            f"{other.partition('?')[0]}?{query}",
            f"{head}?expires={number + 1}&{signature}",
            f"{head}?{expires}",
            head,
            f"{head}?{expires}&signature=ü",
            f"{head}?expires=x&{signature}",
            f"{head.rpartition('/')[0]}/{public}?{query}",
        ):
            assert await refusal(w.get(forged)) == (403, "InvalidSignature")
        assert await refusal(w.get(f"http://x/api/files/nonsense?{query}")) == (404, "FileNotFound")

    world(scenario)


def test_the_key_of_a_private_file_opens_nothing(world):
    async def scenario(w: FilesWorld) -> None:
        await w.upload(HELLO, private=True)
        (row,) = await w.stored()
        for key in (row["key"], row["key"].removeprefix("private-")):
            refused = await refusal(w.get(f"http://x/api/storage/{key}"))
            assert refused in ((400, "InvalidStoragePath"), (404, "FileNotFound"))

    world(scenario)


@pytest.mark.parametrize("expires_in", [0, -1, 604_801])
def test_an_expiry_without_sense_is_explained(world, expires_in: float):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO, private=True)
        with pytest.raises(CallFailedError, match="more than 0 seconds"):
            await w.url(storage_id, expires_in=expires_in)

    world(scenario)


def test_the_url_of_a_public_file_does_not_expire(world):
    async def scenario(w: FilesWorld) -> None:
        storage_id = await w.upload(HELLO)
        with pytest.raises(CallFailedError, match="this one is public"):
            await w.url(storage_id, expires_in=60)

    world(scenario)


# Direct uploads


async def described(w: FilesWorld, content: bytes, **limits: object) -> dict[str, str]:
    body = b'{"size": %d, "sha256": "%s", "contentType": "image/png"}' % (
        len(content),
        digest_of(content).encode(),
    )
    return json_of(await w.request("POST", await w.upload_url(direct=True, **limits), body))


@pytest.mark.parametrize("private", [False, True])
def test_a_direct_upload_is_described_put_and_confirmed(world, private: bool):
    async def scenario(w: FilesWorld) -> None:
        place = await described(w, HELLO, private=private)
        assert place["method"] == "PUT"
        assert await refusal(w.request("POST", place["confirmUrl"])) == (400, "NothingUploaded")
        await w.request("PUT", place["url"], HELLO)
        storage_id = json_of(await w.request("POST", place["confirmUrl"]))["storageId"]
        answer, content = await w.get(await w.url(storage_id))
        assert (content, answer.content_type) == (HELLO, "image/png")
        assert await refusal(w.request("POST", place["confirmUrl"])) == (403, "InvalidUploadUrl")
        assert await refusal(w.request("PUT", place["url"], HELLO)) == (403, "InvalidUploadUrl")

    world(scenario)


def test_other_bytes_than_described_are_refused(world):
    async def scenario(w: FilesWorld) -> None:
        place = await described(w, HELLO)
        wrong = w.request("PUT", place["url"], HELLO.upper())
        assert await refusal(wrong) == (400, "DigestMismatch")
        assert await refusal(w.request("PUT", place["url"], HELLO + b"!")) == (413, "FileTooLarge")
        assert await refusal(w.request("PUT", place["url"], HELLO[1:])) == (400, "DigestMismatch")
        assert await refusal(w.request("POST", place["confirmUrl"])) == (400, "NothingUploaded")
        await w.request("PUT", place["url"], HELLO)
        assert json_of(await w.request("POST", place["confirmUrl"]))["storageId"]

    world(scenario)


def test_limits_hold_for_descriptions(world):
    async def scenario(w: FilesWorld) -> None:
        assert await refusal(described(w, HELLO, max_bytes=5)) == (413, "FileTooLarge")
        refused = await refusal(described(w, HELLO, content_types=["text/*"]))
        assert refused == (415, "ContentTypeNotAllowed")

    world(scenario)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", (400, "BadDescription")),
        (b"[]", (400, "BadDescription")),
        (b'{"size": 1}', (400, "BadDescription")),
        (b'{"size": "1", "sha256": ""}', (400, "BadDescription")),
        (b'{"size": 1, "sha256": ""}', (400, "BadDigest")),
        (b'{"size": -1, "sha256": "%s"}' % digest_of(b"").encode(), (413, "FileTooLarge")),
        (b'{"size": 9999999999, "sha256": "%s"}' % digest_of(b"").encode(), (413, "FileTooLarge")),
        (b" " * 5000, (400, "BadDescription")),
    ],
)
def test_descriptions_without_sense_are_refused(world, body: bytes, error: tuple[int, str]):
    async def scenario(w: FilesWorld) -> None:
        assert await refusal(w.request("POST", await w.upload_url(direct=True), body)) == error

    world(scenario)


def test_a_direct_upload_that_is_never_confirmed_is_removed(world):
    async def scenario(w: FilesWorld) -> None:
        place = await described(w, HELLO)
        await w.request("PUT", place["url"], HELLO)
        await w.app.advance(seconds=23 * HOUR)
        await w.storage.sweep()
        assert len(w.files.files) == 1  # type: ignore[attr-defined] # MemoryFiles
        await w.app.advance(seconds=2 * HOUR)
        await w.storage.sweep()
        assert w.files.files == {}  # type: ignore[attr-defined] # MemoryFiles
        assert await w.pending() == []
        assert await refusal(w.request("POST", place["confirmUrl"])) == (403, "InvalidUploadUrl")

    world(scenario)


def test_bytes_of_a_direct_upload_stay_due_while_they_could_be_put_again(world):
    async def scenario(w: FilesWorld) -> None:
        place = await described(w, HELLO)
        await w.request("PUT", place["url"], HELLO)
        storage_id = json_of(await w.request("POST", place["confirmUrl"]))["storageId"]
        await w.app.mutation("files:remove", id=storage_id)
        assert await w.storage.sweep() == 0
        await w.app.advance(seconds=2 * HOUR)
        assert await w.storage.sweep() == 1

    world(scenario)


# What actions do


def test_actions_store_and_read_whole_files(world):
    async def scenario(w: FilesWorld) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield HELLO[:5]
            yield HELLO[5:]

        storage_id = await w.storage.store(pieces(), content_type="text/x", private=True)
        assert await w.storage.content(storage_id) == HELLO
        await w.app.mutation("files:remove", id=storage_id)
        assert await w.storage.content(storage_id) is None

    world(scenario)


# What is left behind


class FailingFiles(MemoryFiles):
    """Can't be reached when told so."""

    is_down = False

    async def delete(self, keys) -> None:
        if self.is_down:
            raise UnavailableError("FilesUnavailable", "the disk is gone")
        await super().delete(keys)


def test_bytes_that_could_not_be_removed_are_removed_later(tmp_path: Path):
    async def scenario() -> None:
        files = FailingFiles()
        async with FilesWorld(tmp_path, files) as w:
            storage_id = await w.upload(HELLO)
            files.is_down = True
            await w.app.mutation("files:remove", id=storage_id)
            with pytest.raises(UnavailableError):
                await w.storage.sweep()
            posted = w.request("POST", await w.upload_url(max_bytes=1), HELLO)
            assert await refusal(posted) == (413, "FileTooLarge")
            assert {row["kind"] for row in await w.pending()} == {"url", "upload", "deleted"}
            files.is_down = False
            await w.storage.sweep()
            assert files.files == {}
            await w.app.advance(seconds=3 * HOUR)
            await w.storage.sweep()
            assert await w.pending() == []

    asyncio.run(scenario())


def test_an_upload_that_was_given_up_becomes_no_file(world):
    async def scenario(w: FilesWorld) -> None:
        async def slow() -> AsyncIterator[bytes]:
            yield HELLO
            await w.app.advance(seconds=3 * HOUR)
            assert await w.storage.sweep() == 1

        posted = w.request("POST", await w.upload_url(), slow())
        assert await refusal(posted) == (408, "UploadTimedOut")
        assert w.files.files == {}  # type: ignore[attr-defined] # MemoryFiles
        assert await w.stored() == await w.pending() == []

    world(scenario)


def test_a_sweep_of_nothing_runs_no_mutation(world):
    async def scenario(w: FilesWorld) -> None:
        await w.upload(HELLO)
        before = w.app.engine.durable_ts()
        assert await w.storage.sweep() == 0
        assert w.app.engine.durable_ts() == before

    world(scenario)


def test_many_leftovers_are_removed_in_steps(world):
    async def scenario(w: FilesWorld) -> None:
        url = await w.upload_url()
        for number in range(230):
            answer = await w.request("POST", url, b"%d" % number)
            await w.app.mutation("files:remove", id=json_of(answer)["storageId"])
        assert await w.storage.sweep() == 230
        assert w.files.files == {}  # type: ignore[attr-defined] # MemoryFiles

    world(scenario)

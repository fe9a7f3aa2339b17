"""What only the bucket does with files of imports and exports; the rest is a contract."""

import gc
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from botocore.stub import Stubber

from syncline.aws.exchange_bucket import ADDRESS_SECONDS, ExchangeBucket
from syncline.drivers.exporter import export_file
from syncline.errors import CallerError, DeveloperError, UnavailableError
from tests.contract.exchange_backends import BUCKET, moto_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

UPLOAD = "0123456789abcdef" * 2
ROOM = 100


@pytest.fixture
def client() -> "Iterator[S3Client]":
    with moto_bucket() as client:
        yield client


@pytest.fixture
def files(client: "S3Client", tmp_path: Path) -> ExchangeBucket:
    return ExchangeBucket(client, BUCKET, tmp_path / "scratch", bytes_max=ROOM)


def keys(client: "S3Client") -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def write(files: ExchangeBucket, name: str, content: bytes) -> None:
    with files.create(name) as file:
        file.write(content)


def test_uploads_and_exports_lie_below_the_prefixes_whose_objects_expire(
    client: "S3Client", files: ExchangeBucket
):
    files.put_part(UPLOAD, 1, b"x")
    write(files, f"import-{UPLOAD}", b"x")
    write(files, export_file(7), b"x")
    assert keys(client) == [
        "exports/snapshot_7.zip",
        f"imports/{UPLOAD}/1",
        f"imports/import-{UPLOAD}",
    ]


def test_joining_leaves_the_file_alone_in_the_bucket_and_nothing_on_the_disk(
    client: "S3Client", files: ExchangeBucket, tmp_path: Path
):
    for number in range(1, 4):
        files.put_part(UPLOAD, number, b"x")
    files.join_parts(UPLOAD, [1, 2, 3], "import-a")
    files.open("import-a").close()
    assert keys(client) == ["imports/import-a"]
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_file_that_was_not_written_to_its_end_is_not_uploaded(
    client: "S3Client", files: ExchangeBucket
):
    with pytest.raises(TypeError), files.create("snapshot_7.zip") as file:
        file.writelines([b"half", "no bytes"])
    file = files.create("snapshot_8.zip")
    file.write(b"half")
    del file
    gc.collect()
    assert keys(client) == []


def test_only_one_served_file_lies_on_the_disk(files: ExchangeBucket, tmp_path: Path):
    for name in ("snapshot_7.zip", "snapshot_8.zip"):
        write(files, name, b"x")
        files.path(name)
    assert [each.name for each in (tmp_path / "scratch/served").iterdir()] == ["snapshot_8.zip"]


def test_a_file_of_the_disks_size_fits_and_one_byte_more_is_refused(
    client: "S3Client", files: ExchangeBucket
):
    write(files, "import-a", bytes(ROOM))
    files.open("import-a").close()
    with pytest.raises(CallerError) as refused:
        write(files, "import-b", bytes(ROOM + 1))
    assert refused.value.code == "FileTooLarge"
    client.put_object(Bucket=BUCKET, Key="imports/import-c", Body=bytes(ROOM + 1))
    for use in (files.open, files.path):
        with pytest.raises(CallerError) as refused:
            use("import-c")
        assert refused.value.code == "FileTooLarge"
        assert "several smaller files" in refused.value.message


def test_parts_that_are_too_large_together_are_not_joined(
    client: "S3Client", files: ExchangeBucket
):
    files.put_part(UPLOAD, 1, bytes(ROOM))
    files.put_part(UPLOAD, 2, b"x")
    with pytest.raises(CallerError) as refused:
        files.join_parts(UPLOAD, [1, 2], "import-a")
    assert refused.value.code == "FileTooLarge"
    assert "imports/import-a" not in keys(client)


def test_parts_put_to_their_addresses_are_parts_of_the_upload(files: ExchangeBucket):
    for number, data in ((1, b"one, "), (2, b"two")):
        answer = requests.put(files.part_address(UPLOAD, number), data=data, timeout=10)
        assert answer.status_code == 200
    files.join_parts(UPLOAD, [1, 2], "import-a")
    with files.open("import-a") as file:
        assert file.read() == b"one, two"


def test_an_exports_address_gives_it_as_a_file_of_its_name(files: ExchangeBucket):
    write(files, "snapshot_7.zip", b"PK")
    answer = requests.get(files.address("snapshot_7.zip"), timeout=10)
    assert answer.content == b"PK"
    assert answer.headers["Content-Disposition"] == "attachment; filename=snapshot_7.zip"


def test_addresses_are_signed_by_version_4_for_the_buckets_own_region_and_end(
    files: ExchangeBucket,
):
    # Only so a bucket that is encrypted with an own key, outside of us-east-1, takes them.
    write(files, "snapshot_7.zip", b"PK")
    for address in (files.part_address(UPLOAD, 1), files.address("snapshot_7.zip")):
        parts = urllib.parse.urlsplit(address)
        query = dict(urllib.parse.parse_qsl(parts.query))
        assert parts.netloc == f"{BUCKET}.s3.eu-central-1.amazonaws.com"
        assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        assert query["X-Amz-Expires"] == str(ADDRESS_SECONDS)


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (403, DeveloperError, "FilesForbidden"),
        (429, UnavailableError, "FilesUnavailable"),
        (503, UnavailableError, "FilesUnavailable"),
    ],
)
def test_refusals_of_s3_name_the_file(
    tmp_path: Path, status: int, expected: type[CallerError], code: str
):
    client = boto3.client("s3", region_name="eu-central-1")
    with Stubber(client) as stub:
        stub.add_client_error("get_object", "Refused", "why", status)
        with pytest.raises(expected) as refused:
            ExchangeBucket(client, BUCKET, tmp_path).open("import-a")
    assert refused.value.code == code
    assert "imports/import-a" in refused.value.message


def test_parts_that_s3_does_not_delete_are_told(client: "S3Client", files: ExchangeBucket):
    with Stubber(client) as stub:
        stub.add_response(
            "delete_objects", {"Errors": [{"Key": f"imports/{UPLOAD}/1", "Code": "InternalError"}]}
        )
        with pytest.raises(UnavailableError, match="did not delete 1 parts"):
            files._delete([f"imports/{UPLOAD}/1"])

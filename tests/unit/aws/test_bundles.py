"""Bundles in S3: one hash, one content, wherever it is fetched."""

import io
import zipfile

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from syncline.aws.bundles import BUNDLE_BYTES_MAX, S3Bundles
from syncline.errors import CorruptionError, DeveloperError, UnavailableError
from syncline.local.bundle_store import BundleStore

BUCKET = "bundles-of-mine"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "functions"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "messages.py").write_text("first = 1\n")
    (folder / "deep" / "er" / "more.py").write_text("# ü\n")
    (folder / "_generated").mkdir()
    (folder / "_generated" / "api.py").write_text("left out")
    (folder / "notes.txt").write_text("left out")
    return folder


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(s3, bundle, files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    s3.put_object(Bucket=BUCKET, Key=f"bundles/{bundle}.zip", Body=archive.getvalue())


def test_another_machine_finds_what_was_added(s3, source, tmp_path):
    bundle, kept = S3Bundles(s3, BUCKET, tmp_path / "one").add(source)
    found = S3Bundles(s3, BUCKET, tmp_path / "two").folder(bundle)
    assert found == tmp_path / "two" / bundle
    assert content(found) == content(kept)
    assert set(content(found)) == {"messages.py", "deep/er/more.py"}


def test_a_bundle_has_the_same_name_here_and_in_a_data_folder(s3, source, tmp_path):
    here, _ = S3Bundles(s3, BUCKET, tmp_path / "cache").add(source)
    there, _ = BundleStore(tmp_path / "data").add(source)
    assert here == there


def test_equal_folders_make_one_object_and_changed_ones_another(s3, source, tmp_path):
    bundles = S3Bundles(s3, BUCKET, tmp_path / "cache")
    first, _ = bundles.add(source)
    body = s3.get_object(Bucket=BUCKET, Key=f"bundles/{first}.zip")["Body"].read()
    again, _ = S3Bundles(s3, BUCKET, tmp_path / "other").add(source)
    assert again == first
    assert s3.get_object(Bucket=BUCKET, Key=f"bundles/{first}.zip")["Body"].read() == body
    (source / "messages.py").write_text("first = 2\n")
    changed, _ = bundles.add(source)
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert keys == {f"bundles/{first}.zip", f"bundles/{changed}.zip"}
    assert bundles.folder(first) != bundles.folder(changed)


@pytest.fixture
def code(tmp_path):
    """A folder of code as it is built for Lambda."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "functions.lock").write_text("humanize==4.9.0\n")
    (folder / "requirements.lock").write_text("boto3==1.43.0\nhumanize==4.9.0\n")
    return folder


def test_functions_that_need_what_the_code_has_are_taken(s3, source, code, tmp_path):
    bundles = S3Bundles(s3, BUCKET, tmp_path / "cache", code=code)
    bundles.add(source)
    (source / "requirements.txt").write_text("humanize==4.9.0\nboto3==1.43.0\n")
    bundle, kept = bundles.add(source)
    assert set(content(kept)) == {"messages.py", "deep/er/more.py", "functions.lock"}
    # A rollback sends what the bundle holds.
    assert S3Bundles(s3, BUCKET, tmp_path / "other", code=code).add(kept)[0] == bundle


def test_functions_that_need_other_dependencies_are_sent_to_deploy(s3, source, code, tmp_path):
    (source / "requirements.txt").write_text("humanize==4.10.0\nboto3==1.43.0\n")
    with pytest.raises(DeveloperError, match=r"humanize==4\.10\.0.*`syncline deploy`") as refused:
        S3Bundles(s3, BUCKET, tmp_path / "cache", code=code).add(source)
    assert refused.value.code == "OtherDependencies"
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)
    # Where the code was not built, nobody knows what it has.
    S3Bundles(s3, BUCKET, tmp_path / "cache").add(source)


def test_an_object_that_is_there_is_never_written_over(s3, source, tmp_path):
    bundle, _ = BundleStore(tmp_path / "data").add(source)
    s3.put_object(Bucket=BUCKET, Key=f"bundles/{bundle}.zip", Body=b"older")
    S3Bundles(s3, BUCKET, tmp_path / "cache").add(source)
    assert s3.get_object(Bucket=BUCKET, Key=f"bundles/{bundle}.zip")["Body"].read() == b"older"


def test_a_kept_bundle_is_not_fetched_again(s3, source, tmp_path):
    bundles = S3Bundles(s3, BUCKET, tmp_path / "cache")
    bundle, kept = bundles.add(source)
    s3.delete_object(Bucket=BUCKET, Key=f"bundles/{bundle}.zip")
    assert bundles.folder(bundle) == kept


def test_an_unknown_bundle_is_none_and_the_empty_one_is_always_there(s3, tmp_path):
    bundles = S3Bundles(s3, BUCKET, tmp_path / "cache")
    assert bundles.folder("0" * 32) is None
    assert list(bundles.empty().iterdir()) == []


@pytest.mark.parametrize("files", [{"messages.py": "changed"}, {"../escape.py": ""}, {}], ids=str)
def test_other_files_than_the_hash_names_are_refused_and_nothing_is_written(
    s3, source, tmp_path, files
):
    bundle, _ = BundleStore(tmp_path / "data").add(source)
    put(s3, bundle, files)
    with pytest.raises(CorruptionError, match=bundle):
        S3Bundles(s3, BUCKET, tmp_path / "cache").folder(bundle)
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "escape.py").exists()


def test_garbage_and_bombs_are_refused(s3, tmp_path):
    bundles = S3Bundles(s3, BUCKET, tmp_path / "cache")
    s3.put_object(Bucket=BUCKET, Key="bundles/abc.zip", Body=b"no zip")
    with pytest.raises(CorruptionError):
        bundles.folder("abc")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bomb.py", bytes(BUNDLE_BYTES_MAX + 1))
    s3.put_object(Bucket=BUCKET, Key="bundles/bomb.zip", Body=archive.getvalue())
    with pytest.raises(CorruptionError, match="more than"):
        bundles.folder("bomb")


def test_functions_larger_than_the_limit_are_refused_before_anything_is_sent(s3, tmp_path):
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "large.py").write_bytes(b"#" * (BUNDLE_BYTES_MAX + 1))
    with pytest.raises(DeveloperError, match="fit"):
        S3Bundles(s3, BUCKET, tmp_path / "cache").add(folder)
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_missing_folder_is_named(s3, tmp_path):
    with pytest.raises(DeveloperError, match="nowhere"):
        S3Bundles(s3, BUCKET, tmp_path / "cache").add(tmp_path / "nowhere")


def test_a_refusing_bucket_is_a_mistake_and_an_unreachable_one_passes(source, tmp_path):
    client = boto3.client(
        "s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    stub = Stubber(client)
    stub.activate()
    bundles = S3Bundles(client, BUCKET, tmp_path / "cache")
    for method, call in (
        ("get_object", lambda: bundles.folder("abc")),
        ("put_object", lambda: bundles.add(source)),
    ):
        stub.add_client_error(method, "AccessDenied", "", 403)
        with pytest.raises(DeveloperError, match="may not list"):
            call()
        stub.add_client_error(method, "SlowDown", "", 503)
        with pytest.raises(UnavailableError):
            call()
    stub.deactivate()

    def unreachable(**_):
        raise EndpointConnectionError(endpoint_url="https://s3.example")

    client.meta.events.register("before-call.s3", unreachable)
    with pytest.raises(UnavailableError):
        bundles.folder("abc")
    with pytest.raises(UnavailableError):
        bundles.add(source)

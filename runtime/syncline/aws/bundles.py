"""Bundles of functions in S3, by content hash, with a folder of those in use (engine's Bundles).

A bundle is one zip at `bundles/<hash>.zip`, written once and never changed. What is downloaded is
believed only if its files have the hash that it was asked for by. Several versions lie side by side
while a push switches. The calls block: a bundle is fetched once per process, when a call first
needs it, and nothing else could go on without it.
"""

import io
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from syncline.aws.settings import BUNDLE_PREFIX
from syncline.drivers.bundle_files import bundle_hash, read_bundle_files, write_bundle_files
from syncline.drivers.functions_lock import LOCK_FILE, read_lock
from syncline.errors import CorruptionError, DeveloperError, SynclineError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUNDLE_BYTES_MAX: Final = 32 * 2**20
"""Bytes of a bundle's files, unpacked (convex-protocol.md 6.8): sixteen of them fit into /tmp."""

_SAME_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every file in a zip, so that equal bundles are equal byte for byte."""

_EXISTS: Final = frozenset({409, 412})
"""Somebody else has written, or is writing, the same content."""

_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


class S3Bundles:
    """Bundles in one bucket."""

    def __init__(
        self, client: "S3Client", bucket: str, cache: Path, *, code: Path | None = None
    ) -> None:
        """`cache`: a folder of this machine, such as /tmp/bundles; processes may share it.

        `code`: the folder of code that functions run in (cdk/syncline_cdk/bundling.py); None: not
        one that was built, so that nobody knows what it has.
        """
        self._code = code
        self._client = client
        self._bucket = bucket
        self._cache = cache

    def add(self, source: Path) -> tuple[str, Path]:
        """Upload a functions folder unless it is there already; returns (hash, kept folder).

        Raises:
            DeveloperError: the folder is missing or too large, or the role may not write;
                OtherDependencies: the functions need what this deployment's code does not have.
            UnavailableError: S3 can't be reached now.
        """
        files = read_bundle_files(source)
        self._refuse_other_dependencies(files)
        size = sum(map(len, files.values()))
        if size > BUNDLE_BYTES_MAX:
            raise DeveloperError(
                "BundleTooLarge",
                f"The functions have {size} bytes; {BUNDLE_BYTES_MAX} fit. Move data out of them.",
            )
        bundle = bundle_hash(files)
        try:
            # S3 checks the body's checksum, which the SDK adds.
            self._client.put_object(
                Bucket=self._bucket, Key=_key(bundle), Body=_packed(files), IfNoneMatch="*"
            )
        except ClientError as error:
            if _status(error) not in _EXISTS:
                raise _failure(error, "write", bundle) from error
        except BotoCoreError as error:
            raise _failure(error, "write", bundle) from error
        return bundle, self._keep(bundle, files)

    def _refuse_other_dependencies(self, files: Mapping[str, bytes]) -> None:
        lock = files.get(LOCK_FILE)
        if self._code is None or lock is None:
            return
        there = [self._code / name for name in (LOCK_FILE, "requirements.lock")]
        known = frozenset[str]().union(*(read_lock(path.read_text()) for path in there))
        if missing := sorted(read_lock(lock.decode(errors="replace")) - known):
            raise DeveloperError(
                "OtherDependencies",
                f"The functions need {', '.join(missing[:5])}{', ...' if missing[5:] else ''}, "
                "which this deployment's code was built without. A push changes functions and "
                "schema only: dependencies change by `syncline deploy`.",
            )

    def empty(self) -> Path:
        """A folder without functions: what serves before the first push."""
        folder = self._cache / "empty"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def folder(self, bundle: str) -> Path | None:
        """Where the bundle lies on this machine, downloaded if need be; None: it is not in S3.

        Raises:
            CorruptionError: BundleCorrupt: what S3 has under this name is something else.
            UnavailableError: S3 can't be reached now.
            DeveloperError: the role may not read.
        """
        kept = self._cache / bundle
        if kept.is_dir():
            return kept
        try:
            reply = self._client.get_object(Bucket=self._bucket, Key=_key(bundle))
            archive = reply["Body"].read(2 * BUNDLE_BYTES_MAX)
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise _failure(error, "read", bundle) from error
        except BotoCoreError as error:
            raise _failure(error, "read", bundle) from error
        return self._keep(bundle, _unpacked(bundle, archive))

    def _keep(self, bundle: str, files: Mapping[str, bytes]) -> Path:
        """Write beside the target and rename: whoever finds the folder finds all of it."""
        kept = self._cache / bundle
        if kept.is_dir():
            return kept
        self._cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{bundle}.", dir=self._cache))
        try:
            write_bundle_files(files, partial)
            partial.rename(kept)
        except OSError:
            shutil.rmtree(partial)
            # Another process was faster; anything else is an error.
            if not kept.is_dir():
                raise
        return kept


def _key(bundle: str) -> str:
    return f"{BUNDLE_PREFIX}{bundle}.zip"


def _packed(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name, _SAME_TIME), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _unpacked(bundle: str, archive: bytes) -> Mapping[str, bytes]:
    """The files of a zip; none is written before the hash has vouched for names and contents."""
    files: dict[str, bytes] = {}
    left = BUNDLE_BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for entry in opened.infolist():
                with opened.open(entry) as source:
                    files[entry.filename] = source.read(left + 1)
                left -= len(files[entry.filename])
                if left < 0:
                    raise _corrupt(bundle, f"it unpacks to more than {BUNDLE_BYTES_MAX} bytes")
    except _UNREADABLE as error:
        raise _corrupt(bundle, str(error)) from error
    if bundle_hash(files) != bundle:
        raise _corrupt(bundle, f"its files have the hash {bundle_hash(files)}")
    return files


def _corrupt(bundle: str, problem: str) -> CorruptionError:
    return CorruptionError(
        "BundleCorrupt",
        f"{_key(bundle)} in the bucket is not bundle {bundle}: {problem}. Restore the object, or "
        "push the functions again after deleting it.",
    )


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _failure(error: ClientError | BotoCoreError, verb: str, bundle: str) -> SynclineError:
    if isinstance(error, ClientError) and 400 <= _status(error) < 500 and _status(error) != 429:
        return DeveloperError(
            "BundleForbidden",
            f"The bucket refuses to {verb} {_key(bundle)}: {error}. (A missing object is refused, "
            "too, to a role that may not list the bucket.)",
        )
    return UnavailableError("BundlesUnavailable", f"S3 can't {verb} {_key(bundle)} now: {error}")

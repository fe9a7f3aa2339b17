"""What moto's S3 believes its clients: that an object is what its announced SHA-256 says."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, cast

from moto.s3.exceptions import S3ClientError
from moto.s3.responses import S3Response

_HEADER = "x-amz-checksum-sha256"

_Checksum = Callable[[S3Response, dict[str, Any]], tuple[str, str | None]]

_believing = cast("_Checksum", S3Response._get_checksum)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - moto has no other place for it


def make_objects_faithful() -> None:
    """Mend the objects of this process's moto; doing it again changes nothing."""
    setattr(S3Response, "_get_checksum", _checked)  # noqa: B010 - its name is moto's own


def _checked(response: S3Response, headers: dict[str, Any]) -> tuple[str, str | None]:
    """S3 compares the digest with the object, with or without an SDK's header beside it."""
    announced = response.headers.get(_HEADER)
    if announced is None:
        return _believing(response, headers)
    body = cast("bytes", response.raw_body)
    found = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if found != announced:
        raise S3ClientError(
            "BadDigest", "The SHA256 you specified did not match the calculated checksum."
        )
    headers[_HEADER] = found
    return "SHA256", found

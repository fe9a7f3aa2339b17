"""What S3 answers instead of doing it, as our errors."""

from collections.abc import Generator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from syncline.errors import DeveloperError, UnavailableError


@contextmanager
def refusals(key: str) -> Generator[None]:
    """S3's errors as ours.

    Raises:
        FileNotFoundError: there is no such object.
        DeveloperError: the role may not do this.
        UnavailableError: not now; the SDK has tried again already.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 404:
            raise FileNotFoundError(key) from error
        if 400 <= status < 500 and status != 429:
            raise DeveloperError(
                "FilesForbidden",
                f"The bucket refuses {key}: {error}. (A missing file is refused, too, to a role "
                "that may not list the bucket.)",
            ) from error
        raise UnavailableError("FilesUnavailable", f"S3 can't serve {key} now: {error}") from error
    except BotoCoreError as error:
        raise UnavailableError("FilesUnavailable", f"S3 can't serve {key} now: {error}") from error

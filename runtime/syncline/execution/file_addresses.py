"""The addresses of files and their signatures: made in functions, checked by the HTTP API.

A public file's address holds its key, a UUID that nobody can guess; a private file's address holds
its storage id, when it expires, and a signature by the file's own secret (docs/files.md).
"""

import hmac
import re
from typing import Final

PUBLIC_PATH: Final = "/api/storage/"
"""Followed by the file's key."""
UPLOAD_PATH: Final = "/api/storage/upload"
DIRECT_PATH: Final = "/api/storage/upload/direct"
"""Takes the description of a file that is then put where the answer says."""
CONFIRM_PATH: Final = "/api/storage/upload/confirm"
PUT_PATH: Final = "/api/storage/upload/put"
"""Where the embedded server takes such a file itself."""
PRIVATE_PATH: Final = "/api/files/"
"""Followed by the storage id."""

_PRIVATE_PREFIX: Final = "private-"
_KEY: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_public_key(text: str) -> bool:
    """Whether a text has the form of a public file's key, a UUID."""
    return _KEY.fullmatch(text) is not None


def is_private(key: str) -> bool:
    """Whether a key is that of a private file's bytes."""
    return key.startswith(_PRIVATE_PREFIX)


def private_key(key: str) -> str:
    """The key of a private file instead of a public one's."""
    return f"{_PRIVATE_PREFIX}{key}"


def make_key(number: int) -> str:
    """The key of a new public file from 128 random bits, as a UUID (version 4)."""
    number = number & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def public_address(url: str, key: str) -> str:
    """Where anybody gets a public file."""
    return f"{url}{PUBLIC_PATH}{key}"


def private_address(url: str, storage_id: str, secret: str, expires: int) -> str:
    """Where a private file can be had until `expires`, in seconds since the epoch."""
    signature = sign(storage_id, secret, expires)
    return f"{url}{PRIVATE_PATH}{storage_id}?expires={expires}&signature={signature}"


def sign(storage_id: str, secret: str, expires: int) -> str:
    """The signature of a private file's address: 64 hex digits."""
    return hmac.new(bytes.fromhex(secret), f"{storage_id} {expires}".encode(), "sha256").hexdigest()


def is_signed(storage_id: str, secret: str, expires: int, signature: str) -> bool:
    """Whether a signature is right; takes equally long for every wrong one."""
    return hmac.compare_digest(sign(storage_id, secret, expires).encode(), signature.encode())


def fits_content_types(content_type: str | None, allowed: list[str]) -> bool:
    """Whether a content type is one of the allowed: "image/png", or "image/*" for all of a kind."""
    plain = (content_type or "").partition(";")[0].strip().lower()
    kind = plain.partition("/")[0]
    return any(each.lower() in (plain, f"{kind}/*") for each in allowed) and "/" in plain

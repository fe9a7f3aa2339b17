"""Signatures of payment webhooks: `t=<seconds>,v1=<HMAC-SHA-256 of "<t>.<payload>", hex>`.

The form that Stripe made common; others differ in names only. Several `v1` stand there while the
provider changes its secret.
"""

import hashlib
import hmac

TOLERANCE_SECONDS = 300
"""How old a message may be: whoever records one can't send it again later."""


class BadSignatureError(Exception):
    """The message does not come from the provider, or not now."""


def sign(payload: str, secret: str, seconds: int) -> str:
    """The header of a message, as the provider makes it."""
    return f"t={seconds},v1={_digest(payload, secret, str(seconds))}"


def verify(payload: str, header: str, secret: str, now: float) -> None:
    """BadSignatureError unless the provider signed this payload within the last minutes."""
    fields = [field.partition("=")[::2] for field in header.split(",")]
    seconds = next((value for name, value in fields if name.strip() == "t"), "")
    if not seconds.isdigit() or abs(now - int(seconds)) > TOLERANCE_SECONDS:
        raise BadSignatureError("the message is not of now")
    expected = _digest(payload, secret, seconds)
    given = [value for name, value in fields if name.strip() == "v1"]
    # compare_digest takes as long for a wrong signature as for a right one.
    if not any(hmac.compare_digest(expected.encode(), each.encode()) for each in given):
        raise BadSignatureError("the signature is wrong")


def _digest(payload: str, secret: str, seconds: str) -> str:
    return hmac.new(secret.encode(), f"{seconds}.{payload}".encode(), hashlib.sha256).hexdigest()

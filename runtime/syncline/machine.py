"""This machine's clock, randomness and web, as the ports `Clock`, `Entropy` and `KeySets`."""

import asyncio
import http.client
import secrets
import time
import urllib.error
import urllib.request
from typing import Final
from urllib.parse import urlsplit

from syncline.errors import CallerError, UnavailableError
from syncline.registration.auth_providers import LOOPBACK

DOCUMENT_BYTES_MAX: Final = 2**20
"""Bytes of a discovery document or key set; ours: issuers' have a few kilobytes."""
ANSWER_SECONDS_MAX: Final = 5.0
"""Seconds that an issuer may be silent; ours."""


class SystemClock:
    """The machine's wall clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


class SystemEntropy:
    """The operating system's randomness."""

    def bits(self, count: int) -> int:
        """A random number of `count` bits."""
        return secrets.randbits(count)


class WebKeySets:
    """Key sets by HTTPS, through the proxy that the environment names, if any.

    No redirect is followed: keys are taken from where they are said to be, and from nowhere else.
    Plain HTTP is for issuers on this machine.
    """

    def __init__(self) -> None:
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    async def fetch(self, address: str) -> bytes:
        """The document. UnavailableError: not now; CallerError: there is none."""
        parts = urlsplit(address)
        if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
            raise CallerError("NoDocument", "it is no https:// address")
        return await asyncio.to_thread(self._fetch, address)

    def _fetch(self, address: str) -> bytes:
        request = urllib.request.Request(address)  # noqa: S310 - http and https only
        try:
            with self._opener.open(request, timeout=ANSWER_SECONDS_MAX) as answer:
                content = answer.read(DOCUMENT_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code >= 500 or error.code == 429:
                    raise _unavailable(address, error) from error
                raise CallerError("NoDocument", f"the answer is {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _unavailable(address, error) from error
        if len(content) > DOCUMENT_BYTES_MAX:
            raise CallerError("NoDocument", f"it has more than {DOCUMENT_BYTES_MAX} bytes")
        return content


def _unavailable(address: str, error: Exception) -> UnavailableError:
    return UnavailableError("AuthProviderUnavailable", f"{address} can't be reached: {error}")

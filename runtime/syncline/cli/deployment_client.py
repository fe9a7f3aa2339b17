"""Talking to a deployment over HTTP, as an admin."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from syncline.cli.target import Target
from syncline.errors import CallerError, UnavailableError

_REQUEST_ID: Final = re.compile(r"^\[Request ID: [0-9a-f]*\] Server Error\n?")


def client_name() -> str:
    """The `Convex-Client` header: "syncline-cli-" and a version of three numbers."""
    numbers = re.match(r"\d+\.\d+\.\d+", version("syncline"))
    return f"syncline-cli-{numbers[0] if numbers else '0.0.0'}"


class FunctionFailedError(CallerError):
    """A function was reached and failed; the message is what the deployment tells."""


@dataclass(frozen=True, slots=True)
class Result:
    """A function's value in the format asked for, and what it logged."""

    value: Any
    log_lines: tuple[str, ...]


class DeploymentClient:
    """One deployment; use as `async with DeploymentClient.open(target) as client`."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.target = target
        self.session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncGenerator[Self, None]:
        """A client with its connections, which end with the block."""
        headers = {"Authorization": f"Convex {target.key}", "Convex-Client": client_name()}
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_connect=10)
        # Addresses that it is redirected to are signed: not to be quoted again.
        async with aiohttp.ClientSession(
            headers=headers, timeout=timeout, requote_redirect_url=False
        ) as session:
            yield cls(target, session)

    async def call(self, path: str, arguments: Mapping[str, Any], form: str = "json") -> Result:
        """Run any function. Arguments and value are JSON as in convex-protocol 2.1.

        Raises:
            FunctionFailedError: with the function's error.
            CallerError, UnavailableError: the deployment refused or can't be reached.
        """
        body = {"path": path, "args": arguments, "format": form}
        answer = orjson.loads(await self.post("/api/function", orjson.dumps(body)))
        lines = tuple(answer.get("logLines", ()))
        if answer["status"] == "success":
            return Result(answer["value"], lines)
        message = _REQUEST_ID.sub("", answer["errorMessage"]) or answer["errorMessage"]
        raise FunctionFailedError("FunctionFailed", message)

    async def post(
        self, path: str, body: bytes = b"", query: Mapping[str, str] | None = None
    ) -> bytes:
        """POST bytes, get bytes. Raises CallerError, UnavailableError."""
        async with self._request("POST", path, body, query) as response:
            return await response.read()

    async def get(self, path: str) -> bytes:
        """GET bytes. Raises CallerError, UnavailableError."""
        async with self._request("GET", path, None, None) as response:
            return await response.read()

    async def put(self, url: str, body: bytes) -> None:
        """PUT bytes to an address that the deployment has given. As `post` raises.

        The admin key goes with them only if the address is the deployment's own, that is, a path.
        """
        if url.startswith("/"):
            async with self._request("PUT", url, body, None):
                return
        async with aiohttp.ClientSession(timeout=self.session.timeout) as plain:
            try:
                # As it was signed: not to be quoted again.
                async with plain.put(URL(url, encoded=True), data=body) as response:
                    if response.status >= 400:
                        raise _refusal(response.status, await response.read())
            except aiohttp.ClientError as error:
                host = URL(url).host
                raise UnavailableError(
                    "Unreachable", f"{host}, where the file is to go, can't be reached ({error})."
                ) from error

    async def download(self, path: str) -> AsyncGenerator[tuple[bytes, int | None], None]:
        """GET in chunks, each with the total size if known."""
        async with self._request("GET", path, None, None) as response:
            total = response.content_length
            async for chunk in response.content.iter_chunked(2**18):
                yield chunk, total

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: bytes | None, query: Mapping[str, str] | None
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        url = self.target.url + path
        try:
            async with self.session.request(method, url, data=body, params=query) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except aiohttp.ClientError as error:
            raise unreachable(self.target, error) from error


def unreachable(target: Target, error: Exception) -> UnavailableError:
    """The message for a deployment that does not answer."""
    return UnavailableError(
        "Unreachable",
        f"{target.url} can't be reached ({error}). Is it running? `syncline dev` starts the local "
        "one; --url names another.",
    )


def _refusal(status: int, body: bytes) -> CallerError:
    try:
        answer = orjson.loads(body)
        return CallerError(str(answer["code"]), str(answer["message"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = body.decode(errors="replace")[:500]
        return CallerError("HttpError", f"HTTP {status}: {text or 'no explanation'}")

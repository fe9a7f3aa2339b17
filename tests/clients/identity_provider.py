"""An OpenID Connect provider on loopback: discovery, keys that rotate, and tokens for anybody."""

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.token_workshop import Signer, key_set

APPLICATION = "app"
CLOCK_SKEW_SECONDS = 5
"""As the deployment's: a token is good for so long after its `exp`."""


class IdentityProvider:
    """Serves `/token?subject=`, what discovery needs, and `/rotate`; a context manager."""

    def __init__(self) -> None:
        self.signer = Signer("key-0", "ES256")
        self.old: Signer | None = None
        self.issued: list[str] = []
        """The subjects of all tokens, in order."""
        self._short: dict[str, str] = {}
        self._short_until = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "IdentityProvider":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    def shorten(self, seconds: float) -> None:
        """For so long hand out one token a subject, which then expires.

        It says that it was issued an hour ago, so that clients don't renew it by themselves.
        """
        self._short = {}
        self._short_until = time.time() + seconds

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one stays published."""
        self.old, self.signer = self.signer, Signer(f"key-{uuid.uuid4().hex}", "ES256")

    def token(self, subject: str) -> str:
        """The token that a client gets now."""
        self.issued.append(subject)
        now = time.time()
        if now < self._short_until:
            exp = self._short_until - CLOCK_SKEW_SECONDS
            if subject not in self._short:
                self._short[subject] = self._sign(subject, now - 3600, exp)
            return self._short[subject]
        return self._sign(subject, now, now + 3600)

    def _sign(self, subject: str, iat: float, exp: float) -> str:
        return self.signer.sign(
            iss=self.url, sub=subject, iat=int(iat), exp=exp, jti=uuid.uuid4().hex
        )

    def _answer(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        match path:
            case "/.well-known/openid-configuration":
                return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
            case "/keys":
                return key_set(self.signer, *([self.old] if self.old else []))
            case "/token":
                return self.token(query["subject"][0]).encode()
            case "/stranger":
                return Signer(self.signer.key_id, "ES256").sign(
                    iss=self.url, iat=int(time.time()), exp=int(time.time()) + 3600,
                    jti=uuid.uuid4().hex,
                ).encode()  # fmt: skip
            case "/rotate":
                self.rotate()
                return b"rotated"
            case _:
                return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                body = provider._answer(address.path, parse_qs(address.query))
                self.send_response(404 if body is None else 200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
                """Requests are not worth a line."""

        return Handler

"""Requests to the site as an HTTP API's events, and the router's answers as what Lambda returns.

An answer goes out when it is complete: the managed runtime of Python can't stream
(docs/http-actions.md).
"""

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from syncline.action_ports import SiteRequest
from syncline.aws.http_events import request_of, text_of, too_large_event, within_bounds
from syncline.drivers.site import site_path


def site_request_of(event: Mapping[str, Any], url: str) -> SiteRequest | None:
    """The request to the site in an event; None: it is not for the site.

    `url` is the deployment's address: the gateway's own host stands in the event.

    Raises:
        HttpError: 400, as http_events.request_of.
    """
    given = APIGatewayProxyEventV2(dict(event))
    path = site_path(given.raw_path)
    if path is None:
        return None
    plain, address = request_of(event), urlsplit(url)
    headers = {**plain.headers, "host": address.netloc}
    headers.pop("content-encoding", None)
    return SiteRequest(
        method=plain.method,
        path=path,
        query=given.raw_query_string.encode("latin-1", "replace"),
        headers=tuple(
            (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in headers.items()
        ),
        body=plain.body,
        scheme=address.scheme,
        client=given.request_context.http.source_ip,
    )


class SiteAnswer:
    """Collects an answer (drivers.actions.Responder)."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._is_broken = False

    async def respond(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> bool:
        """Take a piece."""
        del last
        if not self._status:
            self._status, self._headers = status, headers
        self._body += body
        return True

    def abort(self) -> None:
        """Half an answer is none."""
        self._is_broken = True

    def event(self) -> dict[str, object]:
        """What the function returns."""
        if self._is_broken:
            return {
                "statusCode": 502,
                "headers": {"content-type": "text/plain"},
                "body": "The answer broke off.",
            }
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for raw_name, raw_value in self._headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name == "set-cookie":
                cookies.append(value)
            elif name not in {"content-length", "transfer-encoding"}:
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
        head: dict[str, object] = {"statusCode": self._status, "headers": headers}
        if cookies:
            head["cookies"] = cookies
        body = bytes(self._body)
        text = text_of(body, headers.get("content-type", ""))
        if text is not None:
            answer: dict[str, object] = {**head, "body": text, "isBase64Encoded": False}
        else:
            answer = {**head, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        return answer if within_bounds(answer) else too_large_event()

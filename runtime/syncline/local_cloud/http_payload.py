"""What an HTTP API gives its function and takes from it: payload format 2.0."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from syncline.local_cloud.distribution import EDGE_ADDRESS, OriginRequest, Pairs
from syncline.local_cloud.gateway_identity import host, milliseconds, new_id, request_time
from syncline.local_cloud.ports import HttpApi

TEXT_TYPES: Final = ("application/json", "application/javascript", "application/xml")
"""Bodies of these and of `text/*` are texts in an HTTP API's events; all others are base64."""


def http_event(
    api: HttpApi, account: str, region: str, request: OriginRequest, body: bytes, at: float
) -> dict[str, object]:
    """What the function of an HTTP API is given: payload format 2.0."""
    headers: dict[str, str] = {"host": host(api.api_id, region)}
    cookies: list[str] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[lower] = f"{headers[lower]},{value}" if lower in headers else value
    # The API decodes the path, and takes what then looks like a query off it.
    path = unquote(request.path).partition("?")[0]
    event: dict[str, object] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _http_context(api, account, region, request.method, path, headers, at),
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        event["queryStringParameters"] = parameters
    if body:
        event["body"], event["isBase64Encoded"] = _event_body(headers.get("content-type"), body)
    return event


def _http_context(
    api: HttpApi,
    account: str,
    region: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    at: float,
) -> dict[str, object]:
    return {
        "accountId": account,
        "apiId": api.api_id,
        "domainName": host(api.api_id, region),
        "domainPrefix": api.api_id,
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": EDGE_ADDRESS,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": new_id(),
        "routeKey": "$default",
        "stage": "$default",
        "time": request_time(at),
        "timeEpoch": milliseconds(at),
    }


def _event_body(content_type: str | None, body: bytes) -> tuple[str, bool]:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in TEXT_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            # Nothing is documented for a text that is none; nothing of it may be lost here.
            pass
    return base64.b64encode(body).decode(), True


class BadAnswerError(ValueError):
    """A function's answer has a part of the wrong type; clients are told 500."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A function's answer as it goes to the client."""

    status: int
    headers: Pairs
    body: bytes


def http_answer(answer: object) -> HttpAnswer:
    """Read what a function gave: payload format 2.0.

    Without `statusCode` the whole answer is the body, as JSON.

    Raises:
        BadAnswerError: it can't be read.
    """
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else msgspec.json.encode(answer)
        return HttpAnswer(200, (("content-type", "application/json"),), body)
    try:
        given = msgspec.convert(answer, _Answer, strict=True)
        text = given.body or ""
        body = base64.b64decode(text, validate=True) if given.is_base64_encoded else text.encode()
    except ValueError as error:
        raise BadAnswerError(f"A function's answer can't be read: {error}") from error
    headers = [(name.lower(), _text(value)) for name, value in (given.headers or {}).items()]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    headers += [("set-cookie", cookie) for cookie in given.cookies or ()]
    return HttpAnswer(given.status_code, tuple(headers), body)


class _Answer(msgspec.Struct, rename="camel"):
    status_code: Annotated[int, msgspec.Meta(ge=100, le=599)]
    headers: dict[str, str | int | float | bool] | None = None
    cookies: list[str] | None = None
    body: str | None = None
    is_base64_encoded: bool = msgspec.field(default=False, name="isBase64Encoded")


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

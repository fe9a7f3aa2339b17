"""An HTTP API's events (payload format 2.0) to plain requests, and plain responses to answers.

The gateway has percent-decoded the path, made header names lower case and joined repeated headers
by commas, and taken the cookies out of the headers. A request that is too large for the gateway
never comes here; an answer that is too large for Lambda never gets out, so it is replaced.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from syncline.drivers.http_api import BODY_BYTES_MAX
from syncline.drivers.http_messages import (
    HttpError,
    HttpRequest,
    HttpResponse,
    StreamedBody,
    error_response,
)

ANSWER_BYTES_MAX: Final = 6 * 2**20
"""Bytes of an answer as JSON: what Lambda takes (aws-facts.md 5.1; the HTTP API takes 10 MB)."""

PART_BYTES_MAX: Final = 4_500_000
"""Bytes of a part of an upload through the API: Lambda takes 6 MiB of JSON, in which a part is
base64 and has its headers beside it. The official CLI's parts have 5 MiB."""

_TEXT_TYPES: Final = ("application/json", "text/")
_ONLY_FOR_THE_BODY: Final = "content-disposition"


def request_of(event: Mapping[str, Any]) -> HttpRequest:
    """The request in an event.

    Raises:
        HttpError: 400 BadBody: not encoded as Content-Encoding says; RequestTooLarge once decoded.
    """
    given = APIGatewayProxyEventV2(dict(event))
    headers = {name.lower(): value for name, value in given.headers.items()}
    if given.cookies:
        headers["cookie"] = "; ".join(given.cookies)
    query: dict[str, str] = {}
    for name, value in parse_qsl(given.raw_query_string, keep_blank_values=True):
        query.setdefault(name, value)
    return HttpRequest(
        given.request_context.http.method,
        given.raw_path,
        query,
        headers,
        _decoded(_body(given), headers.get("content-encoding", "").lower()),
    )


def response_event(response: HttpResponse) -> dict[str, object]:
    """What the function returns for a response; one that is too large becomes 413.

    A header that is there several times becomes one with all values. None sets a cookie.
    """
    answer = _answer(response)
    if answer is None:
        error = _too_large()
        kept = [each for each in response.headers if each[0].lower() != _ONLY_FOR_THE_BODY]
        answer = _answer(error.with_headers(*kept))
        assert answer is not None, "headers have bounds far below the limit"
    return answer


def too_large_event() -> dict[str, object]:
    """Instead of an answer that is too large for Lambda."""
    answer = _answer(_too_large())
    assert answer is not None, "it is short"
    return answer


def within_bounds(answer: Mapping[str, object]) -> bool:
    """Whether Lambda takes an answer of this size."""
    return _json_bytes(answer) <= ANSWER_BYTES_MAX


def _too_large() -> HttpResponse:
    message = (
        f"The answer has more than the {ANSWER_BYTES_MAX} bytes that a Lambda function may "
        "return. Ask for less: page the query, or use `syncline export` for all documents."
    )
    return error_response(HttpError(413, "ResponseTooLarge", message))


def _body(event: APIGatewayProxyEventV2) -> bytes:
    text = event.body or ""
    try:
        return base64.b64decode(text, validate=True) if event.is_base64_encoded else text.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise HttpError(400, "BadBody", f"The body can't be read: {error}.") from error


def _decoded(body: bytes, encoding: str) -> bytes:
    """As the dev server's: other encodings are passed on, a deflate without its head is read."""
    if not body or encoding not in {"gzip", "deflate"}:
        return body
    if encoding == "gzip":
        window = 16 + zlib.MAX_WBITS
    else:
        # Many send the bare stream; a head's low four bits are always 8 (RFC 1950).
        window = zlib.MAX_WBITS if body[0] & 0xF == 8 else -zlib.MAX_WBITS
    parts: list[bytes] = []
    left = BODY_BYTES_MAX
    try:
        while body:
            stream = zlib.decompressobj(window)
            parts.append(stream.decompress(body, left + 1))
            left -= len(parts[-1])
            if left < 0:
                raise HttpError(400, "RequestTooLarge", f"At most {BODY_BYTES_MAX} bytes fit.")
            if not stream.eof:
                raise _not_encoded(encoding)
            # A gzip may have several members.
            body = stream.unused_data if encoding == "gzip" else b""
    except zlib.error as error:
        raise _not_encoded(encoding) from error
    return b"".join(parts)


def _not_encoded(encoding: str) -> HttpError:
    return HttpError(
        400, "BadBody", f"The body is not encoded as Content-Encoding says: {encoding}."
    )


def _answer(response: HttpResponse) -> dict[str, object] | None:
    """The answer; None: it is larger than Lambda takes."""
    body = response.body
    if isinstance(body, StreamedBody):
        assert body.chunks is None, "S3 serves files itself; this is what HEAD is told of one"
        return {
            "statusCode": response.status,
            "headers": {
                "Content-Type": response.content_type,
                "Content-Length": str(body.length),
                **dict(response.headers),
            },
        }
    if isinstance(body, Path):
        # Not worth reading: in base64 it has more.
        if body.stat().st_size > ANSWER_BYTES_MAX:
            return None
        body = body.read_bytes()
    headers = {"Content-Type": response.content_type}
    for name, value in response.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    head: dict[str, object] = {"statusCode": response.status, "headers": headers}
    text = text_of(body, response.content_type)
    if text is not None:
        answer: dict[str, object] = {**head, "body": text, "isBase64Encoded": False}
        if _json_bytes(answer) <= ANSWER_BYTES_MAX:
            return answer
    # Shorter than a text with many characters that JSON escapes.
    answer = {**head, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return answer if _json_bytes(answer) <= ANSWER_BYTES_MAX else None


def text_of(body: bytes, content_type: str) -> str | None:
    """A body as text, if it is one."""
    if not body:
        return ""
    if not content_type.startswith(_TEXT_TYPES):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _json_bytes(content: object) -> int:
    """As Lambda's runtime writes it at worst: with everything beyond ASCII escaped."""
    return len(json.dumps(content))

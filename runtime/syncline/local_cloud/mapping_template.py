"""API Gateway's mapping templates: the references that ours use, and an error for everything else.

Velocity renders what it does not know as itself, so a misspelt name would travel on as text. Here a
template that holds anything unknown is refused before the first message.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, cast
from urllib.parse import quote_plus

CONTEXT_NAMES: Final = frozenset(
    "apiId connectedAt connectionId domainName eventType extendedRequestId identity.sourceIp "
    "identity.userAgent messageDirection messageId requestId requestTime requestTimeEpoch "
    "routeKey stage".split()
)
"""What `$context` has for a message of a WebSocket (apigateway-websocket-api-mapping-template)."""

_TOKEN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+")


class TemplateError(ValueError):
    """A template holds something that is not known here."""


@dataclass(frozen=True, slots=True)
class _Context:
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Body:
    """`$input.body`."""


@dataclass(frozen=True, slots=True)
class _Call:
    method: Callable[[str], str]
    argument: "_Reference"


_Reference: TypeAlias = _Context | _Body | _Call


def _url_encode(text: str) -> str:
    """As Java's URLEncoder, which is what Velocity calls: form encoding, `*` kept, `~` not."""
    return quote_plus(text, safe="*").replace("~", "%7E")


def _base64_encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_METHODS: Final[Mapping[str, Callable[[str], str]]] = {
    "util.urlEncode": _url_encode,
    "util.base64Encode": _base64_encode,
}


class MappingTemplate:
    """A request template, read once.

    Raises:
        TemplateError: the text holds a directive, or a reference that is not known here.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str | _Reference] = []
        at = 0
        while at < len(text):
            marks = [found for mark in "$#" if (found := text.find(mark, at)) >= 0]
            mark = min(marks, default=len(text))
            if mark > at:
                self._parts.append(text[at:mark])
            at = mark
            if at < len(text):
                reference, at = self._reference(at)
                self._parts.append(reference)

    def render(self, body: str, context: Mapping[str, object]) -> str:
        """The text for one message; `context` is its request context, nested as in events."""
        return "".join(
            part if isinstance(part, str) else _value(part, body, context) for part in self._parts
        )

    def _reference(self, at: int) -> tuple[_Reference, int]:
        match = _TOKEN.match(self._text, at + 1) if self._text[at] == "$" else None
        if match is None:
            raise self._unknown(at)
        name, end = match[0], match.end()
        if name in _METHODS:
            if self._text[end : end + 2] != "($":
                raise self._unknown(at)
            argument, end = self._reference(end + 1)
            if self._text[end : end + 1] != ")":
                raise self._unknown(at)
            return _Call(_METHODS[name], argument), end + 1
        if self._text[end : end + 1] == "(":
            raise self._unknown(at)
        if name == "input.body":
            return _Body(), end
        root, _, path = name.partition(".")
        if root != "context" or path not in CONTEXT_NAMES:
            raise self._unknown(at)
        return _Context(tuple(path.split("."))), end

    def _unknown(self, at: int) -> TemplateError:
        return TemplateError(
            f"The request template has {self._text[at : at + 40]!r} at character {at}, which the "
            "local gateway does not know. It knows $context, $input.body, $util.urlEncode(...) and "
            "$util.base64Encode(...)."
        )


def _value(reference: _Reference, body: str, context: Mapping[str, object]) -> str:
    match reference:
        case _Body():
            return body
        case _Call(method, argument):
            return method(_value(argument, body, context))
        case _Context(path):
            found = cast("object", context)
            for name in path:
                found = cast("Mapping[str, object]", found)[name]
            return str(found)

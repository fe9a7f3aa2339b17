"""Calling functions over HTTP: queries, mutations, batches (convex-protocol.md 3.1, 3.2).

A failing function is HTTP 200 with `{"status": "error"}`; only requests that never reached a
function fail as HTTP. Arguments and results pass through as JSON bytes without being decoded.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, TypeVar

import msgspec
import orjson

from syncline.drivers.answers import Answer, Caller
from syncline.drivers.deployment import Deployment
from syncline.drivers.http_messages import HttpError, HttpRequest, HttpResponse
from syncline.function_path import parse
from syncline.limits import ARGUMENTS_BYTES_MAX
from syncline.timestamps import decode_timestamp
from syncline.values import wire_json

CallKind = Literal["query", "mutation", "action", "any"]

QUERY_BATCH_MAX: Final = 100
"""Queries in one /api/query_batch; ours: what a page may ask at once without starving others."""

_NO_ARGUMENTS: Final = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    """The body of /api/query and its kin; unknown fields are ignored."""

    path: str
    args: msgspec.Raw = _NO_ARGUMENTS
    format: str | None = None
    ts: str | None = None
    componentPath: str | None = None  # noqa: N815 - as it is on the wire


class _Run(msgspec.Struct):
    """The body of /api/run/..."""

    args: msgspec.Raw = _NO_ARGUMENTS
    format: str | None = None


class _Batch(msgspec.Struct):
    """The body of /api/query_batch."""

    queries: list[_Call]


T = TypeVar("T")

_decode_call = msgspec.json.Decoder(_Call).decode
_decode_run = msgspec.json.Decoder(_Run).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


class FunctionEndpoints:
    """The endpoints that call functions."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def call(self, request: HttpRequest, caller: Caller, kind: CallKind) -> HttpResponse:
        """POST /api/query, /api/mutation, /api/action, /api/function."""
        body = _parsed(request.body, _decode_call)
        if body.componentPath:
            raise HttpError(
                400, "ComponentNotFound", f"There is no component {body.componentPath!r} here."
            )
        return await self._respond(kind, body.path, body.args, caller, _format(body.format))

    async def get_query(self, request: HttpRequest, caller: Caller) -> HttpResponse:
        """GET /api/query?path=...&args=...&format=..."""
        path = request.query.get("path")
        if path is None:
            raise HttpError(400, "BadQuery", "The query parameter `path` is missing.")
        arguments = request.query.get("args", "{}").encode()
        raw = _parsed(arguments, _decode_raw)
        return await self._respond("query", path, raw, caller, _format(request.query.get("format")))

    async def query_at(self, request: HttpRequest, caller: Caller) -> HttpResponse:
        """POST /api/query_at_ts: the snapshot that /api/query_ts had named."""
        body = _parsed(request.body, _decode_call)
        if body.ts is None:
            raise HttpError(400, "BadJsonBody", "The field `ts` is missing.")
        ts = decode_timestamp(body.ts)
        return await self._respond(
            "query", body.path, body.args, caller, _format(body.format), at=ts
        )

    async def query_batch(self, request: HttpRequest, caller: Caller) -> HttpResponse:
        """POST /api/query_batch: several queries, all at one ts."""
        queries = _parsed(request.body, _decode_batch).queries
        if len(queries) > QUERY_BATCH_MAX:
            raise HttpError(
                400, "TooManyQueries", f"At most {QUERY_BATCH_MAX} queries fit in one batch."
            )
        formats = [_format(query.format) for query in queries]
        prepared = [(_path(query.path), _arguments(query.args)) for query in queries]
        at = self._deployment.latest_ts()
        answers = await asyncio.gather(
            *(self._deployment.query(path, args, caller, at=at) for path, args in prepared)
        )
        results = map(udf_response, answers, formats)
        return HttpResponse(200, b'{"results":[' + b",".join(results) + b"]}")

    async def run(self, request: HttpRequest, caller: Caller, name: str) -> HttpResponse:
        """POST /api/run/{dir}/{module}/{function}: any public function by its address."""
        module, _, function = name.rpartition("/")
        if not module or not function:
            raise HttpError(
                404, "NotFound", "/api/run/<module>/<function> needs a module and a function."
            )
        body = _parsed(request.body or b"{}", _decode_run)
        target = _format(body.format)
        return await self._respond("any", f"{module}:{function}", body.args, caller, target)

    async def _respond(
        self,
        kind: CallKind,
        path: str,
        arguments: msgspec.Raw,
        caller: Caller,
        target: str,
        *,
        at: int | None = None,
    ) -> HttpResponse:
        prepared = _arguments(arguments)
        answer = await self._answer(kind, _path(path), prepared, caller, at)
        if answer.conflict:
            message = (answer.error_message or "").partition("\n")[2]
            raise HttpError(503, "OptimisticConcurrencyControlFailure", message)
        return HttpResponse(200, udf_response(answer, target))

    async def _answer(
        self, kind: CallKind, path: str, arguments: bytes, caller: Caller, at: int | None
    ) -> Answer:
        if kind == "any":
            kind = self._declared_kind(path)
        if kind == "mutation":
            return await self._deployment.mutation(path, arguments, caller)
        if kind == "action":
            return await self._deployment.action(path, arguments, caller)
        return await self._deployment.query(path, arguments, caller, at=at)

    def _declared_kind(self, path: str) -> CallKind:
        """What `path` is declared as; a query if unknown, whose answer says that it is missing."""
        for function in self._deployment.spec().functions:
            if function.path == path:
                return function.kind
        return "query"


def udf_response(answer: Answer, target: str) -> bytes:
    """The JSON of an answer: `{"status": "success" | "error", ...}` (convex-protocol.md 3.1)."""
    if answer.value is not None:
        parts = [b'{"status":"success","value":', reformat(answer.value, target)]
    else:
        parts = [b'{"status":"error","errorMessage":', orjson.dumps(answer.error_message)]
        if answer.error_data is not None:
            parts += [b',"errorData":', reformat(answer.error_data, target)]
    if answer.log_lines:
        parts += [b',"logLines":', orjson.dumps(answer.log_lines)]
    parts.append(b"}")
    return b"".join(parts)


def _parsed(body: bytes, decode: Callable[[bytes], T]) -> T:
    """The decoded body. HttpError 400: not UTF-8, no JSON, too deep, or a wrong field."""
    if len(body) > ARGUMENTS_BYTES_MAX:
        raise HttpError(
            400,
            "RequestTooLarge",
            f"The request has {len(body)} bytes (limit: {ARGUMENTS_BYTES_MAX}).",
        )
    try:
        # Skipped parts (raw arguments) are not checked by the decoder.
        body.decode()
        return decode(body)
    except UnicodeDecodeError as error:
        raise HttpError(400, "BadJsonBody", f"The request is not UTF-8: {error}.") from error
    except msgspec.MsgspecError as error:
        raise HttpError(400, "BadJsonBody", f"The request can't be read: {error}.") from error
    except RecursionError as error:
        raise HttpError(400, "BadJsonBody", "The request is nested too deeply.") from error


def _arguments(raw: msgspec.Raw) -> bytes:
    """Arguments as JSON: an object, or an array of one object."""
    arguments = bytes(raw)
    first = arguments[:1]
    if first == b"[":
        items = _decode_array(arguments)
        first = bytes(items[0])[:1] if len(items) == 1 else b""
    if first != b"{":
        raise HttpError(
            400, "BadArgs", "`args` must be an object, or an array with exactly one object."
        )
    return arguments


def _format(name: str | None) -> str:
    """The format's name, checked. CallerError BadFormat lists the known ones."""
    if name is None:
        return "json"
    wire_json.encode_format(None, name)
    return name


def reformat(encoded: bytes, target: str) -> bytes:
    """A value in another format (convex-protocol.md 2.1), from canonical convex_encoded_json."""
    # Formats differ in tagged values only, and inside a string the quote would be escaped.
    if b'{"$' not in encoded or target in {"convex_encoded_json", "convex_json"}:
        return encoded
    return wire_json.encode_format(wire_json.decode(encoded), target)


def _path(text: str) -> str:
    """The canonical form; CallerError BadConvexFunctionIdentifier becomes a 400."""
    return str(parse(text))

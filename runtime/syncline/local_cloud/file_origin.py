"""The bucket as CloudFront's origin: public files by GET and HEAD, under its access control.

CloudFront signs for the bucket itself, forwards Range and conditions, and puts the headers of the
behaviour's policy on the answer (CloudFront developer guide, "Restricting access to an Amazon S3
origin", "Response headers policies").
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, cast

from aiohttp import web
from botocore.exceptions import ClientError

from syncline.local_cloud.distribution import Answer, OriginRequest, Pairs

METHODS: Final = frozenset({"GET", "HEAD"})
PIECE_BYTES: Final = 2**16

_ASKED: Final = {
    "range": "Range",
    "if-none-match": "IfNoneMatch",
    "if-match": "IfMatch",
}
"""Request headers that S3 answers to, and boto3's names of them."""
_TOLD: Final = {
    "AcceptRanges": "Accept-Ranges",
    "CacheControl": "Cache-Control",
    "ContentRange": "Content-Range",
    "ContentType": "Content-Type",
    "ETag": "ETag",
}


@dataclass(frozen=True, slots=True)
class FileBehaviours:
    """Path patterns that lead to the bucket, and earlier ones that take some paths away."""

    paths: Sequence[str]
    others: Sequence[str]
    bucket: str
    headers: Pairs
    """Of the response headers policy."""


class FileOrigin:
    """Serves objects; `client`: boto3's of S3, as whoever the bucket lets read."""

    def __init__(self, client: Any, behaviours: FileBehaviours) -> None:
        self._client = client
        self._behaviours = behaviours

    def is_asked(self, path: str) -> bool:
        """Whether the distribution takes this path to the bucket."""
        taken = any(fnmatchcase(path, pattern) for pattern in self._behaviours.paths)
        return taken and not any(fnmatchcase(path, each) for each in self._behaviours.others)

    async def answer(self, request: web.BaseRequest, asked: OriginRequest) -> web.StreamResponse:
        """What the bucket answers."""
        if asked.method not in METHODS:
            refused = Answer(403, "This distribution is not configured to allow this method.")
            return refused.response()
        sent = {name.lower(): value for name, value in asked.headers}
        options = {boto: sent[name] for name, boto in _ASKED.items() if name in sent}
        key = asked.path.removeprefix("/")
        call = self._client.get_object if asked.method == "GET" else self._client.head_object
        bucket = self._behaviours.bucket
        try:
            reply = await asyncio.to_thread(call, Bucket=bucket, Key=key, **options)
        except ClientError as error:
            return self._refused(error)
        return await self._send(request, cast("Mapping[str, Any]", reply))

    def _refused(self, error: ClientError) -> web.Response:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 502)
        code = error.response.get("Error", {}).get("Code", "")
        body = "" if status == 304 else f"<Error><Code>{code}</Code></Error>"
        headers = [("Content-Type", "application/xml"), *self._behaviours.headers]
        return web.Response(status=status, text=body, headers=headers)

    async def _send(self, request: web.BaseRequest, reply: Mapping[str, Any]) -> web.StreamResponse:
        headers = [(told, str(reply[name])) for name, told in _TOLD.items() if name in reply]
        status = reply["ResponseMetadata"]["HTTPStatusCode"]
        response = web.StreamResponse(status=status, headers=[*headers, *self._behaviours.headers])
        response.content_length = reply["ContentLength"]
        await response.prepare(request)
        body = reply.get("Body")
        while body is not None and (piece := await asyncio.to_thread(body.read, PIECE_BYTES)):
            await response.write(piece)
        await response.write_eof()
        return response

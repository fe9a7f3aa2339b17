"""What the Data API's SQL takes in one parameter where a connection would send arrays of records.

`syncline.data_items` (postgres/migrations/0004_data_api.sql) reads a batch from a JSON array with
one object an item: numbers and flags as they are, call and outcome in Base64, keys as the text of
bytea, changes as in `postgres.staging`. All of it is ASCII.
"""

import json
from binascii import b2a_base64
from collections.abc import Iterable, Sequence

from syncline.commit.record import CommitRequest
from syncline.postgres.item_encoding import Settled
from syncline.postgres.staging import parts_of


def encode_batch(items: Iterable[tuple[CommitRequest, Settled]], *, with_ranges: bool) -> bytes:
    """The batch as JSON; without ranges for a batch that is not validated."""
    texts = [_item(request, settled, with_ranges=with_ranges) for request, settled in items]
    return b"[" + b",".join(texts) + b"]"


def encode_index_keys(keys: Iterable[tuple[str, int, bytes]]) -> list[bytes]:
    """One JSON object for each (document id, ts, key), for `syncline.data_add_index_keys`."""
    return [
        json.dumps({"document_id": document_id, "ts": ts, "key": f"\\x{key.hex()}"}).encode()
        for document_id, ts, key in keys
    ]


def _item(request: CommitRequest, settled: Settled, *, with_ranges: bool) -> bytes:
    ranges = request.read_ranges if with_ranges else ()
    return (
        b'{"begin_ts":%d,"ts":%d,"previous_ts":%d,"nonce":%d,"request":%d,"size":%d,"failed":%s,'
        b'"session":%s,"identity":%s,"call":"%s","outcome":"%s","read_los":%s,"read_his":%s,'
        b'"changes":%s}'
    ) % (
        request.begin_ts,
        settled.ts,
        settled.previous_ts,
        request.nonce,
        request.request,
        settled.size,
        b"true" if request.failed else b"false",
        json.dumps(request.session).encode(),
        json.dumps(request.identity).encode(),
        b2a_base64(request.call, newline=False),
        b2a_base64(request.outcome, newline=False),
        _keys([each.lo for each in ranges]),
        _keys([each.hi for each in ranges]),
        b"".join(parts_of(request)),
    )


def _keys(keys: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(b'"\\\\x%s"' % key.hex().encode() for key in keys) + b"]"

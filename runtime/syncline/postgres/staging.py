"""Commits that are too large for one call: their changes go ahead in parts (protocols.md rule 7).

The parts together are a JSON array of objects with the fields of `syncline.change`: documents in
Base64 (PostgreSQL takes no JSON apart that has an escaped zero in it), keys in its hexadecimal
text. `append` puts the parts together before it locks the head.
"""

import json
from binascii import b2a_base64
from collections.abc import Iterator, Sequence

from syncline.commit.record import CommitRequest, DocumentChange

STAGE_BYTES_MIN = 2 * 2**20
"""Payload of a commit above which it is staged (protocols.md rule 7)."""

PART_BYTES_MAX = 40 * 1024
"""Bytes of a part: a Data API row holds 64 KB, base64 included (protocols.md rule 7)."""

PARTS_PER_CALL_MAX = 25
"""Parts sent in one call: about 1 MiB."""

STAGE_STATEMENT = """
    INSERT INTO syncline.staged (nonce, part, staged_ns, content)
    SELECT %s, p.ordinality + %s, syncline.now_ns(), p.content
    FROM unnest(%s::bytea[]) WITH ORDINALITY AS p (content, ordinality)
    ON CONFLICT (nonce, part) DO NOTHING
    RETURNING part
"""
"""Parameters: nonce, number of parts before these, the parts."""


def parts_of(request: CommitRequest) -> list[bytes]:
    """The changes of a commit in parts, in order."""
    text = b"[" + b",".join(map(_change_json, request.changes)) + b"]"
    return [text[at : at + PART_BYTES_MAX] for at in range(0, len(text), PART_BYTES_MAX)]


def calls_of(parts: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """The parts as (number before, parts) for one call each."""
    for at in range(0, len(parts), PARTS_PER_CALL_MAX):
        yield at, parts[at : at + PARTS_PER_CALL_MAX]


def _change_json(change: DocumentChange) -> bytes:
    return (
        b'{"document_id":%s,"table_number":%d,"before_ts":%d,"before":%s,"after":%s,'
        b'"keys_before":%s,"keys_after":%s}'
    ) % (
        json.dumps(change.document_id).encode(),
        change.table,
        change.before_ts,
        _document_json(change.before),
        _document_json(change.after),
        _keys_json(change.keys_before),
        _keys_json(change.keys_after),
    )


def _document_json(document: bytes | None) -> bytes:
    return b"null" if document is None else b'"%s"' % b2a_base64(document, newline=False)


def _keys_json(keys: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(b'"\\\\x%s"' % key.hex().encode() for key in keys) + b"]"

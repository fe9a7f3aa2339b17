"""Where an index entry lies in the documents table (protocols.md rule 12). Pure.

    p  generation, 4 bytes ‖ index id, 6 bytes ‖ shard, 1 byte: always 0
    k  stored key: the entry's key; if it is longer than 900 bytes, those 900 and a hash of the key

So one Query reads any range of an index in key order. Keys that are equal for 900 bytes form a
group, in the order of their hashes; whoever meets a part of a group reads all of it and sorts by
full key. Bounds of ranges are rounded outward to whole groups, and full keys compared afterwards.

The ceiling: an index is one partition key, and DynamoDB serves 1,000 writes and 3,000 reads of a
partition in a second (aws-facts.md 4.3). As the table has no local index, DynamoDB splits a
partition key that is hot by ranges of k, which lifts the ceiling for keys that are spread. It does
not for keys that only grow: inserts into one table stop at 1,000 a second, because of
by_creation_time (rule 15). The shard byte is for those who have to go beyond that.

Parts of what is too large for an item (rule 11):

    p  generation, 4 bytes ‖ "part" ‖ owner: "d" and the document's id, or "k" and the key's hash
    k  ts, 8 bytes ‖ number of the part, 4 bytes
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from syncline.errors import CorruptionError
from syncline.index.index_definition import INDEX_ID_BYTES
from syncline.index.key_encoding import decode_values
from syncline.index.key_spans import value_ends

KEY_BYTES_MAX: Final = 900
"""Longer keys are cut to this and hashed: with the hash they stay below DynamoDB's 1,024."""

_HASH_BYTES: Final = 32
_SHARD: Final = b"\x00"
_PART: Final = b"part"

_generation = struct.Struct(">I").pack
_part = struct.Struct(">QI").pack


def generation_prefix(generation: int) -> bytes:
    """How every partition key of a generation begins."""
    return _generation(generation)


def partition_key(generation: int, key: bytes) -> bytes:
    """The partition key of an entry's key, or of anything else that begins with an index id."""
    return _generation(generation) + key[:INDEX_ID_BYTES] + _SHARD


def is_part(partition: bytes) -> bool:
    """Whether a partition key is one of parts: no table's number spells that word."""
    return partition.startswith(_PART, 4)


def stored_key(key: bytes) -> bytes:
    """The sort key of an entry: at most 932 bytes."""
    return key if len(key) <= KEY_BYTES_MAX else key[:KEY_BYTES_MAX] + _hash(key)


def stored_bounds(lo: bytes, hi: bytes) -> tuple[bytes, bytes]:
    """The stored keys, both included, between which every key with lo <= key < hi is stored.

    Keys outside of the range may be stored there too: the neighbours in the groups at its ends, and
    `hi` itself.
    """
    last = hi if len(hi) <= KEY_BYTES_MAX else hi[:KEY_BYTES_MAX] + b"\xff" * _HASH_BYTES
    return lo[:KEY_BYTES_MAX], last


def count_of_whole_groups(stored: Sequence[bytes]) -> int:
    """How many of these neighbouring stored keys, from the first on, are in no unfinished group.

    The last group is taken for unfinished, as others of it may follow.
    """
    count = len(stored)
    if count and len(stored[-1]) > KEY_BYTES_MAX:
        group = stored[-1][:KEY_BYTES_MAX]
        while count and len(stored[count - 1]) > KEY_BYTES_MAX and stored[count - 1][
            :KEY_BYTES_MAX
        ] == group:  # fmt: skip
            count -= 1
    return count


def document_id_of(key: bytes) -> str:
    """The document's id, which every entry key ends with.

    Raises:
        CorruptionError: the bytes are no entry key.
    """
    ends = value_ends(key)
    start = ends[-2] if len(ends) > 1 else INDEX_ID_BYTES
    (found,) = decode_values(key[start:]) if ends else (None,)
    if not isinstance(found, str):
        raise CorruptionError("InvalidIndexKey", f"No document id ends the key {key.hex()}.")
    return found


def document_owner(document_id: str) -> bytes:
    """Who owns the parts of a document."""
    return b"d" + document_id.encode()


def key_owner(key: bytes) -> bytes:
    """Who owns the parts of a key."""
    return b"k" + _hash(key)


def stored_key_owner(stored: bytes) -> bytes:
    """`key_owner` of a key that was cut, by what is stored of it."""
    return b"k" + stored[KEY_BYTES_MAX:]


def parts_partition(generation: int, owner: bytes) -> bytes:
    """The partition key of all parts of an owner."""
    return _generation(generation) + _PART + owner


def part_key(ts: int, number: int) -> bytes:
    """The sort key of a part of the version of `ts`; numbers begin with 0."""
    return _part(ts, number)


def _hash(key: bytes) -> bytes:
    return blake2b(key, digest_size=_HASH_BYTES).digest()

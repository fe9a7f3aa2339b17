"""The items of the interest table, and in which partitions a range and a key look for each other.

A range lies in the partition of its bucket (subscription/interest.py), inside it ordered by its
lower bound, so that a key reads only ranges that begin at or before it. Buckets without an equal
value are split by cells of the key space (protocols.md rule 18): a range lies in each of the few
small cells that it reaches, or in the great one; a key looks at its cell of each size. Names of
partitions and the order of sort keys only narrow: the stored bounds decide.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, TypeAlias

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from syncline.index.key_encoding import prefix_successor
from syncline.index.key_range import KeyRange
from syncline.index.key_spans import INDEX_ID_BYTES
from syncline.subscription.interest import BucketKey, bucket_of, buckets_of_key

Partition: TypeAlias = bytes

BOUND_BYTES_MAX: Final = 4096
"""Longer bounds are cut outward (protocols.md rule 12): a range may then match keys beside it."""

CELLS_MAX: Final = 4
"""Cells that one range may lie in; ours: a write each."""

_CELL_BYTES: Final = (4, 0)
"""Sizes of cells, by how many bytes of a key after the bucket name one; each costs a written key a
read. Four bytes are a type and three bytes of a text, or three days of a time in milliseconds, or
in the bucket of all indexes a table; none are all of the bucket."""

_ORDER_BYTES: Final = 32
"""So much of a bound, after its bucket, orders the ranges of a partition."""

_HASH_BYTES: Final = 16

_RANGES: Final = b"r"
_LIST: Final = b"l"

PARTITION_BYTES: Final = len(_RANGES) + _HASH_BYTES
SORT_KEY_BYTES: Final = _ORDER_BYTES + _HASH_BYTES
"""Of an item that holds a range."""


class InterestItem(Model):
    """A range that a query reads, or a part of the list of all items that a query has."""

    partition = BinaryAttribute(hash_key=True, attr_name="b", legacy_encoding=False)
    sort_key = BinaryAttribute(range_key=True, attr_name="q", legacy_encoding=False)
    lo = BinaryAttribute(null=True, legacy_encoding=False)
    """A range's lower bound; absent in lists."""
    hi = BinaryAttribute(null=True, legacy_encoding=False)
    """Its upper bound, not included; absent: there is none."""
    connection = UnicodeAttribute(null=True, attr_name="c")
    number = NumberAttribute(null=True, attr_name="n")
    """The query, of a range."""
    listed = BinaryAttribute(null=True, legacy_encoding=False)
    """Keys of a list: partition and sort key, of fixed lengths."""
    expires = NumberAttribute()
    """Epoch seconds."""


def bounds_of(key_range: KeyRange) -> tuple[bytes, bytes | None]:
    """The bounds as they are stored; None: no upper one."""
    lo, hi = key_range.lo[:BOUND_BYTES_MAX], key_range.hi
    return lo, hi if len(hi) <= BOUND_BYTES_MAX else prefix_successor(hi[:BOUND_BYTES_MAX])


def keys_of_range(key_range: KeyRange, query: bytes) -> list[tuple[Partition, bytes]]:
    """The keys of the items of a range; `query` names who reads it."""
    bucket = bucket_of(key_range)
    named = _hash(query, key_range.lo, key_range.hi)
    sort_key = _order(key_range.lo, len(bucket)) + named
    return [(partition, sort_key) for partition in _partitions(bucket, key_range)]


def _partitions(bucket: BucketKey, key_range: KeyRange) -> list[Partition]:
    if len(bucket) > INDEX_ID_BYTES:
        return [_partition(bucket, b"")]
    for size in _CELL_BYTES:
        first = _cell(bucket, key_range.lo, size)
        # Cells are in the order of their keys, so the last one is that of the bound, or before it.
        last = _cell(bucket, key_range.hi, size)
        if int.from_bytes(last) - int.from_bytes(first) < CELLS_MAX:
            cells = range(int.from_bytes(first), int.from_bytes(last) + 1)
            return [_partition(bucket, number.to_bytes(size)) for number in cells]
    raise AssertionError("the greatest cell is the only one of its size")


def places_of_key(key: bytes) -> list[tuple[Partition, bytes]]:
    """Each partition that can have a range around `key`, and the greatest sort key of such a range.

    (protocols.md rule 18: one bucket per number of leading values.)
    """
    places: list[tuple[Partition, bytes]] = []
    for bucket in buckets_of_key(key):
        last = _order(key, len(bucket)) + b"\xff" * _HASH_BYTES
        if len(bucket) > INDEX_ID_BYTES:
            places.append((_partition(bucket, b""), last))
        else:
            places += [(_partition(bucket, _cell(bucket, key, size)), last) for size in _CELL_BYTES]
    return places


def _cell(bucket: BucketKey, key: bytes, size: int) -> bytes:
    """The cell of a key or bound in its bucket; of a bound behind the bucket the last one."""
    if not key.startswith(bucket):
        return b"\xff" * size
    return key[len(bucket) : len(bucket) + size].ljust(size, b"\x00")


def _order(bound: bytes, after: int) -> bytes:
    """Bytes in the order of keys: one that is less never gets greater ones."""
    return bound[after : after + _ORDER_BYTES].ljust(_ORDER_BYTES, b"\x00")


def _partition(bucket: BucketKey, cell: bytes) -> Partition:
    # Buckets are as long as values are, partition keys at most 2,048 bytes.
    return _RANGES + _hash(bucket, cell)


def list_partition(query: bytes) -> Partition:
    """Where the list of a query's items lies."""
    return _LIST + query


def query_name(connection: str, number: int) -> bytes:
    """A query as bytes, up to 64 bits of number."""
    return number.to_bytes(8) + connection.encode()


def list_parts(keys: Iterable[tuple[Partition, bytes]], bytes_max: int) -> list[bytes]:
    """Keys packed for lists of at most `bytes_max` bytes each."""
    packed = b"".join(partition + sort_key for partition, sort_key in keys)
    size = bytes_max - bytes_max % (PARTITION_BYTES + SORT_KEY_BYTES)
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def listed_keys(part: bytes) -> list[tuple[Partition, bytes]]:
    """The keys of one part of a list."""
    size = PARTITION_BYTES + SORT_KEY_BYTES
    return [
        (part[start : start + PARTITION_BYTES], part[start + PARTITION_BYTES : start + size])
        for start in range(0, len(part), size)
    ]


def _hash(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(4) + part)
    return digest.digest()

"""Index definitions, and the entry keys that a document has in its indexes.

Entry key = index id (6 bytes: table number u32 BE, ordinal u16 BE) ‖ encoded field values ‖ encoded
_creationTime ‖ encoded document id. Every table has by_id (ordinal 0: id only) and by_creation_time
(ordinal 1); user indexes have ordinals from 2 that are never used again.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from syncline.errors import DeveloperError
from syncline.index.key_encoding import MISSING, Indexed, encode_value
from syncline.limits import IDENTIFIER_CHARACTERS_MAX, INDEX_FIELDS_MAX
from syncline.values.value import Value

BY_ID = 0
BY_CREATION_TIME = 1
FIRST_USER_ORDINAL = 2
INDEX_ID_BYTES = 6

RESERVED_INDEX_NAMES = frozenset({"by_id", "by_creation_time"})


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """A declared index over field paths, without the implied _creationTime and _id.

    `staged`: built without blocking the push, and not to be queried yet. Raises DeveloperError for
    names and fields that convex-protocol 6.5 rules out.
    """

    name: str
    fields: tuple[str, ...]
    staged: bool = False

    def __post_init__(self) -> None:
        require_index_name(self.name)
        if not self.fields:
            raise DeveloperError("EmptyIndex", f"Index {self.name!r} has no fields; name one.")
        if len(self.fields) > INDEX_FIELDS_MAX:
            raise DeveloperError(
                "TooManyIndexFields",
                f"Index {self.name!r} has {len(self.fields)} fields (limit: {INDEX_FIELDS_MAX}).",
            )
        for field in self.fields:
            if field == "_creationTime":
                raise DeveloperError(
                    "IndexFieldsContainCreationTime",
                    f"Index {self.name!r} can't contain _creationTime; it is appended to every "
                    "index.",
                )
            require_field_path(self.name, field)
        if len(set(self.fields)) < len(self.fields):
            raise DeveloperError(
                "IndexFieldsNotUnique", f"Index {self.name!r} names a field twice."
            )


@lru_cache(maxsize=4096)
def is_identifier(name: str) -> bool:
    """A letter or underscore, then letters, digits, underscores; not only underscores (2.2)."""
    return (
        0 < len(name) <= IDENTIFIER_CHARACTERS_MAX
        and name.isascii()
        and name.isidentifier()
        and bool(name.strip("_"))
    )


def require_index_name(name: str) -> None:
    """Raises DeveloperError("InvalidIndexName") for a bad or reserved name."""
    if not is_identifier(name) or name.startswith("_") or name in RESERVED_INDEX_NAMES:
        raise DeveloperError(
            "InvalidIndexName",
            f"{name!r} can't name an index: use letters, digits and underscores (at most "
            f"{IDENTIFIER_CHARACTERS_MAX}), not starting with an underscore, and not by_id or "
            "by_creation_time.",
        )


def require_field_path(index: str, path: str) -> None:
    """Raises DeveloperError("InvalidIndexField", "IndexFieldsContainId") for a bad path."""
    if path == "_id":
        raise DeveloperError(
            "IndexFieldsContainId",
            f"Index {index!r} can't contain _id; every index ends with it anyway.",
        )
    if path.startswith("_") or not all(map(is_identifier, path.split("."))):
        raise DeveloperError(
            "InvalidIndexField",
            f"Index {index!r}: {path!r} is not a field path like 'author.name'.",
        )


def index_id(table_number: int, ordinal: int) -> bytes:
    """The 6 bytes that every key of an index starts with."""
    return struct.pack(">IH", table_number, ordinal)


def field_value(document: Mapping[str, Value], path: str) -> Indexed:
    """The value at a dotted path; MISSING when some part of it is not there."""
    if "." not in path:
        return document.get(path, MISSING)
    first, *rest = path.split(".")
    value: Indexed = document.get(first, MISSING)
    for name in rest:
        if not isinstance(value, dict):
            return MISSING
        value = value.get(name, MISSING)
    return value


def entry_key(
    index_prefix: bytes, fields: Sequence[str], document: Mapping[str, Value], document_id: str
) -> bytes:
    """The document's key in an index with these fields ("_creationTime" and the id appended)."""
    return prefixed_key(index_prefix, fields, document, entry_suffix(document, document_id))


def entry_suffix(document: Mapping[str, Value], document_id: str) -> bytes:
    """How the document's keys end in every index but by_id: _creationTime, then the id."""
    return encode_value(document["_creationTime"]) + encode_value(document_id)


def prefixed_key(
    index_prefix: bytes, fields: Sequence[str], document: Mapping[str, Value], suffix: bytes
) -> bytes:
    """`entry_key` for a suffix that is encoded once for all indexes of a table."""
    values = [encode_value(field_value(document, field)) for field in fields]
    return b"".join([index_prefix, *values, suffix])


def by_id_key(table_number: int, document_id: str) -> bytes:
    """The document's key in by_id."""
    return index_id(table_number, BY_ID) + encode_value(document_id)

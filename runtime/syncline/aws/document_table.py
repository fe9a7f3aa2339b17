"""The item of the documents table: an index entry, or a part of what is too large for one."""

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model


class DocumentItem(Model):
    """An entry: a row has `d` or `parts`, a tombstone neither. A part has `d`, and `t` for nobody.

    Attributes are named by letters, since DynamoDB bills names by the byte.
    """

    p = BinaryAttribute(hash_key=True, legacy_encoding=False)
    k = BinaryAttribute(range_key=True, legacy_encoding=False)
    """Partition and sort key: see document_keys."""
    t = NumberAttribute(null=True)
    """ts of the commit that wrote the entry."""
    d = BinaryAttribute(legacy_encoding=False, null=True)
    """The document, or the bytes of the part."""
    i = UnicodeAttribute(null=True)
    """The document's id, if the document is in parts."""
    n = NumberAttribute(null=True)
    """How many parts the document has, if it is in parts."""
    f = BinaryAttribute(legacy_encoding=False, null=True)
    """The full key, if `k` is not."""
    m = NumberAttribute(null=True)
    """How many parts the full key has, if it is in parts."""
    x = NumberAttribute(null=True)
    """Expiry in seconds since the epoch (TTL): of tombstones, and of parts nobody reads soon."""

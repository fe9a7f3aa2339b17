"""What a search or vector index holds of a document, by the index's definition."""

from collections.abc import Mapping

from syncline.index.index_definition import field_value
from syncline.index.key_encoding import encode_value
from syncline.schema.catalog import IndexInfo, TextTarget, VectorTarget
from syncline.search.entries import TextEntry
from syncline.search.scoring import levels
from syncline.search.tokenizers import TOKENIZERS
from syncline.search.vectors import VectorEntry, unit_vector
from syncline.values.value import Value


def text_entry(index: IndexInfo, document: Mapping[str, Value]) -> TextEntry | None:
    """The document's entry; None: its search field holds no text with a word in it."""
    target = index.target
    assert isinstance(target, TextTarget)
    text = field_value(document, target.field)
    if not isinstance(text, str):
        return None
    found = levels(TOKENIZERS[target.tokenizer].of_document(text))
    if not found:
        return None
    return TextEntry(_creation_time(document), found, _filters(index, document))


def vector_entry(index: IndexInfo, document: Mapping[str, Value]) -> VectorEntry | None:
    """The document's entry; None: its vector field holds no vector of the index's dimensions."""
    target = index.target
    assert isinstance(target, VectorTarget)
    numbers = field_value(document, target.field)
    vector = unit_vector(numbers, target.dimensions) if isinstance(numbers, list) else None
    if vector is None:
        return None
    return VectorEntry(_creation_time(document), vector, _filters(index, document))


def _filters(index: IndexInfo, document: Mapping[str, Value]) -> tuple[bytes, ...]:
    return tuple([encode_value(field_value(document, field)) for field in index.fields])


def _creation_time(document: Mapping[str, Value]) -> float:
    created = document["_creationTime"]
    assert isinstance(created, int | float)
    return float(created)

"""Does a document conform: to its table's validator and to what every document must be (2.2)."""

from collections.abc import Mapping

from syncline.index.index_definition import is_identifier
from syncline.limits import (
    DOCUMENT_BYTES_MAX,
    DOCUMENT_NESTING_MAX,
    IDENTIFIER_CHARACTERS_MAX,
    OBJECT_FIELDS_MAX,
)
from syncline.schema.validator_types import TableNames, Validator
from syncline.values.size import nesting, size
from syncline.values.value import Value

SYSTEM_FIELDS = frozenset({"_id", "_creationTime"})


def document_failure(
    document: Mapping[str, Value], validator: Validator | None, names: TableNames
) -> str | None:
    """What is wrong with a document against its table's validator; None if nothing is.

    System fields are left out of the comparison.
    """
    if validator is None:
        return None
    fields: dict[str, Value] = {
        name: value for name, value in document.items() if name not in SYSTEM_FIELDS
    }
    failure = validator.check(fields, names)
    return str(failure) if failure is not None else None


def structure_failure(document: dict[str, Value]) -> str | None:
    """What rules every stored document out: field names, size, nesting. System fields are fine."""
    if len(document) > OBJECT_FIELDS_MAX:
        return (
            f"The document has {len(document)} fields, system fields included "
            f"(limit: {OBJECT_FIELDS_MAX})."
        )
    for name in document:
        if name in SYSTEM_FIELDS:
            continue
        if name.startswith("_"):
            return f"Field `{name}` starts with an underscore; such names are reserved."
        if not is_identifier(name):
            return (
                f"Field `{name}` is not a valid name: use letters, digits and underscores, at "
                f"most {IDENTIFIER_CHARACTERS_MAX}, and not only underscores."
            )
    if nesting(document) > DOCUMENT_NESTING_MAX:
        return f"The document is nested too deeply (limit: {DOCUMENT_NESTING_MAX} levels)."
    actual = size(document)
    if actual > DOCUMENT_BYTES_MAX:
        return (
            f"The document is too large ({actual} bytes, limit: {DOCUMENT_BYTES_MAX} bytes = "
            "1 MiB). Split it, or put large data into file storage."
        )
    return None

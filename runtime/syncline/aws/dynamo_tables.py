"""PynamoDB models of tables that are named at run time, and results read page by page.

A model's class declares keys and attributes; `for_table` binds it to a deployment's table. No
client is made before the first call, so that a restored snapshot of a process shares no connection.
"""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast

from pynamodb.models import Model
from pynamodb.pagination import ResultIterator

from syncline.aws.dynamo_retries import ANSWER_SECONDS_MAX, CONNECT_SECONDS_MAX, patiently

ITEM_BYTES_MAX: Final = 384 * 1024
"""Content of one item: DynamoDB takes 400 KB with names and keys (aws-facts.md 4.1)."""

CONNECTION_SECONDS: Final = 2 * 3600 + 600
"""How long what belongs to a connection is kept: the 2 h that API Gateway lets one live
(aws-facts.md 1.1), and ten minutes for clocks and what is still queued."""

_M = TypeVar("_M", bound=Model)


def for_table(model: type[_M], table: str, host: str | None, region: str | None) -> type[_M]:
    """The model on a table; the SDK's own retries are off (protocols.md rule 13)."""
    meta = type(
        "Meta",
        (),
        {
            "table_name": table,
            "host": host,
            "region": region,
            "max_retry_attempts": 0,
            "connect_timeout_seconds": CONNECT_SECONDS_MAX,
            "read_timeout_seconds": ANSWER_SECONDS_MAX,
        },
    )
    return cast("type[_M]", type(f"Stored{model.__name__}", (model,), {"Meta": meta}))


async def pages(model: type[_M], results: ResultIterator[_M]) -> AsyncGenerator[list[_M], None]:
    """A query's or scan's items, one answer of DynamoDB (1 MB at most) at a time, to the last.

    Raises what `patiently` raises.
    """
    while (page := await patiently(partial(_next_page, model, results))) is not None:
        yield page


def _next_page(model: type[_M], results: ResultIterator[_M]) -> list[_M] | None:
    # A call that fails leaves the iterator where it was, so it can be made again.
    page = cast("Mapping[str, Any] | None", next(cast("Any", results).page_iter, None))
    return None if page is None else [model.from_raw_data(item) for item in page["Items"]]

"""Printing: results to standard output, everything for people to standard error."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PEOPLE = Console(stderr=True, highlight=False)
RESULTS = Console(highlight=False, soft_wrap=True)


def say(text: str, style: str = "") -> None:
    """A line for people."""
    PEOPLE.print(escape(text), style=style or None)


def print_json(value: Any, *, indent: bool = True) -> None:
    """A value as JSON on standard output."""
    option = orjson.OPT_INDENT_2 if indent else 0
    RESULTS.out(orjson.dumps(value, option=option).decode(), highlight=False)


def print_table(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> None:
    """Rows as a table; columns are the union of their fields, those of `first` at the front."""
    fields = sorted({field for row in rows for field in row} - set(first))
    columns = [*first, *fields]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_cell(row[name])) if name in row else "" for name in columns))
    RESULTS.print(table)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

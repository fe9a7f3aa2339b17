"""The tables of docs/cost.md, written from `syncline.aws.cost` and `syncline.aws.prices`.

`python -m scripts.cost_page` writes them between the marks of the page; a test compares.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from syncline.aws.cost import ASSUMED, BASIS, MEASURED, WHAT_EVENTS_ARE, Workload, bill
from syncline.aws.prices import PRICES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cost.md"

WORKLOADS = MappingProxyType({
    "idle": Workload(),
    "small": Workload(connections=10, mutations=10_000, updates=50_000, storage_gb=1),
    "office hours": Workload(
        connections=25, mutations=100_000, updates=1_000_000, storage_gb=5, awake_hours=200
    ),
    "busy": Workload(connections=1_000, mutations=10**6, updates=10**7, storage_gb=10),
    "large": Workload(
        connections=10_000, mutations=10**7, updates=10**8, storage_gb=100, acus=2
    ),
})  # fmt: skip
"""The examples of the page."""


def _requests() -> str:
    meters = dict.fromkeys(meter for requests in MEASURED.values() for meter in requests)
    lines = ["| event | what it is | requests | basis |", "| --- | --- | --- | --- |"]
    for event, requests in MEASURED.items():
        counted = ", ".join(f"{requests[m]:g} {m}" for m in meters if m in requests)
        lines.append(f"| {event} | {WHAT_EVENTS_ARE[event]} | {counted} | {BASIS[event]} |")
    return "\n".join(lines)


def _assumptions() -> str:
    lines = ["| what | value | why |", "| --- | --- | --- |"]
    lines += [f"| {name} | {a.value:g} {a.unit} | {a.why} |" for name, a in ASSUMED.items()]
    return "\n".join(lines)


def _prices() -> str:
    lines = ["| service | what | USD | for | source |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {p.service} | {p.unit} | {p.usd:g} | {p.per:,} | {p.source} |" for p in PRICES.values()
    ]
    return "\n".join(lines)


def _examples() -> str:
    bills = {name: bill(workload) for name, workload in WORKLOADS.items()}
    services = dict.fromkeys(price.service for price in PRICES.values())
    head = ["service", *bills]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(bills)}"]
    for service in services:
        cells = [
            sum(item.usd for item in items if item.price.service == service)
            for items in bills.values()
        ]
        lines.append(f"| {service} | {' | '.join(f'{usd:,.2f}' for usd in cells)} |")
    totals = [sum(item.usd for item in items) for items in bills.values()]
    lines.append(f"| **all** | {' | '.join(f'**{usd:,.2f}**' for usd in totals)} |")
    return "\n".join(lines)


def _largest() -> str:
    lines = ["| example | largest items, USD a month |", "| --- | --- |"]
    for name, workload in WORKLOADS.items():
        items = sorted(bill(workload), key=lambda item: -item.usd)[:4]
        told = ", ".join(f"{i.price.service} {i.price.unit} {i.usd:,.2f}" for i in items)
        lines.append(f"| {name} | {told} |")
    return "\n".join(lines)


TABLES: Mapping[str, Callable[[], str]] = MappingProxyType({
    "requests": _requests,
    "assumptions": _assumptions,
    "prices": _prices,
    "examples": _examples,
    "largest": _largest,
})  # fmt: skip
"""By the name in the page's marks."""


def with_tables(page: str) -> str:
    """The page with every table between its marks. ValueError: a mark is missing."""
    for name, write in TABLES.items():
        begin, end = f"<!-- {name}: python -m scripts.cost_page -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if pattern.search(page) is None:
            raise ValueError(f"docs/cost.md has no {begin} ... {end}")
        table = f"{begin}\n{write()}\n{end}"
        page = pattern.sub(lambda _, table=table: table, page, count=1)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")

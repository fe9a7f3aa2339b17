"""`syncline cost`: what a month on AWS would cost, item by item."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from syncline.cli.output import RESULTS, print_json, say
from syncline.errors import CallerError

if TYPE_CHECKING:
    from syncline.aws.cost import Item

Connections = Annotated[
    float, typer.Option(min=0, help="Clients connected at the same time, on average.")
]
Mutations = Annotated[float, typer.Option(min=0, help="Mutations a month.")]
Updates = Annotated[
    float, typer.Option(min=0, help="Results a month pushed to clients because others wrote.")
]
HttpCalls = Annotated[
    float, typer.Option(min=0, help="Function calls a month through the HTTP API.")
]
StorageGb = Annotated[float, typer.Option(min=0, help="GB of documents.")]
FilesGb = Annotated[float, typer.Option(min=0, help="GB of bundles, imports and exports.")]
DocumentKb = Annotated[float, typer.Option(min=0, help="KB of a written document.")]
Variables = Annotated[
    float, typer.Option(min=0, help="Environment variables, if functions read any.")
]
Indexes = Annotated[float, typer.Option(min=0, help="Indexes of a written table.")]
UpdateKb = Annotated[float, typer.Option(min=0, help="KB of a result as it is sent.")]
Scheduled = Annotated[
    float, typer.Option(min=0, help="Runs of scheduled functions and crons a month.")
]
PingSeconds = Annotated[
    float, typer.Option(min=20, max=40, help="Between pings: 40 for npm's client, 20 for others.")
]
ColdShare = Annotated[
    float, typer.Option(min=0, max=1, help="Share of calls that start a new process.")
]
AwakeHours = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=730,
        help="Hours a month in which the database is awake [default: commits spread evenly].",
    ),
]
PauseSeconds = Annotated[
    float, typer.Option(min=300, max=86_400, help="The setting database_pause_seconds.")
]
Acus = Annotated[
    float, typer.Option(min=0.5, max=256, help="The database's capacity units while awake.")
]


def cost(
    connections: Connections = 0,
    mutations: Mutations = 0,
    updates: Updates = 0,
    http_calls: HttpCalls = 0,
    scheduled: Scheduled = 0,
    storage_gb: StorageGb = 0,
    files_gb: FilesGb = 0.1,
    document_kb: DocumentKb = 1,
    variables: Variables = 0,
    indexes: Indexes = 2,
    update_kb: UpdateKb = 2,
    ping_seconds: PingSeconds = 40,
    cold_share: ColdShare = 0.02,
    awake_hours: AwakeHours = None,
    pause_seconds: PauseSeconds = 600,
    acus: Acus = 0.5,
    json: Annotated[bool, typer.Option("--json", help="Print the items as JSON.")] = False,
) -> None:
    """Tell what a month on AWS costs, item by item, from public prices of us-east-1.

    Without options: an idle deployment. Free tiers are not deducted. docs/cost.md says what the
    numbers rest on.
    """
    from syncline.aws.cost import Workload, bill

    try:
        workload = Workload(
            connections=connections,
            mutations=mutations,
            updates=updates,
            variables=variables,
            http_calls=http_calls,
            scheduled=scheduled,
            storage_gb=storage_gb,
            files_gb=files_gb,
            document_kb=document_kb,
            indexes=indexes,
            update_kb=update_kb,
            ping_seconds=ping_seconds,
            cold_share=cold_share,
            awake_hours=awake_hours,
            pause_seconds=pause_seconds,
            acus=acus,
        )
    except ValueError as error:
        raise CallerError("BadWorkload", str(error)) from error
    items = bill(workload)
    _print_as_json(items) if json else _print_for_people(items)


def _print_as_json(items: Sequence["Item"]) -> None:
    lines = [
        {
            "service": item.price.service,
            "unit": item.price.unit,
            "quantity": round(item.quantity, 3),
            "usd": round(item.usd, 4),
        }
        for item in items
    ]
    total = sum(item.usd for item in items)
    print_json({"items": lines, "usd": round(total, 2)}, indent=False)


def _print_for_people(items: Sequence["Item"]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("service")
    table.add_column("what")
    table.add_column("a month", justify="right")
    table.add_column("USD", justify="right")
    for item in items:
        quantity = f"{item.quantity:,.0f}" if item.quantity >= 100 else f"{item.quantity:,.2f}"
        table.add_row(item.price.service, item.price.unit, quantity, f"{item.usd:,.2f}")
    table.add_row("all", "", "", f"{sum(item.usd for item in items):,.2f}", style="bold")
    RESULTS.print(table)
    largest = max(items, key=lambda item: item.usd)
    say(f"Most of it: {largest.price.service}, {largest.price.unit}.")
    say(
        "Prices of us-east-1 without free tiers; docs/cost.md says what is measured and what is "
        "estimated.",
        "dim",
    )

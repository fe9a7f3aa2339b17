"""`syncline verify` and `syncline rebuild`: the view in DynamoDB against the log."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from syncline.cli.output import PEOPLE, print_json, say

if TYPE_CHECKING:
    from syncline.aws.deployed import Deployed
    from syncline.aws.view_rebuild import RebuildStep
    from syncline.aws.view_verify import VerifyReport

DeploymentOption = Annotated[
    str, typer.Option("--deployment", help="The deployment on AWS, by its name.")
]
ProfileOption = Annotated[
    str | None, typer.Option(help="The AWS profile [default: AWS_PROFILE, or the default one].")
]
DIFFERENCES_SHOWN = 20


def verify(
    deployment: DeploymentOption,
    profile: ProfileOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare the view with the log, entry by entry; exit code 1 if they differ.

    Reads every entry of the view once, and the log's snapshot.
    """
    from syncline.aws.view_verify import verify as verify_view

    deployed = _deployed(deployment, profile)
    report = asyncio.run(verify_view(deployed.log, deployed.documents))
    if json:
        print_json(_as_json(report))
    elif not report.differences_count:
        say(f"{report.entries} entries are as the log says, as of {report.position.ts}.", "green")
    else:
        say(f"{report.differences_count} of {report.entries} entries differ:", "red")
        for each in report.differences[:DIFFERENCES_SHOWN]:
            say(f"  {each.kind} {each.document_id or each.key.hex()} at {each.ts}")
        say("`syncline rebuild` makes a new view beside this one and switches to it.")
    if report.differences_count:
        raise typer.Exit(1)


def rebuild(deployment: DeploymentOption, profile: ProfileOption = None) -> None:
    """Build a new view from the log beside the live one, and switch to it.

    Started again after an interruption, it goes on where it was.
    """
    from syncline.aws.view_rebuild import Tables
    from syncline.aws.view_rebuild import rebuild as rebuild_view

    deployed = _deployed(deployment, profile)
    settings = deployed.settings
    tables = Tables(settings.documents_table, settings.control_table)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=PEOPLE) as progress:
        task = progress.add_task("Opening the log's snapshot", total=None)

        def show(step: "RebuildStep") -> None:
            applied = f", commits up to {step.applied.ts}" if step.applied else ""
            text = f"{step.phase}: generation {step.generation}, {step.documents} documents"
            progress.update(task, description=text + applied)

        built = asyncio.run(rebuild_view(deployed.log, deployed.control, tables, on_step=show))
    say(f"Generation {built.generation} is live, complete up to {built.position.ts}.", "green")
    say("Leave the former one a quarter of an hour; then it may be removed.")


def _deployed(deployment: str, profile: str | None) -> "Deployed":
    """The adapters of a deployment, with the operator's credentials."""
    from syncline.aws.account import Account
    from syncline.aws.deployed import Deployed
    from syncline.aws.settings import Settings

    account = Account(profile=profile, region=None)
    caller = account.caller()
    # The adapters' clients read them from here, as in a Lambda.
    os.environ["AWS_DEFAULT_REGION"] = caller.region
    if profile is not None:
        os.environ["AWS_PROFILE"] = profile
    return Deployed(Settings.from_environment(account.environment(deployment)))


def _as_json(report: "VerifyReport") -> dict[str, object]:
    return {
        "ts": report.position.ts,
        "entries": report.entries,
        "differences": report.differences_count,
        "first": [
            {
                "kind": each.kind,
                "key": each.key.hex(),
                "documentId": each.document_id,
                "ts": each.ts,
            }
            for each in report.differences
        ],
    }

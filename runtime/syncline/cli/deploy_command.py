"""`deploy` and `destroy`: a deployment in the owner's AWS account, by the CDK's command line.

Both look first whether everything that they need is there, so that what is missing is said in one
sentence and not in the middle of a CloudFormation event log. Data is deleted only by `destroy
--delete-data`, after its name was typed.
"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli.cdk_process import Cdk, CdkProject, read_project
from syncline.cli.output import print_json, say
from syncline.errors import CallerError

if TYPE_CHECKING:
    from syncline.aws.account import Account

FolderOption = Annotated[Path, typer.Option(help="The folder of cdk.json.")]
DeploymentOption = Annotated[
    str | None, typer.Option(help="The deployment's name [default: cdk.json's, or syncline].")
]
ProfileOption = Annotated[
    str | None, typer.Option(help="The AWS profile [default: AWS_PROFILE, or the default one].")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the outputs as JSON.")]


class Approval(StrEnum):
    """When the CDK asks before it changes permissions or network rules."""

    NEVER = "never"
    ANY_CHANGE = "any-change"
    BROADENING = "broadening"


def deploy(
    deployment: DeploymentOption = None,
    approval: Annotated[
        Approval, typer.Option("--require-approval", help="When to ask about permissions.")
    ] = Approval.BROADENING,
    profile: ProfileOption = None,
    folder: FolderOption = Path(),
    json: JsonOption = False,
) -> None:
    """Provision a deployment on AWS, or change it, and push its functions.

    Functions or a schema that the data does not fit fail it, and what served goes on serving.
    """
    from syncline.aws.account import Account

    project = _project(folder, deployment, {})
    cdk = Cdk(project, profile=profile)
    account = Account(profile=profile, region=_region(project))
    _check(account, project)
    cdk.run("deploy", "--all", "--require-approval", approval.value)
    outputs = account.outputs(project.deployment)
    if json:
        print_json(dict(outputs), indent=False)
        return
    say(f"Deployed {project.deployment}.", "green")
    for label, name in (
        ("Address", "DeploymentUrl"),
        ("WebSocket", "WebSocketUrl"),
        ("Functions", "FunctionsHash"),
        ("Admin secret", "AdminSecretArn"),
    ):
        say(f"  {label:<13} {outputs.get(name, 'missing: is the stack there?')}")
    say(f"Its admin key: syncline admin-key --deployment {project.deployment}", "dim")


def destroy(
    deployment: DeploymentOption = None,
    delete_data: Annotated[
        bool,
        typer.Option(
            "--delete-data", help="Delete database, tables, bucket and key too, for ever."
        ),
    ] = False,
    confirm: Annotated[
        str | None,
        typer.Option(help="The deployment's name, for scripts; otherwise it is asked for."),
    ] = None,
    profile: ProfileOption = None,
    folder: FolderOption = Path(),
) -> None:
    """Take a deployment down. Its data stays unless --delete-data is given.

    What stays is the stack <deployment>-data; `syncline deploy` builds the rest around it again, at
    another CloudFront address.
    """
    from syncline.aws.account import Account

    project = _project(folder, deployment, {"protect_data": False} if delete_data else {})
    cdk = Cdk(project, profile=profile)
    account = Account(profile=profile, region=_region(project))
    _check(account, project)
    _confirm(project.deployment, confirm, delete_data=delete_data)
    stacks = cdk.stacks()
    if not delete_data:
        cdk.run("destroy", *_without_data(stacks), "--force")
        say(f"{project.deployment} is down; its data is in {project.deployment}-data.", "green")
        return
    # First without protection, by a deploy of its own: nothing else could delete the data.
    cdk.run("deploy", stacks["data"], "--exclusively", "--require-approval", "never")
    bucket = account.resources(f"{project.deployment}-data").get("AWS::S3::Bucket")
    if bucket:
        say(f"Deleted {account.empty_bucket(bucket)} object versions from {bucket}.")
    cdk.run("destroy", *_without_data(stacks), stacks["data"], "--force")
    say(f"{project.deployment} and its data are gone; its key goes in 30 days.", "green")


def deployed_admin_key(deployment: str, profile: str | None) -> tuple[str, str]:
    """The URL and admin key of a deployment on AWS.

    Raises:
        CallerError: it is not there, or may not be read with these credentials.
    """
    from syncline.aws.account import Account

    account = Account(profile=profile, region=None)
    account.caller()
    key = account.admin_key(deployment)
    return account.outputs(deployment).get("DeploymentUrl", ""), key


def stored_bundle(deployment: str, beginning: str) -> bytes:
    """The zip of a bundle that was pushed to a deployment on AWS before.

    Raises:
        CallerError: there is none, or more than one, whose hash begins so.
    """
    from syncline.aws.account import Account

    return Account(profile=None, region=None).bundle(deployment, beginning)


def _project(folder: Path, deployment: str | None, changes: Mapping[str, object]) -> CdkProject:
    named = {"deployment": deployment} if deployment else {}
    return read_project(folder, {**named, **changes})


def _region(project: CdkProject) -> str | None:
    region = project.settings.get("region")
    return str(region) if region else None


def _check(account: "Account", project: CdkProject) -> None:
    """Credentials, the account that is meant, and its bootstrap."""
    caller = account.caller()
    wanted = project.settings.get("account")
    if wanted not in {None, caller.account}:
        raise CallerError(
            "WrongAccount",
            f"cdk.json deploys to {wanted}, but {caller.arn} is of {caller.account}: "
            "choose another --profile.",
        )
    account.check_bootstrap(caller)
    say(f"Account {caller.account}, {caller.region}, as {caller.arn}.", "dim")


def _confirm(deployment: str, given: str | None, *, delete_data: bool) -> None:
    """The name has to be typed, whoever runs this."""
    if given is None and sys.stdin.isatty():
        what = "ALL ITS DATA, FOR EVER" if delete_data else "all but its data"
        given = typer.prompt(f"This deletes {deployment}, {what}. Type its name", err=True)
    if given != deployment:
        raise CallerError(
            "NotConfirmed",
            f"Nothing was deleted: type the deployment's name, or give --confirm {deployment}.",
        )


def _without_data(stacks: Mapping[str, str]) -> list[str]:
    return [name for what, name in stacks.items() if what != "data"]

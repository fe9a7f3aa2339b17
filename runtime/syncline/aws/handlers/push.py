"""The stack's last resource: migrates the log and pushes the functions, or fails the deploy.

Data that does not fit the new functions leaves the old ones serving and makes CloudFormation roll
back. A push that is itself part of a rollback keeps what serves when the former functions no longer
fit, because a rollback that fails leaves a stack that nobody can use (protocols.md rule 21).
"""

import json
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.data_classes import CloudFormationCustomResourceEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from syncline.aws import clients
from syncline.aws.deployed import SCRATCH
from syncline.aws.process import Process, process
from syncline.drivers.functions_lock import LOCK_FILE
from syncline.errors import DeveloperError, SynclineError

REASON_CHARACTERS_MAX: Final = 1_000
"""Of a failure as CloudFormation shows it: with the rest of the answer it must fit 4 KB."""

ANSWER_SECONDS_MAX: Final = 10

logger = Logger()
tracer = Tracer()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """CloudFormation's custom resource; it hears of every outcome, defects included."""
    request = CloudFormationCustomResourceEvent(event)
    try:
        if request.request_type == "Delete":
            data: Mapping[str, str] = {}
        else:
            current = process()
            current.may_backfill = True
            data = _push(current, request)
    except SynclineError as error:
        logger.error("push refused", code=error.code, reason=error.message)
        _answer(request, context, "FAILED", f"{error.code}: {error.message}")
    except Exception as error:
        logger.exception("push failed")
        _answer(request, context, "FAILED", f"{type(error).__name__}: {error}")
    else:
        _answer(request, context, "SUCCESS", "", data)


def _push(current: Process, request: CloudFormationCustomResourceEvent) -> Mapping[str, str]:
    properties = request.resource_properties
    folder = Path(tempfile.mkdtemp(prefix="push-", dir=_scratch()))
    try:
        _unpack(str(properties["SourceBucket"]), str(properties["SourceKey"]), folder)
        _note_dependencies(current.deployed.code, folder)
        try:
            login = str(properties.get("DatabaseLogin", ""))
            return current.run(_deploy(current, folder, login, _variables(request)))
        except SynclineError as error:
            if not _is_rolling_back(request.stack_id):
                raise
            logger.warning("kept what serves", code=error.code, reason=error.message)
            return {"Bundle": "", "Kept": "true"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _deploy(
    current: Process, folder: Path, login: str, variables: Mapping[str, str | None]
) -> Mapping[str, str]:
    await current.deployed.migrate(login)
    engine = await current.engine()
    # Before the functions that may read them.
    await engine.environment.change(variables)
    await engine.environment.sweep()
    report = await engine.push(folder)
    logger.info("pushed", bundle=report.bundle, modules=list(report.changed_modules))
    if report.frequent_crons:
        logger.warning("crons keep the database awake", crons=list(report.frequent_crons))
    # The deploy is over when the view has it, so that whoever connects next finds it there.
    await current.deployed.upkeep.catch_up()
    return {"Bundle": report.bundle}


def _variables(request: CloudFormationCustomResourceEvent) -> Mapping[str, str | None]:
    """What the stack says of environment variables; those that it says no more are removed."""
    before, now = request.old_resource_properties or {}, request.resource_properties
    return {
        **dict.fromkeys((*_named(before, "Variables"), *_named(before, "VariableSecrets"))),
        **_named(now, "Variables"),
        **{name: _secret(arn) for name, arn in _named(now, "VariableSecrets").items()},
    }


def _named(properties: Mapping[str, Any], kind: str) -> Mapping[str, str]:
    # CloudFormation leaves out what is empty.
    return properties.get(kind) or {}


def _secret(arn: str) -> str:
    try:
        return clients.secrets().get_secret_value(SecretId=arn)["SecretString"]
    except (BotoCoreError, ClientError, KeyError) as error:
        raise DeveloperError(
            "SecretUnreadable", f"The secret {arn} can't be read as text: {error}"
        ) from error


def _scratch() -> Path:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return SCRATCH


def _unpack(bucket: str, key: str, folder: Path) -> None:
    """The functions' folder as the CDK uploaded it: it made the archive, so its names are good."""
    archive = folder.with_suffix(".zip")
    try:
        clients.s3().download_file(bucket, key, str(archive))
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    finally:
        archive.unlink(missing_ok=True)


def _note_dependencies(code: Path | None, folder: Path) -> None:
    """The code was deployed for these functions, wherever the lock that it was built by lies."""
    if code is not None:
        shutil.copyfile(code / LOCK_FILE, folder / LOCK_FILE)


def _is_rolling_back(stack_id: str) -> bool:
    (stack,) = clients.cloudformation().describe_stacks(StackName=stack_id)["Stacks"]
    return "ROLLBACK" in stack["StackStatus"]


def _answer(
    request: CloudFormationCustomResourceEvent,
    context: LambdaContext,
    status: str,
    reason: str,
    data: Mapping[str, str] | None = None,
) -> None:
    body = {
        "Status": status,
        "Reason": f"{reason[:REASON_CHARACTERS_MAX]} (log: {context.log_stream_name})",
        # One id for ever: another one would make CloudFormation delete this one.
        "PhysicalResourceId": f"syncline-functions-{request.resource_properties['Deployment']}",
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_resource_id,
        "Data": dict(data or {}),
    }
    put = urllib.request.Request(  # noqa: S310 - CloudFormation's own presigned address
        request.response_url, json.dumps(body).encode(), {"Content-Type": ""}, method="PUT"
    )
    with urllib.request.urlopen(put, timeout=ANSWER_SECONDS_MAX):  # noqa: S310 - as above
        pass

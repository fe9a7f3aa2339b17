"""Deploys an assembly to moto as CloudFormation would: create, update or roll back, delete.

moto keeps the stacks and makes their resources; what it does not do is done here: publishing of
assets, and the way back when an update fails.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any, Final

from botocore.exceptions import ClientError
from moto.cloudformation.models import Stack as MotoStack
from moto.cloudformation.models import cloudformation_backends
from moto.core.exceptions import ServiceException

from syncline.errors import DeveloperError
from syncline.local_cloud.assembly import Assembly, Asset, Stack
from syncline.local_cloud.resource_model import CustomResourceFailed

BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION: Final = "30"
"""What `cdk bootstrap` leaves behind and every template asks for."""

_REFUSALS: Final = (ClientError, ServiceException, CustomResourceFailed)
"""Why a resource can't be made: another service says no, moto does, or a function."""


class Stacks:
    """The stacks of one deployment, in an account and region of moto."""

    def __init__(self, s3: Any, ssm: Any, *, account: str, region: str) -> None:
        """`s3`, `ssm`: boto3 clients of the moto server."""
        self._s3 = s3
        self._ssm = ssm
        self._region = region
        # Not through its API, which hides why a resource could not be made.
        self._moto = cloudformation_backends[account][region]
        self._deployed: list[Stack] = []

    @property
    def deployed(self) -> Sequence[Stack]:
        """What was deployed last, in the order of its making."""
        return tuple(self._deployed)

    def deploy(self, assembly: Assembly, *, code: Sequence[Asset]) -> None:
        """Create or update every stack that differs from what is deployed.

        `code`: assets that are run from where they lie; their archive in the bucket only says so.

        Raises:
            DeveloperError: DeployFailed: a resource could not be made; what was there before is
                there again, and a stack that was new is left as far as it came, as on AWS.
        """
        self._ssm.put_parameter(
            Name=BOOTSTRAP_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String", Overwrite=True
        )
        for asset in assembly.assets:
            self._publish(asset, is_run_in_place=asset in code)
        for number, stack in enumerate(assembly.stacks):
            if number == len(self._deployed):
                self._create(stack)
                self._deployed.append(stack)
            elif self._deployed[number] != stack:
                self._update(self._deployed[number], stack)
                self._deployed[number] = stack

    def delete(self) -> None:
        """Delete every stack, the newest first."""
        while self._deployed:
            self._moto.delete_stack(self._deployed.pop().name)

    def _publish(self, asset: Asset, *, is_run_in_place: bool) -> None:
        self._make_bucket(asset.bucket)
        if asset.path.is_dir():
            body = _pointer(asset) if is_run_in_place else _archive(asset)
        else:
            body = asset.path.read_bytes()
        self._s3.put_object(Bucket=asset.bucket, Key=asset.key, Body=body)

    def _make_bucket(self, name: str) -> None:
        try:
            self._s3.create_bucket(
                Bucket=name, CreateBucketConfiguration={"LocationConstraint": self._region}
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":  # pyright: ignore[reportTypedDictNotRequiredAccess] # every answer has it
                raise

    def _create(self, stack: Stack) -> None:
        try:
            self._moto.create_stack(stack.name, json.dumps(stack.template), parameters={})
        except _REFUSALS as error:
            self._in_moto(stack.name).status = "CREATE_FAILED"
            raise _deploy_failed(stack.name, error) from error

    def _update(self, before: Stack, after: Stack) -> None:
        # Told to functions that ask, and overwritten by moto when all went well.
        self._in_moto(after.name).status = "UPDATE_IN_PROGRESS"
        try:
            self._put(after)
        except _REFUSALS as error:
            self._in_moto(after.name).status = "UPDATE_ROLLBACK_IN_PROGRESS"
            try:
                self._put(before)
            except _REFUSALS as again:
                self._in_moto(after.name).status = "UPDATE_ROLLBACK_FAILED"
                raise _deploy_failed(after.name, again) from error
            self._in_moto(after.name).status = "UPDATE_ROLLBACK_COMPLETE"
            raise _deploy_failed(after.name, error) from error

    def _put(self, stack: Stack) -> None:
        self._moto.update_stack(stack.name, json.dumps(stack.template), None, [], None)

    def _in_moto(self, name: str) -> MotoStack:
        return next(stack for stack in self._moto.stacks.values() if stack.name == name)


def _deploy_failed(stack: str, error: Exception) -> DeveloperError:
    return DeveloperError("DeployFailed", f"The stack {stack} could not be deployed: {error}")


def _archive(asset: Asset) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(asset.path.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(asset.path))
    return content.getvalue()


def _pointer(asset: Asset) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("RUN_IN_PLACE", asset.path.name)
    return content.getvalue()

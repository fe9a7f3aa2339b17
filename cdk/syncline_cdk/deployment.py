"""All stacks of a deployment, in the order in which they are made."""

from pathlib import Path

from aws_cdk import Tags
from constructs import Construct

from syncline_cdk.address_stack import AddressStack
from syncline_cdk.api_stack import ApiStack
from syncline_cdk.bundling import build_code
from syncline_cdk.compute_stack import ComputeStack
from syncline_cdk.data_stack import DataStack
from syncline_cdk.observability_stack import COST_TAG, ObservabilityStack
from syncline_cdk.requirements import CodeTarget, find_functions_lock, running_target
from syncline_cdk.settings import DeploymentSettings


class Deployment(Construct):
    """A Syncline deployment in a CDK app: five stacks named after it.

        app = App()
        Deployment(app, "Prod", settings=DeploymentSettings(deployment="prod", code="lambda"))

    `code`: a folder that is taken as the functions' code; without it, it is built.

    Raises:
        BundlingError: the code can't be built.
        ValueError: the code is for a Python that has no SnapStart, which the settings ask for.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploymentSettings,
        code: Path | None = None,
    ) -> None:
        super().__init__(scope, name)
        self.settings = settings
        target = code_target(settings)
        if settings.snap_start and not target.has_snap_start():
            raise ValueError(f"snap_start needs Python 3.12 or newer, not {target.python}")
        if code is None:
            lock = find_functions_lock(settings.functions_folder, settings.functions_lock)
            code = build_code(target, functions_lock=lock)
        self.data = DataStack(self, "Data", settings=settings)
        self.address = AddressStack(self, "Address", settings=settings, data=self.data)
        self.compute = ComputeStack(
            self,
            "Compute",
            settings=settings,
            data=self.data,
            address=self.address,
            code=code,
            target=target,
        )
        self.api = ApiStack(
            self,
            "Api",
            settings=settings,
            data=self.data,
            address=self.address,
            compute=self.compute,
        )
        self.observability = ObservabilityStack(
            self,
            "Observability",
            settings=settings,
            data=self.data,
            address=self.address,
            compute=self.compute,
        )
        for tag, value in {**settings.tags, COST_TAG: settings.deployment}.items():
            Tags.of(self).add(tag, value)


def code_target(settings: DeploymentSettings) -> CodeTarget:
    """The machine that the functions' code is built for."""
    if settings.code == "running":
        return running_target()
    return CodeTarget(settings.python, settings.architecture, is_running=False)

"""A whole deployment on this machine: the synthesised stacks on moto, and all that runs them.

One process holds moto's server, the embedded Postgres behind the Data API's endpoint, the front
door and the consumers of queues; each environment of a Lambda function is a process of its own.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import boto3
import msgspec
from botocore.config import Config
from botocore.credentials import Credentials
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.events.models import events_backends
from moto.server import ThreadedMotoServer
from moto.sqs.models import sqs_backends

from syncline.aws.settings import DEPLOYMENT_VARIABLE, LOG_GROUP_PREFIX
from syncline.drivers.admin_key import admin_key
from syncline.local.embedded_postgres import EmbeddedPostgres
from syncline.local_cloud.assembly import APP, Assembly, Asset, read_assembly, synthesise
from syncline.local_cloud.custom_resources import CustomResourceAnswers
from syncline.local_cloud.disorder import Disorder
from syncline.local_cloud.event_sources import QueueConsumer, Schedule
from syncline.local_cloud.file_origin import FileOrigin
from syncline.local_cloud.front_door import FrontDoor
from syncline.local_cloud.function_logs import FunctionLogs
from syncline.local_cloud.gateway_limits import GatewayLimits
from syncline.local_cloud.iam_actions import Call, read_calls
from syncline.local_cloud.lambda_endpoint import LambdaEndpoint
from syncline.local_cloud.lambda_instance import FunctionShape, Machine
from syncline.local_cloud.lambda_service import LambdaService
from syncline.local_cloud.moto_objects import make_objects_faithful
from syncline.local_cloud.moto_queues import make_queues_faithful
from syncline.local_cloud.moto_roles import make_roles_faithful
from syncline.local_cloud.moto_tables import make_tables_faithful
from syncline.local_cloud.policy import Acknowledgement, Findings, judge
from syncline.local_cloud.rds_data import RdsDataEndpoint
from syncline.local_cloud.resource_model import Declarations
from syncline.local_cloud.role_policies import Grants, labelled, place, role_labels
from syncline.local_cloud.service_integration import ServiceAccess, ServiceCall
from syncline.local_cloud.stack_types import register
from syncline.local_cloud.stacks import Stacks
from syncline.local_cloud.template_reading import (
    file_behaviours,
    function_shape,
    http_api,
    mappings,
    schedules,
    socket_api,
    viewer_function,
)

ACCOUNT: Final = "123456789012"
"""moto's."""

REGION: Final = "eu-central-1"
HOST: Final = "127.0.0.1"
DEPLOY_SECONDS_MAX: Final = 900
"""For one stack, functions behind custom resources included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """What a local cloud is made of.

    `folder`: the project, where the app runs. `data`: the database and what is kept beside it.
    `settings`: of the deployment (`syncline_cdk.settings`). `hear`: told a function's label and
    each line that it prints.
    """

    folder: Path
    data: Path
    settings: Mapping[str, object]
    port: int
    app: tuple[str, ...] = APP
    limits: GatewayLimits | None = None
    disorder: Disorder | None = None
    hear: Callable[[str, str], None] = field(default=lambda _label, _line: None)


class LocalCloud:
    """`start`, then use `url`; `stop` in the end."""

    def __init__(self, options: CloudOptions) -> None:
        self._options = options
        self._work = options.data / "cloud"
        self._exit = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._consumers: list[QueueConsumer] = []
        self._code: dict[str, Path] = {}
        self._deploys = 0
        self._calls: Any = None
        self._grants = Grants(ACCOUNT)
        self._log_groups: dict[str, str] = {}
        """By the label of the function that prints into it."""

    @property
    def url(self) -> str:
        """Where clients reach the deployment."""
        return self._door.url

    @property
    def calls_file(self) -> Path:
        """Every AWS call so far, a line of JSON each (`iam_actions.read_calls`)."""
        return self._work / "calls.jsonl"

    @property
    def functions_log(self) -> Path:
        """For what functions print."""
        return self._work / "functions.log"

    @property
    def invocations(self) -> Mapping[str, int]:
        """How often each function was called."""
        return self._functions.invocations

    async def start(self) -> None:
        """Start services, deploy the stacks, open the front door.

        Raises:
            DeveloperError: SynthesisFailed, DeployFailed.
            OSError: the port is taken.
        """
        try:
            await self._start_services()
            assembly = await asyncio.to_thread(self._synthesise)
            await asyncio.to_thread(self._deploy, assembly)
            await self._open_door()
            self._consume()
        except BaseException:
            await self.stop()
            raise

    async def _start_services(self) -> None:
        self._postgres = EmbeddedPostgres(self._options.data)
        conninfo = await asyncio.to_thread(self._postgres.start)
        self._exit.push_async_callback(asyncio.to_thread, self._postgres.stop)
        # The folder is ours: whoever else had it would hold the database's lock.
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        self._calls = self.calls_file.open("ab", buffering=0)
        self._exit.callback(self._calls.close)
        self._rds_data = RdsDataEndpoint(conninfo)
        await self._rds_data.start()
        self._exit.push_async_callback(self._rds_data.stop)
        self._endpoint = await asyncio.to_thread(self._start_moto)
        self._logs = FunctionLogs(self.client("logs"))
        addresses = self._addresses()
        machine = Machine(REGION, addresses, self._hear)
        self._functions = LambdaService(machine, self._find)
        self._exit.push_async_callback(self._functions.kill_all)
        invoking = LambdaEndpoint(self._functions)
        await invoking.start()
        self._exit.push_async_callback(invoking.stop)
        addresses["AWS_ENDPOINT_URL_LAMBDA"] = invoking.url
        answers = CustomResourceAnswers(self._functions)
        await answers.start()
        self._exit.push_async_callback(answers.stop)
        self.declarations = Declarations(answers, f"{HOST}:{self._options.port}", self.client)
        register(self.declarations)
        self._stacks = Stacks(
            self.client("s3"),
            self.client("ssm"),
            account=ACCOUNT,
            region=REGION,
        )

    def _start_moto(self) -> str:
        make_queues_faithful()
        make_tables_faithful()
        make_objects_faithful()
        make_roles_faithful()
        # A line for every request is werkzeug's habit, not a reader's need.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        server = ThreadedMotoServer(HOST, 0, verbose=False)
        server.start()
        self._exit.callback(server.stop)
        return f"http://{HOST}:{server.get_host_and_port()[1]}"

    def _addresses(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_ENDPOINT_URL_RDS_DATA": self._rds_data.url,
            "LAMBDA_GATEWAY": f"http://{HOST}:{self._options.port}",
            "LAMBDA_CALLS": str(self.calls_file.resolve()),
        }

    async def invoke(self, label: str, event: Mapping[str, object]) -> object:
        """Call one of the functions, by the name of its handler's module, as a schedule would.

        Raises:
            FunctionFailed: it did not answer.
        """
        (shape,) = [each for each in self._shapes() if each.label == label]
        return await self._functions.invoke(shape.name, event)

    def judge_calls(self, acknowledged: Sequence[Acknowledgement]) -> Findings:
        """Every call so far, against the policies of the deployed roles."""
        api = socket_api(self.declarations, account=ACCOUNT, region=REGION)
        shapes = self._shapes()
        labels = role_labels(shapes, api)
        for role in labels:
            self._grants.note(role)
        with self.calls_file.open(encoding="utf-8") as lines:
            return judge(
                labelled(read_calls(lines), labels),
                self._grants.of(labels),
                acknowledged,
                place=place(self.declarations, account=ACCOUNT, region=REGION),
            )

    def _shapes(self) -> list[FunctionShape]:
        found = lambda_backends[ACCOUNT][REGION].list_functions()
        return [function_shape(each, self._code) for each in found]

    def operator_environment(self) -> Mapping[str, str]:
        """The variables by which the deployment's owner reaches it: the SDK's, and a region."""
        return {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_ENDPOINT_URL_RDS_DATA": self._rds_data.url,
            "AWS_ACCESS_KEY_ID": "owner",
            "AWS_SECRET_ACCESS_KEY": "owner",
            "AWS_DEFAULT_REGION": REGION,
        }

    def admin_key(self) -> str:
        """For the official command line and ours."""
        deployment = str(self._options.settings.get("deployment", "syncline"))
        stacks = self.client("cloudformation").describe_stacks(StackName=f"{deployment}-data")
        outputs = {
            each["OutputKey"]: each["OutputValue"] for each in stacks["Stacks"][0]["Outputs"]
        }
        secret = self.client("secretsmanager").get_secret_value(SecretId=outputs["AdminSecretArn"])
        return admin_key(deployment, str(secret["SecretString"]).encode())

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud, as its owner."""
        make = cast("Callable[..., Any]", boto3.client)  # pyright: ignore[reportUnknownMemberType] # an overload per service
        return make(
            service,
            region_name=REGION,
            endpoint_url=self._endpoint,
            aws_access_key_id="owner",
            aws_secret_access_key="owner",  # noqa: S106 - moto takes any
            config=Config(
                read_timeout=DEPLOY_SECONDS_MAX,
                max_pool_connections=32,
                # A deploy that failed has failed: it is not to be made again by the SDK.
                retries={"mode": "standard", "total_max_attempts": 1},
            ),
        )

    def _synthesise(self) -> Assembly:
        # Each its own folder: functions start from the code in it.
        self._deploys += 1
        output = self._work / f"assembly-{self._deploys}"
        options = self._options
        synthesise(options.folder, options.settings, output.resolve(), app=options.app)
        return read_assembly(output, account=ACCOUNT, region=REGION)

    async def deploy(self) -> None:
        """Synthesise again and deploy what has changed.

        Raises:
            DeveloperError: SynthesisFailed, DeployFailed; what was there before serves on.
        """
        assembly = await asyncio.to_thread(self._synthesise)
        await asyncio.to_thread(self._deploy, assembly)

    def _deploy(self, assembly: Assembly) -> None:
        code = [asset for asset in assembly.assets if _is_code(asset)]
        for asset in code:
            self._code.setdefault(asset.key, asset.path.resolve())
        self._stacks.deploy(assembly, code=code)

    def _find(self, name: str) -> FunctionShape | None:
        try:
            found = lambda_backends[ACCOUNT][REGION].get_function(name)
        except UnknownFunctionException:
            return None
        shape = function_shape(found, self._code)
        # What it may do is what its role says when it is called.
        self._grants.note(shape.role)
        deployment = shape.variables.get(DEPLOYMENT_VARIABLE, "")
        self._log_groups[shape.label] = f"{LOG_GROUP_PREFIX}{deployment}/{shape.label}"
        return shape

    def _hear(self, label: str, line: str) -> None:
        self._options.hear(label, line)
        self._logs.hear(self._log_groups[label], line)

    async def _open_door(self) -> None:
        self._door = FrontDoor(
            socket_api=socket_api(self.declarations, account=ACCOUNT, region=REGION),
            http_api=http_api(self.declarations),
            functions=self._functions,
            viewer_function=viewer_function(self.declarations),
            services=ServiceAccess(self._endpoint, _credentials, self._note_integration),
            limits=self._options.limits,
            disorder=self._options.disorder,
            files=FileOrigin(self.client("s3"), file_behaviours(self.declarations)),
        )
        await self._door.start(HOST, self._options.port)
        self._exit.push_async_callback(self._door.stop)

    def _consume(self) -> None:
        queues = sqs_backends[ACCOUNT][REGION].queues.values()
        urls = {queue.queue_arn: f"{self._endpoint}/{ACCOUNT}/{queue.name}" for queue in queues}
        sqs = self.client("sqs")
        found = lambda_backends[ACCOUNT][REGION].list_event_source_mappings("", "")
        for mapped in mappings(found, urls):
            consumer = QueueConsumer(
                mapped,
                self._functions,
                sqs,
                region=REGION,
                record=self._note_mapping,
                disorder=self._options.disorder,
            )
            self._consumers.append(consumer)
            self._run(consumer.run())
        rules = [
            rule
            for bus in events_backends[ACCOUNT][REGION].event_buses.values()
            for rule in bus.rules.values()
        ]
        self._run(self._logs.run())
        for scheduled in schedules(rules):
            self._run(Schedule(scheduled, self._functions).run())
        self._exit.push_async_callback(self._stop_tasks)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_tell_if_failed)
        self._tasks.append(task)

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What services do in the name of a role is noted as the functions' own calls are

    def _note_mapping(
        self, function: str, service: str, operation: str, parameters: Mapping[str, object]
    ) -> None:
        shape = self._functions.shape(function)
        self._note(Call(shape.role, f"{shape.label}'s queue", service, operation, dict(parameters)))

    def _note_integration(self, call: ServiceCall) -> None:
        name = call.resource.rpartition(":")[2]
        service, operation = call.action.split(":")
        parameters: dict[str, object] = {"QueueUrl": f"{self._endpoint}/{ACCOUNT}/{name}"}
        self._note(Call(call.role, "WebSocket API", service, operation, parameters))

    def _note(self, call: Call) -> None:
        self._calls.write(msgspec.json.encode(call) + b"\n")

    # Trouble on purpose

    async def begin_outage(self) -> None:
        """Close every socket, let nobody in, and end every function in the middle of its work."""
        for consumer in self._consumers:
            consumer.pause()
        self._door.close_for_repairs()
        await self._functions.kill_all()

    def end_outage(self) -> None:
        """Serve again, from cold functions."""
        self._door.open_again()
        for consumer in self._consumers:
            consumer.resume()

    def supervise(self) -> bool:
        """Start the database again if it has died; whether it had."""
        if self._postgres.is_alive():
            return False
        self._postgres.restart()
        return True

    async def stop(self) -> None:
        """End everything; data stays in its folder."""
        await self._exit.aclose()


def _tell_if_failed(task: asyncio.Task[None]) -> None:
    """None of these ends by itself: what they do would silently not be done any more."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "A part of the local cloud has ended", "exception": error}
        task.get_loop().call_exception_handler(context)


def _credentials(role: str) -> Credentials:
    return Credentials("local", "local", role.rpartition("/")[2])


def _is_code(asset: Asset) -> bool:
    return (asset.path / "requirements.lock").is_file() and (asset.path / "syncline").is_dir()

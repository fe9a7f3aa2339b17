"""The adapters of one deployment, each made when it is first needed and kept while warm.

Nothing is made while modules are imported: a snapshot of the process (SnapStart) holds no client,
no socket, no credential and no random number.
"""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from aws_lambda_powertools.utilities.parameters import SecretsProvider

import syncline
from syncline.aws import clients
from syncline.aws.bundles import S3Bundles
from syncline.aws.cloudwatch_logs import CloudWatchLogs
from syncline.aws.control import Control, ControlCursor
from syncline.aws.data_api import DataApi, make_client
from syncline.aws.data_api_log import DataApiLog
from syncline.aws.data_api_migration import migrate_through_data_api
from syncline.aws.database_login import make_login
from syncline.aws.dynamo_documents import DynamoDocuments
from syncline.aws.dynamo_interest import DynamoInterest
from syncline.aws.dynamo_sessions import DynamoSessions
from syncline.aws.file_bucket import FileBucket
from syncline.aws.gateway import ApiGateway
from syncline.aws.lambda_actions import LambdaActions
from syncline.aws.parameter_store import ParameterStore, path_of
from syncline.aws.queues import FollowerQueue, SchedulerQueue, SessionQueue, TickQueue
from syncline.aws.segment_bucket import SegmentBucket
from syncline.aws.settings import (
    CALLING_FUNCTIONS,
    KEY_ALIAS_PREFIX,
    LOG_GROUP_PREFIX,
    DataApiDatabase,
    Settings,
)
from syncline.drivers.due_functions import DueFunctions
from syncline.drivers.follower import Follower
from syncline.drivers.functions_lock import LOCK_FILE
from syncline.drivers.marked_log import MarkedLog
from syncline.drivers.matcher import Matcher
from syncline.drivers.removed_files import RemovedFiles
from syncline.drivers.segment_keeper import SegmentKeeper
from syncline.drivers.upkeep import Upkeep
from syncline.errors import DeveloperError
from syncline.machine import SystemClock
from syncline.ports import Log

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

    from syncline.aws.exchange_bucket import ExchangeBucket

SCRATCH: Final = Path(tempfile.gettempdir()) / "syncline"
"""Bundles in use, and files of imports and exports."""

SECRET_SECONDS: Final = 300
"""So long the secret is taken from memory; a process that serves keeps what it began with, so a
rotated one counts in new processes (docs/operations.md)."""


class Deployed:
    """What a Lambda of the deployment reaches."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()

    @cached_property
    def _s3(self) -> "S3Client":
        return clients.s3()

    @cached_property
    def _sqs(self) -> "SQSClient":
        return clients.sqs()

    @cached_property
    def control(self) -> Control:
        """Where the view stands, and the marker."""
        return Control(self.settings.control_table)

    @cached_property
    def log(self) -> Log:
        """The log itself."""
        database = self.settings.database
        routine = self.settings.commit_routine
        if isinstance(database, DataApiDatabase):
            return DataApiLog(DataApi(make_client(), database), routine=routine)
        # psycopg is a second of a cold start: only for those who chose it.
        from syncline.aws.iam_postgres import iam_postgres_log

        return iam_postgres_log(database, routine=routine)

    async def migrate(self, login: str) -> None:
        """Bring the log's database to the schema of this version, as its owner.

        `login`: the user that functions log in as through IAM; "": they use the Data API.

        Raises:
            DeveloperError: NotTheOwner: this function was not given the Data API.
        """
        database = self.settings.database
        if not isinstance(database, DataApiDatabase):
            raise DeveloperError(
                "NotTheOwner", "Only a function that reaches the Data API may change the schema."
            )
        api = DataApi(make_client(), database)
        await migrate_through_data_api(api)
        if login:
            await make_login(api, login)

    @cached_property
    def marked_log(self) -> MarkedLog:
        """The log for those who append: marked first, the follower told after."""
        return MarkedLog(self.log, self.control, hint=self.follower_queue.hint)

    @cached_property
    def documents(self) -> DynamoDocuments:
        """The view."""
        return DynamoDocuments(self.settings.documents_table, self.control)

    @cached_property
    def sessions(self) -> DynamoSessions:
        """Sessions of connections."""
        return DynamoSessions(self.settings.sessions_table)

    @cached_property
    def interest(self) -> DynamoInterest:
        """What sessions are interested in."""
        return DynamoInterest(self.settings.interest_table)

    @cached_property
    def gateway(self) -> ApiGateway:
        """Whoever holds the sockets."""
        return ApiGateway.at(self.settings.gateway_endpoint)

    @cached_property
    def session_queue(self) -> SessionQueue:
        """The connections' lanes."""
        return SessionQueue(self._sqs, self.settings.session_queue_url)

    @cached_property
    def follower_queue(self) -> FollowerQueue:
        """Hints for the follower."""
        return FollowerQueue(self._sqs, self.settings.follower_queue_url)

    @cached_property
    def tick_queue(self) -> TickQueue:
        """Passes over all sessions."""
        return TickQueue(self._sqs, self.settings.tick_queue_url)

    @cached_property
    def scheduler_queue(self) -> SchedulerQueue:
        """Notices that something is due."""
        return SchedulerQueue(self._sqs, self.settings.scheduler_queue_url)

    @cached_property
    def due_functions(self) -> DueFunctions:
        """What is scheduled for soon, as the view shows it."""
        return DueFunctions(self.documents, lambda: self.scheduler_queue, self.clock)

    @cached_property
    def logs(self) -> CloudWatchLogs:
        """What the functions that run users' functions have written."""
        prefix = f"{LOG_GROUP_PREFIX}{self.settings.deployment}/"
        groups = [f"{prefix}{function}" for function in CALLING_FUNCTIONS]
        return CloudWatchLogs(clients.logs(), groups, self.clock)

    @cached_property
    def code(self) -> Path | None:
        """The folder of this code, if it was built for Lambda (cdk/syncline_cdk/bundling.py)."""
        folder = Path(syncline.__file__).parent.parent
        return folder if (folder / LOCK_FILE).is_file() else None

    @cached_property
    def actions(self) -> LambdaActions | None:
        """The function that runs actions, if there is one."""
        name = self.settings.action_function
        return LambdaActions(clients.functions(), name) if name else None

    @cached_property
    def bundles(self) -> S3Bundles:
        """Functions by content hash."""
        cache = SCRATCH / "bundles"
        return S3Bundles(self._s3, self.settings.bucket, cache, code=self.code)

    @cached_property
    def exchange_files(self) -> "ExchangeBucket":
        """Files of imports and exports."""
        from syncline.aws.exchange_bucket import ExchangeBucket

        return ExchangeBucket(self._s3, self.settings.bucket, SCRATCH / "exchange")

    @cached_property
    def files(self) -> FileBucket:
        """Bytes of stored files."""
        return FileBucket(self._s3, self.settings.bucket)

    @cached_property
    def variables(self) -> ParameterStore:
        """Values of environment variables."""
        deployment = self.settings.deployment
        key = f"{KEY_ALIAS_PREFIX}{deployment}"
        return ParameterStore(clients.ssm(), path=path_of(deployment), key=key)

    @cached_property
    def segments(self) -> SegmentBucket:
        """Search indexes to begin with."""
        return SegmentBucket(self._s3, self.settings.bucket)

    @cached_property
    def segment_keeper(self) -> SegmentKeeper:
        """The follower's work on them."""
        return SegmentKeeper(self.log, self.documents, self.segments)

    @cached_property
    def upkeep(self) -> Upkeep:
        """The follower's work."""
        return Upkeep(
            self.log,
            follower=Follower(
                self.log,
                self.documents,
                applied=[
                    RemovedFiles(lambda: self.files, self.clock).applied,
                    self.due_functions.applied,
                ],
            ),
            matcher=Matcher(
                self.log,
                interest=self.interest,
                cursor=ControlCursor(self.control),
                wakeups=self.session_queue,
            ),
            marker=self.control,
            clock=self.clock,
        )

    @cached_property
    def _secrets(self) -> SecretsProvider:
        return SecretsProvider(boto3_client=clients.secrets())

    def admin_secret(self) -> bytes:
        """What admin keys are made from."""
        get = cast("Callable[..., object]", self._secrets.get)  # pyright: ignore[reportUnknownMemberType] # it may parse what it gets
        text = get(self.settings.admin_secret_arn, max_age=SECRET_SECONDS)
        assert isinstance(text, str), "the stacks store text"
        return text.encode()

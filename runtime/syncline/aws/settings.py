"""Every setting of a deployment on AWS, read from the environment of its Lambdas in this one place.

The stacks build the same class and write `Settings.environment()` into the template, so what the
handlers read and what they are given can't differ.

| variable | what |
| --- | --- |
| SYNCLINE_DEPLOYMENT | the deployment's name |
| SYNCLINE_URL | the address at which clients reach it, without a trailing slash |
| SYNCLINE_REDACT | "1": clients see "Server Error" instead of messages; "0": for development |
| SYNCLINE_DOCUMENTS_TABLE, _SESSIONS_TABLE, _INTEREST_TABLE, _CONTROL_TABLE | DynamoDB tables |
| SYNCLINE_SESSION_QUEUE_URL, and for _FOLLOWER_, _TICK_, _SCHEDULER_ | SQS queues |
| SYNCLINE_BUCKET | the S3 bucket of bundles, files, imports and exports |
| SYNCLINE_GATEWAY_ENDPOINT | the https address below which `/@connections` lies |
| SYNCLINE_ADMIN_SECRET_ARN | the secret that admin keys are made from |
| SYNCLINE_DATABASE_NAME | the database of the log |
| SYNCLINE_DATABASE_ARN and _SECRET_ARN | the Data API's cluster and login, or instead of them |
| SYNCLINE_DATABASE_HOST and _USER | a PostgreSQL address and the user that logs in through IAM |
| SYNCLINE_USER_POOL_ISSUER and _CLIENT | the Cognito user pool whose ID tokens are taken, if any |
| SYNCLINE_ACTION_FUNCTION | the function that runs actions, if any |
| SYNCLINE_DATA_FUNCTION | of that function alone: the one that it asks for data |
| SYNCLINE_COMMIT_ROUTINE | "function" or "procedure" (architecture.md, "Commit") |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, cast, get_args

from syncline.errors import DeveloperError

CommitRoutine: TypeAlias = Literal["function", "procedure"]
"""Which routine of the log appends: one transaction, or two with the flush outside the lock."""

METRICS_NAMESPACE: Final = "Syncline"
"""CloudWatch namespace of our own metrics; their dimension `service` is the deployment's name."""

FOLLOWER_LAG_METRIC: Final = "FollowerLag"
"""Seconds by which the applied watermark was behind the durable head when the follower began."""

KEY_ALIAS_PREFIX: Final = "alias/syncline/"
"""Before a deployment's name: the alias of its KMS key."""

LOG_GROUP_PREFIX: Final = "/syncline/"
"""Of the functions' log groups, before the deployment's name and the function's."""

CALLING_FUNCTIONS: Final = ("session", "http", "scheduler", "action")
"""Those that run users' functions, and write a line for each call (docs/logs.md)."""

BUNDLE_PREFIX: Final = "bundles/"
IMPORT_PREFIX: Final = "imports/"
EXPORT_PREFIX: Final = "exports/"
PUBLIC_FILE_PREFIX: Final = "api/storage/"
SEGMENT_PREFIX: Final = "search/"
PRIVATE_FILE_PREFIX: Final = "private/"
"""Key prefixes in the bucket: functions by their hash, uploads of `syncline import`, exports, and
files: those that CloudFront serves, under the path of their URLs, and those that it does not."""


@dataclass(frozen=True, slots=True)
class DataApiDatabase:
    """The log behind the RDS Data API: no VPC, one HTTPS request per statement."""

    cluster_arn: str
    secret_arn: str
    name: str


@dataclass(frozen=True, slots=True)
class DirectDatabase:
    """The log behind a PostgreSQL connection, authenticated by IAM tokens."""

    host: str
    user: str
    name: str


@dataclass(frozen=True, slots=True)
class UserPoolSettings:
    """A Cognito user pool beside the deployment, by what its ID tokens say."""

    issuer: str
    client: str
    """The app client's id."""


DEPLOYMENT_VARIABLE: Final = "SYNCLINE_DEPLOYMENT"
"""By which a function is found to belong to a deployment."""

_PLAIN_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({
    "deployment": DEPLOYMENT_VARIABLE,
    "url": "SYNCLINE_URL",
    "documents_table": "SYNCLINE_DOCUMENTS_TABLE",
    "sessions_table": "SYNCLINE_SESSIONS_TABLE",
    "interest_table": "SYNCLINE_INTEREST_TABLE",
    "control_table": "SYNCLINE_CONTROL_TABLE",
    "session_queue_url": "SYNCLINE_SESSION_QUEUE_URL",
    "follower_queue_url": "SYNCLINE_FOLLOWER_QUEUE_URL",
    "tick_queue_url": "SYNCLINE_TICK_QUEUE_URL",
    "scheduler_queue_url": "SYNCLINE_SCHEDULER_QUEUE_URL",
    "bucket": "SYNCLINE_BUCKET",
    "gateway_endpoint": "SYNCLINE_GATEWAY_ENDPOINT",
    "admin_secret_arn": "SYNCLINE_ADMIN_SECRET_ARN",
})  # fmt: skip
"""Attribute and variable of every setting that is any text but the empty one."""

DATA_FUNCTION_VARIABLE: Final = "SYNCLINE_DATA_FUNCTION"
"""Set for the function that runs actions alone."""

_OPTIONAL_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({
    "action_function": "SYNCLINE_ACTION_FUNCTION",
    "data_function": DATA_FUNCTION_VARIABLE,
})  # fmt: skip

_DATABASE_NAME: Final = "SYNCLINE_DATABASE_NAME"
_CLUSTER_ARN: Final = "SYNCLINE_DATABASE_ARN"
_SECRET_ARN: Final = "SYNCLINE_DATABASE_SECRET_ARN"  # noqa: S105 - a variable's name
_HOST: Final = "SYNCLINE_DATABASE_HOST"
_USER: Final = "SYNCLINE_DATABASE_USER"
_REDACT: Final = "SYNCLINE_REDACT"
_POOL_ISSUER: Final = "SYNCLINE_USER_POOL_ISSUER"
_POOL_CLIENT: Final = "SYNCLINE_USER_POOL_CLIENT"
_COMMIT_ROUTINE: Final = "SYNCLINE_COMMIT_ROUTINE"
_HASH_SEED: Final = "PYTHONHASHSEED"
"""Python's own variable: it is read as an interpreter starts, and handed on to executors."""

HASH_SEEDS: Final = 2**32
"""Python takes 0 to one less (Python documentation, "Command line and environment")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a handler knows about the deployment it belongs to; the module's head has the meanings.

    `url` and `gateway_endpoint` begin with https://, or on the local cloud with http://127.0.0.1,
    and end without a slash.
    """

    deployment: str
    url: str
    redact: bool
    documents_table: str
    sessions_table: str
    interest_table: str
    control_table: str
    session_queue_url: str
    follower_queue_url: str
    tick_queue_url: str
    scheduler_queue_url: str
    bucket: str
    gateway_endpoint: str
    admin_secret_arn: str
    database: DataApiDatabase | DirectDatabase
    commit_routine: CommitRoutine
    hash_seed: int
    """Of all processes, so that a set has the same order wherever a function runs."""
    user_pool: UserPoolSettings | None = None
    action_function: str = ""
    """The function that runs actions; "": nobody does."""
    data_function: str = ""
    """Whom that function asks for data; other functions are not told."""

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads these settings from."""
        variables = {
            variable: cast("str", getattr(self, attribute))
            for attribute, variable in _PLAIN_VARIABLES.items()
        }
        variables[_REDACT] = "1" if self.redact else "0"
        variables[_COMMIT_ROUTINE] = self.commit_routine
        variables[_HASH_SEED] = str(self.hash_seed)
        variables[_DATABASE_NAME] = self.database.name
        match self.database:
            case DataApiDatabase(cluster_arn, secret_arn):
                variables |= {_CLUSTER_ARN: cluster_arn, _SECRET_ARN: secret_arn}
            case DirectDatabase(host, user):
                variables |= {_HOST: host, _USER: user}
        for attribute, variable in _OPTIONAL_VARIABLES.items():
            if value := cast("str", getattr(self, attribute)):
                variables[variable] = value
        if self.user_pool is not None:
            variables |= {
                _POOL_ISSUER: self.user_pool.issuer,
                _POOL_CLIENT: self.user_pool.client,
            }
        return variables

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from a Lambda's environment.

        Raises:
            DeveloperError: variables are missing or no value of theirs; the message names each.
        """
        wanted = [*_PLAIN_VARIABLES.values(), _DATABASE_NAME]
        wanted += [_HOST, _USER] if environment.get(_HOST) else [_CLUSTER_ARN, _SECRET_ARN]
        missing = [variable for variable in wanted if not environment.get(variable)]
        if missing:
            raise _refusal(f"{', '.join(missing)} missing or empty")
        routine = _choice(environment, _COMMIT_ROUTINE, get_args(CommitRoutine))
        return cls(
            **{
                attribute: _address(environment, variable)
                if attribute in {"url", "gateway_endpoint"}
                else environment[variable]
                for attribute, variable in _PLAIN_VARIABLES.items()
            },
            redact=_choice(environment, _REDACT, ("0", "1")) == "1",
            commit_routine=cast("CommitRoutine", routine),
            hash_seed=_seed(environment),
            database=_database(environment),
            user_pool=_user_pool(environment),
            **{
                attribute: environment.get(variable, "")
                for attribute, variable in _OPTIONAL_VARIABLES.items()
            },
        )


def _database(environment: Mapping[str, str]) -> DataApiDatabase | DirectDatabase:
    name = environment[_DATABASE_NAME]
    if environment.get(_HOST):
        if environment.get(_CLUSTER_ARN):
            raise _refusal(f"{_HOST} and {_CLUSTER_ARN} name two ways to one database: keep one")
        return DirectDatabase(environment[_HOST], environment[_USER], name)
    return DataApiDatabase(environment[_CLUSTER_ARN], environment[_SECRET_ARN], name)


def _user_pool(environment: Mapping[str, str]) -> UserPoolSettings | None:
    issuer, client = environment.get(_POOL_ISSUER), environment.get(_POOL_CLIENT)
    if not issuer and not client:
        return None
    if not issuer or not client:
        raise _refusal(f"{_POOL_ISSUER} and {_POOL_CLIENT} name one pool: give both or neither")
    return UserPoolSettings(issuer, client)


def _choice(environment: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    value = environment.get(variable, "")
    if value not in choices:
        raise _refusal(f"{variable} is {value!r}, not one of {', '.join(choices)}")
    return value


def _seed(environment: Mapping[str, str]) -> int:
    value = environment.get(_HASH_SEED, "")
    if not (value.isascii() and value.isdigit() and int(value) < HASH_SEEDS):
        raise _refusal(f"{_HASH_SEED} is {value!r}, no number from 0 to {HASH_SEEDS - 1}")
    return int(value)


def _address(environment: Mapping[str, str], variable: str) -> str:
    value = environment[variable]
    if not value.startswith(("https://", "http://127.0.0.1:")) or value.endswith("/"):
        raise _refusal(f"{variable} is {value!r}, not an https:// address without a slash behind")
    return value


def _refusal(problem: str) -> DeveloperError:
    remedy = "the stacks set these variables: deploy again, or set them as the template does"
    return DeveloperError("BadEnvironment", f"{problem}; {remedy}")

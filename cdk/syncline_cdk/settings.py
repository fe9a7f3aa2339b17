"""What can be chosen about a deployment, in one typed place.

`cdk/app.py` reads them from the context value `syncline` (cdk.json, or `-c`); a CDK app of your own
builds `DeploymentSettings` itself. Numbers that are not a matter of choice stand beside their
resource.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from syncline.aws.settings import CommitRoutine
from syncline.drivers.environment import check_variable
from syncline.errors import CallerError

Architecture: TypeAlias = Literal["arm64", "x86_64"]
PythonMinor: TypeAlias = Literal["3.11", "3.12", "3.13"]

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,29}")
"""A deployment's name: part of the names of queues, log groups and stacks."""

_SECRET_ARN: Final = re.compile(r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-\w{6}")

LOG_RETENTION_DAYS: Final = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 731, 1827, 3653)
"""The retentions that CloudWatch Logs takes (PutRetentionPolicy in its API reference)."""


class DeploymentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deployment; the defaults are for production at a small size.

    Raises:
        ValueError: a value is out of its range, or two contradict each other.
    """

    deployment: str = "syncline"
    """Name of the deployment; several lie side by side in one account."""
    account: str | None = None
    region: str | None = None
    """Where to deploy; without them, where the CDK's profile says."""
    tags: dict[str, str] = {}
    """Tags on everything, besides `syncline:deployment`."""

    functions: str = "functions"
    """Folder of the functions, from the folder of cdk.json."""
    functions_lock: str | None = None
    """A uv.lock or requirements.txt with the functions' own dependencies; without it the one in
    the functions' folder is taken, if there is one."""
    code: Literal["lambda", "running"] = "running"
    """"lambda": wheels for `python` and `architecture` are fetched. "running": the Lambdas' code is
    made of what is installed here, offline, and they run this interpreter's version (checks, the
    local cloud)."""
    python: PythonMinor = "3.13"
    architecture: Architecture = "arm64"
    redact: bool = True
    """Clients see "Server Error" instead of messages and tracebacks."""

    environment: dict[str, str] = {}
    """Environment variables of functions, set by every deploy. They can be read in the template:
    nothing secret."""
    environment_secrets: dict[str, str] = {}
    """The same from Secrets Manager: the ARN, complete, of a secret whose text is the value."""

    protect_data: bool = True
    """Database, tables, bucket and key refuse deletion and outlive their stack."""
    database_access: Literal["data_api", "direct"] = "data_api"
    """"direct": PostgreSQL connections with IAM tokens, inside a VPC, at the price of a NAT
    gateway; faster per call (docs: aws-facts 3.2)."""
    commit_routine: CommitRoutine = "function"
    database_name: str = "syncline"
    database_version: str = "18.4"
    """Aurora PostgreSQL release; the default is the release that the tests run on."""
    database_capacity_max: float = 4
    """Aurora capacity units at most, 1 to 256, 2 GiB of memory each."""
    database_pause_seconds: int = 600
    """Idle seconds until the database pauses, 300 to 86,400."""
    backup_days: int = 14
    """Days of point-in-time recovery, 1 to 35, of the database and of the tables."""

    cognito: bool = False
    """A Cognito user pool beside the deployment, whose users may sign in."""

    domain_name: str | None = None
    certificate_arn: str | None = None
    """A domain of your own for CloudFront and its certificate, which must lie in us-east-1."""

    session_concurrency_max: int = 100
    """Connections whose messages are handled at the same moment, 2 to 1,000."""
    session_concurrency_reserved: int | None = None
    """Executions kept for the messages of connections, out of the account's concurrency; without
    it all functions share. At least `session_concurrency_max`."""
    snap_start: bool = False
    """Functions that clients wait for start from a snapshot of a started process: sooner, at a
    price of its own. Needs Python 3.12 or newer."""
    requests_per_second_max: int = 2000
    """Requests or messages a second that either API lets in; the burst is half of it."""

    log_retention_days: int = 30
    alarm_email: str | None = None
    """Where alarms are sent; without it they are only shown."""
    monthly_budget_usd: float | None = None
    """Forecast or actual cost of this deployment's tag above which `alarm_email` is warned."""
    follower_lag_seconds_max: int = 300
    """Lag of the view behind the log that raises an alarm."""

    def __post_init__(self) -> None:
        problems = [text for is_wrong, text in self._rules() if is_wrong]
        problems += self._variable_problems()
        if problems:
            raise ValueError("; ".join(problems))

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                NAME.fullmatch(self.deployment) is None,
                f"deployment {self.deployment!r}: 1 to 30 of a-z, 0-9 and -, a letter first",
            ),
            (
                (self.account is None) != (self.region is None),
                "account and region: give both or neither",
            ),
            (
                not 1 <= self.database_capacity_max <= 256,
                f"database_capacity_max {self.database_capacity_max}: from 1 to 256",
            ),
            (
                not 300 <= self.database_pause_seconds <= 86_400,
                f"database_pause_seconds {self.database_pause_seconds}: from 300 to 86,400",
            ),
            (not 1 <= self.backup_days <= 35, f"backup_days {self.backup_days}: from 1 to 35"),
            (
                (self.domain_name is None) != (self.certificate_arn is None),
                "domain_name and certificate_arn: give both or neither",
            ),
            (
                self.certificate_arn is not None and ":us-east-1:" not in self.certificate_arn,
                "certificate_arn: CloudFront takes certificates of us-east-1 only",
            ),
            (
                not 2 <= self.session_concurrency_max <= 1000,
                f"session_concurrency_max {self.session_concurrency_max}: from 2 to 1,000",
            ),
            (
                self.session_concurrency_reserved is not None
                and self.session_concurrency_reserved < self.session_concurrency_max,
                "session_concurrency_reserved: less than session_concurrency_max",
            ),
            (
                not 10 <= self.requests_per_second_max <= 10_000,
                f"requests_per_second_max {self.requests_per_second_max}: from 10 to 10,000",
            ),
            (
                self.log_retention_days not in LOG_RETENTION_DAYS,
                f"log_retention_days {self.log_retention_days}: one of {LOG_RETENTION_DAYS}",
            ),
            (
                self.monthly_budget_usd is not None and self.alarm_email is None,
                "monthly_budget_usd: needs alarm_email, for somebody to be warned",
            ),
        )

    def _variable_problems(self) -> list[str]:
        problems = [
            f"environment_secrets {name}: {arn!r} is no ARN of a secret"
            for name, arn in self.environment_secrets.items()
            if _SECRET_ARN.fullmatch(arn) is None
        ]
        both = sorted(self.environment.keys() & self.environment_secrets.keys())
        problems += [f"environment and environment_secrets: both have {name}" for name in both]
        variables = {**dict.fromkeys(self.environment_secrets, ""), **self.environment}
        for name, value in variables.items():
            try:
                check_variable(name, value)
            except CallerError as error:
                problems.append(f"environment: {error.message}")
        return problems

    @property
    def secret_arns(self) -> list[str]:
        """The secrets that become environment variables, each once."""
        return sorted(set(self.environment_secrets.values()))

    @property
    def functions_folder(self) -> Path:
        """The functions' folder, absolute."""
        return Path(self.functions).resolve()


def settings_from_context(context: Mapping[str, object] | str | None) -> DeploymentSettings:
    """The settings in a context value; `-c` of the CDK's command line hands them over as JSON text.

    Raises:
        ValueError: no JSON, an unknown name, a value of the wrong type, or one that the settings
            refuse.
    """
    if isinstance(context, str):
        return msgspec.json.decode(context, type=DeploymentSettings)
    return msgspec.convert(dict(context or {}), DeploymentSettings)

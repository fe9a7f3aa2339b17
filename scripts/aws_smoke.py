"""Checks on a real deployment what nothing but AWS can settle; docs/operations.md has the list.

    python -m scripts.aws_smoke --list
    python -m scripts.aws_smoke --deployment prod                 all but the slow ones
    python -m scripts.aws_smoke --deployment prod --only inbound-order --only call-commit
    python -m scripts.aws_smoke --url https://d1.cloudfront.net   those that need no credentials

The functions must have a mutation that may be run a few thousand times without harm: by default
`channels:create {"name": "smoke"}` of the example. Exit status 1: something is otherwise than
Syncline counts on.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import WebSocketException

from scripts import smoke_account, smoke_clients
from scripts.smoke_clients import Check, Deployment, SmokeError
from syncline.aws.account import Account
from syncline.errors import SynclineError

ALL_CHECKS = (*smoke_clients.CHECKS, *smoke_account.CHECKS)

_FAILURES = (
    *(SmokeError, SynclineError, ClientError, BotoCoreError, WebSocketException, OSError),
    *(TimeoutError, KeyError, ValueError),
)
"""What a check may end with: an answer that is not as expected is a finding, not a crash."""


def listing() -> str:
    """Every check, one a line: name, question, where it comes from."""
    width = max(len(check.name) for check in ALL_CHECKS)
    return "\n".join(
        f"{check.name:<{width}}  {check.question}{' (slow)' if check.is_slow else ''}"
        f"\n{'':<{width}}  [{check.source}]"
        for check in ALL_CHECKS
    )


def chosen(only: Sequence[str], *, with_slow: bool, with_account: bool) -> list[Check]:
    """The checks to run. SystemExit: there is none of such a name."""
    known = {check.name: check for check in ALL_CHECKS}
    if unknown := set(only) - set(known):
        sys.exit(f"no such check: {', '.join(sorted(unknown))}; --list shows them")
    if only:
        return [known[name] for name in only]
    pool = ALL_CHECKS if with_account else smoke_clients.CHECKS
    return [check for check in pool if with_slow or not check.is_slow]


async def run(checks: Sequence[Check], deployment: Deployment) -> int:
    """Run them one after another; returns how many failed."""
    failed = 0
    for check in checks:
        try:
            print(f"ok    {check.name}: {await check.run(deployment)}", flush=True)
        except _FAILURES as error:
            failed += 1
            print(f"FAIL  {check.name}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} as Syncline counts on")
    return failed


def _url_of(deployment: str) -> str:
    account = Account(profile=None, region=None)
    caller = account.caller()
    url = account.outputs(deployment).get("DeploymentUrl")
    if url is None:
        sys.exit(f"there is no deployment {deployment} in {caller.account}, {caller.region}")
    return url


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="aws_smoke", description="Check a deployment on AWS.")
    parser.add_argument("--list", action="store_true", help="print the checks, run none")
    parser.add_argument("--deployment", help="its name; address and resources are looked up")
    parser.add_argument("--url", help="its address, instead of its name")
    parser.add_argument("--profile", help="the AWS profile")
    parser.add_argument("--region", help="the AWS region")
    parser.add_argument("--only", action="append", default=[], metavar="CHECK")
    parser.add_argument("--slow", action="store_true", help="those that take minutes or hours too")
    parser.add_argument("--mutation", default="channels:create")
    parser.add_argument("--arguments", default='{"name": "smoke"}', type=json.loads)
    given = parser.parse_args(arguments)
    if given.list:
        print(listing())
        return 0
    if (given.deployment is None) == (given.url is None):
        parser.error("give --deployment or --url")
    # All clients of this process are to have them.
    if given.profile:
        os.environ["AWS_PROFILE"] = given.profile
    if given.region:
        os.environ["AWS_DEFAULT_REGION"] = given.region
    deployment = Deployment(
        url=(given.url or _url_of(given.deployment)).rstrip("/"),
        name=given.deployment or "",
        call=given.mutation,
        arguments=given.arguments,
    )
    checks = chosen(given.only, with_slow=given.slow, with_account=given.deployment is not None)
    return 1 if asyncio.run(run(checks, deployment)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

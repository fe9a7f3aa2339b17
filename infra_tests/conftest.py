"""Two deployments, synthesised once: the default one as a process, and one of other choices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra_tests.assembly import Assembly
from syncline_cdk import Deployment, DeploymentSettings
from syncline_cdk.findings import check_by_nag

PROJECT = Path(__file__).resolve().parent.parent

OTHER_CHOICES = DeploymentSettings(
    deployment="other",
    account="111122223333",
    region="eu-west-1",
    tags={"team": "north"},
    code="lambda",
    python="3.13",
    architecture="arm64",
    redact=False,
    environment={"GREETING": "Hello"},
    environment_secrets={
        "PAYMENT_KEY": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:payment-Ab12Cd"
    },
    protect_data=False,
    database_access="direct",
    commit_routine="procedure",
    database_capacity_max=8,
    backup_days=3,
    cognito=True,
    domain_name="live.example.org",
    certificate_arn="arn:aws:acm:us-east-1:111122223333:certificate/1",
    session_concurrency_max=20,
    session_concurrency_reserved=50,
    snap_start=True,
    requests_per_second_max=500,
    log_retention_days=7,
    alarm_email="owner@example.org",
    monthly_budget_usd=50,
    follower_lag_seconds_max=60,
)
"""Every choice that changes resources, made differently from its default."""


@pytest.fixture(scope="session")
def default(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """What `python cdk/app.py` writes."""
    folder = tmp_path_factory.mktemp("assembly") / "cdk.out"
    ran = subprocess.run(
        [sys.executable, "cdk/app.py"],
        cwd=PROJECT,
        env={**os.environ, "CDK_OUTDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Assembly(folder)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """What a CDK app of one's own writes, with other choices and a folder of code."""
    from aws_cdk import App

    folder, code = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("code")
    (code / "handler.py").write_text("")
    app = App(outdir=str(folder))
    deployment = Deployment(app, "Syncline", settings=OTHER_CHOICES, code=code)
    check_by_nag(app, deployment)
    app.synth()
    return Assembly(folder)


@pytest.fixture(params=["default", "other"])
def assembly(request: pytest.FixtureRequest) -> Assembly:
    """Either of them: for what must hold whatever the choices."""
    return request.getfixturevalue(request.param)

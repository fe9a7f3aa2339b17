"""What `syncline cost` counts as there every month is what the templates make."""

from infra_tests.assembly import Assembly
from syncline.aws.cost import MEASURED

KINDS = {
    "keys": "AWS::KMS::Key",
    "secrets": "AWS::SecretsManager::Secret",
    "alarms": "AWS::CloudWatch::Alarm",
    "dashboards": "AWS::CloudWatch::Dashboard",
}


def test_a_month_s_fixed_items_are_those_of_the_default_deployment(default: Assembly):
    made = [
        resource["Type"]
        for template in default.templates.values()
        for resource in template["Resources"].values()
    ]
    counted = {name: MEASURED["month"][name] for name in KINDS}
    assert counted == {name: made.count(kind) for name, kind in KINDS.items()}

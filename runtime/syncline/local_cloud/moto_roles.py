"""What moto's CloudFormation lacks for roles: an update changes their inline policies, too."""

import json
from typing import Any

from moto.iam.models import Role


def make_roles_faithful() -> None:
    """Mend the roles of this process's moto; doing it again changes nothing."""
    Role.update_from_cloudformation_json = classmethod(_update)  # type: ignore[assignment] # as moto's own is


def _update(
    cls: type[Role],
    original_resource: Role,
    new_resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
) -> Role:
    del cls, new_resource_name, account_id, region_name
    for name in [*original_resource.policies]:
        original_resource.delete_policy(name)
    for policy in cloudformation_json["Properties"].get("Policies", ()):
        original_resource.put_policy(policy["PolicyName"], json.dumps(policy["PolicyDocument"]))
    return original_resource

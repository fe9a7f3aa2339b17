"""The type of custom resources: a function of the template makes and changes them."""

import secrets
from collections.abc import Mapping
from typing import Any

from moto.core.common_models import CloudFormationModel

from syncline.local_cloud.resource_model import (
    CustomResourceFailed,
    Declared,
    Properties,
    ResourceModel,
    declarations,
)


class CustomResource(ResourceModel, CloudFormationModel):
    """`Custom::…`: a function of the template decides."""

    TYPE = "AWS::CloudFormation::CustomResource"

    def __init__(self, declared: Declared, account: str, region: str, data: Properties) -> None:
        super().__init__(declared, account, region)
        self.stack_id = ""
        self.data = data
        self.refused: tuple[Properties, CustomResourceFailed] | None = None

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return CustomResource.TYPE

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """The function decides."""
        del attr
        return True

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """From the function's answer."""
        return str(self.data[attribute_name])

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> "CustomResource":
        """Ask the function to create it."""
        del resource_name
        properties = cloudformation_json["Properties"]
        answer = _ask("Create", kwargs["ResourceType"], kwargs["StackId"], kwargs["LogicalId"],
                      properties)  # fmt: skip
        declared = Declared(cls.TYPE, kwargs["LogicalId"], answer["PhysicalResourceId"], properties)
        made = cls(declared, account_id, region_name, answer.get("Data", {}))
        made.stack_id = kwargs["StackId"]
        return made

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "ResourceModel",
        new_resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
    ) -> "CustomResource":
        """Ask the function to change it, once, however often moto tries."""
        del new_resource_name, account_id, region_name
        assert isinstance(original_resource, cls)
        properties = cloudformation_json["Properties"]
        if original_resource.refused and original_resource.refused[0] == properties:
            raise original_resource.refused[1]
        declared = original_resource.declared
        try:
            answer = _ask(
                "Update", cloudformation_json["Type"], original_resource.stack_id,
                declared.logical_id, properties, before=declared,
            )  # fmt: skip
        except CustomResourceFailed as refusal:
            original_resource.refused = (properties, refusal)
            raise
        original_resource.refused = None
        declared.properties = properties
        original_resource.data = answer.get("Data", {})
        return original_resource


def _ask(
    request: str,
    kind: str,
    stack_id: str,
    logical_id: str,
    properties: Properties,
    *,
    before: Declared | None = None,
) -> Mapping[str, Any]:
    event = {
        "RequestType": request,
        "ServiceToken": properties["ServiceToken"],
        "StackId": stack_id,
        "RequestId": secrets.token_hex(16),
        "LogicalResourceId": logical_id,
        "ResourceType": kind,
        # CloudFormation makes texts of all values but maps and lists (custom resource reference).
        "ResourceProperties": _texts(properties),
    }
    if before is not None:
        event["OldResourceProperties"] = _texts(before.properties)
        event["PhysicalResourceId"] = before.physical_id
    return declarations().custom_resources.answer(event)


def _texts(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _texts(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # JSON
        case list():
            return [_texts(each) for each in value]  # pyright: ignore[reportUnknownVariableType] # JSON
        case bool():
            return str(value).lower()
        case _:
            return str(value)

"""CloudFormation's resource types that moto lacks, for stacks that are created on moto.

moto finds them as subclasses of its model and without them leaves resources out in silence. Those
that only say something (routes, alarms, policies) are kept as they are declared, with their
references resolved: the front door reads routes and integrations from here. Whatever the handlers
use is made for real.
"""

import secrets
import string
from typing import ClassVar, Final

import msgspec
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

from syncline.local_cloud.custom_resource import CustomResource
from syncline.local_cloud.resource_model import (
    Attributes,
    Declarations,
    Properties,
    ResourceModel,
    declarations,
    set_declarations,
)

PASSWORD_CHARACTERS: Final = 32
"""Of a generated secret that does not say its length (AWS::SecretsManager::Secret)."""


def register(kept: Declarations) -> None:
    """Let moto know the types; resources that it makes from now on go into `kept`."""
    set_declarations(kept)
    setattr(parsing, "CustomModel", CustomResource)  # noqa: B010 - moto names it in a module
    parsing.ResourceMap.get = _get_or_raise
    for cache in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cache.cache_clear()


def _get_or_raise(self: parsing.ResourceMap, key: str, default: object = None) -> object:
    """What moto's own does, but a resource that can't be made is no resource that isn't there."""
    return self[key] if key in self.resources else default


def _short_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(10))


class Api(ResourceModel, CloudFormationModel):
    """A WebSocket or HTTP API."""

    TYPE = "AWS::ApiGatewayV2::Api"
    ATTRIBUTES: ClassVar[Attributes] = {
        "ApiId": lambda api: api.declared.physical_id,
        "ApiEndpoint": lambda api: (
            f"https://{api.declared.physical_id}.execute-api.{api.region}.amazonaws.com"
        ),
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Api.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """An id like a real one: hosts are made from it."""
        del name, properties, account, region
        return _short_id()


class Integration(ResourceModel, CloudFormationModel):
    """What a route leads to."""

    TYPE = "AWS::ApiGatewayV2::Integration"

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Integration.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """An id like a real one."""
        del name, properties, account, region
        return _short_id()


class Distribution(ResourceModel, CloudFormationModel):
    """CloudFront: the front door answers for it."""

    TYPE = "AWS::CloudFront::Distribution"
    ATTRIBUTES: ClassVar[Attributes] = {
        "DomainName": lambda _: declarations().domain,
        "Id": lambda distribution: distribution.declared.physical_id,
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Distribution.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """An id like a real one."""
        del name, properties, account, region
        return f"E{_short_id().upper()}"


class ViewerFunction(ResourceModel, CloudFormationModel):
    """A function at CloudFront's edge."""

    TYPE = "AWS::CloudFront::Function"
    ATTRIBUTES: ClassVar[Attributes] = {
        name: lambda function: (
            f"arn:aws:cloudfront::{function.account}:function/{function.declared.physical_id}"
        )
        for name in ("FunctionARN", "FunctionMetadata.FunctionARN")
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return ViewerFunction.TYPE


class Cluster(ResourceModel, CloudFormationModel):
    """Aurora: the embedded Postgres behind the endpoint of the Data API."""

    TYPE = "AWS::RDS::DBCluster"
    ATTRIBUTES: ClassVar[Attributes] = {
        "DBClusterArn": lambda cluster: (
            f"arn:aws:rds:{cluster.region}:{cluster.account}:cluster:{cluster.declared.physical_id}"
        ),
        "DBClusterResourceId": lambda cluster: f"cluster-{cluster.declared.physical_id.upper()}",
        "Endpoint.Address": lambda _: "localhost",
        "Endpoint.Port": lambda _: "5432",
        "ReadEndpoint.Address": lambda _: "localhost",
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Cluster.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """Identifiers of clusters are lower case."""
        del properties, account, region
        return name.lower()


class Instance(ResourceModel, CloudFormationModel):
    """An instance of the cluster; moto's own knows no Aurora."""

    TYPE = "AWS::RDS::DBInstance"
    ATTRIBUTES: ClassVar[Attributes] = {
        "Endpoint.Address": lambda _: "localhost",
        "Endpoint.Port": lambda _: "5432",
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Instance.TYPE


class Key(ResourceModel, CloudFormationModel):
    """A key of KMS; moto's own does not take tags as templates word them."""

    TYPE = "AWS::KMS::Key"
    ATTRIBUTES: ClassVar[Attributes] = {
        "Arn": lambda key: f"arn:aws:kms:{key.region}:{key.account}:key/{key.declared.physical_id}",
        "KeyId": lambda key: key.declared.physical_id,
    }

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Key.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """Its id."""
        del name, account, region
        made = (
            declarations()
            .client("kms")
            .create_key(
                Description=properties.get("Description", ""),
                Policy=msgspec.json.encode(properties["KeyPolicy"]).decode(),
            )
        )
        return str(made["KeyMetadata"]["KeyId"])


class Secret(ResourceModel, CloudFormationModel):
    """A secret, generated as the template says."""

    TYPE = "AWS::SecretsManager::Secret"
    ATTRIBUTES: ClassVar[Attributes] = {"Id": lambda secret: secret.declared.physical_id}

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return Secret.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """Its ARN."""
        del account, region
        generated = properties.get("GenerateSecretString", {})
        password = _password(generated)
        if "SecretStringTemplate" in generated:
            value = msgspec.json.decode(generated["SecretStringTemplate"], type=dict[str, object])
            text = msgspec.json.encode({**value, generated["GenerateStringKey"]: password}).decode()
        else:
            text = properties.get("SecretString", password)
        client = declarations().client("secretsmanager")
        return client.create_secret(Name=name, SecretString=text)["ARN"]


def _password(generated: Properties) -> str:
    alphabet = string.ascii_letters + string.digits
    if not generated.get("ExcludePunctuation"):
        alphabet += string.punctuation
    allowed = [each for each in alphabet if each not in generated.get("ExcludeCharacters", "")]
    length = int(generated.get("PasswordLength", PASSWORD_CHARACTERS))
    return "".join(secrets.choice(allowed) for _ in range(length))


class SecretAttachment(ResourceModel, CloudFormationModel):
    """Ties a secret to its database; `Ref` gives the secret."""

    TYPE = "AWS::SecretsManager::SecretTargetAttachment"

    @staticmethod
    def cloudformation_type() -> str:
        """By which templates name it."""
        return SecretAttachment.TYPE

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """The secret's ARN."""
        del name, account, region
        return str(properties["SecretId"])


def _id(resource: ResourceModel) -> str:
    return resource.declared.physical_id


def _as_declared(kind: str, *ids: str) -> type[CloudFormationModel]:
    """A type of which nothing has to be made here; `ids`: attributes that are its id."""
    name = kind.replace("AWS::", "").replace("::", "")
    body = {
        "TYPE": kind,
        "ATTRIBUTES": dict.fromkeys(ids, _id),
        "__doc__": f"{kind}, as it is declared.",
        "__module__": __name__,
        "cloudformation_type": staticmethod(lambda: kind),
    }
    return type(name, (ResourceModel, CloudFormationModel), body)


DECLARED_ONLY: Final = tuple(
    _as_declared(kind)
    for kind in (
        "AWS::ApiGatewayV2::Route",
        "AWS::ApiGatewayV2::Stage",
        "AWS::CloudWatch::Alarm",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
    )
)
_EDGE: Final = tuple(
    _as_declared(kind, "Id")
    for kind in ("AWS::CloudFront::OriginAccessControl", "AWS::CloudFront::ResponseHeadersPolicy")
)
"""Kept alive here: moto knows them as subclasses, which are held weakly."""

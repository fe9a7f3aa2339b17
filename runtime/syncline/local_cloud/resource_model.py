"""How moto's CloudFormation makes resources of types of our own, and what it has made of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

Properties: TypeAlias = Mapping[str, Any]

Attributes: TypeAlias = "Mapping[str, Callable[[ResourceModel], str]]"
"""What `Fn::GetAtt` gives, by name."""


class CustomResources(Protocol):
    """Who runs the functions behind custom resources."""

    def answer(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Invoke `ServiceToken` with a custom resource's event and wait for what it reports.

        Raises:
            CustomResourceFailed: it reported FAILED, or nothing in time.
        """
        ...


class CustomResourceFailed(Exception):  # noqa: N818 - says what happened
    """A custom resource refused; the reason is its argument."""


@dataclass(eq=False, slots=True)
class Declared:
    """A resource as the template has it, its references resolved."""

    type: str
    logical_id: str
    physical_id: str
    properties: Properties


@dataclass(eq=False)
class Declarations:
    """All resources of the types in this module, by what they are called."""

    custom_resources: CustomResources
    domain: str
    """`host:port` at which the one distribution answers here."""
    client: Callable[[str], Any]
    """A boto3 client of moto's server by the service's name, for what is made for real."""
    resources: dict[tuple[str, str], Declared] = field(default_factory=dict[Any, Declared])

    def of_type(self, kind: str) -> Iterator[Declared]:
        """Every declared resource of a type."""
        return (each for each in self.resources.values() if each.type == kind)

    def one(self, kind: str, **wanted: object) -> Declared:
        """The one resource of a type with these properties.

        Raises:
            LookupError: there is none, or more than one.
        """
        found = [
            each
            for each in self.of_type(kind)
            if all(each.properties.get(name) == value for name, value in wanted.items())
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources of {kind} with {wanted}, not one")
        return found[0]


_current: list[Declarations] = []


def declarations() -> Declarations:
    """Those that were registered last."""
    if not _current:
        raise RuntimeError("register(declarations) comes before the first stack")
    return _current[-1]


def set_declarations(kept: Declarations) -> None:
    """What is made from now on goes there."""
    _current[:] = [kept]


class ResourceModel:
    """What moto asks of a resource; one subclass per type."""

    TYPE = ""
    ATTRIBUTES: ClassVar[Attributes] = MappingProxyType({})

    def __init__(self, declared: Declared, account: str, region: str) -> None:
        self.declared = declared
        self.account = account
        self.region = region

    @property
    def physical_resource_id(self) -> str:
        """What `Ref` gives."""
        return self.declared.physical_id

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """What `Fn::GetAtt` gives."""
        return self.ATTRIBUTES[attribute_name](self)

    def is_created(self) -> bool:
        """At once."""
        return True

    @staticmethod
    def cloudformation_name_type() -> str:
        """Names are not asked for."""
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Whether outputs may name an attribute."""
        return attr in cls.ATTRIBUTES

    @classmethod
    def make(cls, name: str, properties: Properties, account: str, region: str) -> str:
        """Make it; returns what `Ref` gives."""
        del properties, account, region
        return name

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> "ResourceModel":
        """A new resource."""
        properties = cloudformation_json.get("Properties", {})
        physical_id = cls.make(resource_name, properties, account_id, region_name)
        declared = Declared(cls.TYPE, kwargs["LogicalId"], physical_id, properties)
        declarations().resources[kwargs["StackId"], declared.logical_id] = declared
        return cls(declared, account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "ResourceModel",
        new_resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
    ) -> "ResourceModel":
        """The same resource with other properties."""
        del new_resource_name, account_id, region_name
        original_resource.declared.properties = cloudformation_json.get("Properties", {})
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Mapping[str, Any],
        account_id: str,
        region_name: str,
    ) -> None:
        """Forget it."""
        del cloudformation_json, account_id, region_name
        resources = declarations().resources
        for key, each in [*resources.items()]:
            if each.type == cls.TYPE and each.physical_id == resource_name:
                del resources[key]

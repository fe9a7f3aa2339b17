"""A synthesised cloud assembly as the tests look at it: resources by their place in the app.

Everything that CloudFormation would resolve is shown as text: `text({"Fn::GetAtt": ["X1", "Arn"]})`
is "<Data/Bucket.Arn>" where X1 is the logical id of Data/Bucket, in whichever stack it lies.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

APP = "/Syncline/"


@dataclass(frozen=True)
class Resource:
    """`place`: the stack and the path of the construct in it, such as Compute/Session/Function."""

    place: str
    kind: str
    body: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        return self.body.get("Properties", {})


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, with everything resolved."""

    effect: str
    actions: frozenset[str]
    resources: frozenset[str]
    principals: str
    conditions: str


class Assembly:
    """The output folder of one synthesis."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())

    @cached_property
    def report(self) -> Sequence[Mapping[str, Any]]:
        """What each validation plugin says: cdk-nag is one."""
        return json.loads((self.folder / "validation-report.json").read_text())["pluginReports"]

    @cached_property
    def stacks(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifest's entries of stacks by the stack's place in the app."""
        return {
            artifact["displayName"].removeprefix(APP[1:]): artifact
            for artifact in self.manifest["artifacts"].values()
            if artifact["type"] == "aws:cloudformation:stack"
        }

    def template_file(self, stack: str) -> Path:
        return self.folder / self.stacks[stack]["properties"]["templateFile"]

    @cached_property
    def templates(self) -> Mapping[str, Mapping[str, Any]]:
        return {stack: json.loads(self.template_file(stack).read_text()) for stack in self.stacks}

    @cached_property
    def metadata(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What constructs noted about themselves, by their path."""
        notes: dict[str, Sequence[Mapping[str, Any]]] = {}
        for artifact in self.stacks.values():
            notes |= json.loads((self.folder / artifact["additionalMetadataFile"]).read_text())
        return notes

    @cached_property
    def _places(self) -> Mapping[tuple[str, str], str]:
        """The place of a logical id of a stack."""
        return {
            (path.removeprefix(APP).partition("/")[0], note["data"]): path.removeprefix(
                APP
            ).removesuffix("/Resource")
            for path, notes in self.metadata.items()
            for note in notes
            if note["type"] == "aws:cdk:logicalId"
        }

    @cached_property
    def _exports(self) -> Mapping[str, tuple[str, Any]]:
        return {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in self.templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        """Every resource of every stack by its place."""
        return {
            (place := self._places[stack, logical]): Resource(place, body["Type"], body)
            for stack, template in self.templates.items()
            for logical, body in template["Resources"].items()
        }

    def of_kind(self, kind: str) -> list[Resource]:
        """All resources of a type; at least one, or the test would look at nothing."""
        found = [resource for resource in self.resources.values() if resource.kind == kind]
        assert found, f"no resource is a {kind}"
        return found

    def text(self, stack: str, value: Any) -> str:
        """A value of a template as text, as the module says."""
        match value:
            case str():
                return value
            case {"Ref": str(name)} if name.startswith("AWS::"):
                return f"<{name}>"
            case {"Ref": str(name)}:
                return f"<{self._places[stack, name]}>"
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return f"<{self._places[stack, name]}.{attribute}>"
            case {"Fn::ImportValue": str(name)}:
                return self.text(*self._exports[name])
            case {"Fn::Join": [str(separator), parts]}:
                return separator.join(self.text(stack, part) for part in parts)
            case {"Fn::Select": [index, {"Fn::Split": [str(separator), joined]}]}:
                return f"{self.text(stack, joined)}.split({separator})[{index}]"
            case {"Fn::Sub": str(pattern)}:
                return pattern
            case _:
                return json.dumps(value, sort_keys=True)

    def of(self, resource: Resource, name: str) -> str:
        """A property of a resource as text."""
        return self.text(resource.place.partition("/")[0], resource.properties[name])

    def statements(self, place: str) -> list[Statement]:
        """Every statement of the policies inside a role."""
        stack = place.partition("/")[0]
        return [
            self._statement(stack, statement)
            for policy in self.resources[place].properties.get("Policies", ())
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def policy(self, resource: Resource, name: str) -> list[Statement]:
        """Every statement of a policy that is a property of a resource."""
        stack = resource.place.partition("/")[0]
        document = resource.properties[name]
        return [self._statement(stack, statement) for statement in document["Statement"]]

    def _statement(self, stack: str, raw: Mapping[str, Any]) -> Statement:
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(raw)
        return Statement(
            raw["Effect"],
            frozenset(self.text(stack, action) for action in _listed(raw["Action"])),
            frozenset(self.text(stack, resource) for resource in _listed(raw["Resource"])),
            json.dumps(raw.get("Principal")),
            json.dumps(raw.get("Condition", {}), sort_keys=True),
        )

    def functions(self) -> Iterator[tuple[str, Resource]]:
        """Our functions and their names: session for Compute/Session/Function."""
        for resource in self.of_kind("AWS::Lambda::Function"):
            yield resource.place.split("/")[1].lower(), resource

    def allowed(self, function: str) -> set[tuple[str, str]]:
        """(action, resource) of everything that a function's role allows."""
        return {
            (action, resource)
            for statement in self.statements(f"Compute/{function.title()}/Role")
            if statement.effect == "Allow"
            for action in statement.actions
            for resource in statement.resources
        }


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]

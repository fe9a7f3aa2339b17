"""Validators (convex-protocol.md 6.2) as Python types: a TypedDict for every object."""

import keyword
import re
from collections.abc import Mapping
from typing import Final, cast

from syncline.bundle_spec import JsonValue

_PLAIN: Final = {
    "null": "None",
    "number": "float",
    "bigint": "Int64",
    "commitTs": "Int64",
    "boolean": "bool",
    "string": "str",
    "bytes": "bytes",
    "any": "Any",
    "id": "Id",
}

Json = Mapping[str, JsonValue]


class TypedDicts:
    """Collects the TypedDicts that types need, each before its first use."""

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self._names: set[str] = set()

    def type_of(self, validator: JsonValue, name: str) -> str:
        """The type of a validator's values; objects in it are named after `name`."""
        v = cast("Json", validator)
        kind = str(v["type"])
        if kind in _PLAIN:
            return _PLAIN[kind]
        match kind:
            case "literal":
                return _literal(v["value"])
            case "array":
                return f"list[{self.type_of(v['value'], name)}]"
            case "record":
                values = cast("Json", v["values"])
                return f"dict[str, {self.type_of(values['fieldType'], name)}]"
            case "union":
                members = cast("list[JsonValue]", v["value"])
                types = [self.type_of(member, name) for member in members]
                return " | ".join(dict.fromkeys(types)) or "Never"
            case "object":
                return self.define(cast("Json", v["value"]), name)
            case _:
                raise ValueError(f"unknown validator type {kind!r}")

    def define(self, fields: Json, wanted: str) -> str:
        """A TypedDict with these fields (`{"fieldType", "optional"}` each); returns its name."""
        name = self._free(wanted)
        types: dict[str, str] = {}
        for field_name, each in fields.items():
            field = cast("Json", each)
            inner = self.type_of(field["fieldType"], name + class_name(field_name))
            types[field_name] = f"NotRequired[{inner}]" if field["optional"] else inner
        self.definitions.append(_definition(name, types))
        return name

    def _free(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._names:
            count += 1
            name = f"{wanted}{count}"
        self._names.add(name)
        return name


def class_name(text: str) -> str:
    """CapWords of a field or table name."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    return "".join(word[0].upper() + word[1:] for word in words) or "Field"


def _definition(name: str, types: Mapping[str, str]) -> str:
    if all(each.isidentifier() and not keyword.iskeyword(each) for each in types):
        lines = [f"    {field}: {kind}" for field, kind in types.items()]
        return "\n".join([f"class {name}(TypedDict):", *(lines or ["    pass"])])
    entries = [f"        {field!r}: {kind}," for field, kind in types.items()]
    return "\n".join([f"{name} = TypedDict(", f"    {name!r},", "    {", *entries, "    },", ")"])


def _literal(value: JsonValue) -> str:
    """Python has no literal types of floats, nor of our Int64."""
    if isinstance(value, Mapping):
        return "Int64"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "float"
    return f"Literal[{value!r}]"

"""Validators (convex-protocol.md 6.2) as TypeScript types, as `convex/values` infers them."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Final, cast

from syncline.bundle_spec import JsonValue

_PLAIN: Final = {
    "null": "null",
    "number": "number",
    "bigint": "bigint",
    "commitTs": "bigint",
    "boolean": "boolean",
    "string": "string",
    "bytes": "ArrayBuffer",
    "any": "any",
}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PAGE_FIELDS: Final = {"page", "isDone", "continueCursor"}
_OPTION_FIELDS: Final = {"numItems", "cursor"}

Json = Mapping[str, JsonValue]


def typescript_type(validator: JsonValue) -> str:
    """The type of the values that a validator (its JSON) accepts.

    `PaginationOptions`, `PaginationResult` and `GenericId` have to be imported where it is used.
    """
    v = cast("Json", validator)
    kind = str(v["type"])
    if kind in _PLAIN:
        return _PLAIN[kind]
    match kind:
        case "literal":
            return _literal(v["value"])
        case "id":
            return f"GenericId<{json.dumps(v['tableName'])}>"
        case "array":
            return f"Array<{typescript_type(v['value'])}>"
        case "record":
            values = cast("Json", v["values"])
            keys = typescript_type(v["keys"])
            return f"Record<{keys}, {typescript_type(values['fieldType'])}>"
        case "union":
            members = [typescript_type(member) for member in cast("list[JsonValue]", v["value"])]
            return " | ".join(dict.fromkeys(members)) or "never"
        case "object":
            return _object(cast("Json", v["value"]))
        case _:
            raise ValueError(f"unknown validator type {kind!r}")


def property_name(name: str) -> str:
    """A property as it stands in a type: quoted unless it is an identifier."""
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def _object(fields: Json) -> str:
    if fields.keys() >= _OPTION_FIELDS:
        return "PaginationOptions"
    if fields.keys() >= _PAGE_FIELDS:
        page = cast("Json", cast("Json", fields["page"])["fieldType"])
        item = typescript_type(page["value"]) if page["type"] == "array" else "any"
        return f"PaginationResult<{item}>"
    if not fields:
        return "Record<string, never>"
    listed = [
        f"{property_name(name)}{'?' if field['optional'] else ''}: "
        f"{typescript_type(field['fieldType'])}"
        for name, field in sorted((n, cast("Json", f)) for n, f in fields.items())
    ]
    return f"{{ {'; '.join(listed)} }}"


def _literal(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        number = base64.b64decode(str(value["$integer"]))
        return f"{int.from_bytes(number, 'little', signed=True)}n"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)

"""Values as text: JavaScript-like for validation messages, Node-inspect-like for log lines."""

import json
import math

from syncline.values.value import Int64, Value


def render_number(number: float) -> str:
    """A Float64 with a point: 1.0, 2.5, NaN, Infinity."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(float(number))


def render(value: Value) -> str:
    """As validation messages show values (convex-protocol 6.2): {a: 1.0, b: "x"}."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return render_number(value)
        case Int64():
            return f"{value.value}n"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bytes():
            return f'b"{value.hex()}"'
        case list():
            return "[" + ", ".join(map(render, value)) + "]"
        case dict():
            fields = ", ".join(f"{name}: {render(value[name])}" for name in sorted(value))
            return "{" + fields + "}"


def inspect(value: object, *, nested: bool = False) -> str:
    """As a console shows a logged argument: top-level strings bare of escapes, in single quotes."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and value else _short(value)
        case Int64():
            return f"{value.value}n"
        case str():
            return _quoted(value)
        case list() | tuple():
            items = ", ".join(inspect(item, nested=True) for item in value)
            return f"[ {items} ]" if items else "[]"
        case dict():
            fields = ", ".join(
                f"{name if str(name).isidentifier() else _quoted(str(name))}: "
                f"{inspect(item, nested=True)}"
                for name, item in value.items()
            )
            return "{ " + fields + " }" if fields else "{}"
        case _:
            return repr(value)


def _short(number: float) -> str:
    if number == 0:
        return "-0" if math.copysign(1.0, number) < 0 else "0"
    return render_number(number)


def _quoted(text: str) -> str:
    """In single quotes, unless the text has some and no double ones."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    if "'" not in escaped:
        return f"'{escaped}'"
    if '"' not in escaped:
        return f'"{escaped}"'
    if "`" not in escaped:
        return f"`{escaped}`"
    return "'" + escaped.replace("'", "\\'") + "'"

"""Values as text: JavaScript-like for validation messages, Node-inspect-like for log lines."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from itertools import islice
from typing import cast

import orjson

from syncline.values.value import Int64, Value

INSPECT_DEPTH_MAX = 3
"""Levels of nesting that a log line shows; deeper ones are [Array] or [Object]. Source: Node."""
INSPECT_ITEMS_MAX = 100
"""Items of an array or object that a log line shows. Source: Node (`maxArrayLength`)."""


def render(value: Value) -> str:
    """As validation messages show values (convex-protocol 6.2): {a: 1.0, b: "x"}."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _float64(value)
        case Int64():
            return f"{value.value}n"
        case str():
            return orjson.dumps(value).decode()
        case bytes():
            return f'b"{value.hex()}"'
        case list():
            return "[" + ", ".join(map(render, value)) + "]"
        case dict():
            fields = ", ".join(f"{name}: {render(value[name])}" for name in sorted(value))
            return "{" + fields + "}"


def _float64(number: float) -> str:
    """A Float64 with a point or exponent: 1.0, 2.5, 1e+22, NaN, Infinity."""
    if math.isfinite(number):
        return repr(float(number))
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def inspect(value: object) -> str:
    """A logged argument as a console shows it (convex-protocol 6.1): {a: 1} as { a: 1 }.

    Takes any object, shows no memory address and sorts sets: equal runs give equal log lines.
    """
    return _inspect(value, 0)


def _inspect(value: object, depth: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case Int64():
            return f"{value.value}n"
        case str():
            return _quoted(value)
        case list() | tuple():
            return _items("[", "[Array]", cast("Sequence[object]", value), depth)
        case set() | frozenset():
            return _inspect_set(cast("AbstractSet[object]", value), depth)
        case dict():
            return _inspect_dict(cast("Mapping[object, object]", value), depth)
        case _:
            return _inspect_object(value)


def _items(opening: str, short: str, items: Sequence[object], depth: int) -> str:
    if depth >= INSPECT_DEPTH_MAX and items:
        return short
    shown = [_inspect(item, depth + 1) for item in items[:INSPECT_ITEMS_MAX]]
    return _enclosed(opening, shown, len(items))


def _inspect_set(items: AbstractSet[object], depth: int) -> str:
    if depth >= INSPECT_DEPTH_MAX:
        return "[Set]"
    shown = sorted(_inspect(item, depth + 1) for item in items)[:INSPECT_ITEMS_MAX]
    return _enclosed(f"Set({len(items)}) {{", shown, len(items))


def _inspect_dict(fields: Mapping[object, object], depth: int) -> str:
    if depth >= INSPECT_DEPTH_MAX and fields:
        return "[Object]"
    shown = [
        f"{_key(name)}: {_inspect(item, depth + 1)}"
        for name, item in islice(fields.items(), INSPECT_ITEMS_MAX)
    ]
    return _enclosed("{", shown, len(fields))


def _enclosed(opening: str, shown: list[str], total: int) -> str:
    closing = "]" if opening == "[" else "}"
    if not shown:
        return opening + closing
    if total > len(shown):
        more = total - len(shown)
        shown = [*shown, f"... {more} more item{'s' if more > 1 else ''}"]
    return f"{opening} {', '.join(shown)} {closing}"


def _key(name: object) -> str:
    text = name if isinstance(name, str) else _inspect(name, INSPECT_DEPTH_MAX)
    return text if text.isidentifier() and text.isascii() else _quoted(text)


def _inspect_object(value: object) -> str:
    kind = type(value)
    if kind.__repr__ is not object.__repr__ and not callable(value):
        return repr(value)
    if isinstance(value, type):
        return f"[class {value.__name__}]"
    if callable(value):
        return f"[Function: {getattr(value, '__name__', kind.__name__)}]"
    return f"{kind.__name__} {{}}"


def _number(number: float) -> str:
    """As JavaScript prints a number: the shortest digits that read back, 1e-7 and 1e+21 apart."""
    if isinstance(number, int):
        # Python refuses to print ints of thousands of digits in decimal.
        return str(number) if number.bit_length() <= 1024 else f"{number:#x}"
    if not math.isfinite(number):
        return _float64(number)
    if not number:
        return "-0" if math.copysign(1.0, number) < 0 else "0"
    text = repr(number)
    if 1e-6 <= abs(number) < 1e21:
        return f"{Decimal(text):f}".removesuffix(".0")
    digits, _, exponent = text.partition("e")
    return f"{digits}e{int(exponent):+d}"


_ESCAPES = {
    **{code: f"\\x{code:02X}" for code in (*range(0x20), 0x7F)},
    ord("\\"): "\\\\",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\v"): "\\v",
}


def _quoted(text: str) -> str:
    """In single quotes, unless the text has some and double ones or backticks are free."""
    escaped = text.translate(_ESCAPES)
    for quote in "'\"`":
        if quote not in escaped:
            return f"{quote}{escaped}{quote}"
    return "'" + escaped.replace("'", "\\'") + "'"

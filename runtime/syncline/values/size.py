"""The size of a value in bytes, and its levels of nesting, as limits count them.

Null and booleans 1, numbers 9, strings (UTF-8) and bytes their length + 2, arrays 2 + their
elements, objects 2 + for each field the name's length + 1 + its value. The reference publishes no
formula (convex-protocol 2.2); limits are exact in this measure.
"""

from typing import cast

from syncline.values.value import Value


def size(value: Value) -> int:
    """Bytes of a value."""
    kind = type(value)
    if kind is str:
        text = cast("str", value)
        return 2 + (len(text) if text.isascii() else len(text.encode()))
    if value is None or kind is bool:
        return 1
    if isinstance(value, dict):
        return 2 + sum([len(name) + 1 + size(item) for name, item in value.items()])
    if isinstance(value, list):
        return 2 + sum([size(item) for item in value])
    if isinstance(value, bytes):
        return 2 + len(value)
    return 9


def nesting(value: Value) -> int:
    """Levels of arrays and objects: 0 for a string, 1 for a flat document."""
    if isinstance(value, dict):
        return 1 + max([nesting(item) for item in value.values()], default=0)
    if isinstance(value, list):
        return 1 + max([nesting(item) for item in value], default=0)
    return 0

"""The size of a value in bytes as limits count it: one tag byte a value, plus its payload.

convex-protocol 2.2 leaves the exact formula open; limits are approximate there and exact here.
"""

from syncline.values.value import Value


def size(value: Value) -> int:
    """Bytes of a value: strings by UTF-8, numbers 8, arrays and objects the sum of their parts."""
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        return 2 + (len(value) if value.isascii() else len(value.encode()))
    if value is None or kind is bool:
        return 1
    if isinstance(value, dict):
        return 2 + sum([len(name) + 1 + size(item) for name, item in value.items()])
    if isinstance(value, list):
        return 2 + sum([size(item) for item in value])
    if isinstance(value, bytes):
        return 2 + len(value)
    return 9

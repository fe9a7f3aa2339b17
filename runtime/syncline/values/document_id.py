"""Document ids in the official text form (convex-protocol 2.4).

binary = VInt(table number) ‖ internal id (16 bytes) ‖ Fletcher-16 of both; text = lowercase
Crockford base 32 of it, most significant bit first, the last group padded with zero bits.
"""

from functools import lru_cache

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
INTERNAL_ID_BYTES = 16
_ID_CHARACTERS_MIN = 31
_ID_CHARACTERS_MAX = 37
_TABLE_NUMBER_MAX = 2**32 - 1

_TO_BASE32_INT = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]


@lru_cache(maxsize=1024)
def _vint(number: int) -> bytes:
    if not 0 < number <= _TABLE_NUMBER_MAX:
        raise ValueError(f"A table number is 1 to 2^32 - 1, got {number}")
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)
    return bytes(data)


def _fletcher16(data: bytes) -> bytes:
    """Both running sums modulo 256; the second is the sum of the first over all positions."""
    length = len(data)
    total = sum(data) & 255
    weighted = sum(byte * (length - at) for at, byte in enumerate(data)) & 255
    return bytes((total, weighted))


def encode_id(table_number: int, internal: bytes) -> str:
    """The id of a document: 31 to 37 characters. ValueError on a bad table number or length."""
    if len(internal) != INTERNAL_ID_BYTES:
        raise ValueError(f"An internal id has {INTERNAL_ID_BYTES} bytes, got {len(internal)}")
    body = _vint(table_number) + internal
    data = body + _fletcher16(body)
    bits = len(data) * 8
    groups = -(-bits // 10)
    number = int.from_bytes(data, "big") << (groups * 10 - bits)
    text = "".join([_PAIRS[number >> shift & 1023] for shift in range(groups * 10 - 10, -1, -10)])
    return text[: -(-bits // 5)]


def decode_id(text: str) -> tuple[int, bytes] | None:
    """(table number, internal id); None for anything that `encode_id` would not have written."""
    length = len(text)
    if not _ID_CHARACTERS_MIN <= length <= _ID_CHARACTERS_MAX or not text.isascii():
        return None
    if not set(text) <= _CHARACTERS:
        return None
    data_length = length * 5 // 8
    number = int(text.translate(_TO_BASE32_INT), 32)
    padding = length * 5 - data_length * 8
    if number & ((1 << padding) - 1):
        return None
    data = (number >> padding).to_bytes(data_length, "big")
    body, footer = data[:-2], data[-2:]
    prefix, internal = body[:-INTERNAL_ID_BYTES], body[-INTERNAL_ID_BYTES:]
    table_number = _decode_vint(prefix)
    if table_number is None or _fletcher16(body) != footer:
        return None
    return table_number, internal


_CHARACTERS = frozenset(ALPHABET)


def _decode_vint(data: bytes) -> int | None:
    number = 0
    for at, byte in enumerate(data):
        number |= (byte & 127) << (7 * at)
        if bool(byte & 128) == (at == len(data) - 1):
            return None
    if not 0 < number <= _TABLE_NUMBER_MAX or _vint(number) != data:
        return None
    return number

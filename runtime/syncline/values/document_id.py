"""Document ids in the official text form (convex-protocol 2.4).

binary = VInt(table number) ‖ internal id (16 bytes) ‖ Fletcher-16 of both; text = lowercase
Crockford base 32 of it, most significant bit first, the last group padded with zero bits. A VInt is
little-endian base 128, the high bit says that more follows. Ids of table numbers from 128 to 16383,
so of every user table, have 32 characters.
"""

from functools import lru_cache
from itertools import accumulate

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
INTERNAL_ID_BYTES = 16
_FOOTER_BYTES = 2
_TABLE_NUMBER_MAX = 2**32 - 1

_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_DIGITS = ALPHABET.encode()
_TO_PYTHON_DIGITS = bytes.maketrans(_DIGITS, b"0123456789abcdefghijklmnopqrstuv")

# Characters of an id -> bytes of its binary form, for VInts of 1 to 5 bytes.
_BYTES_OF_LENGTH = {
    -(-(vint + INTERNAL_ID_BYTES + _FOOTER_BYTES) * 8 // 5): vint
    + INTERNAL_ID_BYTES
    + _FOOTER_BYTES
    for vint in range(1, 6)
}


@lru_cache(maxsize=1024)
def _encode_vint(number: int) -> bytes:
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
    return bytes((sum(data) & 255, sum(accumulate(data)) & 255))


def encode_id(table_number: int, internal: bytes) -> str:
    """The id of a document: 31 to 37 characters. ValueError on a bad table number or length."""
    if len(internal) != INTERNAL_ID_BYTES:
        raise ValueError(f"An internal id has {INTERNAL_ID_BYTES} bytes, got {len(internal)}")
    body = _encode_vint(table_number) + internal
    data = body + _fletcher16(body)
    bits = len(data) * 8
    padded = -(-bits // 10) * 10
    number = int.from_bytes(data, "big") << (padded - bits)
    text = "".join([_PAIRS[number >> shift & 1023] for shift in range(padded - 10, -1, -10)])
    return text[: -(-bits // 5)]


def decode_id(text: str) -> tuple[int, bytes] | None:
    """(table number, internal id); None for anything that `encode_id` would not have written."""
    # The length comes first: only short texts are remembered.
    return _decode(text) if len(text) in _BYTES_OF_LENGTH else None


@lru_cache(maxsize=8192)
def _decode(text: str) -> tuple[int, bytes] | None:
    """Remembered, because the ids that documents refer to come again and again."""
    if not text.isascii():
        return None
    digits = text.encode()
    if digits.translate(None, _DIGITS):
        return None
    length = _BYTES_OF_LENGTH[len(text)]
    padding = len(text) * 5 - length * 8
    number = int(digits.translate(_TO_PYTHON_DIGITS), 32)
    if number & ((1 << padding) - 1):
        return None
    data = (number >> padding).to_bytes(length, "big")
    body = data[:-_FOOTER_BYTES]
    table_number = _decode_vint(body[:-INTERNAL_ID_BYTES])
    if table_number is None or _fletcher16(body) != data[-_FOOTER_BYTES:]:
        return None
    return table_number, body[-INTERNAL_ID_BYTES:]


def _decode_vint(data: bytes) -> int | None:
    number = 0
    for at, byte in enumerate(data):
        number |= (byte & 127) << (7 * at)
    if not 0 < number <= _TABLE_NUMBER_MAX or _encode_vint(number) != data:
        return None
    return number

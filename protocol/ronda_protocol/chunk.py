"""A piece of a pack's body on its way to a handheld: not signed, but bound to a signed manifest.

What a chunk says it belongs to is believed only because the whole body's hash is in that manifest.
Cutting a body up and putting it together again are the callers'.
"""

from ronda_protocol import cbor
from ronda_protocol.bounds import U32, WireError, is_bytes, is_list, is_uint

MAX_DATA = 2048
"""Bytes of the body in one chunk, at most."""
MAX_LEN = MAX_DATA + 43
"""Bytes of a whole chunk, at most."""

FIRST = 0x83
"""The first byte of every chunk; a signed message's is 0xD2."""


class ChunkError(WireError):
    """Codes: cbor-…, shape, range."""


def encode(manifest_hash: bytes, offset: int, data: bytes) -> bytes:
    """The chunk of a body that starts at `offset`; ChunkError when out of bounds."""
    message = cbor.encode([manifest_hash, offset, data])
    decode(message)
    return message


def decode(message: "bytes | bytearray | memoryview") -> "tuple[bytes, int, bytes]":
    """(manifest hash, offset, bytes) of a chunk."""
    try:
        value = cbor.decode(message, MAX_LEN, 1, 4)
    except cbor.CborError as error:
        raise ChunkError("cbor-" + error.code)
    if not is_list(value, 3, 3) or not is_bytes(value[0], 32) or type(value[2]) is not bytes:
        raise ChunkError("shape")
    size = len(value[2])
    if not 1 <= size <= MAX_DATA or not is_uint(value[1], U32 - size):
        raise ChunkError("range")
    return value[0], value[1], value[2]

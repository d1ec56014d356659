"""What all signed payloads share: a CBOR map whose key 0 says what it is, key 1 the version.

Key 0 keeps a signature over one kind of message from being shown as another. Says nothing about
who may sign what.
"""

from ronda_protocol import cbor
from ronda_protocol.bounds import U16, is_map, is_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ronda_protocol.bounds import WireError

# Values of key 0.
SEGMENT = 1
RECEIPT = 2
RESEND = 3
MANIFEST = 4

MAJOR = 1
"""Value of key 1: the major version of this wire."""


def message(payload: bytes) -> int:
    """Which kind of message a payload says it is; 0 when it is none. Any major version."""
    try:
        value = cbor.decode(payload)
    except cbor.CborError:
        return 0
    return value[0] if is_map(value) and is_uint(value.get(0), U16) else 0


def read(
    payload: bytes,
    kind: int,
    last: int,
    optional: "tuple[int, ...]",
    error: "type[WireError]",
) -> "dict[int, Any]":
    """The map of a payload of `kind`, holding keys 0 to `last`; those `optional` may be absent.

    Raises `error` with cbor-…, kind (another message), version, or key (missing or unknown).
    """
    try:
        value = cbor.decode(payload)
    except cbor.CborError as caught:
        raise error("cbor-" + caught.code)
    if not is_map(value) or not is_uint(value.get(0), kind, kind):
        raise error("kind")
    if not is_uint(value.get(1), MAJOR, MAJOR):
        raise error("version" if is_uint(value.get(1), U16) else "kind")
    for key in range(2, last + 1):
        if key not in value and key not in optional:
            raise error("key")
    for key in value:
        if key > last:
            raise error("key")
    return value

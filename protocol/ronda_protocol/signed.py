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

_ITEMS = 512
"""What comes down to a handheld has fewer data items: it is read there before it is verified."""


def message(payload: bytes) -> int:
    """Which kind of message a payload says it is, the rest of it unread; 0 when it says none.

    Key 0 is the first of a map that has it. Nobody has verified these bytes: nothing is built.
    """
    try:
        (major, n), at = cbor.head(payload, 0)
        if major == 5 and n and payload[at : at + 1] == b"\x00":
            (major, n), at = cbor.head(payload, at + 1)
            if major == 0 and n <= U16:
                return n
    except cbor.CborError:
        pass
    return 0


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
        most = cbor.MAX_ITEMS if kind == SEGMENT else _ITEMS
        value = cbor.decode(payload, cbor.MAX_LEN, cbor.MAX_DEPTH, most)
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

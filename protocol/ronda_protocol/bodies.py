"""The bodies of trust and config packs, read. A handheld needs it only when one of them comes."""

from ronda_protocol import cbor, cose
from ronda_protocol.bounds import MAX_UTC, PackError, is_list, is_map, is_uint
from ronda_protocol.pack import BENCH, GATEWAY, MAX_KEYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIG = {
    4: ("sample_s", 15, 1, 3600),
    6: ("dwell_s", 0, 0, 600),
    7: ("battery_min", 15, 1, 1440),
    8: ("search_m", 300, 0, 2000),
    9: ("wait_s", 120, 0, 900),
    10: ("repeat_s", 300, 0, 3600),
}
"""Key -> name, what holds without it, lowest, highest. The other keys below 11 are a handheld's
own settings: a pack that has them is refused."""


def body_map(data: bytes, code: str) -> "dict[int, Any]":
    """The map that a body is; PackError cbor-…, or `code` for another value."""
    try:
        value = cbor.decode(data)
    except cbor.CborError as error:
        raise PackError("cbor-" + error.code)
    if not is_map(value):
        raise PackError(code)
    return value


def decode_trust(body: bytes) -> "tuple[bytes, list[list[Any]]]":
    """(root's public key, keys) of a trust pack's body.

    Each key is [kid, public key, role, not before, not after, revoked]; kids are recomputed.
    """
    value = body_map(body, "trust")
    keys = value.get(2)
    if not is_list(keys, MAX_KEYS):
        raise PackError("trust")
    found: list[list[Any]] = []
    kids: set[bytes] = set()
    try:
        root = cose.parse_key(value.get(1) or b"")
        for key in keys or ():
            if not (
                is_list(key, 6, 6)
                and is_uint(key[2], BENCH, GATEWAY)
                and is_uint(key[3], MAX_UTC)
                and is_uint(key[4], MAX_UTC, key[3])
                and type(key[5]) is bool
                and type(key[1]) is bytes
            ):
                raise PackError("trust")
            public = cose.parse_key(key[1])
            if key[0] != cose.kid(public) or key[0] in kids:
                raise PackError("trust")
            kids.add(key[0])
            found.append([key[0], public] + key[2:])
    except cose.CoseError:
        raise PackError("trust")
    return root, found


def decode_config(body: bytes) -> "dict[int, int]":
    """The settings in a config pack's body, by the keys of CONFIG; later ones are passed over."""
    value = body_map(body, "config")
    found: dict[int, int] = {}
    for key in value:
        if key < 11:
            if key not in CONFIG or not is_uint(value[key], CONFIG[key][3], CONFIG[key][2]):
                raise PackError("config")
            found[key] = value[key]
    return found

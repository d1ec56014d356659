"""Bounds of the values on the wire: what a u32, an id, a text or a stamp may be. No codec here.

Booleans are not integers here, although both VMs call them so.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

U16 = 0xFFFF
U32 = 0xFFFFFFFF
MAX_UTC = 0x3FFFFFFFF
"""Unix seconds are bounded by 34 bits (the year 2514): no date arithmetic overflows."""


class WireError(ValueError):
    """Refused bytes or values; `code` is one of the words that WIRE.md lists for its module."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class PackError(WireError):
    """Codes: too-big, cose-…, cbor-…, kind, version, key, manifest, body, length, hash, trust,
    cases, config."""


def is_uint(value: "Any", top: int = U32, low: int = 0) -> bool:
    """Whether value is an int (no bool) from `low` to `top`."""
    return type(value) is int and low <= value <= top


def is_bytes(value: "Any", length: int) -> bool:
    """Whether value is a byte string of exactly `length`."""
    return type(value) is bytes and len(value) == length


def is_text(value: "Any", top: int, low: int = 1) -> bool:
    """Whether value is text of `low` to `top` bytes in UTF-8, without control characters."""
    if type(value) is not str:
        return False
    for c in value:
        if c < " " or "\x7f" <= c < "\xa0":
            return False
    try:
        return low <= len(value.encode()) <= top
    except UnicodeError:  # a lone surrogate, on CPython
        return False


def is_list(value: "Any", top: int, low: int = 0) -> bool:
    """Whether value is a list of `low` to `top` items. Says nothing to the type checker."""
    return type(value) is list and low <= len(value) <= top  # pyright: ignore[reportUnknownArgumentType]


def is_map(value: "Any") -> bool:
    """Whether value is a dict with small unsigned integer keys only."""
    if type(value) is not dict:
        return False
    for key in value:  # pyright: ignore[reportUnknownVariableType]
        if not is_uint(key, U16):
            return False
    return True


def is_id(value: "Any", low: int = 1) -> bool:
    """Whether value is [a-z0-9-]{low,24}."""
    if type(value) is not str or not low <= len(value) <= 24:
        return False
    for c in value:
        if c not in "abcdefghijklmnopqrstuvwxyz0123456789-":
            return False
    return True


def is_device(value: "Any") -> bool:
    """Whether value is a device id: [a-z0-9-]{3,24}."""
    return is_id(value, 3)


def is_portfolio(value: "Any") -> bool:
    """Whether value names a portfolio: [a-z0-9-]{1,24}; `site` is the agency's own."""
    return is_id(value) and value != "site"


def is_ms(value: "Any") -> bool:
    """Whether value is a time since boot: milliseconds in whole tenths of a second.

    Below 2^53 (285,000 years), so that JSON and a database's integers hold it.
    """
    return is_uint(value, 0x1FFFFFFFFFFFFF) and value % 100 == 0


def is_latlon(lat: "Any", lon: "Any") -> bool:
    """Whether lat and lon are a position in units of 1e-7 degrees."""
    return is_uint(lat, 900000000, -900000000) and is_uint(lon, 1800000000, -1800000000)


def is_corners(value: "Any") -> bool:
    """Whether value is 3 to 32 corners, flat: [lat_e7, lon_e7, then steps to the others].

    From 80 degrees south to 80 north; a step is below 2^21 either way. Says nothing of the shape.
    """
    if not is_list(value, 64, 6) or len(value) & 1 or not is_latlon(value[0], value[1]):
        return False
    for i in range(2, len(value)):
        if not is_uint(value[i], 0x1FFFFF, -0x1FFFFF):
            return False
    return abs(value[0]) <= 800000000


def is_place(value: "Any") -> bool:
    """Whether value is [version, quality 0..2, 0, lat_e7, lon_e7, radius 100..20000 dm] or
    [version, quality, 1, corners].

    From 80 degrees south to 80 north, where a fence can be judged; whether the corners make a
    polygon that can, only `polygon.check` knows.
    """
    if not is_list(value, 6, 4) or not is_uint(value[0]) or not is_uint(value[1], 2):
        return False
    if is_uint(value[2], 1, 1):
        return len(value) == 4 and is_corners(value[3])
    return (
        len(value) == 6
        and is_uint(value[2], 0)
        and is_latlon(value[3], value[4])
        and abs(value[3]) <= 800000000
        and is_uint(value[5], 20000, 100)
    )


def is_stamp(value: "Any") -> bool:
    """Whether value is [boot u32, ms, utc or None, source 0..3, uncertainty s u32].

    Source 0 (none) and only source 0 has no UTC.
    """
    if not is_list(value, 5, 5):
        return False
    boot, ms, utc, source, uncertainty = value
    return (
        is_uint(boot)
        and is_ms(ms)
        and is_uint(source, 3)
        and is_uint(uncertainty)
        and (utc is None if source == 0 else is_uint(utc, MAX_UTC))
    )

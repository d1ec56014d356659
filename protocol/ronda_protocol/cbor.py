"""Deterministic CBOR (RFC 8949 §4.2.1), strict both ways; no floats, no tag but 18, no streams.

Values: int from -2^64 to 2^64-1, bytes, str, list, dict with int or str keys, True, False,
None and Tagged(18, value). Tuples, bytearrays and memoryviews are encoded too and come back as
list and bytes. Any byte string decodes to a value or raises CborError: lengths are compared with
what is left before anything is allocated, and depth, items and size are bounded.
"""

# Values are Any by nature; isinstance narrows them to list[Unknown] and the like.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_LEN = 65536
MAX_DEPTH = 8
MAX_ITEMS = 4096


class CborError(ValueError):
    """Refused bytes or values; `code` is one of the words listed in WIRE.md, section CBOR."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Tagged:
    """A tagged value; the only tag accepted is 18, COSE_Sign1."""

    def __init__(self, tag: int, value: "Any") -> None:
        self.tag = tag
        self.value = value


def encode(value: "Any") -> bytes:
    """The one deterministic encoding of a value; CborError float, range, type, key, depth…"""
    out = bytearray()
    _put(out, value, MAX_DEPTH)
    return bytes(out)


def decode(
    data: "bytes | bytearray | memoryview",
    max_len: int = MAX_LEN,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> "Any":
    """The value that is the whole of `data`; CborError("trailing") when bytes are left over."""
    value, end = decode_first(data, 0, max_len, max_depth, max_items)
    if end != len(data):
        raise CborError("trailing")
    return value


def decode_first(
    data: "bytes | bytearray | memoryview",
    start: int = 0,
    max_len: int = MAX_LEN,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> "tuple[Any, int]":
    """The value at `start` of a CBOR sequence (RFC 8742), and the index after it.

    `max_len` bounds the bytes from `start` to the end, `max_depth` the arrays, maps and tags
    around a value, `max_items` all data items together (a map pair is two).
    """
    if len(data) - start > max_len:
        raise CborError("size")
    reader = _Reader(data, start, max_items)
    value = reader.item(max_depth)
    return value, reader.at


def head(data: "bytes | bytearray | memoryview", start: int) -> "tuple[tuple[int, int], int]":
    """((major type, argument), index after it) of the item at `start`, what it holds unread.

    For whoever reads a long array or byte string piece by piece.
    """
    reader = _Reader(data, start, 0)
    return reader.head(), reader.at


class _Reader:
    def __init__(self, data: "bytes | bytearray | memoryview", at: int, items: int) -> None:
        self.data = data
        self.at = at
        self.items = items

    def item(self, depth: int) -> "Any":
        """The item at self.at; `depth` more containers may be opened."""
        self.items -= 1
        if self.items < 0:
            raise CborError("items")
        data = self.data
        at = self.at
        if at < len(data) and data[at] < 24:  # a quarter of the cost, and most items are such
            self.at = at + 1
            return data[at]
        major, n = self.head()
        at = self.at
        if major < 2:
            return -1 - n if major else n
        if major < 4:
            if n > len(data) - at:
                raise CborError("truncated")
            self.at = at + n
            raw = bytes(data[at : at + n])
            return _text(raw) if major == 3 else raw
        if major == 7:
            return None if n == 22 else n == 21
        if major == 6 and n != 18:
            raise CborError("tag")
        if not depth:
            raise CborError("depth")
        depth -= 1
        if major == 6:
            return Tagged(n, self.item(depth))
        if n > (len(data) - at) >> (major - 4):
            raise CborError("truncated")
        if major == 5:
            return self.pairs(n, depth)
        return [self.item(depth) for _ in range(n)]

    def head(self) -> tuple[int, int]:
        """Major type and argument; a simple value is its own argument."""
        data = self.data
        at = self.at
        if at >= len(data):
            raise CborError("truncated")
        major = data[at] >> 5
        n = data[at] & 31
        at += 1
        if major == 7:
            if not 20 <= n <= 22:
                raise CborError(
                    "indefinite"
                    if n == 31
                    else "range"
                    if n > 27
                    else "float"
                    if n > 24
                    else "simple"
                )
        elif n > 23:
            if n > 27:
                raise CborError("indefinite" if n == 31 else "range")
            size = 1 << (n - 24)
            if at + size > len(data):
                raise CborError("truncated")
            n = int.from_bytes(data[at : at + size], "big")
            if n < 24 or (size > 1 and not n >> size * 4):
                raise CborError("non-minimal")
            at += size
        self.at = at
        return major, n

    def pairs(self, n: int, depth: int) -> "dict[Any, Any]":
        """The n pairs of a map, whose encoded keys must ascend bytewise."""
        value: dict[Any, Any] = {}
        last = b""
        data = self.data
        for _ in range(n):
            start = self.at
            # Looked at before it is read: a refused key is named so, whatever it holds.
            if start < len(data) and data[start] >> 5 not in (0, 1, 3):
                raise CborError("key")
            key = self.item(0)
            this = bytes(data[start : self.at])
            if this <= last:
                raise CborError("duplicate" if this == last else "order")
            last = this
            value[key] = self.item(depth)
        return value


def _text(raw: bytes) -> str:
    """UTF-8 by our own check: MicroPython lets surrogates and overlong forms through."""
    if raw and max(raw) > 127:
        need = 0
        low = 0x80
        high = 0xBF
        for c in raw:
            if need:
                if not low <= c <= high:
                    raise CborError("utf8")
                need -= 1
                low = 0x80
                high = 0xBF
            elif c > 127:
                if not 0xC2 <= c <= 0xF4:
                    raise CborError("utf8")
                need = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
                low = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80
                high = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF
        if need:
            raise CborError("utf8")
    return str(raw, "utf-8")


def put_head(out: bytearray, major: int, n: int) -> None:
    """Append the head of an item: its major type (in the three high bits) and argument."""
    if n < 24:
        out.append(major | n)
        return
    code = 0 if n < 256 else 1 if n < 65536 else 2 if n < 1 << 32 else 3
    out.append(major | 24 + code)
    out.extend(n.to_bytes(1 << code, "big"))


def _put(out: bytearray, value: "Any", depth: int) -> None:
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        if not -1 << 64 <= value < 1 << 64:
            raise CborError("range")
        if value < 0:
            put_head(out, 0x20, -1 - value)
        else:
            put_head(out, 0, value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        put_head(out, 0x40, len(value))
        out.extend(value)
    elif isinstance(value, str):
        try:
            raw = value.encode()
        except UnicodeError:
            raise CborError("utf8")
        _text(raw)
        put_head(out, 0x60, len(raw))
        out.extend(raw)
    else:
        _put_nested(out, value, depth - 1)


def _put_nested(out: bytearray, value: "Any", depth: int) -> None:
    if depth < 0:
        raise CborError("depth")
    if isinstance(value, (list, tuple)):
        put_head(out, 0x80, len(value))
        for item in value:
            _put(out, item, depth)
    elif isinstance(value, dict):
        put_head(out, 0xA0, len(value))
        pairs: list[tuple[bytes, Any]] = []
        for key in value:
            if key is True or key is False or not isinstance(key, (int, str)):
                raise CborError("key")
            pairs.append((encode(key), value[key]))
        pairs.sort(key=lambda pair: pair[0])
        for raw, item in pairs:
            out.extend(raw)
            _put(out, item, depth)
    elif isinstance(value, Tagged):
        if value.tag != 18:
            raise CborError("tag")
        put_head(out, 0xC0, 18)
        _put(out, value.value, depth)
    else:
        raise CborError("float" if isinstance(value, float) else "type")

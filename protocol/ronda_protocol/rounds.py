"""The body of a cases pack: a round's whole set of cases, read one by one from any source.

A round of two hundred cases is more than a handheld has room for, so nothing here holds more than
one of them. Whether the body is the one that was signed is the caller's business.
"""

import hashlib

from ronda_protocol import cbor
from ronda_protocol.bounds import (
    MAX_UTC,
    U16,
    PackError,
    is_map,
    is_place,
    is_portfolio,
    is_text,
    is_uint,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_CASES = 200

CASE = ("case_id", "portfolio", "creditor", "place", "order", "currency")
"""Names of a case's keys, from 1."""

_PIECE = 256
_LONGEST = 2048


class _Source:
    """Items of CBOR from `read(n) -> bytes`, of `length` bytes, a piece in memory at a time."""

    def __init__(self, read: "Callable[[int], bytes]", length: int) -> None:
        self.read = read
        self.left = length
        self.data = b""
        self.at = 0

    def item(self, head: bool = False) -> "Any":
        """The next item; with `head` only [major type, argument] of a map or an array."""
        while True:
            try:
                if head:
                    found, self.at = cbor.head(self.data, self.at)
                else:
                    found, self.at = cbor.decode_first(self.data, self.at)
                return found
            except cbor.CborError as error:
                # What is longer than any case has a length that lies.
                long = len(self.data) - self.at > _LONGEST
                if error.code != "truncated" or long or not self.more():
                    raise PackError("cbor-" + error.code)

    def more(self) -> bool:
        """Read another piece behind what is left of the last; whether there was one."""
        piece = self.read(min(_PIECE, self.left))
        self.left -= len(piece)
        self.data = self.data[self.at :] + piece
        self.at = 0
        return len(piece) > 0

    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self.at == len(self.data) and not self.left


def read_cases(read: "Callable[[int], bytes]", length: int) -> "Iterator[Any]":
    """Yields [round id, as of, expires at, count], then each case as a dict by the names in CASE.

    `read(n)` gives the next bytes of the body, at most n; `length` is that of all. PackError when
    it turns out not to be a round's set: what was yielded before is then worth nothing.
    """
    source = _Source(read, length)
    major, pairs = source.item(True)
    _need(major == 5)
    head: list[Any] = [None, None, None, None]
    key = -1
    for _ in range(pairs):
        last = key
        key = source.item()
        _need(is_uint(key, U16, last + 1))
        if key == 4:
            major, head[3] = source.item(True)
            _need(major == 4 and head[3] <= MAX_CASES and is_text(head[0], 32))
            _need(is_uint(head[1], MAX_UTC) and is_uint(head[2], MAX_UTC))
            yield head
            ids = bytearray()
            for _ in range(head[3]):
                yield _case(source.item(), ids)
        else:
            value = source.item()
            if 0 < key < 4:
                head[key - 1] = value
    _need(head[3] is not None)
    if not source.ended():
        raise PackError("cbor-trailing")


def _case(case: "dict[int, Any]", ids: bytearray) -> "dict[str, Any]":
    _need(
        is_map(case)
        and is_text(case.get(1), 32)
        and is_portfolio(case.get(2))
        and is_text(case.get(3), 32)
        and is_place(case.get(4))
        and is_uint(case.get(5), U16)
        and is_text(case.get(6), 3, 3)
    )
    # Ids are distinct. Eight bytes of each one's hash are kept, not the texts.
    mark = hashlib.sha256(case[1].encode()).digest()[:8]
    at = ids.find(mark)
    while at >= 0 and at % 8:
        at = ids.find(mark, at + 1)
    _need(at < 0)
    ids.extend(mark)
    return {CASE[i]: case[i + 1] for i in range(6)}


def _need(ok: bool) -> None:
    if not ok:
        raise PackError("cases")

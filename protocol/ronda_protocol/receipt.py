"""Receipts and resend requests: the gateway's signed words to a handheld.

Payloads only: signing and the signer's role are the caller's, and so is what may be released.
"""

from ronda_protocol import signed
from ronda_protocol.bounds import MAX_UTC, U32, WireError, is_bytes, is_device, is_list, is_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Dispositions: what became of a segment that was stored but not accepted.
HELD = 1
QUARANTINED = 2
UNREADABLE = 3
DISPOSITION_NAMES = ("", "held", "quarantined", "unreadable")

# A receipt stays below the 4 KiB that a handheld takes at once.
MAX_RANGES = 32
MAX_DISPOSITIONS = 64

NO_HEAD = bytes(32)
"""The chain hash of a receipt whose upto is 0."""


class ReceiptError(WireError):
    """Codes: cbor-…, kind, version, key, field, ranges, dispositions."""


class Receipt:
    """What the gateway holds of one log; times in unix seconds.

    Every seq up to `upto` is durable or declared lost; `head` is the chain hash of `upto`.
    `ranges` beyond it: [[from, to, last chain hash]...], ascending. `dispositions` of segments
    stored but not accepted: [[seq, code]...], ascending by seq.
    """

    def __init__(  # noqa: PLR0917
        self,
        device: str,
        log_id: bytes,
        upto: int,
        head: bytes,
        ranges: "list[Any]",
        dispositions: "list[Any]",
        now: int,
        nonce: bytes,
    ) -> None:
        self.device = device
        self.log_id = log_id
        self.upto = upto
        self.head = head
        self.ranges = ranges
        self.dispositions = dispositions
        self.now = now
        self.nonce = nonce

    def check(self) -> None:
        """ReceiptError unless every field is in bounds."""
        _need(is_device(self.device) and is_bytes(self.log_id, 8) and is_uint(self.upto), "field")
        _need(is_bytes(self.head, 32) and (self.upto > 0 or self.head == NO_HEAD), "field")
        _need(is_uint(self.now, MAX_UTC) and is_bytes(self.nonce, 8), "field")
        _need(is_list(self.ranges, MAX_RANGES), "ranges")
        # A gap lies between upto and the first range, and between ranges.
        low = self.upto + 2
        for item in self.ranges:
            _need(is_list(item, 3, 3) and is_bytes(item[2], 32), "ranges")
            _need(is_uint(item[0], U32, low) and is_uint(item[1], U32, item[0]), "ranges")
            low = item[1] + 2
        _need(is_list(self.dispositions, MAX_DISPOSITIONS), "dispositions")
        last = 0
        for item in self.dispositions:
            _need(is_list(item, 2, 2) and is_uint(item[0], U32, last + 1), "dispositions")
            _need(is_uint(item[1], UNREADABLE, HELD), "dispositions")
            last = item[0]


class Resend:
    """A request to publish the seqs `first` to `last` of a log again; answered once per id."""

    def __init__(
        self, device: str, log_id: bytes, first: int, last: int, request_id: bytes
    ) -> None:
        self.device = device
        self.log_id = log_id
        self.first = first
        self.last = last
        self.request_id = request_id

    def check(self) -> None:
        """ReceiptError unless every field is in bounds."""
        _need(is_device(self.device) and is_bytes(self.log_id, 8), "field")
        _need(is_uint(self.first, U32, 1) and is_uint(self.last, U32, self.first), "field")
        _need(is_bytes(self.request_id, 8), "field")


def _need(ok: bool, code: str) -> None:
    if not ok:
        raise ReceiptError(code)


def decode_receipt(payload: bytes) -> Receipt:
    """The receipt in a payload."""
    value = signed.read(payload, signed.RECEIPT, 9, (6, 7), ReceiptError)
    # One form only: what is empty is absent.
    _need(value.get(6) != [], "ranges")
    _need(value.get(7) != [], "dispositions")
    receipt = Receipt(
        value[2],
        value[3],
        value[4],
        value[5],
        value.get(6, []),
        value.get(7, []),
        value[8],
        value[9],
    )
    receipt.check()
    return receipt


def decode_resend(payload: bytes) -> Resend:
    """The resend request in a payload."""
    value = signed.read(payload, signed.RESEND, 6, (), ReceiptError)
    resend = Resend(value[2], value[3], value[4], value[5], value[6])
    resend.check()
    return resend

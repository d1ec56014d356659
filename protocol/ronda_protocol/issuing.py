"""The signers' side of the downlink: payloads of receipts and resend requests, packs, bodies.

A handheld reads these forms, never writes them. Who may sign what is `pack.role_for`'s word.
"""

import hashlib

from ronda_protocol import bodies, cbor, cose, fence, pack, signed
from ronda_protocol.receipt import Receipt, Resend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def encode_receipt(  # noqa: PLR0917
    device: str,
    log_id: bytes,
    upto: int,
    head: bytes,
    ranges: "list[Any]",
    dispositions: "list[Any]",
    now: int,
    nonce: bytes,
) -> bytes:
    """The payload of a receipt, fields as in `Receipt`; ReceiptError when one is out of bounds."""
    receipt = Receipt(device, log_id, upto, head, ranges, dispositions, now, nonce)
    receipt.check()
    value: dict[int, Any] = {0: signed.RECEIPT, 1: signed.MAJOR, 2: receipt.device}
    value[3] = receipt.log_id
    value[4] = receipt.upto
    value[5] = receipt.head
    if receipt.ranges:
        value[6] = receipt.ranges
    if receipt.dispositions:
        value[7] = receipt.dispositions
    value[8] = receipt.now
    value[9] = receipt.nonce
    return cbor.encode(value)


def encode_resend(device: str, log_id: bytes, first: int, last: int, request_id: bytes) -> bytes:
    """The payload of a resend request for seqs first to last."""
    resend = Resend(device, log_id, first, last, request_id)
    resend.check()
    value: dict[int, Any] = {0: signed.RESEND, 1: signed.MAJOR, 2: resend.device}
    value[3] = resend.log_id
    value[4] = resend.first
    value[5] = resend.last
    value[6] = resend.request_id
    return cbor.encode(value)


def manifest_payload(manifest: pack.Manifest) -> bytes:
    """The bytes of a manifest that are signed; PackError("manifest")."""
    manifest.check()
    value: dict[int, Any] = {0: signed.MANIFEST, 1: signed.MAJOR, 2: manifest.pack_type}
    value[3] = manifest.scope
    value[4] = manifest.name
    value[5] = manifest.version
    value[6] = manifest.not_before
    value[7] = manifest.not_after
    value[8] = manifest.length
    value[9] = manifest.sha256
    value[10] = manifest.requires
    return cbor.encode(value)


def next_version(last: int, now: int) -> int:
    """The version after `last`, signed at unix time `now`: a restored signer never goes back."""
    return max(last + 1, now)


def seal(manifest: pack.Manifest, body: bytes, signer: "cose.DigestSigner") -> bytes:
    """A pack file; writes the body's length and hash into the manifest first."""
    manifest.length = len(body)
    manifest.sha256 = hashlib.sha256(body).digest()
    return cose.sign(manifest_payload(manifest), signer) + cbor.encode(body)


def encode_trust(root: bytes, keys: "list[Any]") -> bytes:
    """The body of a trust pack.

    `root` is the root's public key (x || y); `keys` [public key, role, not before, not after,
    revoked] each.
    """
    listed = [
        [cose.kid(public), cose.cose_key(public), role, not_before, not_after, revoked]
        for public, role, not_before, not_after, revoked in keys
    ]
    body = cbor.encode({1: cose.cose_key(root), 2: listed})
    bodies.decode_trust(body)
    return body


def encode_config(values: "dict[str, int]") -> bytes:
    """The body of a config pack: settings by the names in bodies.CONFIG, any of them."""
    keys = {bodies.CONFIG[key][0]: key for key in bodies.CONFIG}
    for name in values:
        if name not in keys:
            raise pack.PackError("config")
    body = cbor.encode({keys[name]: values[name] for name in values})
    bodies.decode_config(body)
    return body


def encode_cases(
    round_id: str, as_of: int, expires_at: int, cases: "list[dict[str, Any]]"
) -> bytes:
    """The body of a cases pack: the whole set of a round; times in unix seconds.

    A case has case_id, portfolio, creditor, place ([version, quality, 0, lat_e7, lon_e7,
    radius_dm] or [version, quality, 1, corners]), order (u16) and currency (three letters). A
    place that no handheld could judge is PackError("cases").
    """
    listed = [{i + 1: case.get(pack.CASE[i]) for i in range(6)} for case in cases]
    body = cbor.encode({1: round_id, 2: as_of, 3: expires_at, 4: listed})
    for case in pack.decode_cases(body)[3]:
        try:
            fence.Plane(case["place"][2:])
        except fence.FenceError:
            raise pack.PackError("cases")
    return body

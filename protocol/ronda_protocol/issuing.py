"""The signers' side of the downlink: payloads of receipts and resend requests, packs, bodies.

Reached through `receipt` and `pack`, which import it on first use: a handheld reads these forms,
never writes them. Who may sign what is `pack.role_for`'s word.
"""

import hashlib

from ronda_protocol import bodies, cbor, cose, fence, pack, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ronda_protocol.receipt import Receipt, Resend


def receipt_payload(receipt: "Receipt") -> bytes:
    """See `receipt.encode_receipt`."""
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


def resend_payload(resend: "Resend") -> bytes:
    """See `receipt.encode_resend`."""
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


def seal(manifest: pack.Manifest, body: bytes, signer: "cose.DigestSigner") -> bytes:
    """See `pack.seal`."""
    manifest.length = len(body)
    manifest.sha256 = hashlib.sha256(body).digest()
    return cose.sign(manifest_payload(manifest), signer) + cbor.encode(body)


def encode_trust(root: bytes, keys: "list[Any]") -> bytes:
    """See `pack.encode_trust`."""
    listed = [
        [cose.kid(public), cose.cose_key(public), role, not_before, not_after, revoked]
        for public, role, not_before, not_after, revoked in keys
    ]
    body = cbor.encode({1: cose.cose_key(root), 2: listed})
    pack.decode_trust(body)
    return body


def encode_config(values: "dict[str, int]") -> bytes:
    """See `pack.encode_config`."""
    keys = {bodies.CONFIG[key][0]: key for key in bodies.CONFIG}
    for name in values:
        if name not in keys:
            raise pack.PackError("config")
    body = cbor.encode({keys[name]: values[name] for name in values})
    pack.decode_config(body)
    return body


def encode_cases(
    round_id: str, as_of: int, expires_at: int, cases: "list[dict[str, Any]]"
) -> bytes:
    """See `pack.encode_cases`."""
    listed = [{i + 1: case.get(pack.CASE[i]) for i in range(6)} for case in cases]
    body = cbor.encode({1: round_id, 2: as_of, 3: expires_at, 4: listed})
    for case in pack.decode_cases(body)[3]:
        try:
            fence.Plane(case["place"][2:])
        except fence.FenceError:
            raise pack.PackError("cases")
    return body

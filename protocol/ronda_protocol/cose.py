"""COSE_Sign1 with ES256 (RFC 9052, RFC 9053) and P-256 COSE_Keys; knows no curve arithmetic.

One form only: tag 18, `alg` and `kid` protected and nothing else, unprotected header empty,
payload attached, low s. Signing and verifying a digest are handed in: `ronda_protocol.p256` on
the handheld, `cryptography` on CPython. Bytes in other forms raise CoseError.
"""

# What CBOR decodes to is Any; isinstance narrows it to dict[Unknown, Unknown] and the like.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

import hashlib

from ronda_protocol import cbor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class DigestSigner(Protocol):
        """Holds a private key: the handheld's software signer, a secure element, a PEM file."""

        @property
        def kid(self) -> bytes: ...

        def sign(self, digest: bytes) -> bytes: ...


# The order of the P-256 group, and its half: the largest low s.
N = (
    b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"
    b"\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"
)
HALF_N = (
    b"\x7f\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"
    b"\xde\x73\x7d\x56\xd3\x8b\xcf\x42\x79\xdc\xe5\x61\x7e\x31\x92\xa8"
)


class CoseError(ValueError):
    """Refused bytes; `code` is one of the words listed in WIRE.md, section COSE."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Sign1:
    """A parsed COSE_Sign1 whose signature is not yet verified."""

    def __init__(self, protected: bytes, kid: bytes, payload: bytes, signature: bytes) -> None:
        self.protected = protected
        self.kid = kid
        self.payload = payload
        self.signature = signature


def parse(data: "bytes | bytearray | memoryview", max_len: int = cbor.MAX_LEN) -> Sign1:
    """The COSE_Sign1 that is the whole of `data`; CoseError, also "cbor-trailing"."""
    sign1, end = parse_first(data, 0, max_len)
    if end != len(data):
        raise CoseError("cbor-trailing")
    return sign1


def parse_first(
    data: "bytes | bytearray | memoryview", start: int = 0, max_len: int = cbor.MAX_LEN
) -> tuple[Sign1, int]:
    """The COSE_Sign1 at `start` of a CBOR sequence, and the index after it.

    The form is checked here, low s included; the signature itself by `verify`.
    """
    try:
        tagged, end = cbor.decode_first(data, start, max_len, 4, 16)
        if not isinstance(tagged, cbor.Tagged):
            raise CoseError("shape")
        value = tagged.value
        if not isinstance(value, list) or len(value) != 4:
            raise CoseError("shape")
        protected, unprotected, payload, signature = value
        if not isinstance(protected, bytes) or not isinstance(payload, bytes):
            raise CoseError("shape")
        kid = _kid_of(cbor.decode(protected, 64, 1, 8))
    except cbor.CborError as error:
        raise CoseError("cbor-" + error.code)
    if unprotected != {}:
        raise CoseError("unprotected")
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise CoseError("signature")
    if signature[32:] > HALF_N:
        raise CoseError("high-s")
    return Sign1(protected, kid, payload, signature), end


def _kid_of(header: "object") -> bytes:
    if not isinstance(header, dict):
        raise CoseError("protected")
    if header.get(1) != -7:
        raise CoseError("alg")
    found: object = header.get(4)
    if not isinstance(found, bytes) or len(found) != 8:
        raise CoseError("kid")
    if len(header) != 2:
        raise CoseError("protected")
    return found


def tbs_digest(protected: bytes, payload: bytes) -> bytes:
    """SHA-256 of the Sig_structure (RFC 9052 §4.4): the 32 bytes that are signed."""
    return hashlib.sha256(cbor.encode(["Signature1", protected, b"", payload])).digest()


def sign(payload: bytes, signer: "DigestSigner") -> bytes:
    """The COSE_Sign1 over `payload`; a signer's high s (a secure element's) becomes low."""
    protected = cbor.encode({1: -7, 4: signer.kid})
    signature = signer.sign(tbs_digest(protected, payload))
    if len(signature) != 64 or signature[32:] >= N:
        raise CoseError("signature")
    if signature[32:] > HALF_N:
        s = int.from_bytes(N, "big") - int.from_bytes(signature[32:], "big")
        signature = signature[:32] + s.to_bytes(32, "big")
    return cbor.encode(cbor.Tagged(18, [protected, {}, payload, signature]))


def verify(
    sign1: Sign1, public: bytes, verify_digest: "Callable[[bytes, bytes, bytes], bool]"
) -> bool:
    """Whether the key (x || y, 64 bytes) made the signature, with low s and the key's own kid.

    `verify_digest(public, digest, signature)` does the curve arithmetic.
    """
    return (
        sign1.kid == kid(public)
        and sign1.signature[32:] <= HALF_N
        and verify_digest(public, tbs_digest(sign1.protected, sign1.payload), sign1.signature)
    )


def cose_key(public: bytes) -> bytes:
    """The COSE_Key of a P-256 public key: kty EC2, crv P-256, x and y, in canonical order."""
    return cbor.encode({1: 2, -1: 1, -2: public[:32], -3: public[32:]})


def parse_key(data: "Any") -> bytes:
    """x || y of exactly such a COSE_Key, else CoseError("key"); the curve is not checked."""
    if isinstance(data, bytes) and len(data) == 75:
        public = data[8:40] + data[43:]
        if cose_key(public) == data:
            return public
    raise CoseError("key")


def thumbprint(public: bytes) -> bytes:
    """SHA-256 of the COSE_Key (RFC 9679): 32 bytes."""
    return hashlib.sha256(cose_key(public)).digest()


def kid(public: bytes) -> bytes:
    """The key id: the first 8 bytes of the thumbprint."""
    return thumbprint(public)[:8]

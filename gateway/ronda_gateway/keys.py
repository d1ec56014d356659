"""Public keys in three forms, private keys in PEM, ES256 by `cryptography`; never writes a log.

Keys inside are x || y, 64 bytes. Every file that is not what it should be is a SetupError that
says which file and what to do.
"""

import base64
import binascii
import json
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from ronda_protocol import cose

from ronda_gateway.wording import setup_error

_MAX_KEY_FILE = 16384
_ES256 = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class Signer:
    """A P-256 private key that signs digests; `.kid` 8 bytes, `.public` 64 bytes."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = public_bytes(private.public_key())
        self.kid = cose.kid(self.public)

    def sign(self, digest: bytes) -> bytes:
        """r || s, 64 bytes, over a SHA-256 digest; `cose.sign` makes s low."""
        r, s = utils.decode_dss_signature(self._private.sign(digest, _ES256))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def pem(self) -> bytes:
        """The private key as unencrypted PKCS#8 PEM."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def make() -> Signer:
    """A new key from the system's generator."""
    return Signer(ec.generate_private_key(ec.SECP256R1()))


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """x || y of a P-256 key."""
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def public_pem(public: bytes) -> bytes:
    """SubjectPublicKeyInfo PEM of x || y."""
    return _key(public).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_jwk(public: bytes) -> dict[str, str]:
    """The JWK (RFC 7517) of x || y; its `kid` is ours in hex, not RFC 7638's thumbprint."""

    def text(coordinate: bytes) -> str:
        return base64.urlsafe_b64encode(coordinate).rstrip(b"=").decode()

    parts = {"x": text(public[:32]), "y": text(public[32:])}
    return {"kty": "EC", "crv": "P-256", **parts, "kid": cose.kid(public).hex()}


@lru_cache(maxsize=4096)
def _key(public: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)


def valid_public(public: bytes) -> bool:
    """Whether 64 bytes are a point on P-256."""
    try:
        _key(public)
    except ValueError:
        return False
    return True


def verify_digest(public: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether r || s signs the digest under x || y; never raises on hostile bytes."""
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    try:
        _key(public).verify(utils.encode_dss_signature(r, s), digest, _ES256)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_public(source: Path | str | bytes, where: str = "key") -> bytes:
    """x || y from a file or bytes in PEM, JWK or COSE_Key form; SetupError if it is none."""
    raw, path = _source(source, where)
    stripped = raw.strip()
    if stripped.startswith(b"-----BEGIN"):
        return _public_of_pem(stripped, where, path)
    if stripped.startswith(b"{"):
        return _public_of_jwk(stripped, where, path)
    try:
        public = cose.parse_key(raw)
    except cose.CoseError:
        raise setup_error("key-format", where=where, path=path) from None
    return _on_curve(public, where, path)


def load_private(source: Path | str | bytes, where: str = "key") -> Signer:
    """The signer of an unencrypted P-256 PEM file; SetupError if it is anything else."""
    raw, path = _source(source, where)
    raw = raw.strip()
    if raw.startswith(b"-----BEGIN PUBLIC KEY"):
        raise setup_error("key-public-given", where=where, path=path)
    key = _pem(lambda: load_pem_private_key(raw, password=None), where, path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise setup_error("key-not-p256", where=where, path=path, what=_kind(key))
    return Signer(key)


def exposed(path: Path) -> bool:
    """Whether others than the owner may read a file."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def _source(source: Path | str | bytes, where: str) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        raw, path = source, "bytes"
    else:
        path = str(source)
        try:
            with Path(source).open("rb") as file:
                raw = file.read(_MAX_KEY_FILE + 1)
        except FileNotFoundError:
            raise setup_error("key-missing", where=where, path=path) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise setup_error("key-unreadable", where=where, path=path, why=why) from None
    if not raw.strip():
        raise setup_error("key-empty", where=where, path=path)
    if len(raw) > _MAX_KEY_FILE:
        raise setup_error("key-too-big", where=where, path=path)
    return raw, path


def _pem(load: Callable[[], object], where: str, path: str) -> object:
    """What a PEM loader of `cryptography` makes of bytes, its errors translated."""
    try:
        return load()
    except TypeError:
        raise setup_error("key-encrypted", where=where, path=path) from None
    except (ValueError, UnsupportedAlgorithm):
        raise setup_error("key-format", where=where, path=path) from None


def _public_of_pem(raw: bytes, where: str, path: str) -> bytes:
    if b"PRIVATE KEY" in raw.split(b"\n", 1)[0]:
        raise setup_error("key-private-given", where=where, path=path)
    key = _pem(lambda: load_pem_public_key(raw), where, path)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise setup_error("key-not-p256", where=where, path=path, what=_kind(key))
    return public_bytes(key)


def _public_of_jwk(raw: bytes, where: str, path: str) -> bytes:
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        raise setup_error("key-format", where=where, path=path) from None
    jwk = cast(dict[str, object], value)
    if "d" in jwk:
        raise setup_error("key-private-given", where=where, path=path)
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        what = f"{jwk.get('kty')} {jwk.get('crv', '')}".strip()
        raise setup_error("key-not-p256", where=where, path=path, what=what)
    parts = [_coordinate(jwk.get(name)) for name in ("x", "y")]
    if not all(parts):
        raise setup_error("key-format", where=where, path=path)
    return _on_curve(b"".join(parts), where, path)


def _coordinate(value: object) -> bytes:
    """32 bytes of base64url without padding (RFC 7518 §6.2.1), or nothing."""
    if not isinstance(value, str) or len(value) != 43:
        return b""
    try:
        return base64.b64decode(value + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _on_curve(public: bytes, where: str, path: str) -> bytes:
    if not valid_public(public):
        raise setup_error("key-format", where=where, path=path)
    return public


def _kind(key: object) -> str:
    """What a key is, for people: "RSA", "EC secp384r1"."""
    curve = getattr(key, "curve", None)
    if curve is not None:
        return f"EC {curve.name}"
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").lstrip("_")

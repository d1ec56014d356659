"""The cases of protocol/vectors/p256.json and the comb table, computed with cryptography."""

import hashlib
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
RFC6979_KEY = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"

Point = tuple[int, int]
G: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def octets(number: int) -> bytes:
    """32 bytes, big-endian."""
    return number.to_bytes(32, "big")


def xy(point: Point) -> bytes:
    """x || y."""
    return octets(point[0]) + octets(point[1])


def public_of(private: int) -> bytes:
    """x || y of private * G, by cryptography."""
    numbers = ec.derive_private_key(private, ec.SECP256R1()).public_key().public_numbers()
    return xy((numbers.x, numbers.y))


def raw_signature(private: int, digest: bytes) -> tuple[int, int]:
    """r and s of the deterministic signature, s as RFC 6979 leaves it."""
    key = ec.derive_private_key(private, ec.SECP256R1())
    algorithm = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    return decode_dss_signature(key.sign(digest, algorithm))


def accepts(public: bytes, digest: bytes, r: int, s: int) -> bool:
    """Whether cryptography takes the signature; False too for what is no point."""
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"), ec.SECP256R1()
    )
    try:
        numbers.public_key().verify(
            encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256()))
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def signature_vector(name: str, private: int, digest: bytes) -> dict[str, Any]:
    """A signature with its nonce, which follows from r, s and the private key."""
    r, s = raw_signature(private, digest)
    k = pow(s, -1, N) * (int.from_bytes(digest, "big") + r * private) % N
    return {
        "name": name,
        "private": octets(private).hex(),
        "public": public_of(private).hex(),
        "digest": digest.hex(),
        "k": octets(k).hex(),
        "r": octets(r).hex(),
        "s": octets(s).hex(),
        "low_s": octets(min(s, N - s)).hex(),
    }


def added(a: Point, b: Point) -> Point:
    """The chord or tangent rule; neither sum used here is infinity."""
    if a == b:
        slope = 3 * (a[0] ** 2 - 1) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(k: int, point: Point) -> Point:
    """k * point by double and add, k from 1 to n - 1."""
    result = None
    for bit in f"{k % N:b}":
        result = added(result, result) if result else None
        if bit == "1":
            result = added(result, point) if result else point
    assert result
    return result


def lifted(x: int) -> Point | None:
    """A point with this x, if there is one."""
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def chosen(name: str, d: int, u1: int, u2: int) -> dict[str, Any]:
    """A valid signature under d * G whose verification computes u1 * G + u2 * (d * G)."""
    r = int.from_bytes(public_of((u1 + u2 * d) % N)[:32], "big") % N
    s = r * pow(u2, -1, N) % N
    return verified(name, public_of(d), octets(u1 * s % N), r, s)


def verified(name: str, public: bytes, digest: bytes, r: int, s: int) -> dict[str, Any]:
    """A case of verification with cryptography's answer."""
    return {
        "name": name,
        "public": public.hex(),
        "digest": digest.hex(),
        "signature": (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex(),
        "valid": accepts(public, digest, r, s),
    }


def wrapped(s: int, digest: bytes) -> dict[str, Any]:
    """A signature whose point has an x of at least n, so that r is x - n."""
    r = next(i for i in range(1, 100) if lifted(N + i))
    point = lifted(N + r)
    assert point
    z = int.from_bytes(digest, "big")
    inverse = pow(r, -1, N)
    key = added(times(s * inverse, point), times(-z * inverse, G))
    return verified("x of the point is r + n", xy(key), digest, r, s)


def key_vectors() -> dict[str, Any]:
    """Private and public keys, good and bad."""
    good = bytes.fromhex("11" * 32)
    public = public_of(int.from_bytes(good, "big"))
    x, y = int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big")
    small = next(i for i in range(100) if lifted(i))
    point = lifted(small)
    assert point
    private = [
        ("1", octets(1), True),
        ("n - 1", octets(N - 1), True),
        ("ordinary", good, True),
        ("0", octets(0), False),
        ("n", octets(N), False),
        ("2^256 - 1", octets(2**256 - 1), False),
        ("31 bytes", good[1:], False),
        ("33 bytes", b"\0" + good, False),
        ("empty", b"", False),
    ]
    public_cases = [
        ("ordinary", public, True),
        ("its inverse", xy((x, P - y)), True),
        ("a small x", xy(point), True),
        ("the same x plus p", octets(small + P) + octets(point[1]), False),
        ("y off by one", xy((x, y ^ 1)), False),
        ("x and y swapped", public[32:] + public[:32], False),
        ("0, 0", bytes(64), False),
        ("y plus p does not fit: p, y", octets(P) + octets(y), False),
        ("all ones", b"\xff" * 64, False),
        ("a point of secp256k1", bytes.fromhex(SECP256K1_G), False),
        ("63 bytes", public[:63], False),
        ("65 bytes, uncompressed with its 04", b"\x04" + public, False),
        ("33 bytes, compressed", b"\x02" + public[:32], False),
        ("empty", b"", False),
    ]
    return {
        "private": [{"name": n, "hex": h.hex(), "valid": v} for n, h, v in private],
        "public": [{"name": n, "hex": h.hex(), "valid": v} for n, h, v in public_cases],
    }


SECP256K1_G = (
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)


def vectors() -> dict[str, Any]:
    """Signatures with nonces, verification cases and keys."""
    rfc = int(RFC6979_KEY, 16)
    sample = sha256(b"sample")
    signatures = [
        signature_vector("RFC 6979 A.2.5, SHA-256, message sample", rfc, sample),
        signature_vector("RFC 6979 A.2.5, SHA-256, message test", rfc, sha256(b"test")),
        signature_vector("private key 1", 1, sample),
        signature_vector("private key n - 1", N - 1, sample),
        signature_vector("digest 0", rfc, octets(0)),
        signature_vector("digest n - 1", rfc, octets(N - 1)),
        signature_vector("digest n", rfc, octets(N)),
        signature_vector("digest 2^256 - 1", rfc, octets(2**256 - 1)),
    ]
    for i in range(4):
        seed = sha256(b"ronda vectors, private key %d" % i)
        digest = sha256(b"ronda vectors, message %d" % i)
        signatures.append(
            signature_vector(f"ordinary {i}", int.from_bytes(seed, "big") % N, digest)
        )
    public = public_of(rfc)
    r, s = raw_signature(rfc, sample)
    d = 0xD00D
    half = (N + 1) // 2
    cases = [
        verified("s as RFC 6979 gives it", public, sample, r, s),
        verified("the other s", public, sample, r, N - s),
        verified("another digest", public, sha256(b"test"), r, s),
        verified("another key", public_of(d), sample, r, s),
        verified("r = 0", public, sample, 0, s),
        verified("s = 0", public, sample, r, 0),
        verified("r = 0 and s = 0", public, sample, 0, 0),
        verified("r = n", public, sample, N, s),
        verified("s = n", public, sample, r, N),
        verified("s + n does not fit: s = n + 1", public, sample, r, N + 1),
        verified("r = n - 1", public, sample, N - 1, s),
        verified("all ones", public, sample, 2**256 - 1, 2**256 - 1),
        verified("r and s swapped", public, sample, s, r),
        verified("r = s = 1", public, sample, 1, 1),
        verified("sum is infinity", public_of(d), octets(-7 * d % N), 7, 1),
        verified("sum is infinity, key G", public_of(1), octets(N - 5), 5, 1),
        verified("digest 0, not signed", public, octets(0), r, s),
        verified("key off the curve", public[:63] + bytes([public[63] ^ 1]), sample, r, s),
        verified("key 0, 0", bytes(64), sample, r, s),
        wrapped(0x1234567, sample),
        chosen("u1 = 0", d, 0, 12345),
        chosen("u1 = u2 = 1, key G: a doubling", 1, 1, 1),
        chosen("u1 * G = u2 * Q: a doubling", d, 99 * d, 99),
        chosen("u2 = 1", d, N - 2, 1),
        chosen("u2 = n - 1", d, 3, N - 1),
        chosen("u1 = n - 1, u2 = 2, key G: G itself", 1, N - 1, 2),
        chosen("key -G, u1 = 2, u2 = 1", N - 1, 2, 1),
        chosen("u1 and u2 = 1/2", d, half, half),
        chosen("u2 a power of two", d, 5, 1 << 255),
        chosen("u2 all ones below 2^200", d, 5, (1 << 200) - 1),
    ]
    return {
        "about": "ECDSA on P-256 with SHA-256 digests; numbers are 32 bytes big-endian in hex. k "
        "and s are those of RFC 6979; the wire carries low_s. public is x || y, signature r || s. "
        "A verification of valid cases must say true with a high s too: COSE refuses that first.",
        "made_by": "python tests/make_crypto_vectors.py; "
        "every answer is that of cryptography, k follows from it",
        "signatures": signatures,
        "verify": cases,
        **key_vectors(),
    }


def comb_table() -> bytes:
    """The 32 points of the signed comb: 2^215 G plus or minus 2^(43 i) G for each i below 5."""
    return b"".join(
        public_of(((1 << 215) + sum((1 if m >> i & 1 else -1) << 43 * i for i in range(5))) % N)
        for m in range(32)
    )


def table_source() -> str:
    """The text of ronda_protocol/p256_table.py."""
    data = comb_table()
    rows = [data[i : i + 16] for i in range(0, len(data), 16)]
    lines = ['    b"' + "".join(f"\\x{octet:02x}" for octet in row) + '"' for row in rows]
    return TABLE_HEAD + "\n".join(lines) + "\n)\n"


TABLE_HEAD = '''"""The fixed-base comb of p256.py as data: 32 points, x || y; computes nothing.

Point m (0 to 31) is 2^215 G plus, for each tooth i below 5, plus or minus 2^(43 i) G: plus where
bit i of m is set. Written by tests/make_crypto_vectors.py, which computes it with cryptography.
"""

TABLE = (
'''

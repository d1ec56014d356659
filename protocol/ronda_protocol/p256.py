"""ECDSA on P-256 in plain integers: deterministic signing (RFC 6979), verifying, key checks.

For the handheld, where MicroPython offers no curve; CPython uses `cryptography`. It is not
constant-time: whoever can time single signatures or measure the board's current can learn the
key, as can whoever reads the flash. Keys come from the caller; nothing is stored here.

Fixed-base multiples use a signed comb (M. Hamburg, "Fast and compact elliptic-curve
cryptography", ePrint 2012/309): 6 teeth, 43 columns, every digit non-zero, 32 affine points. One
tooth more would save 114 of 813 multiplications and cost 2 KB of a handheld's heap.
"""

import hashlib

from ronda_protocol.p256_table import TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
TEETH = 6
COLUMNS = 43

# Modular multiplications and squarings of 256 bits in the last sign, verify or public_key.
modmuls = 0


def valid_private(private: bytes) -> bool:
    """Whether the 32 bytes are a scalar from 1 to n - 1."""
    return len(private) == 32 and 0 < int.from_bytes(private, "big") < N


def valid_public(public: bytes) -> bool:
    """Whether the 64 bytes x || y are a point of the curve, both coordinates below p."""
    x = int.from_bytes(public[:32], "big")
    y = int.from_bytes(public[32:], "big")
    return len(public) == 64 and x < P and y < P and (y * y - (x * x - 3) * x - B) % P == 0


def public_key(private: bytes) -> bytes:
    """x || y (64 bytes) of a private key; ValueError("private") for an invalid one."""
    if not valid_private(private):
        raise ValueError("private")
    x, y, z = _sum(int.from_bytes(private, "big"), b"", [])
    inverse = _inverse(z, P)
    square = inverse * inverse % P
    _count(4)
    return (x * square % P).to_bytes(32, "big") + (y * inverse * square % P).to_bytes(32, "big")


def nonces(private: bytes, digest: bytes) -> "Iterator[int]":
    """The candidates for k (RFC 6979 §3.2, SHA-256); practically always the first will do."""
    z = int.from_bytes(digest, "big")
    seed = private + (z - N if z >= N else z).to_bytes(32, "big")
    key = b"\0" * 32
    value = b"\1" * 32
    for mark in (b"\0", b"\1"):
        key = _hmac(key, value + mark + seed)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        k = int.from_bytes(value, "big")
        if 0 < k < N:
            yield k
        key = _hmac(key, value + b"\0")
        value = _hmac(key, value)


def sign(private: bytes, digest: bytes) -> bytes:
    """r || s (64 bytes, low s) over a 32-byte digest; ValueError("private") or ("digest")."""
    if not valid_private(private):
        raise ValueError("private")
    if len(digest) != 32:
        raise ValueError("digest")
    candidates = nonces(private, digest)
    while True:
        k = next(candidates)
        x, _, z = _sum(k, b"", [])
        inverse = _inverse(z, P)
        r = inverse * inverse * x % P % N
        s = _inverse(k, N) * (int.from_bytes(digest, "big") + r * int.from_bytes(private, "big"))
        s %= N
        _count(4)
        if r and s:
            return r.to_bytes(32, "big") + (N - s if s > N >> 1 else s).to_bytes(32, "big")


def verify(public: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether r || s is a signature over the 32-byte digest; a high s is as good as a low one."""
    r = int.from_bytes(signature[:32], "big")
    s = int.from_bytes(signature[32:], "big")
    if len(signature) != 64 or not (0 < r < N and 0 < s < N and valid_public(public)):
        return False
    if len(digest) != 32:
        return False
    w = _inverse(s, N)
    points = _odd_multiples(int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big"))
    x, _, z = _sum(int.from_bytes(digest, "big") * w % N, _window_digits(r * w % N), points)
    square = z * z % P
    # x / z^2 is r, or r + n where that is still below p: compared without an inversion.
    _count(21)
    return bool(z) and (
        (r * square - x) % P == 0 or (r + N < P and ((r + N) * square - x) % P == 0)
    )


def _count(n: int) -> None:
    global modmuls  # noqa: PLW0603
    modmuls += n


def _hmac(key: bytes, data: bytes) -> bytes:
    inner = hashlib.sha256(bytes([c ^ 0x36 for c in key]) + b"\x36" * 32 + data).digest()
    return hashlib.sha256(bytes([c ^ 0x5C for c in key]) + b"\x5c" * 32 + inner).digest()


def _inverse(a: int, m: int) -> int:
    """1 / a modulo a prime m, by Euclid: MicroPython's pow(a, -1, m) is 0 without a word."""
    b = m
    u = 1
    v = 0
    while a > 1:
        q, r = divmod(b, a)
        b = a
        a = r
        r = v - q * u
        v = u
        u = r
    return u % m


def _double(x: int, y: int, z: int) -> tuple[int, int, int]:
    """Twice a Jacobian point, 4M + 4S (dbl-2001-b); z = 0 is infinity and stays so."""
    delta = z * z % P
    gamma = y * y % P
    beta = x * gamma % P
    alpha = 3 * (x - delta) * (x + delta) % P
    x = (alpha * alpha - 8 * beta) % P
    return x, (alpha * (4 * beta - x) - 8 * gamma * gamma) % P, 2 * y * z % P


def _add(x: int, y: int, z: int, x2: int, y2: int) -> tuple[int, int, int]:
    """A Jacobian point plus an affine one, 8M + 3S; right for infinity, doubles and inverses."""
    if not z:
        return x2, y2, 1
    square = z * z % P
    h = (x2 * square - x) % P
    r = (y2 * z * square - y) % P
    if not h:
        return (0, 1, 0) if r else _double(x2, y2, 1)
    hh = h * h % P
    v = x * hh % P
    hhh = h * hh % P
    x = (r * r - hhh - 2 * v) % P
    return x, (r * (v - x) - y * hhh) % P, z * h % P


def _comb_digits(k: int) -> bytearray:
    """k as 43 columns of 6 signs: k = sum of (+1 or -1) * 2^i for i below 258, modulo n."""
    k += (1 << TEETH * COLUMNS) - 1
    if k & 1:
        k += N
    k >>= 1
    digits = bytearray(COLUMNS)
    for tooth in range(TEETH):
        row = k & ((1 << COLUMNS) - 1)
        k >>= COLUMNS
        for column in range(COLUMNS):
            if row & 1:
                digits[column] |= 1 << tooth
            row >>= 1
    return digits


def _window_digits(k: int) -> bytearray:
    """k in non-adjacent form of width 4: odd digits from -7 to 7, as bytes modulo 256."""
    digits = bytearray(257)
    i = 0
    while k:
        if k & 1:
            d = k & 15
            if d > 7:
                d -= 16
            k -= d
            digits[i] = d & 255
        k >>= 1
        i += 1
    return digits


def _odd_multiples(x: int, y: int) -> list[tuple[int, int]]:
    """Q, 3Q, 5Q, 7Q in affine form; Q has the group's prime order, so no case is special."""
    slope = 3 * (x * x - 1) * _inverse(2 * y % P, P) % P
    x2 = (slope * slope - 2 * x) % P
    y2 = (slope * (x - x2) - y) % P
    points = [(x, y)]
    for _ in range(3):
        slope = (y2 - y) * _inverse((x2 - x) % P, P) % P
        x3 = (slope * slope - x - x2) % P
        y = (slope * (x2 - x3) - y2) % P
        x = x3
        points.append((x, y))
    return points


def _sum(
    k: int, digits: "bytes | bytearray", points: list[tuple[int, int]]
) -> tuple[int, int, int]:
    """k * G, plus the point whose window digits and odd multiples are given; Jacobian."""
    global modmuls  # noqa: PLW0603
    comb = _comb_digits(k)
    x = 0
    y = 1
    z = 0
    muls = 0
    for i in range((len(digits) or COLUMNS) - 1, -1, -1):
        if z:
            x, y, z = _double(x, y, z)
            muls += 8
        if i < len(digits) and digits[i]:
            d = digits[i]
            x2, y2 = points[(d if d < 128 else 256 - d) >> 1]
            x, y, z = _add(x, y, z, x2, y2 if d < 128 else P - y2)
            muls += 11
        if i < COLUMNS:
            d = comb[i]
            at = (d - 32 if d > 31 else 31 - d) << 6
            x2 = int.from_bytes(TABLE[at : at + 32], "big")
            y2 = int.from_bytes(TABLE[at + 32 : at + 64], "big")
            x, y, z = _add(x, y, z, x2, y2 if d > 31 else P - y2)
            muls += 11
    modmuls = muls
    return x, y, z

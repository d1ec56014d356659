"""P-256: the vectors, the cost of a signature, and the corners of the group law, on both VMs."""

import vectors
from ronda_protocol import p256
from ronda_protocol.p256_table import TABLE

HEAP = "192k"
unhex = bytes.fromhex


def refused(call, *args):
    """What ValueError a call raises, or None."""
    try:
        call(*args)
    except ValueError as error:
        return str(error)
    return None


def affine(point):
    """x and y of a Jacobian point, None for infinity."""
    x, y, z = point
    if z % p256.P == 0:
        return None
    inverse = pow(z, p256.P - 2, p256.P)
    return (
        x * inverse * inverse % p256.P,
        y * inverse * inverse * inverse % p256.P,
    )


def test_signatures_and_their_nonces():
    for case in vectors.load("p256")["signatures"]:
        private = unhex(case["private"])
        digest = unhex(case["digest"])
        signature = unhex(case["r"] + case["low_s"])
        assert p256.public_key(private) == unhex(case["public"]), case["name"]
        k = next(p256.nonces(private, digest))
        assert k.to_bytes(32, "big") == unhex(case["k"]), case["name"]
        assert p256.sign(private, digest) == signature, case["name"]
        assert p256.verify(unhex(case["public"]), digest, signature), case["name"]


def test_a_signature_costs_at_most_1000_modular_multiplications():
    for case in vectors.load("p256")["signatures"]:
        p256.sign(unhex(case["private"]), unhex(case["digest"]))
        assert 500 < p256.modmuls <= 1000, p256.modmuls
        p256.verify(unhex(case["public"]), unhex(case["digest"]), unhex(case["r"] + case["s"]))
        assert 2000 < p256.modmuls <= 3300, p256.modmuls


def test_verification():
    for case in vectors.load("p256")["verify"]:
        public, digest, signature = (unhex(case[n]) for n in ("public", "digest", "signature"))
        assert p256.verify(public, digest, signature) is case["valid"], case["name"]


def test_verification_takes_only_the_right_sizes():
    case = vectors.load("p256")["verify"][0]
    public, digest, signature = (unhex(case[n]) for n in ("public", "digest", "signature"))
    assert p256.verify(public, digest, signature)
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature):
        assert not p256.verify(public, digest, wrong)
    for wrong in (b"", digest[:-1], digest + b"\0"):
        assert not p256.verify(public, wrong, signature)
    for wrong in (b"", public[:-1], public + b"\0", b"\x04" + public):
        assert not p256.verify(wrong, digest, signature)


def test_keys():
    content = vectors.load("p256")
    for case in content["private"]:
        private = unhex(case["hex"])
        assert p256.valid_private(private) is case["valid"], case["name"]
        if not case["valid"]:
            assert refused(p256.public_key, private) == "private"
            assert refused(p256.sign, private, bytes(32)) == "private"
    for case in content["public"]:
        assert p256.valid_public(unhex(case["hex"])) is case["valid"], case["name"]
    assert refused(p256.sign, b"\x01" * 32, bytes(31)) == "digest"


def test_nonces_go_on():
    """A second candidate exists and differs (RFC 6979 §3.2, step h.3)."""
    candidates = p256.nonces(b"\x11" * 32, bytes(32))
    seen = [next(candidates) for _ in range(3)]
    assert len(set(seen)) == 3 and all(0 < k < p256.N for k in seen)


def test_group_law_corners():
    x = int.from_bytes(p256.public_key((1).to_bytes(32, "big"))[:32], "big")
    y = int.from_bytes(p256.public_key((1).to_bytes(32, "big"))[32:], "big")
    two = p256.public_key((2).to_bytes(32, "big"))
    two = (int.from_bytes(two[:32], "big"), int.from_bytes(two[32:], "big"))
    for z in (1, 2, p256.P - 1, 0x1234567890ABCDEF << 100):
        g = (x * z * z % p256.P, y * z * z * z % p256.P, z)
        assert affine(g) == (x, y)
        assert affine(p256._double(*g)) == two
        assert affine(p256._add(g[0], g[1], g[2], x, y)) == two
        assert affine(p256._add(g[0], g[1], g[2], x, p256.P - y)) is None
        d = p256._double(*g)
        assert affine(p256._add(d[0], d[1], d[2], x, p256.P - y)) == (x, y)
    assert p256._add(7, 9, 0, x, y) == (x, y, 1)
    assert affine(p256._double(0, 1, 0)) is None


def test_inverses():
    chance = vectors.Chance(0x1234)
    for m in (p256.P, p256.N):
        for a in (1, 2, 3, m - 1, m - 2, m >> 1, 1 << 255, (1 << 128) - 1):
            assert a * p256._inverse(a, m) % m == 1
        for _ in range(20):
            a = int.from_bytes(chance.octets(32), "big") % (m - 1) + 1
            inverse = p256._inverse(a, m)
            assert 0 < inverse < m and a * inverse % m == 1


def test_scalar_recodings():
    """Comb and window digits give their scalar back, at the ends of the range too."""
    chance = vectors.Chance(0x4321)
    scalars = [0, 1, 2, p256.N - 1, p256.N - 2, p256.N >> 1, 1 << 255, (1 << 215) - 1]
    scalars += [int.from_bytes(chance.octets(32), "big") % p256.N for _ in range(10)]
    for k in scalars:
        total = 0
        for column, digit in enumerate(p256._comb_digits(k)):
            for tooth in range(6):
                weight = 1 << (43 * tooth + column)
                total += weight if digit >> tooth & 1 else -weight
        assert total % p256.N == k
        digits = [d if d < 128 else d - 256 for d in p256._window_digits(k)]
        assert sum(d << i for i, d in enumerate(digits)) == k
        assert all(d == 0 or (d & 1 and -7 <= d <= 7) for d in digits)


def test_sums_with_small_and_opposite_scalars():
    """u1 * G + u2 * Q against the multiple of G, where partial sums meet or cancel."""
    for d in (1, 2, 3, p256.N - 1, p256.N - 3, 1 << 43):
        public = p256.public_key((d % p256.N).to_bytes(32, "big"))
        x, y = int.from_bytes(public[:32], "big"), int.from_bytes(public[32:], "big")
        points = p256._odd_multiples(x, y)
        for u1, u2 in ((0, 1), (1, 1), (d, p256.N - 1), (5, 3), (p256.N - d, 1), (1 << 42, 8)):
            total = (u1 + u2 * d) % p256.N
            found = affine(p256._sum(u1, p256._window_digits(u2), points))
            if total:
                expected = p256.public_key(total.to_bytes(32, "big"))
                assert found[0].to_bytes(32, "big") + found[1].to_bytes(32, "big") == expected
            else:
                assert found is None


def test_the_table_holds_points():
    assert len(TABLE) == 2048
    for at in range(0, 2048, 64):
        assert p256.valid_public(TABLE[at : at + 64])


def test_changed_bits_do_not_verify():
    case = vectors.load("p256")["signatures"][0]
    public, digest = unhex(case["public"]), unhex(case["digest"])
    signature = unhex(case["r"] + case["low_s"])
    for at in range(0, 512, 23):
        flipped = bytearray(signature)
        flipped[at >> 3] ^= 1 << (at & 7)
        assert not p256.verify(public, digest, bytes(flipped))
    for at in range(0, 256, 37):
        flipped = bytearray(digest)
        flipped[at >> 3] ^= 1 << (at & 7)
        assert not p256.verify(public, bytes(flipped), signature)

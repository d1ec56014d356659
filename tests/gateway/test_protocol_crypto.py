"""The shared CBOR, COSE and P-256 against cbor2 and cryptography, and the committed vectors."""

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import cbor2
import make_crypto_vectors
import p256_cases
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    encode_dss_signature,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ronda_protocol import cbor, cose, p256
from ronda_protocol.p256_table import TABLE

ROOT = Path(__file__).resolve().parents[2]
N = p256.N

scalars = st.integers(1, N - 1)
digests = st.binary(min_size=32, max_size=32)


def simple(value: Any) -> Any:
    """Our decoded value as cbor2 takes and gives it, map keys in encoded order."""
    if isinstance(value, cbor.Tagged):
        return cbor2.CBORTag(value.tag, simple(value.value))
    if isinstance(value, list):
        return [simple(item) for item in value]
    if isinstance(value, dict):
        pairs = [(key, simple(item)) for key, item in value.items()]
        return dict(sorted(pairs, key=lambda pair: cbor2.dumps(pair[0])))
    return value


keys = st.one_of(st.integers(-(2**64), 2**64 - 1), st.text(max_size=8))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64 - 1),
    st.integers(-300, 300),
    st.binary(max_size=300),
    st.text(max_size=300),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(keys, inner, max_size=5),
        st.lists(inner, max_size=3).map(lambda content: cbor.Tagged(18, content)),
    ),
    max_leaves=12,
).filter(lambda value: depth(value) <= cbor.MAX_DEPTH)


def depth(value: Any) -> int:
    """How many containers are nested."""
    if isinstance(value, cbor.Tagged):
        return 1 + depth(value.value)
    if isinstance(value, list):
        return 1 + max([0, *map(depth, value)])
    if isinstance(value, dict):
        return 1 + max([0, *map(depth, value.values())])
    return 0


def reencoded(data: bytes) -> bytes | None:
    """What cbor2 makes of bytes when all of them are one value, encoded again; else None."""
    stream = io.BytesIO(data)
    try:
        value = cbor2.load(stream)
        return cbor2.dumps(value) if stream.tell() == len(data) else None
    except Exception:
        return None


@pytest.mark.parametrize("path", sorted(make_crypto_vectors.files()), ids=lambda path: path.name)
def test_committed_files_are_what_cbor2_and_cryptography_say(path: Path) -> None:
    """Vectors and comb table equal what tests/make_crypto_vectors.py computes without our code."""
    assert path.read_text(encoding="utf-8") == make_crypto_vectors.files()[path]


def test_the_comb_table_is_the_computed_one() -> None:
    """Each of the 32 points is the multiple of G that the comb wants."""
    assert p256_cases.comb_table() == TABLE


@settings(max_examples=300, deadline=None)
@given(values)
def test_cbor2_encodes_alike(value: Any) -> None:
    """cbor2 with sorted keys gives our bytes, and decodes them to our value."""
    data = cbor.encode(value)
    assert data == cbor2.dumps(simple(value))
    assert reencoded(data) == data
    again = cbor.decode(data)
    assert cbor.encode(again) == data
    assert simple(again) == simple(value)


@settings(max_examples=800, deadline=None)
@given(st.one_of(st.binary(max_size=24), values.map(cbor.encode)), st.data())
def test_what_we_accept_cbor2_accepts_and_encodes_the_same(data: bytes, draws: Any) -> None:
    """Mutated encodings and random bytes: accepted bytes are the canonical ones, for cbor2 too."""
    if data and draws.draw(st.booleans()):
        at = draws.draw(st.integers(0, len(data) - 1))
        data = data[:at] + draws.draw(st.binary(max_size=3)) + data[at + 1 :]
    try:
        value = cbor.decode(data)
    except cbor.CborError:
        return
    assert cbor.encode(value) == data
    assert cbor2.dumps(simple(value)) == data
    assert reencoded(data) == data


def key_of(private: int) -> ec.EllipticCurvePrivateKey:
    """The same key in cryptography."""
    return ec.derive_private_key(private, ec.SECP256R1())


@settings(max_examples=60, deadline=None)
@given(scalars, digests)
@example(1, bytes(32))
@example(N - 1, b"\xff" * 32)
def test_signatures_are_cryptographys(private: int, digest: bytes) -> None:
    """The deterministic signature is cryptography's after low s; each verifies the other's."""
    secret = private.to_bytes(32, "big")
    public = p256_cases.public_of(private)
    assert p256.public_key(secret) == public
    r, s = p256_cases.raw_signature(private, digest)
    mine = p256.sign(secret, digest)
    assert mine == r.to_bytes(32, "big") + min(s, N - s).to_bytes(32, "big")
    key_of(private).public_key().verify(
        encode_dss_signature(r, int.from_bytes(mine[32:], "big")),
        digest,
        ec.ECDSA(Prehashed(hashes.SHA256())),
    )
    assert p256.verify(public, digest, mine)
    assert p256.verify(public, digest, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


numbers = st.one_of(
    st.integers(0, 3), st.integers(N - 3, N + 3), st.integers(0, 2**256 - 1), scalars
)


@settings(max_examples=150, deadline=None)
@given(scalars, digests, st.tuples(numbers, numbers), st.integers(0, 511), st.integers(0, 3))
def test_verification_is_cryptographys(
    private: int, digest: bytes, drawn: tuple[int, int], bit: int, kind: int
) -> None:
    """Random, edge and nearly right signatures: the same answer as cryptography's."""
    r, s = drawn
    public = p256_cases.public_of(private)
    if kind:
        good = p256.sign(private.to_bytes(32, "big"), digest)
        value = int.from_bytes(good, "big") ^ ((1 << bit) if kind == 1 else 0)
        r, s = value >> 256, value & (2**256 - 1)
        if kind == 3 and s < N:
            s = N - s
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    expected = p256_cases.accepts(public, digest, r, s)
    assert p256.verify(public, digest, signature) is expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, N - 1), st.integers(0, N - 1), scalars)
def test_constructed_sums(u1: int, u2: int, private: int) -> None:
    """Signatures made backwards from u1 and u2, the corners of both scalars included."""
    total = (u1 + u2 * private) % N
    if not total or not u2:
        return
    case = p256_cases.chosen("", private, u1, u2)
    assert case["valid"]
    parts = (bytes.fromhex(case[name]) for name in ("public", "digest", "signature"))
    assert p256.verify(*parts)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=70), scalars, st.integers(0, 511))
def test_public_keys_are_judged_as_cryptography_does(junk: bytes, private: int, bit: int) -> None:
    """Random bytes and points with one bit changed."""
    good = p256_cases.public_of(private)
    flipped = (int.from_bytes(good, "big") ^ (1 << bit)).to_bytes(64, "big")
    assert p256.valid_public(good)
    for public in (junk, flipped):
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
            expected = True
        except ValueError:
            expected = False
        assert p256.valid_public(public) is expected


class Signer:
    """cryptography behind the contract of cose.sign; random k, a high s half of the time."""

    def __init__(self, private: int) -> None:
        self.key = key_of(private)
        self.public = p256_cases.public_of(private)
        self.kid = cose.kid(self.public)

    def sign(self, digest: bytes) -> bytes:
        """r || s as cryptography gives them."""
        der = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        r, s = p256_cases.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_digest(public: bytes, digest: bytes, signature: bytes) -> bool:
    """cryptography's verification in the form that cose.verify wants."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return p256_cases.accepts(public, digest, r, s)


@settings(max_examples=80, deadline=None)
@given(scalars, st.binary(max_size=400), st.integers(0, 10_000))
def test_cose_round_trip(private: int, payload: bytes, bit: int) -> None:
    """A message signed by cryptography verifies with both curves; with any bit flipped, never."""
    signer = Signer(private)
    message = cose.sign(payload, signer)
    sign1 = cose.parse(message)
    assert sign1.payload == payload
    assert cose.verify(sign1, signer.public, verify_digest)
    assert cose.verify(sign1, signer.public, p256.verify)
    tagged = cbor2.loads(message)
    assert tagged.tag == 18
    assert cbor2.dumps(tagged) == message
    structure = cbor2.dumps(["Signature1", tagged.value[0], b"", tagged.value[2]])
    assert cose.tbs_digest(sign1.protected, sign1.payload) == hashlib.sha256(structure).digest()
    at = bit % (8 * len(message))
    flipped = bytearray(message)
    flipped[at >> 3] ^= 1 << (at & 7)
    try:
        changed = cose.parse(bytes(flipped))
    except cose.CoseError:
        return
    assert not cose.verify(changed, signer.public, verify_digest)


def test_a_key_of_pem_and_of_cose_are_one() -> None:
    """COSE_Key, thumbprint and kid of a key that cryptography made (RFC 9679)."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    public = key.x.to_bytes(32, "big") + key.y.to_bytes(32, "big")
    encoded = cose.cose_key(public)
    assert cbor2.loads(encoded) == {1: 2, -1: 1, -2: public[:32], -3: public[32:]}
    assert cose.parse_key(encoded) == public
    assert cose.thumbprint(public) == hashlib.sha256(encoded).digest()
    assert cose.kid(public) == cose.thumbprint(public)[:8]


def test_constants_are_the_curves() -> None:
    """cose and p256 hold the same order; low s ends at its half."""
    assert int.from_bytes(cose.N, "big") == p256.N == p256_cases.N
    assert int.from_bytes(cose.HALF_N, "big") == p256.N >> 1
    assert (p256.P, p256.B) == (p256_cases.P, p256_cases.B)


def test_cryptography_refuses_what_verification_must_refuse() -> None:
    """The stand-in of this file answers for itself: one good signature, one bad."""
    r, s = p256_cases.raw_signature(5, bytes(32))
    public = key_of(5).public_key()
    algorithm = ec.ECDSA(Prehashed(hashes.SHA256()))
    public.verify(encode_dss_signature(r, s), bytes(32), algorithm)
    with pytest.raises(InvalidSignature):
        public.verify(encode_dss_signature(r, s), b"\1" * 32, algorithm)


def test_annotated_bytes_in_wire_md_are_vectors() -> None:
    """Each ```hex block of the sections CBOR, COSE and Keys is a vector, byte for byte."""
    text = (ROOT / "protocol" / "WIRE.md").read_text(encoding="utf-8")
    known: set[str] = set()
    for path in make_crypto_vectors.files():
        if path.suffix == ".json":
            known |= set(re.findall(r'"([0-9a-f]+)"', path.read_text(encoding="utf-8")))
    sections = re.split(r"^## ", text, flags=re.M)
    mine = [part for part in sections if part.split("\n")[0] in ("CBOR", "COSE", "Keys and kid")]
    assert len(mine) == 3
    for part in mine:
        blocks = re.findall(r"^```hex\n(.*?)^```", part, flags=re.M | re.S)
        assert blocks, part[:40]
        for block in blocks:
            shown = "".join(line.split("#")[0] for line in block.splitlines())
            assert re.sub(r"\s", "", shown) in known, block

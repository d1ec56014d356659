"""COSE_Sign1 and COSE_Keys: the vectors with their intermediates, and damaged messages."""

import vectors
from ronda_protocol import cbor, cose, p256

HEAP = "192k"
CODES = "shape alg kid unprotected protected signature high-s".split()
FUZZ = 1500
unhex = bytes.fromhex


class Signer:
    """A key of the vectors; `high` gives the other s, as a secure element may."""

    def __init__(self, private, public, high=False):
        self.private = private
        self.kid = cose.kid(public)
        self.high = high
        self.digest = b""

    def sign(self, digest):
        self.digest = digest
        signature = p256.sign(self.private, digest)
        if self.high:
            s = p256.N - int.from_bytes(signature[32:], "big")
            signature = signature[:32] + s.to_bytes(32, "big")
        return signature


def code_of(call, *args):
    """The code of the CoseError raised by a call, or None."""
    try:
        call(*args)
    except cose.CoseError as error:
        assert str(error) == error.code
        return error.code
    return None


def test_messages_and_their_intermediates():
    for case in vectors.load("cose")["messages"]:
        public = unhex(case["public"])
        payload = unhex(case["payload"])
        message = unhex(case["message"])
        assert p256.public_key(unhex(case["private"])) == public
        for high in (False, True):
            signer = Signer(unhex(case["private"]), public, high)
            assert cose.sign(payload, signer) == message, case["name"]
        assert signer.digest == unhex(case["digest"])
        sign1 = cose.parse(message)
        assert sign1.protected == unhex(case["protected"])
        assert sign1.kid == unhex(case["kid"])
        assert sign1.payload == payload
        assert sign1.signature == unhex(case["r"] + case["low_s"])
        structure = cbor.encode(["Signature1", sign1.protected, b"", sign1.payload])
        assert structure == unhex(case["sig_structure"])
        assert cose.tbs_digest(sign1.protected, sign1.payload) == unhex(case["digest"])
        assert cose.verify(sign1, public, p256.verify), case["name"]
        sign1, end = cose.parse_first(b"\xf6" + message + b"\xff", 1)
        assert end == 1 + len(message) and sign1.payload == payload


def test_refused_messages():
    for case in vectors.load("cose")["refused"]:
        assert code_of(cose.parse, unhex(case["message"])) == case["code"], case["name"]


def test_unverified_messages():
    for case in vectors.load("cose")["unverified"]:
        sign1 = cose.parse(unhex(case["message"]))
        assert not cose.verify(sign1, unhex(case["public"]), p256.verify), case["name"]


def test_the_other_s_is_never_verified():
    case = vectors.load("cose")["messages"][0]
    sign1 = cose.parse(unhex(case["message"]))
    s = p256.N - int.from_bytes(sign1.signature[32:], "big")
    other = sign1.signature[:32] + s.to_bytes(32, "big")
    high = cose.Sign1(sign1.protected, sign1.kid, sign1.payload, other)
    public = unhex(case["public"])
    assert p256.verify(public, unhex(case["digest"]), other)
    assert not cose.verify(high, public, p256.verify)


def test_a_kid_of_another_key_is_never_verified():
    # RFC 9052 leaves kid a hint; here it names the key, or the message is nobody's.
    case = vectors.load("cose")["messages"][0]
    public = unhex(case["public"])
    signer = Signer(unhex(case["private"]), public)
    signer.kid = bytes(8)
    sign1 = cose.parse(cose.sign(unhex(case["payload"]), signer))
    digest = cose.tbs_digest(sign1.protected, sign1.payload)
    assert p256.verify(public, digest, sign1.signature)
    assert not cose.verify(sign1, public, p256.verify)


def test_a_foreign_signature_verifies():
    for case in vectors.load("cose")["foreign"]:
        digest = cose.tbs_digest(unhex(case["protected"]), unhex(case["payload"]))
        assert p256.verify(unhex(case["public"]), digest, unhex(case["signature"])), case["name"]


def test_signers_that_fail():
    class Broken:
        kid = bytes(8)

        def __init__(self, signature):
            self.signature = signature

        def sign(self, digest):
            return self.signature

    for signature in (b"", bytes(63), bytes(65), b"\xff" * 64, bytes(32) + cose.N):
        assert code_of(cose.sign, b"payload", Broken(signature)) == "signature"


def test_keys():
    content = vectors.load("cose")
    for case in content["keys"]:
        public = unhex(case["public"])
        assert cose.cose_key(public) == unhex(case["cose_key"]), case["name"]
        assert cose.parse_key(unhex(case["cose_key"])) == public
        assert cose.thumbprint(public) == unhex(case["thumbprint"])
        assert cose.kid(public) == unhex(case["kid"])
        assert p256.valid_public(public)
    for case in content["refused_keys"]:
        assert code_of(cose.parse_key, unhex(case["cose_key"])) == case["code"], case["name"]


def test_what_is_no_byte_string_is_no_key():
    for data in (None, 5, "k" * 75, [1], {1: 2}, True):
        assert code_of(cose.parse_key, data) == "key"


def test_a_large_message_needs_a_larger_limit():
    case = vectors.load("cose")["messages"][0]
    message = unhex(case["message"])
    assert code_of(cose.parse, message, len(message) - 1) == "cbor-size"
    assert code_of(cose.parse, message, len(message)) is None


def test_damaged_messages_give_an_error_or_do_not_verify():
    """The curve is asked for a few only: parsing is what must be total."""
    chance = vectors.Chance(0xC05E)
    cases = vectors.load("cose")["messages"]
    parsed = 0
    for i in range(FUZZ):
        case = cases[i % len(cases)]
        good = unhex(case["message"])
        data = chance.damaged(good)
        code = code_of(cose.parse, data)
        assert code is None or code in CODES or code.startswith("cbor-"), code
        if code is None and data != good:
            parsed += 1
            if parsed % 10 == 0:
                assert not cose.verify(cose.parse(data), unhex(case["public"]), p256.verify)
    assert parsed > 100, parsed


def test_every_bit_of_the_envelope_matters():
    """No bit of a message can flip and leave it parsed with the same signed content."""
    case = vectors.load("cose")["messages"][1]
    good = unhex(case["message"])
    whole = cose.parse(good)
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit >> 3] ^= 1 << (bit & 7)
        if code_of(cose.parse, bytes(data)) is None:
            sign1 = cose.parse(bytes(data))
            assert (sign1.protected, sign1.payload, sign1.signature) != (
                whole.protected,
                whole.payload,
                whole.signature,
            )

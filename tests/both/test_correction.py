"""Corrections: the vectors both ways, a sealed one in its chain, refusals, damaged bytes."""

import vectors
from ronda_protocol import correction, cose, p256, reading, segment, track

unhex = bytes.fromhex
CODES = "shape salt visit field value reason gestor".split()
FUZZ = 600


def code_of(call, *args):
    """The code of the CorrectionError raised by a call, or None."""
    try:
        call(*args)
    except correction.CorrectionError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code.startswith("cbor-"), error.code
        return error.code
    return None


def test_corrections_have_one_encoding():
    content = vectors.load("correction")
    salt = unhex(content["salt"])
    for case in content["good"]:
        fields = vectors.value(case["fields"])
        if isinstance(fields["value"], dict) and fields["field"] == "promise":
            assert sorted(fields["value"]) == ["currency", "kind", "limits", "pairs", "who"]
        assert correction.encode(salt, fields).hex() == case["hex"], case["name"]
        found = correction.decode(unhex(case["hex"]))
        assert found[0] == salt and vectors.same(found[1], fields), case["name"]
        assert code_of(correction.encode, salt[1:], fields) == "salt"
    case = content["good"][0]
    assert code_of(
        correction.encode, salt, dict(vectors.value(case["fields"]), value=object())
    ) == ("cbor-type")


def test_questions():
    assert correction.question("answers.quien") == "quien"
    assert correction.question("outcome") is correction.question("promise") is None
    assert correction.question("answers") is None


def test_keys_of_a_later_version_are_passed_over():
    content = vectors.load("correction")
    found = correction.decode(unhex(content["unknown_keys"]["hex"]))
    assert found[1]["field"] == "outcome"


def test_refused():
    for case in vectors.load("correction")["refused"]:
        code = code_of(correction.decode, unhex(case["hex"]))
        assert code == case["code"], (case["name"], code)


def test_refused_headers():
    for case in vectors.load("correction")["refused_headers"]:
        try:
            segment.Header.parse(unhex(case["payload"]))
            code = None
        except segment.SegmentError as error:
            code = error.code
        assert code == case["code"], (case["name"], code)


class Signer:
    """The key of the vectors."""

    def __init__(self, key):
        self.private = unhex(key["private"])
        self.kid = unhex(key["kid"])

    def sign(self, digest):
        return p256.sign(self.private, digest)


def test_a_correction_is_a_segment_of_its_own():
    content = vectors.load("correction")
    case = content["segment"]
    fields = vectors.value(case["header"])
    header = segment.Header(*[fields[key] for key in range(2, 11)])
    part = unhex(case["parts"]["5"])
    sealed = segment.seal(header, {segment.CORRECTION: part}, Signer(content["key"]))
    assert sealed.hex() == case["sealed"] and part.hex() == content["good"][0]["hex"]
    found = reading.parse(sealed)
    assert found.header.body == segment.CORRECTION_BODY
    assert found.chain_hash().hex() == case["chain_hash"]
    assert cose.verify(found.sign1, unhex(content["key"]["public"]), p256.verify)
    before = reading.parse(unhex(vectors.load("segment")["segments"][2]["sealed"]))
    assert found.header.prev == before.chain_hash()
    assert found.entries() == [[track.CORRECTION, 34, {5: unhex(case["part_hashes"]["5"])}]]
    withheld = reading.parse(segment.assemble(found.signed, {}))
    assert withheld.withheld == [5] and withheld.entries() == found.entries()
    assert track.NAMES[track.CORRECTION] == segment.PART_NAMES[segment.CORRECTION] == "correction"


def test_damaged_corrections():
    good = [unhex(case["hex"]) for case in vectors.load("correction")["good"]]
    chance = vectors.Chance(41)
    salt = unhex(vectors.load("correction")["salt"])
    for i in range(FUZZ):
        data = chance.damaged(good[i % len(good)])
        try:
            found = correction.decode(data)
        except correction.CorrectionError as error:
            assert error.code in CODES or error.code.startswith("cbor-"), error.code
            continue
        again = correction.encode(found[0], found[1])
        assert found[0] != salt or len(again) <= len(data)
        code_of(correction.decode, chance.octets(chance.below(40)))

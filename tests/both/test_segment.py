"""Sealed segments: the vectors with their intermediates, withheld parts, refusals, forks."""

import vectors
from ronda_protocol import cbor, cose, p256, reading, segment, signed, track

unhex = bytes.fromhex
CODES = (
    "too-big kind version key header body numbers part part-order part-unknown part-hash"
).split()
FUZZ = 600


class Signer:
    """The key of the vectors."""

    def __init__(self, key):
        self.private = unhex(key["private"])
        self.kid = unhex(key["kid"])

    def sign(self, digest):
        return p256.sign(self.private, digest)


def code_of(call, *args):
    """The code of the SegmentError raised by a call, or None."""
    try:
        call(*args)
    except segment.SegmentError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code[:5] in ("cbor-", "cose-"), error.code
        return error.code
    return None


def parts_of(case):
    """Part number to bytes."""
    return {int(number): unhex(part) for number, part in case["parts"].items()}


def header_of(case):
    """The Header of a case, with no part hashes yet."""
    fields = vectors.value(case["header"])
    return segment.Header(*[fields[key] for key in range(2, 11)], previous_log=fields.get(12))


def test_segments_and_their_intermediates():
    content = vectors.load("segment")
    signer = Signer(content["key"])
    public = unhex(content["key"]["public"])
    for case in content["segments"]:
        header, parts = header_of(case), parts_of(case)
        sealed = segment.seal(header, parts, signer)
        assert sealed.hex() == case["sealed"], case["name"]
        for number in parts:
            assert header.parts[number].hex() == case["part_hashes"][str(number)]
        assert header.payload().hex() == case["payload"]
        found = reading.parse(sealed)
        assert found.raw == sealed and found.signed.hex() == case["signed"]
        assert found.sign1.signature.hex() == case["signature"]
        digest = cose.tbs_digest(found.sign1.protected, found.sign1.payload)
        assert digest.hex() == case["tbs_digest"]
        assert cose.verify(found.sign1, public, p256.verify), case["name"]
        assert found.chain_hash().hex() == case["chain_hash"]
        assert found.parts == parts and found.withheld == []
        assert found.header.payload() == header.payload()


def test_the_chain_links_and_a_new_log_names_the_old():
    cases = vectors.load("segment")["segments"]
    found = [reading.parse(unhex(case["sealed"])) for case in cases]
    assert found[0].header.prev == segment.FIRST_PREV == bytes(32)
    assert found[1].header.prev == found[0].chain_hash()
    assert found[2].header.prev == found[1].chain_hash()
    log_id, seq, head, reason = found[3].header.previous_log
    assert (log_id, seq, head) == (found[2].header.log_id, 3, found[2].chain_hash())
    assert reason == "format" and found[3].header.prev == segment.FIRST_PREV
    assert found[3].header.log_id != log_id


def test_entries_come_out_of_a_segment():
    cases = vectors.load("segment")["segments"]
    tracks = vectors.load("track")["tracks"]
    found = reading.parse(unhex(cases[0]["sealed"])).entries()
    assert vectors.same(found, vectors.value(tracks[0]["entries"]))
    visit = reading.parse(unhex(cases[1]["sealed"]))
    assert visit.entries() == [[track.VISIT, 31, visit.header.parts]]
    assert len(visit.header.parts) == 3
    whole = reading.parse(unhex(cases[2]["sealed"]))
    assert [entry[1] for entry in whole.entries()] == list(range(11, 31)) + [32, 33]


def test_withheld_parts_break_neither_signature_nor_chain():
    content = vectors.load("segment")
    case = content["segments"][1]
    public = unhex(content["key"]["public"])
    signed_bytes, parts = unhex(case["signed"]), parts_of(case)
    for kept in ([], [2], [2, 3], [2, 4], [3], [2, 3, 4]):
        raw = segment.assemble(signed_bytes, {number: parts[number] for number in kept})
        found = reading.parse(raw)
        assert sorted(found.parts) == kept
        assert found.withheld == [number for number in (2, 3, 4) if number not in kept]
        assert found.chain_hash().hex() == case["chain_hash"]
        assert cose.verify(found.sign1, public, p256.verify)
    bare = reading.parse(unhex(content["segments"][0]["signed"]))
    assert bare.withheld == [1] and bare.entries() == []


def test_a_fork_is_the_same_seq_with_another_hash():
    content = vectors.load("segment")
    one = reading.parse(unhex(content["segments"][1]["sealed"]))
    two = reading.parse(unhex(content["fork"]["sealed"]))
    public = unhex(content["key"]["public"])
    assert cose.verify(two.sign1, public, p256.verify)
    for name in ("device", "log_id", "seq", "prev"):
        assert getattr(one.header, name) == getattr(two.header, name)
    assert two.chain_hash().hex() == content["fork"]["chain_hash"]
    assert one.chain_hash() != two.chain_hash()
    # Another signature over the same content is no fork: the chain hash leaves it out.
    other = reading.parse(one.raw)
    other.sign1.signature = bytes(64)
    assert other.chain_hash() == one.chain_hash()


def test_numbers():
    for case in vectors.load("segment")["numbers"]:
        assert segment.expand(case["flat"]) == case["numbers"]
        assert segment.ranges(case["numbers"]) == case["flat"]
    assert segment.ranges([]) == []
    assert code_of(segment.expand, [True, 1]) == "numbers"
    assert code_of(segment.expand, None) == "numbers"


def test_refused_headers():
    for case in vectors.load("segment")["refused_headers"]:
        code = code_of(segment.Header.parse, unhex(case["payload"]))
        assert code == case["code"], (case["name"], code)


def test_headers_that_cannot_be_signed():
    case = vectors.load("segment")["segments"][0]
    for name, value in (("device", "x"), ("seq", 0), ("numbers", [1, 2]), ("body", 4)):
        header = header_of(case)
        setattr(header, name, value)
        header.parts = {1: bytes(31)} if name == "numbers" else {1: bytes(32)}
        assert code_of(header.payload) in ("header", "numbers", "body"), name


def test_refused_segments():
    for case in vectors.load("segment")["refused"]:
        code = code_of(reading.parse, unhex(case["hex"]) + bytes(case["zeros"]))
        assert code == case["code"], (case["name"], code)


def test_a_later_version_can_be_placed_but_not_read():
    case = vectors.load("segment")["later_version"]
    payload = unhex(case["payload"])
    assert code_of(segment.Header.parse, payload) == "version"
    version, device, log_id, seq, prev = reading.outline(payload)
    assert [version, device, log_id.hex(), seq, prev.hex()] == case["outline"]
    good = unhex(vectors.load("segment")["segments"][1]["payload"])
    header = segment.Header.parse(good)
    assert reading.outline(good) == (1, header.device, header.log_id, header.seq, header.prev)
    for bad in (b"", b"\xa0", cbor.encode({0: 1, 1: 2}), cbor.encode({0: 2, 1: 1})):
        assert code_of(reading.outline, bad), bad
    assert signed.message(payload) == signed.SEGMENT
    assert signed.message(b"\xff") == signed.message(b"\xa1\x00\xf5") == 0


def test_damaged_segments_are_refused_or_hold_what_was_signed():
    content = vectors.load("segment")
    chance = vectors.Chance(21)
    sealed = [unhex(case["sealed"]) for case in content["segments"]]
    payloads = [case["payload"] for case in content["segments"]]
    for i in range(FUZZ):
        data = chance.damaged(sealed[i % 4])
        try:
            found = reading.parse(data)
        except segment.SegmentError as error:
            assert error.code in CODES or error.code[:5] in ("cbor-", "cose-"), error.code
            continue
        # What parses has either lost whole parts, or a header nobody signed.
        case = content["segments"][i % 4]
        if found.sign1.payload.hex() in payloads:
            for number, part in found.parts.items():
                assert part.hex() == case["parts"][str(number)]


def test_damaged_headers():
    chance = vectors.Chance(22)
    payloads = [unhex(case["payload"]) for case in vectors.load("segment")["segments"]]
    for i in range(FUZZ):
        data = chance.damaged(payloads[i % 4])
        try:
            header = segment.Header.parse(data)
        except segment.SegmentError as error:
            assert error.code in CODES or error.code[:5] == "cbor-", error.code
            continue
        assert header.payload() == data

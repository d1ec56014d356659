"""CBOR: the vectors, and that any byte string gives a value or CborError, on both VMs."""

import vectors
from ronda_protocol import cbor

HEAP = "192k"
CODES = (
    "truncated trailing non-minimal indefinite duplicate order tag simple float depth size items "
    "utf8 key range type"
).split()
FUZZ = 4000


def code_of(call, *args, **kwargs):
    """The code of the CborError raised by a call, or None."""
    try:
        call(*args, **kwargs)
    except cbor.CborError as error:
        assert isinstance(error, ValueError) and str(error) == error.code
        return error.code
    return None


def test_values_have_one_encoding():
    for case in vectors.load("cbor")["values"]:
        value = vectors.value(case["value"])
        data = bytes.fromhex(case["hex"])
        assert cbor.encode(value) == data, case["name"]
        assert vectors.same(cbor.decode(data), value), case["name"]
        assert vectors.same(cbor.decode(memoryview(data)), value), case["name"]
        assert cbor.encode(cbor.decode(bytearray(data))) == data, case["name"]


def test_every_beginning_of_a_value_is_refused():
    for case in vectors.load("cbor")["values"]:
        data = bytes.fromhex(case["hex"])
        for end in range(0, len(data), 1 if len(data) < 40 else 29):
            assert code_of(cbor.decode, data[:end]) == "truncated", (case["name"], end)
        assert code_of(cbor.decode, data + b"\0") == "trailing", case["name"]


def test_sequences():
    for case in vectors.load("cbor")["sequences"]:
        data = bytes.fromhex(case["hex"])
        at = 0
        for plain, end in zip(case["values"], case["ends"]):
            value, at = cbor.decode_first(data, at)
            assert at == end and vectors.same(value, vectors.value(plain))
        assert at == len(data)
        assert code_of(cbor.decode_first, data, at) == "truncated"


def test_refused_bytes():
    for case in vectors.load("cbor")["refused"]:
        assert case["code"] in CODES
        data = bytes.fromhex(case["hex"])
        assert code_of(cbor.decode, data, **case.get("limits", {})) == case["code"], case["name"]
        if case["code"] != "trailing" and "limits" not in case:
            # The same inside an array: no position is laxer than another.
            inner = code_of(cbor.decode, b"\x81" + data)
            assert inner == case["code"], case["name"]


def test_refused_values():
    for case in vectors.load("cbor")["unencodable"]:
        assert code_of(cbor.encode, vectors.value(case["value"])) == case["code"], case["name"]
    assert code_of(cbor.encode, "\ud800") == "utf8"
    assert code_of(cbor.encode, {"\udfff": 1}) == "utf8"
    assert code_of(cbor.encode, object()) == "type"
    assert code_of(cbor.encode, {(1, 2): 3}) == "key"
    loop = []
    loop.append(loop)
    assert code_of(cbor.encode, loop) == "depth"


def test_python_kinds_that_are_encoded_alike():
    assert cbor.encode((1, (2, 3))) == cbor.encode([1, [2, 3]])
    assert cbor.encode(bytearray(b"ab")) == cbor.encode(memoryview(b"ab")) == cbor.encode(b"ab")
    assert cbor.encode({True: 1}.get(1)) == b"\x01"


def test_limits_are_what_they_say():
    assert cbor.decode(b"\x81\x00", max_len=2, max_depth=1, max_items=2) == [0]
    assert cbor.decode(b"\x00", max_len=1, max_depth=0, max_items=1) == 0
    assert code_of(cbor.decode, b"\x80", max_depth=0) == "depth"
    assert code_of(cbor.decode, b"\x00", max_items=0) == "items"
    assert code_of(cbor.decode, bytes(3), max_len=2) == "size"
    assert cbor.decode_first(bytes(3), 2, max_len=1) == (0, 3)
    many = b"\x99\x0f\xff" + bytes(4095)
    assert len(cbor.decode(many)) == 4095
    assert code_of(cbor.decode, b"\x99\x10\x00" + bytes(4096)) == "items"


def test_claimed_lengths_allocate_nothing():
    for head in (b"\x5b", b"\x7b", b"\x9b", b"\xbb"):
        for count in (1 << 32, 1 << 40, (1 << 64) - 1):
            data = head + count.to_bytes(8, "big") + bytes(64)
            assert code_of(cbor.decode, data) == "truncated"


def test_random_bytes_give_a_value_or_an_error():
    chance = vectors.Chance(0x52C0)
    accepted = 0
    for _ in range(FUZZ):
        data = chance.octets(chance.below(40))
        if code_of(cbor.decode, data) is None:
            accepted += 1
            assert cbor.encode(cbor.decode(data)) == data
    assert accepted > 20


def test_damaged_vectors_give_a_value_or_an_error():
    chance = vectors.Chance(0x0B0E)
    whole = [bytes.fromhex(case["hex"]) for case in vectors.load("cbor")["values"]]
    seen = set()
    for i in range(FUZZ):
        data = chance.damaged(whole[i % len(whole)])
        code = code_of(cbor.decode, data)
        seen.add(code)
        assert code is None or code in CODES
        if code is None:
            assert cbor.encode(cbor.decode(data)) == data
    assert None in seen and len(seen) > 8, seen

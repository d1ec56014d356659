"""Chunks of a pack's body: the vectors both ways, refusals, damage, and a body put together."""

import vectors
from ronda_protocol import chunk, cose, pack

unhex = bytes.fromhex
CODES = ("shape", "range")
FUZZ = 600


def code_of(call, *args):
    """The code of the ChunkError raised by a call, or None."""
    try:
        call(*args)
    except chunk.ChunkError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code.startswith("cbor-"), error.code
        return error.code
    return None


def test_a_body_in_chunks():
    content = vectors.load("chunk")
    name, body = unhex(content["manifest_hash"]), unhex(content["body"])
    manifest = content["manifest"]
    sign1 = cose.Sign1(unhex(manifest["protected"]), b"", unhex(manifest["payload"]), b"")
    assert pack.manifest_hash(sign1) == name
    whole = b""
    for case in content["chunks"]:
        message = unhex(case["message"])
        part = body[case["offset"] : case["offset"] + case["length"]]
        assert chunk.encode(name, case["offset"], part) == message
        assert chunk.decode(message) == (name, case["offset"], part)
        assert message[0] == chunk.FIRST and len(message) <= chunk.MAX_LEN
        whole += part
    assert whole == body and len(content["chunks"]) > 1
    for case in content["good"]:
        message = unhex(case["message"])
        assert chunk.encode(*chunk.decode(message)) == message, case["name"]
    assert len(chunk.encode(name, 0xFFFFFFFF - 2048, bytes(2048))) == chunk.MAX_LEN


def test_refused_chunks():
    for case in vectors.load("chunk")["refused"]:
        code = code_of(chunk.decode, unhex(case["hex"]))
        assert code == case["code"], (case["name"], code)
    for wrong in ((bytes(31), 0, b"x"), (bytes(32), -1, b"x"), (bytes(32), 0, b"")):
        assert code_of(chunk.encode, *wrong)


def test_damaged_chunks():
    content = vectors.load("chunk")
    chance = vectors.Chance(52)
    short = unhex(content["good"][0]["message"])
    for _ in range(FUZZ):
        data = chance.damaged(short)
        try:
            found = chunk.decode(data)
        except chunk.ChunkError as error:
            assert error.code in CODES or error.code.startswith("cbor-"), error.code
        else:
            assert chunk.encode(*found) == data
        code_of(chunk.decode, chance.octets(chance.below(50)))

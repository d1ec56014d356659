"""Receipts and resend requests: the vectors both ways, refusals, damaged payloads."""

import vectors
from ronda_protocol import cose, issuing, p256, receipt, signed

unhex = bytes.fromhex
CODES = "kind version key field ranges dispositions".split()
FUZZ = 800
RECEIPT = ("device", "log_id", "upto", "head", "ranges", "dispositions", "now", "nonce")
RESEND = ("device", "log_id", "first", "last", "request_id")


def code_of(call, *args):
    """The code of the ReceiptError raised by a call, or None."""
    try:
        call(*args)
    except receipt.ReceiptError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code.startswith("cbor-"), error.code
        return error.code
    return None


def arguments(fields, names):
    """What an encoder takes; absent lists are empty ones."""
    return [fields.get(name, []) for name in names]


def test_receipts():
    content = vectors.load("receipt")
    public = unhex(content["key"]["public"])
    for case in content["receipts"]:
        fields = vectors.value({"map": [pair for pair in case["fields"]["map"]]})
        wanted = arguments(fields, RECEIPT)
        assert issuing.encode_receipt(*wanted).hex() == case["payload"], case["name"]
        sign1 = cose.parse(unhex(case["message"]))
        assert cose.verify(sign1, public, p256.verify), case["name"]
        assert signed.message(sign1.payload) == signed.RECEIPT
        found = receipt.decode_receipt(sign1.payload)
        assert [getattr(found, name) for name in RECEIPT] == wanted, case["name"]


def test_resend_requests():
    content = vectors.load("receipt")
    for case in content["resends"]:
        wanted = arguments(vectors.value(case["fields"]), RESEND)
        assert issuing.encode_resend(*wanted).hex() == case["payload"]
        sign1 = cose.parse(unhex(case["message"]))
        assert signed.message(sign1.payload) == signed.RESEND
        found = receipt.decode_resend(sign1.payload)
        assert [getattr(found, name) for name in RESEND] == wanted


def test_refused_payloads():
    content = vectors.load("receipt")
    for case in content["refused_receipts"]:
        code = code_of(receipt.decode_receipt, unhex(case["payload"]))
        assert code == case["code"], (case["name"], code)
    for case in content["refused_resends"]:
        code = code_of(receipt.decode_resend, unhex(case["payload"]))
        assert code == case["code"], (case["name"], code)


def test_one_kind_never_passes_for_another():
    content = vectors.load("receipt")
    for case in content["receipts"]:
        assert code_of(receipt.decode_resend, unhex(case["payload"])) == "kind"
    for case in content["resends"]:
        assert code_of(receipt.decode_receipt, unhex(case["payload"])) == "kind"
    header = unhex(vectors.load("segment")["segments"][0]["payload"])
    manifest = unhex(vectors.load("pack")["packs"][0]["payload"])
    for payload in (header, manifest):
        assert code_of(receipt.decode_receipt, payload) == "kind"
        assert code_of(receipt.decode_resend, payload) == "kind"


def test_a_message_of_thousands_of_items_is_not_built():
    """Nobody has verified it yet, and a handheld has no heap for it."""
    for kind, decode in ((2, receipt.decode_receipt), (3, receipt.decode_resend)):
        for items, code in ((400, "key"), (600, "cbor-items")):
            payload = b"\xa2\x00" + bytes([kind]) + b"\x01\x99\x02\x58" + b"\x80" * 600
            if items == 400:
                payload = (
                    b"\xa3\x00" + bytes([kind]) + b"\x01\x01\x18\x63\x99\x01\x90" + b"\x80" * 400
                )
            assert signed.message(payload) == kind
            assert code_of(decode, payload) == code, items


def test_receipts_that_cannot_be_signed():
    log, head, nonce = bytes(8), b"\x01" * 32, bytes(8)
    good = ["rh-0001", log, 5, head, [], [], 1, nonce]
    assert code_of(issuing.encode_receipt, *good) is None
    for i, bad in ((0, "RH"), (1, b""), (2, -1), (3, b""), (4, [[6, 6, head]]), (5, [[1, 9]])):
        assert code_of(issuing.encode_receipt, *(good[:i] + [bad] + good[i + 1 :])), i
    assert code_of(issuing.encode_resend, "rh-0001", log, 2, 1, nonce) == "field"


def test_damaged_payloads():
    content = vectors.load("receipt")
    chance = vectors.Chance(41)
    good = [unhex(case["payload"]) for case in content["receipts"]]
    resend = unhex(content["resends"][0]["payload"])
    for i in range(FUZZ):
        data = chance.damaged(good[i % len(good)])
        try:
            found = receipt.decode_receipt(data)
        except receipt.ReceiptError as error:
            assert error.code in CODES or error.code.startswith("cbor-"), error.code
        else:
            again = issuing.encode_receipt(*[getattr(found, name) for name in RECEIPT])
            assert again == data
        code_of(receipt.decode_resend, chance.damaged(resend))
        code_of(receipt.decode_receipt, chance.octets(chance.below(30)))

"""protocol/ronda.cddl against every vector: what we accept it describes, what we refuse it
refuses, but for a list of what CDDL cannot say. Messages of a real day are tests/e2e's."""

import json
from collections.abc import Iterator
from typing import Any

import cbor2
import cddl_rules
import pycddl
import pytest

VECTORS = cddl_rules.FILE.parent / "vectors"

# Refused by our decoders, well-formed to CDDL: characters within texts, relations between fields,
# orders, hashes, packed bytes, days of the calendar. By rule: names of the vectors.
BEYOND_CDDL = {
    "segment-header": {
        "a device with a capital",
        "a device with a slash",
        "a device with an accent",
        "a firmware version of 33 bytes",
        "a firmware version with ESC",
        "seq 1 with a previous hash",
        "a stamp of odd milliseconds",
        "ranges that touch",
        "ranges that overlap",
        "ranges that descend",
        "1025 entries in two ranges",
        "an entry beyond 32 bits",
        "a previous log at seq 2",
    },
    "sealed-segment": {
        "one bit of a part",
        "a part twice",
        "parts out of order",
        "answers shown as the promise",
    },
    "evidence": {
        "a case id of 33 bytes",
        "a case id with a NUL",
        "a gestor with DEL",
        "a gestor with a C1 control",
        "the agency's portfolio",
        "a portfolio with a slash",
        "a portfolio with a wildcard",
        "fixes before boot",
        "fixes that do not unpack",
        "a fix after the check-in",
        "nine fixes",
        "a portal of bad fixes",
        "resumed by bad fixes",
        "a portal's fixes before boot",
    },
    "answers": {"a NUL"},
    "promise": {
        "a small-letter currency",
        "an accented currency",
        "31 September",
        "29 February 2027",
        "month 13",
        "month 0",
        "day 0",
        "days out of order",
        "the same day twice",
    },
    "track": {
        "an empty map for one number",
        "a fix too many",
        "a fix too few",
        "a fix and no number left",
        "a number that the header has not",
        "batteries out of order",
        "one number for a battery and an event",
    },
    "correction": {
        "a field of the fence",
        "a reason of 161 bytes",
        "a question id with a newline",
        "a reason with ESC",
        "a promise for 31 September",
    },
    "receipt": {
        "upto 0 with a head",
        "a range that touches upto",
        "a range inside upto",
        "a range that ends before it starts",
        "ranges that touch",
        "ranges that descend",
        "dispositions that descend",
        "one seq disposed twice",
    },
    "resend": {"from after to"},
    "manifest": {"a scope with a capital", "an end before its beginning"},
    "pack": {"another body of that length", "a longer body", "a length that lies"},
    "trust-body": {"a kid of another key", "an end before its beginning", "one key twice"},
    "cases-body": {"a case twice", "the agency's portfolio"},
    "chunk": {"a longer form", "an end beyond 32 bits"},
}


def vectors(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def accepted() -> Iterator[tuple[str, str, bytes]]:
    """(rule, name, bytes) of every vector that our decoders accept."""
    segments, visits, tracks = vectors("segment"), vectors("visit"), vectors("track")
    receipts, packs, cose = vectors("receipt"), vectors("pack"), vectors("cose")
    for one in [*segments["segments"], segments["fork"]]:
        sealed = cddl_rules.as_array(bytes.fromhex(one["sealed"]))
        yield "sealed-segment", one.get("name", "the fork"), sealed
    for one in [*visits["evidence"], visits["unknown_keys"]]:
        yield "evidence", one.get("name", "unknown keys"), bytes.fromhex(one["hex"])
    for kind, rule in (("answers", "answers"), ("promises", "promise")):
        for one in visits[kind]["good"]:
            yield rule, one["name"], bytes.fromhex(one["hex"])[16:]
    corrections = vectors("correction")
    for one in [*corrections["good"], corrections["unknown_keys"]]:
        yield "correction", one.get("name", "unknown keys"), bytes.fromhex(one["hex"])[16:]
    sealed = cddl_rules.as_array(bytes.fromhex(corrections["segment"]["sealed"]))
    yield "sealed-segment", corrections["segment"]["name"], sealed
    for one in [*tracks["tracks"], tracks["unknown_keys"]]:
        yield "track", one.get("name", "unknown keys"), bytes.fromhex(one["hex"])
    for one in [*receipts["receipts"], *receipts["resends"]]:
        yield "downlink", one["name"], bytes.fromhex(one["message"])
    for one in packs["packs"]:
        yield "pack", one["name"], cddl_rules.as_array(bytes.fromhex(one["file"]))
    yield "trust-body", "trust", bytes.fromhex(packs["trust"]["hex"])
    yield "cases-body", "cases", bytes.fromhex(packs["cases"]["hex"])
    yield "cases-body", "unknown keys", bytes.fromhex(packs["cases"]["unknown_keys"])
    for one in packs["config"]["bodies"]:
        yield "config-body", one["name"], bytes.fromhex(one["hex"])
    chunks = vectors("chunk")
    for one in [*chunks["chunks"], *chunks["good"]]:
        yield "downlink", one.get("name", "a chunk"), bytes.fromhex(one["message"])
    for one in packs["packs"]:
        yield "downlink", one["name"], bytes.fromhex(one["message"])
    for one in cose["keys"]:
        yield "cose-key", one["name"], bytes.fromhex(one["cose_key"])


def refused() -> Iterator[tuple[str, str, bytes]]:
    """(rule, name, bytes) of every vector that our decoders refuse."""
    segments, visits, tracks = vectors("segment"), vectors("visit"), vectors("track")
    receipts, packs, cose = vectors("receipt"), vectors("pack"), vectors("cose")
    for rule, cases, key, salt in (
        ("segment-header", segments["refused_headers"], "payload", 0),
        ("evidence", visits["refused_evidence"], "hex", 0),
        ("answers", visits["answers"]["refused"], "hex", 16),
        ("promise", visits["promises"]["refused"], "hex", 16),
        ("correction", vectors("correction")["refused"], "hex", 16),
        ("segment-header", vectors("correction")["refused_headers"], "payload", 0),
        ("track", tracks["refused_tracks"], "hex", 0),
        ("receipt", receipts["refused_receipts"], "payload", 0),
        ("resend", receipts["refused_resends"], "payload", 0),
        ("manifest", packs["refused_manifests"], "payload", 0),
        ("trust-body", packs["trust"]["refused"], "hex", 0),
        ("cases-body", packs["cases"]["refused"], "hex", 0),
        ("config-body", packs["config"]["refused"], "hex", 0),
        ("chunk", vectors("chunk")["refused"], "hex", 0),
        ("cose-key", cose["refused_keys"], "cose_key", 0),
    ):
        for one in cases:
            yield rule, one["name"], bytes.fromhex(one[key])[salt:]
    for rule, cases in (("sealed-segment", segments["refused"]), ("pack", packs["refused"])):
        for one in cases:
            data = bytes.fromhex(one["hex"]) + bytes(one.get("zeros", 0))
            try:
                yield rule, one["name"], cddl_rules.as_array(data)
            except (cbor2.CBORDecodeError, AssertionError):
                continue  # no sequence of CBOR items at all


def test_what_we_accept_the_cddl_describes() -> None:
    found = list(accepted())
    assert len(found) > 30
    for rule, name, data in found:
        assert not cddl_rules.problem(rule, data), (rule, name, cddl_rules.problem(rule, data))


def test_what_we_refuse_the_cddl_refuses() -> None:
    """But for what it cannot say, and CBOR that is merely not in its one form."""
    slipped: dict[str, set[str]] = {}
    seen = 0
    for rule, name, data in refused():
        seen += 1
        if not cddl_rules.problem(rule, data):
            slipped.setdefault(rule, set()).add(name)
    assert seen > 250
    assert slipped == BEYOND_CDDL


def test_each_signed_message_is_only_itself() -> None:
    """Domain separation: no payload is well-formed as another kind."""
    payloads = {
        "segment-header": vectors("segment")["segments"][0]["payload"],
        "receipt": vectors("receipt")["receipts"][0]["payload"],
        "resend": vectors("receipt")["resends"][0]["payload"],
        "manifest": vectors("pack")["packs"][0]["payload"],
    }
    for mine, payload in payloads.items():
        for rule in payloads:
            assert bool(cddl_rules.problem(rule, bytes.fromhex(payload))) is (rule != mine)


@pytest.mark.parametrize(
    ("index", "value"), [(0, b"\xa1\x01\x26"), (1, {4: b"kid"}), (3, bytes(63)), (2, None)]
)
def test_cose_has_one_form_in_cddl_too(index: int, value: object) -> None:
    message = bytes.fromhex(vectors("receipt")["receipts"][0]["message"])
    assert not cddl_rules.problem("downlink", message)
    parts = list(cbor2.loads(message).value)
    parts[index] = value
    assert cddl_rules.problem("downlink", cbor2.dumps(cbor2.CBORTag(18, parts)))
    assert cddl_rules.problem("downlink", cbor2.dumps(parts))
    assert cddl_rules.problem("downlink", message + b"\x00")


def test_a_second_parser_reads_the_file() -> None:
    """zcbor is lenient in places; pycddl parses by the RFC's grammar (its checks are not used:
    it judges neither negative ranges nor upper bounds of occurrences)."""
    pycddl.Schema(cddl_rules.FILE.read_text(encoding="utf-8"))


def test_wire_md_names_the_file() -> None:
    text = (cddl_rules.FILE.parent / "WIRE.md").read_text(encoding="utf-8")
    assert "ronda.cddl" in text

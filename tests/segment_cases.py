"""The cases of protocol/vectors/segment.json: a chain of four segments, and what is refused."""

from typing import Any

import cbor2
import wire_reference as ref
from track_cases import LAT, LON, day, fix, mixed, plain
from visit_cases import ANSWERS, PROMISE, evidence_map

Case = dict[str, Any]
SALT_A = bytes(range(0x40, 0x50))
SALT_P = bytes(range(0x50, 0x60))
NEW_LOG = bytes.fromhex("0badcafe00112233")


def visit_parts() -> dict[int, bytes]:
    """Evidence, answers and promise of the vectors' visit."""
    return {
        2: ref.dumps(evidence_map()),
        3: SALT_A + ref.dumps(ANSWERS),
        4: SALT_P + ref.dumps(PROMISE),
    }


def chain() -> list[Case]:
    """Four segments: a track, a visit, a track, and the first of a new log that names the old."""
    out: list[Case] = []
    prev = bytes(32)
    bodies: list[tuple[str, dict[str, Any], dict[int, bytes]]] = [
        (
            "a track of every kind",
            {"seq": 1, "numbers": [1, 10]},
            {1: ref.track_part(mixed(), 60000)},
        ),
        (
            "a visit, sealed while a track is open",
            {"seq": 2, "numbers": [31, 1], "body": 2, "stamp": [3, 420000, 1789477560, 1, 1]},
            visit_parts(),
        ),
        (
            "the track around it: its numbers have a gap",
            {"seq": 3, "numbers": [11, 20, 32, 2], "stamp": [3, 375000, 1789477515, 1, 1]},
            {1: ref.track_part(around(), 375000)},
        ),
    ]
    for name, fields, parts in bodies:
        out.append(segment(name, {**fields, "prev": prev}, parts))
        prev = bytes.fromhex(out[-1]["chain_hash"])
    fields = {
        "seq": 1,
        "log_id": NEW_LOG,
        "numbers": [34, 1],
        "stamp": [4, 0, None, 0, 0],
        "previous_log": [bytes.fromhex("a1b2c3d4e5f60718"), 3, prev, "format"],
    }
    part = ref.track_part([[3, 34, 0, 1, ["power"]]], 0)
    out.append(segment("the first of a new log", fields, {1: part}))
    return out


def around() -> list[ref.Fix]:
    """Numbers 11 to 30, and 32 to 33: 31 is the visit."""
    fixes = day(False, 22, 11, 375000)
    for late in fixes[20:]:
        late[1] += 1
    return fixes


def segment(name: str, fields: dict[str, Any], parts: dict[int, bytes]) -> Case:
    """A sealed segment with every intermediate."""
    header = ref.header_map(**{"previous_log": "absent", **fields})
    header[11] = {number: ref.sha256(parts[number]) for number in parts}
    payload = ref.dumps(header)
    signed = ref.DEVICE.sign1(payload)
    structure = cbor2.dumps(["Signature1", ref.DEVICE.protected, b"", payload])
    return {
        "name": name,
        "header": plain(header),
        "parts": {str(number): part.hex() for number, part in parts.items()},
        "part_hashes": {str(number): ref.sha256(part).hex() for number, part in parts.items()},
        "payload": payload.hex(),
        "tbs_digest": ref.sha256(structure).hex(),
        "signature": signed[-64:].hex(),
        "signed": signed.hex(),
        "sealed": ref.sealed(header, parts).hex(),
        "chain_hash": ref.DEVICE.chain_hash(payload).hex(),
    }


def measured() -> list[Case]:
    """Sizes told in WIRE.md: sixty fixes and a visit of twelve answers, sealed, in bytes."""
    out: list[Case] = []
    for name, walking in (("sixty fixes, walking", True), ("sixty fixes, standing", False)):
        part = ref.track_part(day(walking), 60000)
        fields = {"seq": 300, "numbers": [7000, 60], "previous_log": "absent"}
        sealed = ref.sealed(ref.header_map(**fields, prev=ref.sha256(b"")), {1: part})
        out.append({"name": name, "part": len(part), "sealed": len(sealed)})
    fields = {"seq": 301, "numbers": [7060, 1], "body": 2, "previous_log": "absent"}
    parts = visit_parts()
    no_fix = {"close_fixes": "absent", "close_verdict": "absent"}
    short = {2: ref.dumps(evidence_map(**no_fix)), 3: parts[3]}
    coded = {**short, 3: SALT_A + ref.dumps(coded_answers())}
    for name, held in (
        ("a visit of twelve answers in codes of three letters, closed without a fix", coded),
        ("a visit of twelve answers, closed without a fix", short),
        ("a visit of twelve answers and a promise, closed with eight fixes", parts),
    ):
        sealed = ref.sealed(ref.header_map(**fields, prev=ref.sha256(b"")), held)
        sizes = {str(number): len(part) for number, part in held.items()}
        out.append({"name": name, "parts": sizes, "sealed": len(sealed)})
    return out


def coded_answers() -> dict[str, Any]:
    """The twelve answers with ids and codes of three letters."""
    coded: dict[str, Any] = {}
    for i, answer in enumerate(ANSWERS.values()):
        many = ["abc"] * len(answer) if isinstance(answer, list) else answer
        coded[f"q{i:02}"] = "abc" if isinstance(answer, str) else many
    return coded


def refused_headers() -> list[Case]:
    """Payloads that Header.parse refuses."""
    part_hash = bytes(32)
    log = [NEW_LOG, 3, bytes(32), "format"]
    table: list[tuple[str, dict[str, Any], str]] = [
        ("a receipt's message type", {"message": 2}, "kind"),
        ("message type true", {"message": True}, "kind"),
        ("no message type", {"message": "absent"}, "kind"),
        ("major version 2", {"version": 2}, "version"),
        ("major version 0", {"version": 0}, "version"),
        ("major version true", {"version": True}, "kind"),
        ("no device", {"device": "absent"}, "key"),
        ("a device of two letters", {"device": "rh"}, "header"),
        ("a device of 25 letters", {"device": "r" * 25}, "header"),
        ("a device with a capital", {"device": "Rh-0001"}, "header"),
        ("a device with a slash", {"device": "rh/0001"}, "header"),
        ("a device with an accent", {"device": "rh-ñ001"}, "header"),
        ("a device of bytes", {"device": b"rh-0001"}, "header"),
        ("no firmware version", {"fw_version": ""}, "header"),
        ("a firmware version of 33 bytes", {"fw_version": "é" * 16 + "x"}, "header"),
        ("a firmware hash of 15 bytes", {"fw_hash": bytes(15)}, "header"),
        ("a log id of 9 bytes", {"log_id": bytes(9)}, "header"),
        ("seq 0", {"seq": 0}, "header"),
        ("seq true", {"seq": True}, "header"),
        ("seq -1", {"seq": -1}, "header"),
        ("seq of more than 32 bits", {"seq": 2**32}, "header"),
        ("a previous hash of 31 bytes", {"prev": bytes(31)}, "header"),
        ("seq 1 with a previous hash", {"prev": b"\x01" * 32}, "header"),
        ("a stamp of four", {"stamp": [3, 60000, 1789477200, 1]}, "header"),
        ("a stamp of odd milliseconds", {"stamp": [3, 60050, 1789477200, 1, 1]}, "header"),
        ("a time since boot of 2^53 ms", {"stamp": [3, 2**53 + 8, 1789477200, 1, 1]}, "header"),
        ("a firmware version with ESC", {"fw_version": "0.1\x1b[2J"}, "header"),
        ("a negative time since boot", {"stamp": [3, -100, 1789477200, 1, 1]}, "header"),
        ("a UTC from no source", {"stamp": [3, 60000, 1789477200, 0, 1]}, "header"),
        ("a source without UTC", {"stamp": [3, 60000, None, 1, 1]}, "header"),
        ("source 4", {"stamp": [3, 60000, 1789477200, 4, 1]}, "header"),
        ("a UTC of more than 34 bits", {"stamp": [3, 60000, 2**34, 1, 1]}, "header"),
        ("a UTC before 1970", {"stamp": [3, 60000, -1, 1, 1]}, "header"),
        ("a boot of more than 32 bits", {"stamp": [2**32, 60000, 1789477200, 1, 1]}, "header"),
        ("no entry numbers", {"numbers": []}, "numbers"),
        ("half a range", {"numbers": [1]}, "numbers"),
        ("entry number 0", {"numbers": [0, 1]}, "numbers"),
        ("a range of none", {"numbers": [1, 0]}, "numbers"),
        ("ranges that touch", {"numbers": [1, 2, 3, 1]}, "numbers"),
        ("ranges that overlap", {"numbers": [1, 3, 3, 1]}, "numbers"),
        ("ranges that descend", {"numbers": [5, 1, 1, 1]}, "numbers"),
        ("1025 entries", {"numbers": [1, 1025]}, "numbers"),
        ("1025 entries in two ranges", {"numbers": [1, 1000, 2000, 25]}, "numbers"),
        ("an entry beyond 32 bits", {"numbers": [2**32 - 1, 2]}, "numbers"),
        ("a first number of bytes", {"numbers": [b"", 1]}, "numbers"),
        ("numbers are a map", {"numbers": {}}, "numbers"),
        ("a body of a later version", {"body": 4}, "body"),
        ("a correction that is a track", {"body": 3}, "header"),
        ("a body reserved for encrypted parts", {"body": 15}, "body"),
        ("body 0", {"body": 0}, "body"),
        ("body true", {"body": True}, "body"),
        ("no part", {"parts": {}}, "header"),
        ("parts are a list", {"parts": [part_hash]}, "header"),
        ("a part hash of 31 bytes", {"parts": {1: bytes(31)}}, "header"),
        ("a part named by text", {"parts": {"1": part_hash}}, "header"),
        ("evidence in a track", {"parts": {1: part_hash, 2: part_hash}}, "header"),
        ("a visit without evidence", {"body": 2, "parts": {3: part_hash}}, "header"),
        ("a track in a visit", {"body": 2, "parts": {1: part_hash, 2: part_hash}}, "header"),
        ("part 5 in a visit", {"body": 2, "parts": {2: part_hash, 5: part_hash}}, "header"),
        (
            "a visit of two numbers",
            {"body": 2, "numbers": [1, 2], "parts": {2: part_hash}},
            "header",
        ),
        ("a previous log at seq 2", {"seq": 2, "previous_log": log}, "header"),
        ("a previous log that is null", {"previous_log": None}, "header"),
        ("a previous log of three", {"previous_log": log[:3]}, "header"),
        ("a previous log without a reason", {"previous_log": [*log[:3], ""]}, "header"),
        ("an unknown key", {"unknown": 1}, "key"),
    ]
    out: list[Case] = [
        {"name": "nothing", "payload": "", "code": "cbor-truncated"},
        {"name": "an array", "payload": "80", "code": "kind"},
        {"name": "an empty map", "payload": "a0", "code": "kind"},
        {"name": "a text key", "payload": ref.dumps({"0": 1}).hex(), "code": "kind"},
    ]
    for name, fields, code in table:
        unknown = fields.pop("unknown", None)
        header = ref.header_map(**{"previous_log": "absent", **fields})
        if unknown:
            header[13] = unknown
        out.append({"name": name, "payload": ref.dumps(header).hex(), "code": code})
    return out


def refused_segments(good: list[Case]) -> list[Case]:
    """Sealed bytes that parse refuses."""
    track, visit = (bytes.fromhex(case["sealed"]) for case in good[:2])
    signed = bytes.fromhex(good[1]["signed"])
    parts = {int(n): bytes.fromhex(part) for n, part in good[1]["parts"].items()}
    items = {number: ref.dumps([number, part]) for number, part in parts.items()}
    payload = ref.dumps(ref.header_map(previous_log="absent", version=2))
    table = [
        ("nothing", b"", "cose-cbor-truncated"),
        ("cut in the signature", signed[:-1], "cose-cbor-truncated"),
        ("cut in a part", track[:-1], "cbor-truncated"),
        ("a part alone", items[2], "cose-shape"),
        ("a header alone", bytes.fromhex(good[0]["payload"]), "cose-cbor-items"),
        ("one bit of a part", track[:-1] + bytes([track[-1] ^ 1]), "part-hash"),
        ("a part twice", visit + items[4], "part-order"),
        ("parts out of order", signed + items[3] + items[2], "part-order"),
        ("part 0", visit + ref.dumps([0, b""]), "part-order"),
        ("a part that the header has not", visit + ref.dumps([5, b""]), "part-unknown"),
        ("a part of another visit", signed + ref.dumps([2, b"other"]), "part-hash"),
        ("answers shown as the promise", signed + ref.dumps([4, parts[3]]), "part-hash"),
        ("a part that is a number", signed + b"\x00", "part"),
        ("a part of one item", signed + ref.dumps([2]), "part"),
        ("a part of three items", signed + ref.dumps([2, parts[2], 0]), "cbor-items"),
        ("a part whose number is true", signed + ref.dumps([True, b""]), "part"),
        ("a negative part number", signed + ref.dumps([-1, b""]), "part"),
        ("a part of text", signed + ref.dumps([2, "x"]), "part"),
        ("a part that is a map", signed + ref.dumps({2: b""}), "part"),
        ("a nested part", signed + ref.dumps([2, [b""]]), "cbor-depth"),
        ("a receipt", ref.GATEWAY.sign1(ref.dumps({0: 2, 1: 1})), "kind"),
        ("major version 2", ref.DEVICE.sign1(payload), "version"),
        ("65537 bytes", visit + bytes(65537 - len(visit)), "too-big"),
    ]
    return [{"name": name, **packed(data), "code": code} for name, data, code in table]


def packed(data: bytes) -> Case:
    """Hex, with a long tail of zero bytes told as their count."""
    body = data.rstrip(b"\0") if len(data) > 5000 else data
    return {"hex": body.hex(), "zeros": len(data) - len(body)}


def numbers() -> list[Case]:
    """Flat ranges and what they stand for."""
    lists = [
        [1],
        [1, 2, 3],
        [1, 3, 5],
        [7, 8, 9, 20, 22, 23],
        list(range(1, 1025)),
        [1, 4294967295],
        [4294967294, 4294967295],
    ]
    return [{"flat": ref.flat(each), "numbers": ref.flat(each) and each} for each in lists]


def fork(good: list[Case]) -> Case:
    """The same device, log id and seq with another content, both signed: a fork."""
    fields = {"seq": 2, "numbers": [31, 1], "previous_log": "absent"}
    fields["prev"] = bytes.fromhex(good[0]["chain_hash"])
    part = ref.track_part([fix(31, 60000, LAT, LON)], 60000)
    header = ref.header_map(**fields)
    sealed = ref.sealed(header, {1: part})
    header[11] = {1: ref.sha256(part)}
    return {
        "of": good[1]["name"],
        "sealed": sealed.hex(),
        "chain_hash": ref.DEVICE.chain_hash(ref.dumps(header)).hex(),
    }


def segment_vectors() -> Case:
    """protocol/vectors/segment.json."""
    good = chain()
    later = ref.header_map(previous_log="absent", version=2, seq=9, prev=b"\x09" * 32)
    later[40] = ["what a later version may add"]
    return {
        "about": "Sealed segments (WIRE.md, Segment): a chain of three and the first of a new "
        "log, with every intermediate. Headers as in cbor.json.",
        "made_by": "python tests/make_wire_vectors.py",
        "key": ref.DEVICE.as_json(),
        "segments": good,
        "fork": fork(good),
        "numbers": numbers(),
        "refused_headers": refused_headers(),
        "refused": refused_segments(good),
        "later_version": {
            "payload": ref.dumps(later).hex(),
            "outline": [2, "rh-0001", "a1b2c3d4e5f60718", 9, "09" * 32],
        },
        "sizes": measured(),
    }

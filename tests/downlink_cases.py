"""The cases of protocol/vectors/{receipt,pack,chunk}.json, computed by wire_reference."""

from typing import Any

import cbor2
import wire_reference as ref
from track_cases import LAT, LON, plain

Case = dict[str, Any]
LOG = bytes.fromhex("a1b2c3d4e5f60718")
HEAD, LAST = ref.sha256(b"upto"), ref.sha256(b"last")
NONCE = bytes.fromhex("00c0ffee00c0ffee")
NOW = 1789477620
RECEIPT = [
    "message",
    "version",
    "device",
    "log_id",
    "upto",
    "head",
    "ranges",
    "dispositions",
    "now",
    "nonce",
]
RESEND = ["message", "version", "device", "log_id", "first", "last", "request_id"]
MANIFEST = [
    "message",
    "version",
    "pack_type",
    "scope",
    "name",
    "pack_version",
    "not_before",
    "not_after",
    "length",
    "sha256",
    "requires",
]
CASE = ["case_id", "portfolio", "creditor", "place", "order", "currency"]


def by_key(names: list[str], defaults: dict[str, Any], fields: dict[str, Any]) -> dict[Any, Any]:
    """A payload's map; "absent" removes a field, an integer name adds a key."""
    values: dict[Any, Any] = {**defaults, **fields}
    return {
        names.index(name) if name in names else int(name): value
        for name, value in values.items()
        if value != "absent"
    }


def receipt_map(**fields: Any) -> dict[int, Any]:
    """The payload of a receipt."""
    defaults = {
        "message": 2,
        "version": 1,
        "device": "rh-0001",
        "log_id": LOG,
        "upto": 5,
        "head": HEAD,
        "ranges": [[7, 9, LAST]],
        "dispositions": [[3, 2]],
        "now": NOW,
        "nonce": NONCE,
    }
    return by_key(RECEIPT, defaults, fields)


def resend_map(**fields: Any) -> dict[int, Any]:
    """The payload of a resend request."""
    defaults = {
        "message": 3,
        "version": 1,
        "device": "rh-0001",
        "log_id": LOG,
        "first": 5,
        "last": 9,
        "request_id": NONCE,
    }
    return by_key(RESEND, defaults, fields)


def payload_case(name: str, value: dict[int, Any], names: list[str], key: ref.Key) -> Case:
    """A payload, its fields by name and the signed message."""
    payload = ref.dumps(value)
    return {
        "name": name,
        "fields": plain({names[k]: value[k] for k in value}),
        "payload": payload.hex(),
        "message": key.sign1(payload).hex(),
    }


def refused_receipts() -> list[Case]:
    """Payloads that decode_receipt refuses."""
    a, b = [7, 9, LAST], [11, 11, LAST]
    table: list[tuple[str, dict[str, Any], str]] = [
        ("a segment's message type", {"message": 1}, "kind"),
        ("a resend request's message type", {"message": 3}, "kind"),
        ("major version 2", {"version": 2}, "version"),
        ("no device", {"device": "absent"}, "key"),
        ("a bad device", {"device": "RH"}, "field"),
        ("no log id", {"log_id": "absent"}, "key"),
        ("a log id of 7 bytes", {"log_id": bytes(7)}, "field"),
        ("upto true", {"upto": True}, "field"),
        ("upto -1", {"upto": -1}, "field"),
        ("upto of more than 32 bits", {"upto": 2**32}, "field"),
        ("a head of 31 bytes", {"head": bytes(31)}, "field"),
        ("upto 0 with a head", {"upto": 0}, "field"),
        ("ranges that are null", {"ranges": None}, "ranges"),
        ("ranges that are empty", {"ranges": []}, "ranges"),
        ("a range of two", {"ranges": [[7, 9]]}, "ranges"),
        ("a range with a short hash", {"ranges": [[7, 9, bytes(31)]]}, "ranges"),
        ("a range that touches upto", {"ranges": [[6, 9, LAST]]}, "ranges"),
        ("a range inside upto", {"ranges": [[2, 3, LAST]]}, "ranges"),
        ("a range that ends before it starts", {"ranges": [[9, 7, LAST]]}, "ranges"),
        ("ranges that touch", {"ranges": [a, [10, 11, LAST]]}, "ranges"),
        ("ranges that descend", {"ranges": [b, a]}, "ranges"),
        ("33 ranges", {"ranges": [[7 + 2 * i, 7 + 2 * i, LAST] for i in range(33)]}, "ranges"),
        ("dispositions that are empty", {"dispositions": []}, "dispositions"),
        ("disposition 0", {"dispositions": [[3, 0]]}, "dispositions"),
        ("disposition 4", {"dispositions": [[3, 4]]}, "dispositions"),
        ("a disposition of seq 0", {"dispositions": [[0, 1]]}, "dispositions"),
        ("dispositions that descend", {"dispositions": [[4, 1], [3, 1]]}, "dispositions"),
        ("one seq disposed twice", {"dispositions": [[3, 1], [3, 2]]}, "dispositions"),
        ("65 dispositions", {"dispositions": [[i + 1, 1] for i in range(65)]}, "dispositions"),
        ("a time of more than 34 bits", {"now": 2**34}, "field"),
        ("no nonce", {"nonce": "absent"}, "key"),
        ("a nonce of 9 bytes", {"nonce": bytes(9)}, "field"),
        ("an unknown key", {"10": 1}, "key"),
    ]
    out = [
        {"name": "nothing", "payload": "", "code": "cbor-truncated"},
        {"name": "a list", "payload": "8102", "code": "kind"},
    ]
    for name, fields, code in table:
        payload = ref.dumps(receipt_map(**fields))
        out.append({"name": name, "payload": payload.hex(), "code": code})
    return out


def refused_resends() -> list[Case]:
    """Payloads that decode_resend refuses."""
    table: list[tuple[str, dict[str, Any], str]] = [
        ("a receipt's message type", {"message": 2}, "kind"),
        ("major version 2", {"version": 2}, "version"),
        ("from 0", {"first": 0}, "field"),
        ("from after to", {"first": 10}, "field"),
        ("to true", {"first": 1, "last": True}, "field"),
        ("to of more than 32 bits", {"last": 2**32}, "field"),
        ("a request id of 4 bytes", {"request_id": bytes(4)}, "field"),
        ("no request id", {"request_id": "absent"}, "key"),
        ("an unknown key", {"7": 1}, "key"),
    ]
    return [
        {"name": name, "payload": ref.dumps(resend_map(**fields)).hex(), "code": code}
        for name, fields, code in table
    ]


def receipt_vectors() -> Case:
    """protocol/vectors/receipt.json."""
    nothing = {"upto": 0, "head": bytes(32), "ranges": "absent", "dispositions": "absent"}
    plainly = {"ranges": "absent", "dispositions": "absent"}
    receipts = [
        ("all up to 5", receipt_map(**plainly)),
        ("a gap at 6, a fork at 3", receipt_map()),
        ("nothing yet", receipt_map(**nothing)),
        ("held", receipt_map(**{**plainly, "dispositions": [[4, 1], [5, 3]]})),
    ]
    return {
        "about": "Receipts and resend requests (WIRE.md), signed by the gateway's key.",
        "made_by": "python tests/make_wire_vectors.py",
        "key": ref.GATEWAY.as_json(),
        "receipts": [payload_case(n, value, RECEIPT, ref.GATEWAY) for n, value in receipts],
        "refused_receipts": refused_receipts(),
        "resends": [payload_case("5 to 9", resend_map(), RESEND, ref.GATEWAY)],
        "refused_resends": refused_resends(),
    }


# --- packs ---


def manifest_map(body: bytes, **fields: Any) -> dict[int, Any]:
    """The payload of a cases pack's manifest."""
    defaults = {
        "message": 4,
        "version": 1,
        "pack_type": 2,
        "scope": "rh-0001",
        "name": "ronda-0915",
        "pack_version": 1789473600,
        "not_before": 1789473600,
        "not_after": 1789560000,
        "length": len(body),
        "sha256": ref.sha256(body),
        "requires": [],
    }
    return by_key(MANIFEST, defaults, fields)


def case_map(i: int, **fields: Any) -> dict[Any, Any]:
    """A case of the round."""
    names = ["", *CASE]
    defaults = {
        "case_id": f"C-2026-{1187 + i:06}",
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": [1, i % 3, 0, LAT + 9000 * i, LON, 300],
        "order": i + 1,
        "currency": "PEN",
    }
    return by_key(names, defaults, fields)


def cases_body(*cases: dict[Any, Any]) -> bytes:
    """The body of a cases pack."""
    return ref.dumps({1: "ronda-0915", 2: NOW, 3: 1789520400, 4: list(cases)})


def trust_key(key: ref.Key, role: int, **at: Any) -> list[Any]:
    """A line of the trust pack: the items named by their index replaced."""
    line = [key.kid, key.cose_key, role, 1789400000, 1821000000, False]
    for index, value in at.items():
        line[int(index[1:])] = value
    return line


def trust_body(*keys: list[Any]) -> bytes:
    """The body of a trust pack."""
    return ref.dumps({1: ref.ROOT.cose_key, 2: list(keys)})


def packs() -> list[Case]:
    """Whole pack files."""
    trust = trust_body(trust_key(ref.GATEWAY, 1), trust_key(ref.DEVICE, 2, i5=True))
    cases = cases_body(*(case_map(i) for i in range(3)))
    fields = {"pack_type": 1, "scope": "site", "name": "trust", "requires": [[10, "visita-1", 7]]}
    out = []
    for name, key, body, more in (
        ("the trust pack", ref.ROOT, trust, fields),
        ("a cases pack", ref.GATEWAY, cases, {}),
        ("an empty body", ref.GATEWAY, b"", {"pack_type": 6, "name": "x"}),
    ):
        value = manifest_map(body, **more)
        case = payload_case(name, value, MANIFEST, key)
        case["body"] = body.hex()
        case["file"] = case["message"] + cbor2.dumps(body).hex()
        out.append(case)
    return out


def refused_packs() -> list[Case]:
    """Files that parse refuses."""
    body = cases_body(case_map(0))
    signed = ref.GATEWAY.sign1(ref.dumps(manifest_map(body)))
    short = ref.GATEWAY.sign1(ref.dumps(manifest_map(body, length=len(body) - 1)))
    receipt = ref.GATEWAY.sign1(ref.dumps(receipt_map()))
    table = [
        ("nothing", b"", "cose-cbor-truncated"),
        ("no body", signed, "cbor-truncated"),
        ("a body cut short", signed + ref.dumps(body)[:-1], "cbor-truncated"),
        ("a body of text", signed + ref.dumps("x"), "body"),
        ("a body that is an array", signed + b"\x80", "cbor-depth"),
        ("a byte too many", signed + ref.dumps(body) + b"\0", "body"),
        ("another body of that length", signed + ref.dumps(bytes(len(body))), "hash"),
        ("a longer body", signed + ref.dumps(body + b"\0"), "length"),
        ("a length that lies", short + ref.dumps(body), "length"),
        ("a receipt", receipt + ref.dumps(body), "kind"),
    ]
    return [{"name": name, "hex": data.hex(), "code": code} for name, data, code in table]


def refused_manifests() -> list[Case]:
    """Payloads that Manifest.parse refuses."""
    table: list[tuple[str, dict[str, Any], str]] = [
        ("a segment's message type", {"message": 1}, "kind"),
        ("major version 2", {"version": 2}, "version"),
        ("pack type 0", {"pack_type": 0}, "manifest"),
        ("pack type 11", {"pack_type": 11}, "manifest"),
        ("pack type true", {"pack_type": True}, "manifest"),
        ("a scope with a capital", {"scope": "Site"}, "manifest"),
        ("no name", {"name": ""}, "manifest"),
        ("a name of 33 bytes", {"name": "x" * 33}, "manifest"),
        ("pack version 0", {"pack_version": 0}, "manifest"),
        ("a version of more than 34 bits", {"pack_version": 2**34}, "manifest"),
        ("an end before its beginning", {"not_after": 1}, "manifest"),
        ("a negative length", {"length": -1}, "manifest"),
        ("a hash of 31 bytes", {"sha256": bytes(31)}, "manifest"),
        ("requires null", {"requires": None}, "manifest"),
        ("requires a type 0", {"requires": [[0, "x", 1]]}, "manifest"),
        ("requires nine", {"requires": [[1, "x", 1]] * 9}, "manifest"),
        ("no requires", {"requires": "absent"}, "key"),
        ("an unknown key", {"11": 1}, "key"),
    ]
    return [
        {"name": name, "payload": ref.dumps(manifest_map(b"", **fields)).hex(), "code": code}
        for name, fields, code in table
    ]


def trust_cases() -> Case:
    """Bodies of trust packs."""
    one = trust_key(ref.GATEWAY, 1)
    off_form = cbor2.dumps({1: 2, -1: 1, -3: ref.GATEWAY.public[32:], -2: ref.GATEWAY.public[:32]})
    bad: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "cbor-truncated"),
        ("an array", b"\x80", "trust"),
        ("no root", ref.dumps({2: [one]}), "trust"),
        ("a root that is no key", ref.dumps({1: b"x", 2: [one]}), "trust"),
        ("a root of text", ref.dumps({1: "x", 2: [one]}), "trust"),
        ("a root that is a map", ref.dumps({1: {}, 2: [one]}), "trust"),
        ("no keys", ref.dumps({1: ref.ROOT.cose_key}), "trust"),
        ("a key of five items", trust_body(one[:5]), "trust"),
        ("the root's role", trust_body(trust_key(ref.GATEWAY, 0)), "trust"),
        ("role 5", trust_body(trust_key(ref.GATEWAY, 5)), "trust"),
        ("a kid of another key", trust_body(trust_key(ref.GATEWAY, 1, i0=ref.ROOT.kid)), "trust"),
        ("a key in another order", trust_body(trust_key(ref.GATEWAY, 1, i1=off_form)), "trust"),
        ("a key of text", trust_body(trust_key(ref.GATEWAY, 1, i1="x")), "trust"),
        ("an end before its beginning", trust_body(trust_key(ref.GATEWAY, 1, i4=1)), "trust"),
        ("revoked 0", trust_body(trust_key(ref.GATEWAY, 1, i5=0)), "trust"),
        ("one key twice", trust_body(one, one), "trust"),
        ("65 keys", trust_body(*[one] * 65), "trust"),
    ]
    return {
        "root": ref.ROOT.public.hex(),
        "keys": [
            [ref.GATEWAY.public.hex(), 1, 1789400000, 1821000000, False],
            [ref.DEVICE.public.hex(), 2, 1789400000, 1821000000, True],
        ],
        "kids": [ref.GATEWAY.kid.hex(), ref.DEVICE.kid.hex()],
        "hex": trust_body(one, trust_key(ref.DEVICE, 2, i5=True)).hex(),
        "refused": [{"name": name, "hex": data.hex(), "code": code} for name, data, code in bad],
    }


def case_cases() -> Case:
    """Bodies of cases packs."""
    good = [case_map(i) for i in range(3)]
    bad: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "cbor-truncated"),
        ("an array", b"\x80", "cases"),
        ("no round", ref.dumps({2: NOW, 3: NOW, 4: []}), "cases"),
        ("an end that is null", ref.dumps({1: "r", 2: NOW, 3: None, 4: []}), "cases"),
        ("cases are a map", ref.dumps({1: "r", 2: NOW, 3: NOW, 4: {}}), "cases"),
        ("a case is a list", ref.dumps({1: "r", 2: NOW, 3: NOW, 4: [[]]}), "cases"),
        ("a case twice", cases_body(case_map(0), case_map(0)), "cases"),
        ("no case id", cases_body(case_map(0, case_id="absent")), "cases"),
        ("the agency's portfolio", cases_body(case_map(0, portfolio="site")), "cases"),
        ("no place", cases_body(case_map(0, place="absent")), "cases"),
        ("a radius of 5 m", cases_body(case_map(0, place=[1, 0, 0, LAT, LON, 50])), "cases"),
        ("a negative order", cases_body(case_map(0, order=-1)), "cases"),
        ("a currency of two letters", cases_body(case_map(0, currency="PE")), "cases"),
        ("201 cases", cases_body(*(case_map(i) for i in range(201))), "cases"),
    ]
    later = [{**case_map(0), 9: "a later version's"}]
    return {
        "round_id": "ronda-0915",
        "as_of": NOW,
        "expires_at": 1789520400,
        "cases": [{CASE[key - 1]: case[key] for key in case} for case in good],
        "hex": cases_body(*good).hex(),
        "unknown_keys": cases_body(*later).hex(),
        "refused": [{"name": name, "hex": data.hex(), "code": code} for name, data, code in bad],
    }


def config_cases() -> Case:
    """Bodies of config packs."""
    top = {4: 3600, 6: 600, 7: 1440, 8: 2000, 9: 900, 10: 3600}
    low = {4: 1, 6: 0, 7: 1, 8: 0, 9: 0, 10: 0}
    good: list[tuple[str, dict[Any, Any], dict[Any, Any]]] = [
        ("nothing", {}, {}),
        ("the highest", top, top),
        ("the lowest", low, low),
        ("one setting", {8: 150}, {8: 150}),
        ("a later version's", {4: 30, 11: "x", 65535: []}, {4: 30}),
    ]
    bad: list[tuple[str, Any, str]] = [
        ("an array", [], "config"),
        ("a text key", {"4": 15}, "config"),
        ("a negative key", {-1: 15}, "config"),
        ("another broker", {1: "evil.example"}, "config"),
        ("a port", {2: 1883}, "config"),
        ("a topic root", {3: "x"}, "config"),
        ("a gestor", {5: "g"}, "config"),
        ("key 0", {0: 1}, "config"),
        ("a setting that is null", {4: None}, "config"),
        ("a setting that is true", {4: True}, "config"),
    ]
    for key, most in top.items():
        bad.append((f"{key} too high", {key: most + 1}, "config"))
        bad.append((f"{key} too low", {key: low[key] - 1}, "config"))
    out = [{"name": name, "hex": ref.dumps(v).hex(), "code": code} for name, v, code in bad]
    out.append({"name": "no bytes", "hex": "", "code": "cbor-truncated"})
    return {
        "names": [
            [4, "sample_s", 15],
            [6, "dwell_s", 0],
            [7, "battery_min", 15],
            [8, "search_m", 300],
            [9, "wait_s", 120],
            [10, "repeat_s", 300],
        ],
        "bodies": [
            {"name": name, "hex": ref.dumps(v).hex(), "settings": [[k, w[k]] for k in w]}
            for name, v, w in good
        ],
        "refused": out,
    }


def chunk_vectors() -> Case:
    """protocol/vectors/chunk.json."""
    body = cases_body(*(case_map(i) for i in range(40)))
    payload = ref.dumps(manifest_map(body))
    name = ref.GATEWAY.chain_hash(payload)
    chunks = []
    for at in range(0, len(body), 2048):
        part = body[at : at + 2048]
        chunks.append(
            {"offset": at, "length": len(part), "message": ref.dumps([name, at, part]).hex()}
        )
    good: list[tuple[str, Any]] = [
        ("one byte", [name, 0, b"x"]),
        ("the last place", [name, 2**32 - 2, b"x"]),
    ]
    bad: list[tuple[str, bytes, str]] = [
        ("nothing", b"", "cbor-truncated"),
        ("a map", ref.dumps({0: name}), "shape"),
        ("two items", ref.dumps([name, 0]), "shape"),
        ("four items", ref.dumps([name, 0, b"x", 0]), "cbor-items"),
        ("a hash of 31 bytes", ref.dumps([name[:31], 0, b"x"]), "shape"),
        ("a hash of text", ref.dumps(["x" * 32, 0, b"x"]), "shape"),
        ("data of text", ref.dumps([name, 0, "x"]), "shape"),
        ("no data", ref.dumps([name, 0, b""]), "range"),
        ("2,049 bytes of data", ref.dumps([name, 0, bytes(2049)]), "range"),
        ("a message too long", ref.dumps([name, 2**32 - 1, bytes(2056)]), "cbor-size"),
        ("an offset of -1", ref.dumps([name, -1, b"x"]), "range"),
        ("an offset that is true", ref.dumps([name, True, b"x"]), "range"),
        ("an end beyond 32 bits", ref.dumps([name, 2**32 - 1, b"x"]), "range"),
        ("a byte too many", ref.dumps([name, 0, b"x"]) + b"\0", "cbor-trailing"),
        ("an array within", ref.dumps([name, 0, []]), "cbor-depth"),
        (
            "a longer form",
            bytes.fromhex("83") + ref.dumps(name) + b"\x18\0\x41x",
            "cbor-non-minimal",
        ),
        ("a receipt", ref.GATEWAY.sign1(ref.dumps(receipt_map())), "cbor-depth"),
    ]
    return {
        "about": "Chunks of a pack's body on down/<device> (WIRE.md, Packs on the move).",
        "made_by": "python tests/make_wire_vectors.py",
        "manifest": {"protected": ref.GATEWAY.protected.hex(), "payload": payload.hex()},
        "manifest_hash": name.hex(),
        "body": body.hex(),
        "chunks": chunks,
        "good": [{"name": n, "message": ref.dumps(value).hex()} for n, value in good],
        "refused": [{"name": n, "hex": data.hex(), "code": code} for n, data, code in bad],
    }


def pack_vectors() -> Case:
    """protocol/vectors/pack.json."""
    return {
        "about": "Pack files, manifests, trust and cases bodies (WIRE.md, Packs).",
        "made_by": "python tests/make_wire_vectors.py",
        "keys": [ref.ROOT.as_json(), ref.GATEWAY.as_json()],
        "roles": [[1, 0], [2, 1], [3, 1], [4, 1], [5, 1], [6, 1], [7, 1], [8, 3], [9, 3], [10, 3]],
        "versions": [[0, 1789473600, 1789473600], [1789473600, 1700000000, 1789473601], [5, 5, 6]],
        "packs": packs(),
        "refused": refused_packs(),
        "refused_manifests": refused_manifests(),
        "trust": trust_cases(),
        "cases": case_cases(),
        "config": config_cases(),
    }

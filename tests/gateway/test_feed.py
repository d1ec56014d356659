"""Feed events: CloudEvents that decode to what was signed, with nothing of a debtor elsewhere."""

import base64
import json
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import Bench
from ronda_gateway import feed, pipeline
from ronda_gateway.alerts import KINDS, describe
from ronda_protocol import reading, track

SECRETS = ("C-SECRETO", "titular-secreto", "promesa-secreta", "G-SECRETO")


def test_track_events_give_back_the_canonical_entries(bench: Bench) -> None:
    device = bench.device()
    entries = device.entries(9, 2, 1)
    number = device.next_numbers(1)[0]
    entries.append([track.EVENT, number, entries[-1][2], 77, [b"\x01", {1: "x"}, None, -5]])
    bench.send(device.id, device.seal_track(entries))
    positions, battery, events = bench.events()
    assert [e["data"]["boot"] for e in (positions, battery, events)] == [1, 1, 1]
    found = [
        [
            track.FIX,
            *[
                e[n]
                for n in ("number", "ms", "lat_e7", "lon_e7", "hdop", "satellites", "fix_type")
            ],
            e["quality"],
        ]
        for e in positions["data"]["entries"]
    ]
    assert found == entries[:9]
    assert battery["data"]["entries"][0] == {
        "number": 10,
        "ms": entries[9][2],
        "utc": 1789477200 + entries[9][2] // 1000,
        "mv": 3900,
        "percent": 81,
        "source": 1,
    }
    last = events["data"]["entries"][-1]
    assert (last["code"], last["name"]) == (77, "event-77")
    assert last["data"] == [{"hex": "01"}, {"map": [[1, "x"]]}, None, -5]


def test_the_fast_fix_text_is_the_plain_one() -> None:
    for entry in (
        [1, 7, 1000, -900000000, 1800000000, 255, 15, 3, None],
        [1, 4294967295, 9000000000, 0, -1, 1, 0, 1, [None] * 6 + [1]],
        [1, 1, 0, 1, 2, 3, 4, 2, [65535, 359, -99999, 255, 0, 255, 65535]],
    ):
        for offset in (None, 0, 1789477200000):
            base = [1, 0, None if offset is None else offset // 1000, 0, 0]
            sealed = SimpleNamespace(header=SimpleNamespace(stamp=base), seq=1, entries=[entry])
            rows = feed.fix_rows(1, cast(pipeline.Accepted, sealed))
            assert json.loads(feed._fixes_json(rows)) == feed._fix(entry, offset)


def test_time_known_only_within_the_segment(bench: Bench) -> None:
    device = bench.device()
    entries = device.entries(2, 0, 0)
    number = device.next_numbers(1)[0]
    at = entries[-1][2] + 1000
    entries.append([track.EVENT, number, at, track.TIME_SET, [1789477300, 1, 1]])
    bench.send(device.id, device.seal_track(entries, stamp=[1, device.ms, None, 0, 0]))
    fixes = bench.events("positions")[0]["data"]["entries"]
    assert [f["utc"] for f in fixes] == [1789477300 - 16, 1789477300 - 1]


def test_a_visit_carries_its_proof(bench: Bench) -> None:
    device = bench.device()
    promise = {
        "currency": "PEN",
        "kind": 2,
        "pairs": [[12500, 20260930], [12500, 20261030]],
        "who": "titular",
        "limits": 3,
    }
    raw = device.seal_visit(answers={"q1": ["a", 2], "q2": None, "q3": True}, promise=promise)
    bench.send(device.id, raw)
    (event,) = bench.visits()
    data = event["data"]
    assert base64.b64decode(data["evidence"]) == raw
    assert data["answers"] == {"q1": ["a", 2], "q2": None, "q3": True}
    assert data["promise"] == promise
    assert data["kid"] == device.signer.kid.hex() and data["signature_verified"] is True
    assert data["chain"] == device.prev.hex()
    assert data["clocks"]["gateway"] == bench.clock.now()
    assert data["check_in"]["utc"] == data["clocks"]["handheld"]["utc"]
    sealed = reading.parse(base64.b64decode(data["evidence"]))
    assert sealed.header.numbers[0] == data["number"]


def test_portfolios_are_kept_apart(bench: Bench) -> None:
    device = bench.device()
    bench.send(
        device.id, device.seal_visit(portfolio="banco-a"), device.seal_visit(portfolio="banco-b")
    )
    assert (
        len(bench.events("feed/banco-a/visits")) == len(bench.events("feed/banco-b/visits")) == 1
    )
    # `site` is the agency's own: a visit that claims it is held, not told there.
    from ronda_protocol import cbor

    fields = cbor.decode(reading.parse(device.sealed[0]).parts[2]) | {3: "site"}
    bench.send(device.id, device.seal(2, {2: cbor.encode(fields)}, device.next_numbers(1)))
    assert bench.events("feed/site/visits") == [] and bench.alerts() == ["unreadable"]


def test_nothing_of_a_debtor_leaves_but_in_visits(bench: Bench) -> None:
    device = bench.device()
    twin = device.clone()
    secret: dict[str, Any] = {
        "case_id": SECRETS[0],
        "answers": {"quien": SECRETS[1]},
        "outcome": SECRETS[2],
        "gestor": SECRETS[3],
    }
    wrong = [3, None, None, 0, 1]
    day = [
        device.seal_visit(**secret, check_in_verdict=wrong),
        device.seal_track(),
        device.seal_visit(**secret, opened=2),
    ]
    fork = twin.seal_visit(**secret)
    bench.send(device.id, day[0], fork, day[2])
    bench.send(device.id, fork[:-5])
    assert {"verdict_mismatch", "policy_mismatch", "fork", "gap", "quarantined"} <= set(
        bench.alerts()
    )
    for event in bench.events():
        if event["type"] not in {feed.VISIT, feed.VISIT_VERDICT}:
            text = json.dumps(event)
            assert not any(word in text for word in SECRETS), event["id"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_alert_says_what_and_what_to_do(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    severity, what, todo = KINDS[kind]
    assert severity in {"warning", "alarm"}
    assert set(re.findall(r"{(\w+)}", what[0])) == set(re.findall(r"{(\w+)}", what[1]))
    fields = dict.fromkeys(re.findall(r"{(\w+)}", what[0]), "x\x1b[2J")
    for lang in ("es", "en"):
        monkeypatch.setenv("RONDA_LANG", lang)
        data = describe(kind, "desk-01", 1, fields)
        assert data["text"] and data["todo"] and "\x1b" not in data["text"]
    assert todo[0] != todo[1]


def test_every_reason_is_in_the_quarantine_alert() -> None:
    for reason in (
        pipeline.UNKNOWN_DEVICE,
        pipeline.WRONG_TOPIC,
        pipeline.BAD_SIGNATURE,
        pipeline.UNDECODABLE,
    ):
        assert all(reason in text for text in KINDS["quarantined"][2])

"""The whole day on real parts: `ronda demo --once` balances, and each visit is verified again."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from feed_schemas import problems
from ronda_gateway.keys import load_public
from ronda_tools.broker import Broker, port_taken
from ronda_tools.cli import build
from ronda_tools.demo import Demo, Options
from ronda_tools.demo_day import START_UNIX, clock
from ronda_tools.demo_rounds import rounds
from ronda_tools.evidence import examine
from ronda_tools.evidence_file import load
from typer.testing import CliRunner

RONDA = [str(Path(sys.executable).parent / "ronda")]


@dataclass(frozen=True)
class Ran:
    """What one `ronda demo --once` left behind."""

    code: int
    outcome: dict[str, Any]
    events: list[dict[str, Any]]
    feed: Path
    keep: Path
    stderr: str

    def visit(self, case_id: str, ended: str = "closed") -> dict[str, Any]:
        """The one visit of a case that ended so."""
        found = [
            v for v in self.outcome["visits"] if v["case_id"] == case_id and v["ended"] == ended
        ]
        assert len(found) == 1, (case_id, ended, found)
        return found[0]


def ronda(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*RONDA, *arguments], capture_output=True, text=True, timeout=280, check=False
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One accelerated day, shared by the tests of this file."""
    folder = tmp_path_factory.mktemp("demo")
    feed, keep = folder / "feed.jsonl", folder / "keep"
    one = ("--once", "--handhelds", "1", "--json")
    done = ronda("demo", *one, "--feed", str(feed), "--keep", str(keep))
    assert done.stdout, done.stderr
    events = [json.loads(line) for line in feed.read_text().splitlines()]
    return Ran(done.returncode, json.loads(done.stdout), events, feed, keep, done.stderr)


def test_the_day_balances(ran: Ran) -> None:
    outcome = ran.outcome
    assert ran.code == 0, (outcome, ran.stderr)
    assert (outcome["lost"], outcome["doubled"], outcome["unrecorded"]) == (0, 0, 0)
    assert outcome["balanced"] is True
    assert outcome["recorded"] == outcome["stored"] == outcome["forwarded"]
    recorded = outcome["recorded"]
    assert set(recorded) == {"visit", "fix", "battery", "event", "correction"}
    assert recorded["correction"] == 1
    assert recorded["visit"] == len(outcome["visits"]) == 11
    assert recorded["fix"] > 1500
    assert recorded["battery"] >= 30
    assert recorded["event"] >= 15
    assert outcome["alerts"] == {}
    assert outcome["wrong"] == []


def test_every_visit_is_under_one_id_and_verified(ran: Ran) -> None:
    ids = [visit["id"] for visit in ran.outcome["visits"]]
    assert len(set(ids)) == len(ids)
    assert all(visit["signature_verified"] is True for visit in ran.outcome["visits"])
    for visit in ran.outcome["visits"]:
        verdicts = visit["verdicts"]
        assert verdicts["law"] == "not_evaluated"
        assert verdicts["overall"] in ("unverified", "exception")
        assert verdicts["fence"]["agrees"] is True


def test_the_day_holds_what_it_promises(ran: Ran) -> None:
    honest = ran.visit("C-1001")
    assert honest["opened"] == "inside"
    assert honest["promise"] is True
    assert honest["verdicts"]["overall"] == "unverified"
    refused = ran.visit("C-1003", "refused")
    assert refused["verdicts"]["fence"]["gateway"] == "outside"
    assert refused["verdicts"]["place_quality"] == "confirmed"
    assert refused["attempts"] == 2
    assert ran.visit("C-1003")["opened"] == "inside"
    frozen = ran.visit("C-1004")
    assert frozen["opened"] == "unconfirmed"
    assert frozen["verdicts"]["fence"]["reason"] == "disqualified"
    assert frozen["verdicts"]["overall"] == "exception"
    indoors = ran.visit("C-1005")
    assert indoors["opened"] == "portal"
    assert indoors["verdicts"]["fence"]["reason"] == "no_fix"
    assert indoors["verdicts"]["fence_at_portal"]["gateway"] == "inside"
    assert indoors["verdicts"]["fence_at_close"]["gateway"] == "inside"
    assert indoors["verdicts"]["overall"] == "unverified"
    assert "portal" in indoors["verdicts"]["reasons"]
    market = next(e for e in ran.events if e["id"] == ran.visit("C-1009")["id"])["data"]
    assert market["place"]["shape"] == "polygon" and len(market["place"]["corners"]) == 6
    assert market["opened"] == "inside" and market["verdicts"]["fence"]["own_agrees"]
    assert market["dwell"]["before_s"] >= 5 and market["dwell"]["during_s"] > 200
    assert ran.visit("C-1008")["opened"] == "address_to_confirm"
    inside = ran.visit("C-1010")
    assert inside["opened"] == "inside" and inside["verdicts"]["fence"]["gateway"] == "inside"
    assert inside["verdicts"]["fence_at_close"]["reason"] == "no_fix"
    assert inside["verdicts"]["overall"] == "unverified"


def test_a_correction_is_told_beside_its_visit_and_verifies_by_itself(
    ran: Ran, tmp_path: Path
) -> None:
    visit = ran.visit("C-1002")
    assert visit["outcome"] == "ausente"  # the visit stays as it was sealed
    (told,) = visit["corrections"]
    assert told["accepted"] and told["signature_verified"]
    assert (told["field"], told["original"], told["value"]) == ("outcome", "ausente", "mudado")
    assert [v for v in ran.outcome["visits"] if v["corrections"]] == [visit]
    (change,) = [e for e in ran.events if e["type"] == "ronda.visit.verdict"]
    assert change["id"] == f"{visit['id']}/v1"
    key = str(ran.keep / "keys" / "demo-01.pem")
    arguments = ("evidence", "verify", str(ran.feed), "--id", change["id"], "--key", key)
    done = ronda(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    # An event that says something else than was signed is found out.
    change["data"]["correction"]["value"] = "ausente"
    (tmp_path / "event.json").write_text(json.dumps(change))
    done = ronda("evidence", "verify", str(tmp_path / "event.json"), "--key", key)
    assert done.returncode == 1 and "value" in done.stdout


def test_the_dead_zone_kept_two_visits_on_the_handheld(ran: Ran) -> None:
    out, back = START_UNIX + clock(11, 0) // 1000, START_UNIX + clock(12, 10) // 1000
    for case_id in ("C-1006", "C-1007"):
        id = ran.visit(case_id)["id"]
        event = next(e for e in ran.events if e["id"] == id)
        assert out < event["data"]["check_in"]["utc"] < back
        assert event["data"]["clocks"]["gateway"] >= back


def test_evidence_verifies_with_the_kept_key_alone_and_a_flipped_byte_fails(
    ran: Ran, tmp_path: Path
) -> None:
    key = ran.keep / "keys" / "demo-01.pem"
    public = load_public(key)
    for visit in ran.outcome["visits"]:
        (held,) = load(str(ran.feed), visit["id"])
        report = examine(held, public)
        assert report.valid, [c for c in report.checks if c.result is False]
        assert report.visit_id == visit["id"]
    first = ran.outcome["visits"][0]["id"]
    checked = ronda("evidence", "verify", str(ran.feed), "--id", first, "--key", str(key))
    assert checked.returncode == 0, checked.stderr
    assert "VÁLIDA" in checked.stdout
    (held,) = load(str(ran.feed), first)
    damaged = bytearray(held.sealed)
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    checked = ronda("evidence", "verify", str(tmp_path / "damaged"), "--key", str(key))
    assert checked.returncode == 1


def test_what_was_kept(ran: Ran) -> None:
    stored = sqlite3.connect(ran.keep / "gateway.db")
    count = stored.execute("SELECT count(*) FROM visits").fetchone()[0]
    assert stored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    stored.close()
    assert count == len(ran.outcome["visits"])
    journal = (ran.keep / "handhelds" / "demo-01" / "journal.jsonl").read_text()
    assert len(journal.splitlines()) == sum(ran.outcome["recorded"].values())
    for pem in ran.keep.rglob("*.pem"):
        assert b"PRIVATE" not in pem.read_bytes()


def test_no_payload_tells_more_than_it_should(ran: Ran) -> None:
    """Positions, battery, events and alerts carry no answer, promise or creditor."""
    for event in ran.events:
        if not event["type"].startswith("ronda.visit"):
            text = json.dumps(event)
            assert "andino" not in text and "titular" not in text, text


def test_every_message_of_the_day_is_what_its_schema_says(ran: Ran) -> None:
    assert {event["type"] for event in ran.events} >= {
        "ronda.visit",
        "ronda.positions",
        "ronda.battery",
        "ronda.events",
    }
    for event in ran.events:
        assert problems(event) == [], event["id"]


def test_bad_options_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    (tmp_path / "file").write_text("")
    for arguments in (
        ["--once", "--keep", str(tmp_path / "full")],
        ["--once", "--keep", str(tmp_path / "file")],
        ["--once", "--feed", str(tmp_path / "no" / "feed")],
        ["--once", "--feed", str(tmp_path)],
        ["--once", "--handhelds", "21"],
        ["--once", "--handhelds", "0"],
        ["--speed", "0"],
        ["--speed", "nan"],
        ["--json"],
        ["--once", "--port", "0"],
    ):
        done = CliRunner().invoke(build(["demo"]), ["demo", *arguments])
        assert done.exit_code == 2, (arguments, done.output)
        assert done.stderr.strip()
        assert isinstance(done.exception, SystemExit), done.exception
    assert (tmp_path / "full" / "kept").read_text() == "mine"


def children(pid: int) -> list[int]:
    """Processes that a process started (Linux; none elsewhere)."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def test_the_live_demo_tells_the_day_and_ends_cleanly_on_ctrl_c() -> None:
    child = subprocess.Popen(
        [*RONDA, "demo", "--speed", "3000", "--handhelds", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout
    told: list[str] = []
    try:
        deadline = time.monotonic() + 120
        for line in child.stdout:
            told.append(line)
            if "central <-" in line and "visita cerrada" in line:
                break
            assert time.monotonic() < deadline, told
        started = children(child.pid)
        os.kill(child.pid, signal.SIGINT)
        rest, errors = child.communicate(timeout=90)
    finally:
        child.kill()
    text = "".join(told) + rest
    assert child.returncode == 0, errors
    assert "Traceback" not in errors
    assert "ronda feed tail --broker mqtt://127.0.0.1:" in text
    assert "empieza su turno" in text
    assert "La visita se abre" in text
    assert "Recibo firmado" in text
    port = int(text.split("mqtt://127.0.0.1:")[1].split()[0].rstrip("."))
    assert not port_taken(port)
    assert len(started) == 2 or not Path("/proc/self/task").exists()  # the broker and the VM
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_taken_port_and_a_missing_vm_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker() as broker:
        done = CliRunner().invoke(
            build(["demo"]), ["demo", "--once", "--handhelds", "1", "--port", str(broker.port)]
        )
    assert done.exit_code == 2, done.output
    assert str(broker.port) in done.stderr
    monkeypatch.setenv("RONDA_MICROPYTHON", "/nowhere/micropython")
    done = CliRunner().invoke(build(["demo"]), ["demo", "--once"])
    assert done.exit_code == 2, done.output
    assert "RONDA_MICROPYTHON" in done.stderr


def test_settings_of_another_gateway_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDA_BROKER__HOST", "production.example")
    monkeypatch.setenv("RONDA_FEED", "{}")
    with Demo(Options(handhelds=1)) as day:
        assert day.url.startswith("mqtt://127.0.0.1:")
    assert "RONDA_BROKER__HOST" not in os.environ


def test_the_plan_is_the_same_each_time() -> None:
    for first, again in zip(rounds(6), rounds(6), strict=True):
        assert first.cases() == again.cases()
        assert first.walk.ms == clock(17, 0)
        first_said, again_said = first.walk.nmea(), again.walk.nmea()
        assert [next(first_said) for _ in range(20)] == [next(again_said) for _ in range(20)]

"""`ronda handheld sim`: the real firmware on receiver logs, visits, a gateway, and bad input."""

import base64
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ronda_gateway import fleet, site, store
from ronda_gateway.gateway import Gateway
from ronda_gateway.keys import verify_digest
from ronda_protocol import cose, reading, segment
from ronda_tools import cli_evidence, cli_handheld, handheld_sim, provision
from ronda_tools.broker import Broker, free_port
from ronda_tools.conductor import Conductor, Handheld, Link
from ronda_tools.handheld_sim import Options
from ronda_tools.synth import MIRAFLORES, Walk
from ronda_tools.texts import UsedWrong
from ronda_tools.vm import Vm, build
from typer.testing import CliRunner

START = 1789477200
DOOR = MIRAFLORES["larco"]
CASE: dict[str, Any] = {
    "case_id": "c-1",
    "portfolio": "cartera-a",
    "creditor": "banco-a",
    "lat_e7": DOOR[0],
    "lon_e7": DOOR[1],
    "radius_m": 40,
    "place_quality": "confirmed",
}


def _log(tmp_path: Path, walk: Walk) -> Path:
    path = tmp_path / "walk.nmea"
    path.write_bytes(b"".join(said for _, said in walk.nmea()))
    return path


@pytest.fixture
def walk() -> Walk:
    walk = Walk(MIRAFLORES["parque"], START, 3)
    walk.indoors(5)
    walk.stand(10)
    walk.go(DOOR)
    walk.stand(120)
    return walk


@pytest.fixture
def visit_files(tmp_path: Path, walk: Walk) -> dict[str, Path]:
    """A log, a case at the door and a script of one visit."""
    case, script = tmp_path / "case.json", tmp_path / "script.jsonl"
    case.write_text(json.dumps(CASE))
    at_door = next(leg.to_ms for leg in walk._legs if leg.kind == "walk")
    acts = [
        (0, "check_in", {"case_id": "c-1"}),
        (at_door, "check_in", {"case_id": "c-1"}),
        (at_door + 20_000, "answer", {"id": "quien", "value": "titular"}),
        (at_door + 40_000, "close", {"outcome": "sin_acuerdo", "ask_fix": True}),
    ]
    lines = [json.dumps({"at_ms": ms, "intent": name, "args": args}) for ms, name, args in acts]
    script.write_text("\n".join(lines))
    return {"nmea": _log(tmp_path, walk), "case": case, "script": script}


def _oracle(data: bytes) -> dict[str, int]:
    """Counts by a few lines of Python that share nothing with the firmware."""
    counts = {"sentences": 0, "fixes": 0, "losses": 0}
    epochs: dict[bytes, set[str]] = {}
    heard = b"\n".join(line for line in data.splitlines() if not line.startswith(b"#"))
    sentence = rb"\$([A-Z]{5}|P[A-Z0-9]+),([^$*\r\n]*)\*([0-9A-F]{2})"
    for found in re.finditer(sentence, heard):
        if functools.reduce(lambda a, b: a ^ b, found[0][1:-3]) != int(found[3], 16):
            continue
        counts["sentences"] += 1
        kind, fields = found[1][2:], found[2].split(b",")
        if kind == b"RMC" and fields[1] == b"A":
            epochs.setdefault(fields[0], set()).add("A")
        if kind == b"GGA" and fields[5] not in (b"", b"0"):
            epochs.setdefault(fields[0], set()).add("fix")
    counts["fixes"] = sum(seen == {"A", "fix"} for seen in epochs.values())
    return counts


@pytest.mark.parametrize(
    ("name", "losses", "entries"),
    [
        ("quectel-l76k-nmea", 0, 2),
        ("neo-m8n", 0, 2),
        ("rx210", 0, 3),
        ("haicom-305N", 0, 5),
        ("quectel-eg25-g", 2, None),
        ("bu353-glonass", None, None),
        ("gp-320fw-2019-04-07-coldboot", 1, 1),
    ],
)
def test_real_logs(data: Path, name: str, losses: int | None, entries: int | None) -> None:
    """Sentences and fixes as an independent count has them; one position every 15 s is kept."""
    log = data / "nmea" / f"{name}.log"
    found = handheld_sim.run(Options(log)).data
    expected = _oracle(log.read_bytes())
    assert found["sentences"] == expected["sentences"]
    assert found["fixes"] == expected["fixes"]
    assert losses is None or found["losses"] == losses
    assert entries is None or found["entries"]["fix"] == entries
    assert found["heap"]["peak"] < found["heap"]["total"] < 200_000
    if name.startswith("gp-320fw"):
        assert found["checksum_errors"] == 21
    else:
        assert found["checksum_errors"] == 0


def test_last_position_is_the_oracles(data: Path) -> None:
    """gpsd's own reading of the same log, which ends an epoch earlier: within half a metre."""
    log = data / "nmea" / "neo-m8n.log"
    found = handheld_sim.run(Options(log)).data
    rows = [
        json.loads(line)
        for line in Path(f"{log}.chk").read_text().splitlines()
        if line.startswith('{"class":"TPV"')
    ]
    last = [row for row in rows if row.get("mode", 0) >= 2 and "lat" in row][-1]
    assert abs(found["last_position"]["lat_e7"] - last["lat"] * 1e7) < 50
    assert abs(found["last_position"]["lon_e7"] - last["lon"] * 1e7) < 70
    assert found["first_fix"]["time"] < found["last_position"]["time"]


def test_a_walk_is_replayed_and_leaves_nothing_behind(
    tmp_path: Path, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second is an epoch, every 15 s an entry; the passing handheld's folder goes away."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    found = handheld_sim.run(Options(_log(tmp_path, walk))).data
    seconds = walk.ms // 1000
    said = sum(data.count(b"$") for _, data in walk.nmea())
    assert found["fixes"] == seconds - 5 and found["sentences"] == said
    assert found["entries"]["fix"] == -(-(seconds - 5) // 15)
    assert found["entries"]["visit"] == 0 and "visits" not in found and "sync" not in found
    assert found["first_fix"]["time"] == "2026-09-15T13:00:06Z"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_visit_is_recorded(visit_files: dict[str, Path]) -> None:
    """Refused from afar, opened at the door, closed; what lies on flash verifies."""
    outcome = handheld_sim.run(Options(**visit_files))
    found = outcome.data
    codes = [row["result"]["code"] for row in found["script"]]
    assert codes == ["shift_started", "refused_outside", "opened_inside", "answered", "saved"]
    assert outcome.failed is None and found["entries"]["visit"] == 2
    refused, closed = found["visits"]
    assert refused["ended"] == "refused" and refused["check_in"]["verdict"] == "outside"
    assert closed["ended"] == "closed" and closed["opened"] == "inside"
    assert closed["check_in"]["verdict"] == "inside" and closed["close"]["verdict"] == "inside"
    assert closed["outcome"] == "sin_acuerdo" and closed["case_id"] == "c-1"
    assert closed["visit_id"] == found["script"][-1]["result"]["visit_id"]
    sealed = reading.parse(base64.b64decode(closed["evidence"]))
    assert sealed.header.device == found["device"]
    assert closed["parts"] == [segment.EVIDENCE, segment.ANSWERS]


def test_a_visit_is_verified_with_the_key_it_leaves(
    tmp_path: Path, visit_files: dict[str, Path]
) -> None:
    """`ronda evidence verify` takes both as they come, with no gateway and no database."""
    found = handheld_sim.run(Options(**visit_files, storage=tmp_path / "dir")).data
    evidence = tmp_path / "evidence"
    evidence.write_text(found["visits"][-1]["evidence"])
    result = CliRunner().invoke(
        cli_evidence.app, ["verify", str(evidence), "--key", found["public_key"]]
    )
    assert result.exit_code == 0, result.output
    raw = bytearray(base64.b64decode(found["visits"][-1]["evidence"]))
    raw[-1] ^= 1
    evidence.write_bytes(raw)
    result = CliRunner().invoke(
        cli_evidence.app, ["verify", str(evidence), "--key", found["public_key"]]
    )
    assert result.exit_code == 1, result.output


def test_a_script_without_a_fix_fails(tmp_path: Path, visit_files: dict[str, Path]) -> None:
    """Exit 1: what was asked for was not done."""
    walk = Walk(MIRAFLORES["parque"], START)
    walk.indoors(30)
    visit_files["nmea"] = _log(tmp_path, walk)
    outcome = handheld_sim.run(Options(**visit_files))
    assert outcome.failed == "sim.no_fix" and outcome.data["script"] == []


@pytest.fixture
def home(tmp_path: Path) -> site.Site:
    return site.init(tmp_path / "site", "lima", now=int(time.time()))


def test_provisioning_happens_once(tmp_path: Path, walk: Walk, home: site.Site) -> None:
    """Key, root, enrolment and enabling the first time; the same key the second time."""
    options = Options(_log(tmp_path, walk), tmp_path / "dir", site=home.folder, device="sim-01")
    first = handheld_sim.run(options).data
    key = (tmp_path / "dir" / "nv" / "key").read_bytes()
    for name in ("nv", "nv/key", "flash.img", "journal.jsonl"):
        assert not (tmp_path / "dir" / name).stat().st_mode & 0o077, name
    second = handheld_sim.run(options).data
    assert (tmp_path / "dir" / "nv" / "key").read_bytes() == key
    assert first["log"] == second["log"] and first["device"] == "sim-01"
    assert first["public_key"] == str(tmp_path / "dir" / "sim-01.pub.pem")
    assert "PUBLIC KEY" in Path(first["public_key"]).read_text()
    assert provision.owner(tmp_path / "dir") == ("sim-01", home.root_thumbprint)
    database = store.open_store(home.settings.database_path)
    listed = fleet.listing(database)
    database.close()
    assert [(one.id, one.state) for one in listed] == [("sim-01", fleet.ENABLED)]
    # Without the site it is still that handheld.
    third = handheld_sim.run(Options(options.nmea, options.storage)).data
    assert third["device"] == "sim-01" and third["log"] == first["log"]


def test_an_interrupted_provisioning_is_completed(
    tmp_path: Path, home: site.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key was made and the enrolment did not happen: the next run does it, with that key."""
    now = int(time.time())
    with monkeypatch.context() as patch:
        patch.setattr(provision, "enrol", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            provision.provision(tmp_path / "dir", home, "sim-01", now=now)
    key = (tmp_path / "dir" / "nv" / "key").read_bytes()
    provision.provision(tmp_path / "dir", home, "sim-01", now=now)
    assert (tmp_path / "dir" / "nv" / "key").read_bytes() == key
    database = store.open_store(home.settings.database_path)
    assert fleet.show(database, "sim-01").state == fleet.ENABLED
    database.close()


def test_a_revoked_handheld_stays_revoked(tmp_path: Path, home: site.Site) -> None:
    """Running it again does not bring it back."""
    now = int(time.time())
    provision.provision(tmp_path / "dir", home, "sim-01", now=now)
    database = store.open_store(home.settings.database_path)
    fleet.revoke(database, "sim-01", now)
    provision.provision(tmp_path / "dir", home, "sim-01", now=now)
    assert fleet.show(database, "sim-01").state == fleet.REVOKED
    database.close()


def test_somebody_elses_storage_is_refused(tmp_path: Path, walk: Walk, home: site.Site) -> None:
    """Another device's, another site's; nothing in it is touched."""
    options = Options(_log(tmp_path, walk), tmp_path / "dir", site=home.folder, device="sim-01")
    handheld_sim.run(options)
    before = {p: p.read_bytes() for p in (tmp_path / "dir").rglob("*") if p.is_file()}
    other = site.init(tmp_path / "other", "cusco", now=int(time.time()))
    for change, code in (
        ({"device": "sim-02"}, "provision.other_device"),
        ({"site": other.folder}, "provision.other_site"),
        ({"device": "No!"}, "provision.device"),
    ):
        with pytest.raises(UsedWrong) as caught:
            handheld_sim.run(replace(options, **change))  # type: ignore[arg-type]
        assert caught.value.code == code
    after = {p: p.read_bytes() for p in (tmp_path / "dir").rglob("*") if p.is_file()}
    assert before == after


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


def test_a_visit_reaches_the_gateway(
    tmp_path: Path, visit_files: dict[str, Path], broker: Broker
) -> None:
    """Every segment is receipted; the gateway holds the very bytes, and they verify."""
    home = site.init(tmp_path / "site", "lima", broker.host, broker.port, int(time.time()))
    gateway = Gateway(home.settings)
    gateway.start()
    try:
        outcome = handheld_sim.run(
            Options(
                **visit_files,
                storage=tmp_path / "dir",
                site=home.folder,
                device="sim-01",
                broker=(broker.host, broker.port),
            )
        )
        found = outcome.data
        assert outcome.failed is None
        assert found["sync"]["unsent"] == 0
        assert found["sync"]["segments"] == found["sync"]["received"] == 3
        database = store.open_store(home.settings.database_path)
        stored = {s.raw for s in database.segments("sim-01")}
        database.close()
    finally:
        gateway.stop()
    assert len(stored) == found["sync"]["segments"]
    public = provision.provision(tmp_path / "dir", home, "sim-01", now=int(time.time()))
    for row in found["visits"]:
        raw = base64.b64decode(row["evidence"])
        assert raw in stored
        assert cose.verify(reading.parse(raw).sign1, public, verify_digest)


def test_without_a_gateway_it_says_how_many(
    tmp_path: Path,
    visit_files: dict[str, Path],
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broker and nobody behind it: exit 1 after the limit, and nothing is lost."""
    monkeypatch.setattr(handheld_sim, "DRAIN_LIMIT_S", 3.0)
    home = site.init(tmp_path / "site", "lima", broker.host, broker.port, int(time.time()))
    arguments = ["sim", "--storage", str(tmp_path / "dir"), "--site", str(home.folder)]
    arguments += ["--device", "sim-01", "--broker", broker.url, "--json"]
    for name, path in visit_files.items():
        arguments += [f"--{name}", str(path)]
    result = CliRunner().invoke(cli_handheld.app, arguments)
    assert result.exit_code == 1
    found = _printed(result.stdout)
    assert found["sync"]["received"] == 0 and found["sync"]["unsent"] == 3
    assert "0 de 3" in result.stderr and "Traceback" not in result.stderr
    # The gateway comes: a second run brings the first one's segments too.
    gateway = Gateway(home.settings)
    gateway.start()
    try:
        again = CliRunner().invoke(cli_handheld.app, arguments)
    finally:
        gateway.stop()
    assert again.exit_code == 0
    assert _printed(again.stdout)["sync"]["unsent"] == 0


def _printed(stdout: str) -> dict[str, Any]:
    """The one line of JSON; a gateway in this process logs beside it."""
    [line] = [line for line in stdout.splitlines() if line.startswith("{")]
    return json.loads(line)


def _used_wrong(*arguments: str) -> str:
    """stderr of a command that must exit with 2 and without a traceback."""
    result = CliRunner().invoke(cli_handheld.app, ["sim", *arguments])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    return result.stderr


def test_bad_input_is_one_error_and_exit_2(
    tmp_path: Path, walk: Walk, visit_files: dict[str, Path], home: site.Site
) -> None:
    """Each says what is wrong and what to do; nothing is provisioned by it."""
    nmea, storage = str(visit_files["nmea"]), tmp_path / "dir"
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)) * 100)
    bad_case = tmp_path / "bad"
    bad_case.write_text("{}")
    here, there = str(storage), str(home.folder)
    for arguments, told in (
        (["--nmea", str(tmp_path / "none")], "no existe"),
        (["--nmea", str(tmp_path)], "carpeta"),
        (["--nmea", str(empty)], "vacío"),
        (["--nmea", str(binary)], "NMEA"),
        (["--nmea", nmea, "--case", str(bad_case)], "case_id"),
        (["--nmea", nmea, "--script", str(bad_case)], "at_ms"),
        (["--nmea", nmea, "--script", str(visit_files["script"])], "--case"),
        (["--nmea", nmea, "--storage", here, "--site", there], "--device"),
        (["--nmea", nmea, "--site", there, "--device", "sim-01"], "--storage"),
        (["--nmea", nmea, "--storage", here, "--site", there, "--device", "X"], "«X»"),
        (
            ["--nmea", nmea, "--storage", here, "--site", str(tmp_path / "no"), "--device", "abc"],
            "no existe",
        ),
        (["--nmea", nmea, "--broker", "http://127.0.0.1"], "http://127.0.0.1"),
        (["--nmea", nmea, "--broker", "mqtt://:1883"], "broker"),
        (["--nmea", nmea, "--broker", "mqtt://h:99999"], "broker"),
        (["--nmea", nmea, "--broker", "mqtt://u:p@127.0.0.1:1883"], "--broker"),
        (["--nmea", nmea, "--storage", here, "--broker", "mqtt://127.0.0.1:1883"], "--site"),
        (["--nmea", nmea, "--storage", str(empty)], "almacenamiento"),
    ):
        said = _used_wrong(*arguments)
        assert told in said and "Traceback" not in said, (arguments, said)
    assert not storage.exists()


def test_a_broker_that_is_not_there(tmp_path: Path, walk: Walk, home: site.Site) -> None:
    """Exit 2 at once, naming host and port."""
    port = free_port()
    said = _used_wrong(
        *("--nmea", str(_log(tmp_path, walk)), "--storage", str(tmp_path / "dir")),
        *("--site", str(home.folder), "--device", "sim-01"),
        *("--broker", f"mqtt://127.0.0.1:{port}"),
    )
    assert f"127.0.0.1:{port}" in said


def test_a_local_handheld_cannot_sync(tmp_path: Path, walk: Walk) -> None:
    """A storage made without a site keeps a local one: usable again, not with a broker."""
    nmea, storage = str(_log(tmp_path, walk)), str(tmp_path / "dir")
    for _ in range(2):
        result = CliRunner().invoke(
            cli_handheld.app, ["sim", "--nmea", nmea, "--storage", storage]
        )
        assert result.exit_code == 0, result.output
        assert "sentencias válidas" in result.stdout
    _used_wrong("--nmea", nmea, "--storage", storage, "--broker", "mqtt://127.0.0.1:1")


def test_a_damaged_flash_is_an_error_not_a_format(tmp_path: Path, walk: Walk) -> None:
    """Exit 1 with the firmware's words; the image stays as it is."""
    nmea, storage = _log(tmp_path, walk), tmp_path / "dir"
    handheld_sim.run(Options(nmea, storage))
    image = storage / "flash.img"
    image.write_bytes(b"\x00" * (2 << 20))
    result = CliRunner().invoke(
        cli_handheld.app, ["sim", "--nmea", str(nmea), "--storage", str(storage)]
    )
    assert result.exit_code == 1 and "OSError" in result.stderr
    assert image.read_bytes() == b"\x00" * (2 << 20)


def test_results_depend_on_no_machine_and_no_step(tmp_path: Path, walk: Walk) -> None:
    """The same morning in steps of 137 ms, 1 s and a minute: the same entries, bit for bit."""
    now = int(time.time())
    home = site.init(tmp_path / "site", "lima", now=now)
    provision.provision(tmp_path / "dir", home, "sim-01", now=now)
    walk.stand(1200)
    journals: list[list[tuple[Any, ...]]] = []
    built = build()  # once: the sources may be edited while the test runs
    for step_ms in (137, 1000, 60_000):
        storage = tmp_path / f"dir-{step_ms}"
        shutil.copytree(tmp_path / "dir", storage)
        with Conductor(START, step_ms=step_ms) as conductor:
            conductor.add(Handheld("h", Vm(storage, built=built), nmea=walk.nmea(), link=Link([])))
            conductor.run(walk.ms + 60_000)
            conductor.finish()
        rows = [json.loads(line) for line in (storage / "journal.jsonl").read_text().splitlines()]
        journals.append([(row["kind"], row["number"], row["digest"]) for row in rows])
    assert journals[0] == journals[1] == journals[2]
    assert sum(kind == "fix" for kind, _, _ in journals[0]) > 80


def test_an_open_visit_of_the_last_run_is_sealed_and_listed(
    visit_files: dict[str, Path], tmp_path: Path
) -> None:
    """A run that ended with a visit open: the next one seals it as interrupted, and says so."""
    acts = visit_files["script"].read_text().splitlines()
    visit_files["script"].write_text("\n".join(acts[:3]))
    options = Options(**visit_files, storage=tmp_path / "dir")
    first = handheld_sim.run(options).data
    assert [row["ended"] for row in first["visits"]] == ["refused"]
    visit_files["script"].write_text('{"at_ms": 0, "intent": "status"}')
    second = handheld_sim.run(options).data
    assert [row["ended"] for row in second["visits"]] == ["interrupted"]
    assert second["entries"]["visit"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: exit 1 in one line, the VM gone, the passing folder removed."""
    walk = Walk(MIRAFLORES["parque"], START, 3)
    walk.stand(15_000)
    log = _log(tmp_path, walk)
    (tmp_path / "tmp").mkdir()
    code = "from ronda_tools.cli import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "handheld", "sim", "--nmea", str(log)],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp"), "RONDA_LANG": "es"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((tmp_path / "tmp").glob("*/journal.jsonl")):
        time.sleep(0.05)
    running.send_signal(number)
    said, errors = running.communicate(timeout=60)
    assert running.returncode == 1 and said == ""
    assert errors.strip() == "ronda: Interrumpido."
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_script_corrects_the_visit_it_closed(visit_files: dict[str, Path]) -> None:
    """The visit stays as it was sealed; the correction is sealed beside it."""
    script = visit_files["script"]
    last = json.loads(script.read_text().splitlines()[-1])["at_ms"]
    right = {"field": "outcome", "value": "mudado", "reason": "lo dijo un vecino"}
    more = [
        {"at_ms": last + 1000, "intent": "correct", "args": {"case_id": "c-1", **right}},
        {"at_ms": last + 2000, "intent": "correct", "args": {"case_id": "c-9", **right}},
    ]
    script.write_text("\n".join([script.read_text(), *map(json.dumps, more)]))
    found = handheld_sim.run(Options(**visit_files)).data
    assert [row["result"]["code"] for row in found["script"][-2:]] == ["saved", "unknown_visit"]
    visit = next(row for row in found["visits"] if row["ended"] == "closed")
    assert visit["outcome"] == "sin_acuerdo"
    (row,) = found["corrections"]
    assert row["visit_id"] == visit["visit_id"] and row["reason"] == "lo dijo un vecino"
    assert found["entries"]["correction"] == 1
    sealed = reading.parse(base64.b64decode(row["evidence"]))
    assert sealed.header.body == segment.CORRECTION_BODY

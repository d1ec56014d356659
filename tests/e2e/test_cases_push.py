"""`ronda cases push` on real parts: broker, gateway, firmware. An open visit stays as it is."""

import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from ronda_gateway import deliveries, site
from ronda_gateway.gateway import Gateway
from ronda_gateway.store import open_store
from ronda_tools import provision
from ronda_tools.broker import Broker
from ronda_tools.cli import build
from ronda_tools.conductor import Conductor, Handheld, Script
from ronda_tools.synth import MIRAFLORES, Walk
from ronda_tools.vm import Vm
from typer.testing import CliRunner

START = 1789477200
DEVICE = "lima-01"


def a_case(case_id: str) -> dict[str, Any]:
    lat, lon = MIRAFLORES["parque"]
    place = [1, 1, 0, lat, lon, 400]
    named = {"case_id": case_id, "portfolio": "banco-andino", "creditor": "andino"}
    return {**named, "place": place, "order": 1, "currency": "PEN"}


def gestor(pushed: list[bool]) -> Script:
    """Checks in by the old set, closes after the new one came, and finds the new case."""
    yield 5000
    yield ("shift_start", {"gestor": "g-1"})
    yield 60_000
    yield ("check_in", {"case_id": "C-OLD"})
    now: int = 60_000
    while not pushed:
        now = yield now + 1000
    yield ("close", {"outcome": "ausente", "answers": {"quien": "nadie"}})
    yield ("check_in", {"case_id": "C-OLD"})
    yield ("check_in", {"case_id": "C-NEW"})


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    yield tmp_path


def test_a_new_set_reaches_a_handheld_at_work(folder: Path) -> None:
    pushed: list[bool] = []
    with Broker() as broker, Conductor(START) as conductor:
        made = site.init(folder / "site", "lima", broker.host, broker.port, conductor.now())
        storage = folder / DEVICE
        now = conductor.now()
        cases = [a_case("C-OLD")]
        provision.provision(storage, made, DEVICE, now=now, cases=cases, expires_at=now + 86400)
        walk = Walk(MIRAFLORES["parque"], START, 3)
        walk.stand_until(900_000)
        with Gateway(made.settings, clock=conductor) as gateway:
            assert gateway.wait_connected(60)
            handheld = conductor.add(
                Handheld(DEVICE, Vm(storage), nmea=walk.nmea(), script=gestor(pushed))
            )
            conductor.run(90_000)
            path = folder / "cases.json"
            path.write_text(json.dumps({"round": "r-2", "cases": [a_case("C-NEW")]}))
            config = ["--config", str(made.config)]
            told = _ronda("cases", "push", str(path), "--device", DEVICE, "--wait", "0", *config)
            assert told["state"] == "waiting"
            until = time.monotonic() + 120
            while _delivery(made).state != deliveries.APPLIED and time.monotonic() < until:
                conductor.run(conductor.ms + 1000)
                time.sleep(0.05)
            assert _delivery(made).state == deliveries.APPLIED, _delivery(made)
            pushed.append(True)
            conductor.run(conductor.ms + 5000)
            conductor.drain()
            listed = _ronda("cases", "list", *config)
            assert [one["state"] for one in listed] == ["applied"]
            version = listed[0]["version"]
            codes = [answer["code"] for _, _, _, answer in handheld.answers]
            assert codes[-3:] == ["saved", "no_case", "opened_inside"], handheld.answers
            visits = list(gateway.store.segments(DEVICE))
            conductor.finish()
    # The visit that was open names the set it was opened with.
    from ronda_protocol import reading, segment

    found = [reading.parse(one.raw) for one in visits]
    closed = [one for one in found if one.header.body == segment.VISIT_BODY]
    evidence = reading.decode_evidence(closed[0].parts[segment.EVIDENCE])
    assert evidence["case_id"] == "C-OLD" and evidence["cases_version"] != version


def _delivery(made: site.Site) -> deliveries.Delivery:
    store = open_store(made.settings.database_path)
    try:
        return deliveries.listing(store, DEVICE)[0]
    finally:
        store.close()


def _ronda(*arguments: str) -> Any:
    result = CliRunner().invoke(build(arguments), [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_is_no_set_of_cases_is_explained(folder: Path) -> None:
    made = site.init(folder / "site", "lima", now=START)
    config = ["--config", str(made.config)]
    path = folder / "cases.json"
    runner = CliRunner()
    for content in ("", "[", "7", '[{"case_id": 1}]', json.dumps([a_case("C-1")])):
        path.write_text(content)
        words = ["cases", "push", str(path), "--device", "nobody", "--wait", "0", *config]
        result = runner.invoke(build(words), words)
        assert result.exit_code == 2 and result.output.startswith("ronda: "), content
    missing = ["cases", "push", str(folder / "none"), "--device", "nobody", *config]
    assert runner.invoke(build(missing), missing).exit_code == 2
    words = ["cases", "list", *config]
    result = runner.invoke(build(words), words)
    assert result.exit_code == 0 and "paquete" in result.output

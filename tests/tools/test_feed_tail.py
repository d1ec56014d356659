"""`ronda feed tail` reads like sentences, survives its broker, and says where it tries."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from ronda_gateway.feed import Feed, fix_rows
from ronda_gateway.judge import judge
from ronda_gateway.pipeline import Accepted, Device, judge_bytes
from ronda_protocol import visit
from ronda_tools import cli_feed
from ronda_tools.broker import Broker, free_port
from ronda_tools.cli_feed import app
from ronda_tools.feed_tail import Address, Tail, address, parse
from ronda_tools.feed_words import sentence
from ronda_tools.reconcile import from_event, from_segment
from ronda_tools.texts import UsedWrong
from sealed import track_segment, visit_segment
from typer.testing import CliRunner

FEED = Feed("ronda/lima")


def accepted(raw: bytes, public: bytes, kid: bytes) -> Accepted:
    """What the gateway's pipeline makes of a sealed segment."""
    device = Device("eq-1", "enabled", {kid: public})
    found = judge_bytes("eq-1", raw, lambda _: device)
    assert isinstance(found, Accepted), found
    return found


def visit_event(**more: object) -> dict[str, Any]:
    """The feed event of a sealed visit."""
    raw, signer = visit_segment(**more)
    found = accepted(raw, signer.public, signer.kid)
    assert found.visit is not None
    verdicts = judge(found.visit.evidence, "linked", 50, 300).verdicts
    return json.loads(FEED.visit(found, verdicts, 1789477300)[-1])


def track_events() -> tuple[bytes, list[dict[str, Any]]]:
    """A track segment and its three feed events."""
    raw, signer = track_segment()
    found = accepted(raw, signer.public, signer.kid)
    rows = FEED.entries(found, 1789477300, fix_rows(1, found))
    return raw, [json.loads(row[-1]) for row in rows]


def test_a_visit_reads_as_a_sentence() -> None:
    told = sentence(visit_event())
    for words in (
        "2026-09-15 13:01:06 UTC, eq-1, caso C-1 (cartera banco-a): visita cerrada",
        "en la puerta: dentro, a 25,0 m del borde (precisión 5,0 m, 5 posiciones)",
        "se abrió dentro del cerco",
        "resultado: ",
        "PEN 1.250,00 el 2026-09-30",
        "ley no evaluada",
    ):
        assert words in told, told
    refused = visit_event(
        ended=visit.REFUSED,
        opened=visit.OPENED_REFUSED,
        attempts=2,
        outcome=None,
        close=None,
        check_in_verdict=[2, 300, 50, 5, 0],
    )
    told = sentence(refused, lambda unix: f"<{unix}>")
    assert "<1789477266>" in told
    assert "visita rechazada" in told and "2 intento(s)" in told
    assert "el equipo dijo: fuera" in told
    blind = visit_event(check_in_verdict=[3, None, None, 0, 1], check_in_fixes=[0, b""])
    assert "sin posición utilizable (sin señal GPS)" in sentence(blind)


def test_track_events_read_as_sentences_and_rebuild_their_entries() -> None:
    raw, events = track_events()
    told = [sentence(event) for event in events]
    assert "3 posiciones (segmento 1)" in told[0] and "-12.1200000" in told[0]
    assert "batería 3900 mV, 80 %, a batería" in told[1]
    assert "registro recuperado" in told[2]
    rebuilt = {entry for event in events for entry in (from_event(event) or ([],))[2]}
    assert rebuilt == set(from_segment(raw).entries)


def test_an_alert_and_a_later_verdict_read_as_sentences() -> None:
    data = {"severity": "alarm", "device": "eq-1", "text": "fork", "todo": "mire"}
    assert sentence({"type": "ronda.alert", "data": data}) == "ALARMA de eq-1: fork -> mire."
    event = visit_event()
    verdict = {
        "visit_id": event["id"],
        "version": 1,
        "changed": "chain",
        "reason": "gap_filled",
        "case_id": "C-1",
        "portfolio": "banco-a",
        "verdicts": event["data"]["verdicts"],
    }
    told = sentence({"type": "ronda.visit.verdict", "data": verdict})
    assert "cambio 1" in told and "la cadena" in told
    correction = {"field": "outcome", "original": "promesa", "value": "ausente"}
    correction |= {"gestor": "G-07", "reason": "error"}
    verdict |= {"changed": "correction", "reason": "corrected", "correction": correction}
    told = sentence({"type": "ronda.visit.verdict", "data": verdict})
    assert "caso C-1, cartera banco-a" in told
    assert "G-07 corrige el resultado: decía «promesa de pago», debe decir «nadie en casa»" in told
    assert "porque: error" in told


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "ronda.visit"},
        {"type": "ronda.visit", "data": []},
        {"type": "ronda.visit", "data": {"check_in": 5, "verdicts": None}},
        {"type": "ronda.positions", "data": {"device": "x", "entries": []}},
        {"type": "ronda.alert", "data": {"severity": "huge", "device": "x"}},
        {"type": "\x1b[2J", "id": "\n\n", "data": {}},
        {"type": ["a"], "data": {}},
    ],
)
def test_what_cannot_be_told_is_said_to_be_so(event: dict[str, Any]) -> None:
    told = sentence(event)
    assert "no sabe contar" in told
    assert told.isprintable()


def test_addresses() -> None:
    assert address("mqtt://h:1884") == Address("h", 1884)
    assert address("h") == Address("h", 1883)
    assert address("mqtt://u:p%40@h:1/ronda/lima") == Address("h", 1, "u", "p@", "ronda/lima")
    assert address("mqtt://[::1]:5").host == "::1"
    for bad in ("", "http://h", "mqtts://h", "mqtt://h:0", "mqtt://h:99999", "mqtt://h:x", "//["):
        with pytest.raises(UsedWrong):
            address(bad)
    assert parse(b"\xff") is None
    assert parse(b"[" * 100000) is None
    assert parse(b"[]") is None


@pytest.fixture
def publisher() -> Iterator[Any]:
    """publish(port, topic, payload), QoS 1, and wait for it."""
    clients: list[mqtt.Client] = []

    def publish(port: int, topic: str, payload: bytes) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        clients.append(client)
        client.connect("127.0.0.1", port)
        client.loop_start()
        client.publish(topic, payload, qos=1).wait_for_publish(10)

    yield publish
    for client in clients:
        client.disconnect()
        client.loop_stop()


def test_it_waits_for_its_broker_and_comes_back_after_a_restart(publisher: Any) -> None:
    port = free_port()
    told: list[str] = []
    tail = Tail(Address("127.0.0.1", port), told.append)
    tail.start()
    try:
        assert not tail.wait_connected(0.3)
        assert f"127.0.0.1:{port}" in told[0]
        for payload in (b"one", b"two"):
            with Broker(port):
                assert tail.wait_connected(15)
                publisher(port, "ronda/lima/feed/site/alerts", payload)
                publisher(port, "ronda/lima/up/eq-1", b"not for us")
                assert tail.next(10) == ("ronda/lima/feed/site/alerts", payload)
            deadline = time.monotonic() + 10
            while tail.wait_connected(0) and time.monotonic() < deadline:
                time.sleep(0.05)
        with pytest.raises(Empty):
            tail.next(0.01)
    finally:
        tail.stop()
    assert any("otro intento" in line for line in told)


def test_the_command_prints_events_and_ends_after_count(publisher: Any) -> None:
    code = "from ronda_tools.cli_feed import app; app()"
    with Broker() as broker:
        command = [sys.executable, "-c", code, "tail", "--broker", broker.url, "--count", "3"]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert child.stderr and child.stdout
        try:
            while "Conectado" not in child.stderr.readline():
                assert child.poll() is None
            event = visit_event()
            publisher(broker.port, "ronda/x/feed/banco-a/visits", json.dumps(event).encode())
            publisher(broker.port, "ronda/x/feed/site/alerts", b"\x00\xff")
            publisher(broker.port, "ronda/x/feed/site/alerts", b"{}")
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0
    lines = out.splitlines()
    assert lines[0] == sentence(event)
    assert re.search(r"2 bytes", lines[1])
    assert "no sabe contar" in lines[2]


def test_ctrl_c_ends_it_cleanly_while_there_is_no_broker() -> None:
    port = free_port()
    code = "from ronda_tools.cli_feed import app; app()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "tail", "--broker", f"mqtt://127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stderr
        first = child.stderr.readline()
        assert f"127.0.0.1:{port}" in first
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, out) == (0, "")
    assert "Traceback" not in errors


def test_where_it_looks_for_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RONDA_CONFIG", raising=False)
    run = CliRunner()
    for arguments in (
        [],
        ["--broker", "mqtt://h", "--config", "x.toml"],
        ["--config", "missing.toml"],
        ["--broker", "https://h"],
        ["--count", "-1"],
    ):
        done = run.invoke(app, ["tail", *arguments])
        assert done.exit_code == 2, (arguments, done.output)
        assert done.stderr.strip()
    (tmp_path / "secret").write_text("clave\n")
    (tmp_path / "gateway.toml").write_text(
        '[site]\nname = "lima"\n[broker]\nhost = "b.example"\nport = 1884\n'
        '[feed]\nhost = "f.example"\nport = 1885\nusername = "u"\npassword_file = "secret"\n'
    )
    wanted = Address("f.example", 1885, "u", "clave", "ronda/lima")
    assert cli_feed._where(None, tmp_path / "gateway.toml") == wanted
    assert cli_feed._where(None, None) == wanted
    (tmp_path / "gateway.toml").write_text('[site]\nname = "lima"\n')
    assert cli_feed._where(None, None) == Address("127.0.0.1", 1883, root="ronda/lima")

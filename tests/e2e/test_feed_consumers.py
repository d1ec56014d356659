"""A feed consumer that hangs, talks nonsense or leaves slows nothing; banks see only theirs."""

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk_device import withhold
from feed_schemas import problems
from ronda_gateway import fleet, schema
from ronda_gateway.store import open_store
from ronda_protocol import segment
from ronda_tools.broker import free_port
from test_gateway_broker import ROOT, Field, up, wait_for

PATIENCE = 120.0


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def stuck(port: int, topic: str) -> socket.socket:
    """A subscriber at QoS 1 that never reads anything again, with as small a window as may be."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    raw.connect(("127.0.0.1", port))
    body = text("MQTT") + b"\x04\x02" + struct.pack(">H", 600) + text("stuck")
    raw.sendall(b"\x10" + bytes([len(body)]) + body)
    assert raw.recv(4)[:1] == b"\x20"
    body = b"\x00\x01" + text(topic) + b"\x01"
    raw.sendall(b"\x82" + bytes([len(body)]) + body)
    assert raw.recv(5)[:1] == b"\x90"
    return raw


def test_one_that_never_reads_holds_nobody_up(field: Field) -> None:
    device = field.device()
    gateway = field.start()
    office, handheld = field.back_office(), field.handheld()
    hanging = stuck(field.port, f"{ROOT}/feed/#")
    try:
        for raw in device.day(60):
            handheld.client.publish(up(device), raw, qos=1)
        assert field.receipted(handheld, 120).head == device.prev
        wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
    finally:
        hanging.close()
    ids: set[str] = set()

    def visits() -> bool:
        ids.update(e["id"] for e in office.events() if e["type"] == "ronda.visit")
        return len(ids) == 60

    wait_for(visits, PATIENCE)


def test_one_that_talks_nonsense_changes_nothing(field: Field) -> None:
    device = field.device()
    gateway = field.start()
    handheld, hostile = field.handheld(), field.client("hostile")
    topics = [f"{ROOT}/feed/site/alerts", f"{ROOT}/feed/banco-a/visits", f"{ROOT}/cmd/confirm"]
    topics += [f"{ROOT}/state/{device.id}", f"{ROOT}/state/nadie-01", f"{ROOT}/cmd/x/y"]
    for number, raw in enumerate(device.day(20)):
        for topic in topics:
            hostile.client.publish(topic, b"\x00garbage" * (number * 50), qos=1)
        handheld.client.publish(up(device), raw, qos=1)
    assert field.receipted(handheld, 40).head == device.prev
    assert gateway.wait_idle(PATIENCE)
    assert gateway.counters["stored"] == 40 and gateway.counters["quarantined"] == 0
    wait_for(lambda: gateway.counters["state_refused"] > 0, PATIENCE)
    # A forged state is shown, and nothing comes of it.
    hostile.send(f"{ROOT}/state/{device.id}", b'{"online":true,"seq":4000000,"unsent":9}')
    wait_for(lambda: fleet.show(gateway.store, device.id).said_seq == 4000000, PATIENCE)
    assert [row.max_seq for row in field.rows(schema.logs)] == [40]
    told = [json.loads(row.payload) for row in field.rows(schema.outbox)]
    assert {event["type"] for event in told} & {"ronda.alert"} == set()


def test_one_that_leaves_after_each_message(field: Field) -> None:
    device = field.device()
    gateway = field.start()
    handheld = field.handheld()
    first = field.back_office("restless")
    first.close()
    field.clients.remove(first)
    for number, raw in enumerate(device.day(10)):
        handheld.client.publish(up(device), raw, qos=1)
        if number % 4 == 0:
            restless = field.client("restless", clean=False, manual=True)
            field.clients.remove(restless)
            restless.close()
    assert field.receipted(handheld, 20).head == device.prev
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)


def test_a_back_office_broker_that_swallows_everything(field: Field) -> None:
    """It takes connections and never answers: rows stay, receipts go on; they leave later."""
    port = free_port()
    silent = socket.create_server(("127.0.0.1", port))
    device = field.device()
    field.gateway.stop()
    from ronda_gateway.gateway import Gateway

    field.gateway = Gateway(field.settings(feed={"host": "127.0.0.1", "port": port}))
    gateway = field.gateway.start()
    handheld = field.handheld()
    for raw in device.day(30):
        handheld.client.publish(up(device), raw, qos=1)
    try:
        assert field.receipted(handheld, 60).head == device.prev
        depth = gateway.store.outbox_depth()
        assert depth >= 60
    finally:
        silent.close()
        gateway.stop()
    # The same database with a broker that answers: everything leaves.
    gateway = field.start()
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)


def test_a_bank_sees_nothing_of_another(field: Field) -> None:
    device = field.device()
    field.start()
    mine = field.client("bank-a").subscribe(f"{ROOT}/feed/bank-a/#")
    every = field.client("agency").subscribe(f"{ROOT}/feed/#")
    handheld = field.handheld()
    secret = {"portfolio": "bank-b", "creditor": "Banco B", "case_id": "C-SECRETO"}
    gap = device.seal_track()
    ours = device.seal_visit(portfolio="bank-a", creditor="Banco A")
    theirs = device.seal_visit(answers={"quien": "SECRETO"}, outcome="SECRETO", **secret)
    whole = [ours, withhold(theirs, segment.ANSWERS), theirs]
    whole.append(device.seal_correction(3, "answers.quien", "SECRETO-2"))
    whole.append(device.seal_correction(3, "outcome", "SECRETO-3", gestor="G-99"))
    whole.append(device.seal_correction(2, "outcome", "ausente"))
    twin = device.clone()
    late = device.seal_visit(**secret)
    whole += [late, gap, twin.seal_visit(portfolio="bank-b", case_id="C-SECRETO-4")]
    for raw in whole:
        handheld.send(up(device), raw)
    store = open_store(field.site.settings.database_path)
    wait_for(lambda: store.outbox_depth() == 0, PATIENCE)
    store.close()
    seen: dict[str, dict[str, object]] = {}
    alone: dict[str, dict[str, object]] = {}

    def told() -> bool:
        seen.update({e["id"]: e for e in every.events()})
        return len(seen) == len(field.rows(schema.outbox))

    wait_for(told, PATIENCE)
    alone.update({e["id"]: e for e in mine.events()})
    assert all(problems(event) == [] for event in seen.values())
    types = {str(event["type"]) for event in alone.values()}
    assert types == {"ronda.visit", "ronda.visit.verdict"}
    assert "SECRETO" not in json.dumps(list(alone.values())) and len(alone) >= 3
    assert "bank-b" not in json.dumps(list(alone.values()))
    agency = [e for e in seen.values() if e["type"] not in types]
    kinds = {e["data"]["kind"] for e in agency if e["type"] == "ronda.alert"}  # type: ignore[index]
    assert {"gap", "fork", "correction_refused"} <= kinds
    told_to_all = json.dumps(agency)
    assert "SECRETO" not in told_to_all and "Banco" not in told_to_all

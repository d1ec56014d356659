"""The gateway on a real broker: commit before ack, receipts, the feed, kills and restarts.

The broker is iotcore in a process of its own; a second client stands in for handhelds and for
the back office. Everything is on loopback, on ports that were free a moment before.
"""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import sqlalchemy as sa
from desk_device import DeskDevice
from paho.mqtt.enums import CallbackAPIVersion
from ronda_gateway import fleet, keys, schema, site
from ronda_gateway.embedded import EmbeddedBroker
from ronda_gateway.gateway import Gateway
from ronda_gateway.settings import BrokerSettings, Settings
from ronda_gateway.store import open_store
from ronda_gateway.wording import SetupError
from ronda_protocol import cose, receipt
from ronda_tools.broker import free_port

ROOT = "ronda/lima"
PATIENCE = 20.0


class Client:
    """A paho client that keeps all it receives; acknowledges at once unless told not to."""

    def __init__(self, port: int, name: str, *, clean: bool = True, manual: bool = False) -> None:
        self.got: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.packets: list[mqtt.MQTTMessage] = []
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=clean,
            manual_ack=manual,
        )
        self.client.on_message = self._on_message
        self.client.max_inflight_messages_set(1000)
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()
        wait_for(self.client.is_connected)

    def _on_message(self, _client: mqtt.Client, _data: Any, packet: mqtt.MQTTMessage) -> None:
        self.packets.append(packet)
        self.got.put((packet.topic, packet.payload))

    def subscribe(self, topic: str) -> "Client":
        done: list[int] = []
        self.client.on_subscribe = lambda *_: done.append(1)
        self.client.subscribe(topic, qos=1)
        wait_for(lambda: bool(done))
        return self

    def send(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, qos=1).wait_for_publish(PATIENCE)

    def events(self) -> list[dict[str, Any]]:
        """What has arrived so far, decoded."""
        found: list[dict[str, Any]] = []
        while True:
            try:
                found.append(json.loads(self.got.get_nowait()[1]))
            except queue.Empty:
                return found

    def next(self) -> tuple[str, bytes]:
        return self.got.get(timeout=PATIENCE)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


class Field:
    """A site, a broker and what runs against them."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.site = site.init(folder / "site", "lima", port=self.port)
        self.broker = EmbeddedBroker(BrokerSettings(port=self.port))
        self.broker.start()
        self.gateway = Gateway(self.site.settings)
        self.clients: list[Client] = []

    def settings(self, **changes: dict[str, Any]) -> Settings:
        found = self.site.settings
        for section, values in changes.items():
            part = getattr(found, section).model_copy(update=values)
            found = found.model_copy(update={section: part}).at(self.site.folder)
        return found

    def start(self, **changes: dict[str, Any]) -> Gateway:
        self.gateway = Gateway(self.settings(**changes))
        self.gateway.start()
        assert self.gateway.wait_connected(PATIENCE)
        return self.gateway

    def client(self, name: str, **options: bool) -> Client:
        self.clients.append(Client(self.port, name, **options))
        return self.clients[-1]

    def device(self, name: str = "desk-01", *, enabled: bool = True) -> DeskDevice:
        made = DeskDevice(name)
        store = open_store(self.site.settings.database_path)
        fleet.enrol(store, name, made.public, 1)
        if enabled:
            fleet.enable(store, name, 1)
        store.close()
        return made

    def handheld(self, name: str = "desk-01") -> Client:
        return self.client(name).subscribe(f"{ROOT}/down/{name}")

    def back_office(self, name: str = "back-office") -> Client:
        return self.client(name, clean=False).subscribe(f"{ROOT}/feed/#")

    def said(self, handheld: Client) -> receipt.Receipt:
        topic, payload = handheld.next()
        sign1 = cose.parse(payload)
        assert cose.verify(sign1, self.site.signer().public, keys.verify_digest)
        said = receipt.decode_receipt(sign1.payload)
        assert topic == f"{ROOT}/down/{said.device}"
        return said

    def receipted(self, handheld: Client, upto: int) -> receipt.Receipt:
        """The first receipt that reaches `upto`."""
        while True:
            said = self.said(handheld)
            if said.upto >= upto:
                return said

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        store = open_store(self.site.settings.database_path)
        with store.read() as connection:
            found = list(connection.execute(sa.select(table)).all())
        store.close()
        return found

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.gateway.stop()
        self.broker.stop()


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def up(device: DeskDevice) -> str:
    return f"{ROOT}/up/{device.id}"


def test_a_visit_travels_to_the_back_office(field: Field) -> None:
    device = field.device()
    gateway = field.start()
    office, handheld = field.back_office(), field.handheld()
    for raw in device.day(2):
        handheld.send(up(device), raw)
    said = field.receipted(handheld, 4)
    assert said.log_id == device.log_id and said.head == device.prev
    assert gateway.wait_idle(PATIENCE)
    wait_for(lambda: office.got.qsize() == 8)
    topics = [topic for topic, _ in list(office.got.queue)]
    assert topics == [
        f"{ROOT}/feed/{name}"
        for _ in range(2)
        for name in ("site/positions", "site/battery", "site/events", "banco-a/visits")
    ]
    events = office.events()
    for event in events:
        assert event["specversion"] == "1.0" and event["source"] == ROOT
        assert event["datacontenttype"] == "application/json" and event["time"].endswith("Z")
    assert len({event["id"] for event in events}) == 8
    assert {row.state for row in field.rows(schema.outbox)} == {1}


def test_duplicates_shuffled_ten_times_add_nothing(field: Field) -> None:
    device = field.device()
    gateway = field.start()
    office, handheld = field.back_office(), field.handheld()
    day = device.day(5)
    again = day * 10
    random.Random(5).shuffle(again)
    for raw in again:
        handheld.client.publish(up(device), raw, qos=1)
    field.receipted(handheld, 10)
    wait_for(lambda: gateway.counters["messages"] == 100)
    assert gateway.wait_idle(PATIENCE)
    assert [row.raw for row in gateway.store.segments()] == day
    assert len(field.rows(schema.fixes)) == 150 and len(field.rows(schema.visits)) == 5
    wait_for(lambda: office.got.qsize() >= 20)
    visits = [e["id"] for e in office.events() if e["type"] == "ronda.visit"]
    assert sorted(visits) == sorted(set(visits)) and len(visits) == 5


def test_nothing_is_acknowledged_before_its_commit(field: Field) -> None:
    """A database that cannot be written: no receipt, no ack; redelivered and stored later."""
    device = field.device()
    gateway = field.start(database={"busy_ms": 300})
    handheld = field.handheld()
    first, second = device.seal_track(), device.seal_visit()
    handheld.send(up(device), first)
    assert field.said(handheld).upto == 1
    import sqlite3

    other = sqlite3.connect(field.site.settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    handheld.send(up(device), second)
    time.sleep(0.5)
    assert handheld.got.empty()
    # Killed before it could commit: stop() abandons the group, unacknowledged.
    gateway.stop()
    other.execute("ROLLBACK")
    other.close()
    assert len(field.rows(schema.segments)) == 1
    field.start()
    assert field.receipted(handheld, 2).upto == 2


def test_a_broken_database_heals_without_a_restart(field: Field) -> None:
    import sqlite3

    device = field.device()
    gateway = field.start(database={"busy_ms": 100})
    handheld = field.handheld()
    other = sqlite3.connect(field.site.settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for raw in device.day(3):
        handheld.send(up(device), raw)
    time.sleep(0.7)
    assert handheld.got.empty() and gateway.counters["stored"] == 0
    other.execute("ROLLBACK")
    other.close()
    assert field.receipted(handheld, 6).head == device.prev


def test_the_broker_dies_and_comes_back(field: Field) -> None:
    """The broker keeps nothing: what was not receipted is sent again, the outbox goes on."""
    device = field.device()
    field.start()
    day = device.day(4)
    handheld = field.handheld()
    for raw in day[:4]:
        handheld.send(up(device), raw)
    field.receipted(handheld, 4)
    handheld.close()
    field.broker.stop()
    time.sleep(0.3)
    field.broker.start()
    office, handheld = field.back_office(), field.handheld()
    assert field.gateway.wait_connected(PATIENCE)
    for raw in day:
        handheld.send(up(device), raw)
    assert field.receipted(handheld, 8).head == device.prev
    assert field.gateway.wait_idle(PATIENCE)
    wait_for(lambda: any(e[1].count(b"ronda.visit") for e in list(office.got.queue)))
    assert len(field.rows(schema.segments)) == 8


def test_events_wait_for_the_back_offices_own_broker(field: Field, tmp_path: Path) -> None:
    device = field.device()
    port = free_port()
    gateway = Gateway(field.settings(feed={"host": "127.0.0.1", "port": port}))
    field.gateway = gateway
    gateway.start()
    handheld = field.handheld()
    for raw in device.day(3):
        handheld.send(up(device), raw)
    field.receipted(handheld, 6)
    assert gateway.store.outbox_depth() == 12
    assert not gateway.wait_idle(0.3)
    other = EmbeddedBroker(BrokerSettings(port=port))
    other.start()
    try:
        office = Client(port, "office")
        office.subscribe(f"{ROOT}/feed/#")
        field.clients.append(office)
        assert gateway.wait_idle(PATIENCE)
        wait_for(lambda: office.got.qsize() == 12)
        ids = [event["id"].split("/")[2] for event in office.events()]
        assert ids == ["1", "1", "1", "2", "3", "3", "3", "4", "5", "5", "5", "6"]
    finally:
        gateway.stop()
        other.stop()


def test_an_event_too_large_is_set_aside_and_the_rest_goes_on(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed={"max_bytes": 4000})
    office, handheld = field.back_office(), field.handheld()
    answers = {f"q{i}": "x" * 200 for i in range(20)}
    for raw in (device.seal_visit(), device.seal_visit(answers=answers), device.seal_visit()):
        handheld.send(up(device), raw)
    field.receipted(handheld, 3)
    assert gateway.wait_idle(PATIENCE)
    wait_for(lambda: office.got.qsize() == 3)
    kinds = [e["data"].get("kind", e["id"][-2:]) for e in office.events()]
    assert sorted(kinds) == ["/1", "/3", "set_aside"]
    aside = [row for row in field.rows(schema.outbox) if row.state == 2]
    assert [row.event[-2:] for row in aside] == ["/2"]


def test_an_event_that_kills_the_connection_is_set_aside(field: Field) -> None:
    """feed.max_bytes is higher than what the broker takes: found out, not retried for ever."""
    device = field.device()
    gateway = field.start(feed={"max_bytes": 10_000_000})
    office, handheld = field.back_office(), field.handheld()
    handheld.send(up(device), device.seal_visit())
    field.receipted(handheld, 1)
    assert gateway.wait_idle(PATIENCE)
    huge = (None, "feed", f"{ROOT}/feed/banco-a/visits", "huge", 0, 1, None, b"x" * 2_000_000)
    with gateway.store.write() as connection:
        gateway.store.insert(connection, schema.outbox, [huge])
    handheld.send(up(device), device.seal_visit())
    assert gateway.wait_idle(60)
    wait_for(lambda: office.got.qsize() >= 3)
    assert [row.event for row in field.rows(schema.outbox) if row.state == 2] == ["huge"]
    events = office.events()
    assert [e["id"][-2:] for e in events if e["type"] == "ronda.visit"] == ["/1", "/2"]
    assert [e["data"]["kind"] for e in events if e["type"] == "ronda.alert"] == ["set_aside"]


def test_a_flood_of_junk_and_strangers_spares_the_honest(field: Field) -> None:
    device, other = field.device("desk-01"), field.device("desk-02")
    gateway = field.start(quarantine={"per_hour": 5})
    office, handheld = field.back_office(), field.handheld()
    rng = random.Random(2)
    flood = field.client("flood")
    for _ in range(300):
        topic = rng.choice(["desk-01", "desk-02", "nobody", "x" * 300, "ñandú", "$SYS"])
        flood.client.publish(f"{ROOT}/up/{topic}", rng.randbytes(rng.randint(0, 400)), qos=1)
    flood.client.publish(f"{ROOT}/up/desk-01", rng.randbytes(900_000), qos=1)
    flood.client.publish(f"{ROOT}/up/desk-01", other.seal_track(), qos=1)
    flood.client.publish(f"{ROOT}/up/desk-02", b"", qos=0)
    for raw in device.day(2):
        handheld.send(up(device), raw)
    assert field.receipted(handheld, 4).head == device.prev
    wait_for(lambda: gateway.counters["messages"] >= 306)
    assert gateway.wait_idle(PATIENCE)
    counts = field.rows(schema.quarantine)
    assert len(counts) <= 20
    told = sum(row.copies for row in counts) + sum(r.count for r in field.rows(schema.folded))
    assert told == gateway.counters["quarantined"] >= 302
    kinds = {e["data"]["kind"] for e in office.events() if e["type"] == "ronda.alert"}
    assert {"quarantined", "quarantine_folded"} <= kinds


def test_fork_gap_and_wrong_topic_on_the_wire(field: Field) -> None:
    device = field.device()
    field.device("desk-02")
    gateway = field.start()
    office, handheld = field.back_office(), field.handheld()
    stranger = field.handheld("desk-02")
    common = device.seal_track()
    twin = device.clone()
    mine, forked = device.seal_visit(), twin.seal_visit(outcome="ausente")
    device.seal_track()
    last = device.seal_visit()
    for raw in (common, mine, forked, last):
        handheld.send(up(device), raw)
    handheld.send(f"{ROOT}/up/desk-02", mine)
    assert gateway.wait_idle(PATIENCE)
    wait_for(lambda: office.got.qsize() >= 8)
    events = office.events()
    kinds = [e["data"]["kind"] for e in events if e["type"] == "ronda.alert"]
    assert sorted(kinds) == ["fork", "gap", "quarantined"]
    assert len([e for e in events if e["type"] == "ronda.visit"]) == 2
    said = field.receipted(handheld, 2)
    dispositions: list[Any] = list(said.dispositions)
    while not said.ranges:
        said = field.said(handheld)
        dispositions += said.dispositions
    assert [2, 2] in dispositions and said.ranges[0][:2] == [4, 4]
    assert stranger.got.empty()


def test_enabling_from_another_process_is_noticed(field: Field) -> None:
    device = field.device(enabled=False)
    gateway = field.start()
    handheld = field.handheld()
    for raw in device.day(1):
        handheld.send(up(device), raw)
    wait_for(lambda: gateway.counters["held"] == 2)
    assert handheld.got.empty()
    ronda = Path(sys.executable).with_name("ronda")
    config = str(field.site.config)
    subprocess.run([ronda, "fleet", "enable", device.id, "--config", config], check=True)
    assert field.receipted(handheld, 2).head == device.prev


# ---- the process -------------------------------------------------------------------------------


def run_gateway(field: Field, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [Path(sys.executable).with_name("ronda"), "gateway", "run", "--config", field.site.config],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def line_with(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"ended without {text}")


def test_killed_and_started_again_nothing_is_lost_or_doubled(field: Field) -> None:
    devices = [field.device(f"desk-{i:02}") for i in range(5)]
    days = {device.id: device.day(10) for device in devices}
    office = field.back_office()
    handhelds = {device.id: field.handheld(device.id) for device in devices}
    rng = random.Random(4)
    process = run_gateway(field)
    try:
        line_with(process, "started")
        for _ in range(3):
            # All of it again each time: as a handheld without receipts does.
            for number in range(20):
                for name, day in days.items():
                    handhelds[name].client.publish(f"{ROOT}/up/{name}", day[number], qos=1)
            time.sleep(rng.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = run_gateway(field)
            line_with(process, "broker_connected")
        for number in range(20):
            for name, day in days.items():
                handhelds[name].client.publish(f"{ROOT}/up/{name}", day[number], qos=1)
        for device in devices:
            assert field.receipted(handhelds[device.id], 20).head == device.prev
        wait_for(lambda: not [r for r in field.rows(schema.outbox) if r.state != 1], 60)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert process.returncode == 0
    assert len(field.rows(schema.segments)) == 100 and len(field.rows(schema.visits)) == 50
    assert len(field.rows(schema.fixes)) == 5 * 10 * 30
    contents: dict[str, set[str]] = {}
    for event in office.events():
        contents.setdefault(event["id"], set()).add(json.dumps(event, sort_keys=True))
    told = {i for i in contents if "/v" not in i and "alert" not in i and i.count("/") == 2}
    assert len(told) == 50 and all(len(found) == 1 for found in contents.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(field: Field, number: int) -> None:
    process = run_gateway(field)
    line_with(process, "broker_connected")
    process.send_signal(number)
    line_with(process, "stopped")
    assert process.wait(PATIENCE) == 0


def test_without_a_broker_it_names_it_and_keeps_trying(field: Field) -> None:
    field.broker.stop()
    process = run_gateway(field, RONDA_LOG__FORMAT="human", RONDA_LANG="es")
    try:
        line = line_with(process, f"sin broker en 127.0.0.1:{field.port}")
        assert "reintento en" in line
        line_with(process, f"sin broker en 127.0.0.1:{field.port}")
        field.broker.start()
        line_with(process, f"conectado con 127.0.0.1:{field.port}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_it_brings_its_own_broker(tmp_path: Path) -> None:
    port = free_port()
    made = site.init(tmp_path / "s", "lima", port=port, embedded=True)
    with Gateway(made.settings) as gateway:
        assert gateway.wait_connected(PATIENCE)
        client = Client(port, "someone")
        client.close()
        # A second one finds the port taken: one clear problem, and the first goes on.
        (tmp_path / "t").mkdir()
        other = site.init(tmp_path / "t" / "s", "otra", port=port, embedded=True)
        with pytest.raises(SetupError) as caught:
            Gateway(other.settings).start()
        assert [p.code for p in caught.value.problems] == ["port-in-use"]
        # Its broker dies: it is started again.
        broker = gateway._broker
        assert broker and broker._child
        broker._child.kill()
        wait_for(lambda: not gateway.wait_connected(0.05))
        assert gateway.wait_connected(PATIENCE)
    with pytest.raises(ConnectionRefusedError):
        Client(port, "late")

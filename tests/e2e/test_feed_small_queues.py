"""A back office's broker (mosquitto) with tiny queues and limits, and consumers that are slow,
absent or hostile: receipts go on, and what the broker dropped leaves the outbox only when the
consumer has it."""

import getpass
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ronda_gateway import schema
from ronda_gateway.gateway import Gateway
from ronda_tools.broker import free_port, port_taken
from test_feed_confirm import Desk, day, outbox
from test_gateway_broker import ROOT, Client, Field, up, wait_for

pytestmark = pytest.mark.server

PATIENCE = 90.0
TINY = "max_queued_messages 5\nmax_inflight_messages 2\n"


class Tiny:
    """mosquitto on a free port with some lines of configuration."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, lines: str = TINY) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("no mosquitto here (apt-get install mosquitto)")
        config = self._folder / "tiny.conf"
        head = f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\n"
        config.write_text(head + lines)
        self._child = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: port_taken(self.port))

    def stop(self) -> None:
        if self._child:
            self._child.kill()
            self._child.wait()
            self._child = None


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    made = Tiny(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def start(field: Field, tiny: Tiny, **feed: object) -> Gateway:
    where = {"host": "127.0.0.1", "port": tiny.port}
    return field.start(feed={**where, **feed})


def absent(tiny: Tiny, name: str) -> None:
    """A session with a subscription, and nobody there."""
    client = Client(tiny.port, name, clean=False).subscribe(f"{ROOT}/feed/#")
    client.close()


def settled(field: Field, desk: Desk, gateway: Gateway) -> bool:
    """Read and confirm a little; whether everything has left."""
    fresh = desk.read().got[-60:]
    desk.confirm(fresh)
    return gateway.store.outbox_depth() == 0


def test_without_confirmations_the_broker_may_drop(field: Field, tiny: Tiny) -> None:
    """What the setting is for: the broker took all of it, and kept five."""
    tiny.start()
    device = field.device()
    gateway = start(field, tiny)
    absent(tiny, "desk")
    day(field, device, 10)
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
    desk = Desk(field, port=tiny.port)
    field.handheld("more").client.publish(up(device), device.seal_visit(), qos=1)
    last = f"{device.id}/{device.log_id.hex()}/21"
    wait_for(lambda: last in desk.read().got, PATIENCE)
    assert len(set(desk.got)) < 41


def test_an_absent_consumer_loses_nothing(field: Field, tiny: Tiny) -> None:
    tiny.start()
    device = field.device()
    gateway = start(field, tiny, confirm=True, confirm_s=1)
    absent(tiny, "desk")
    day(field, device, 20)  # receipted to the last segment while nobody reads
    wait_for(lambda: gateway.counters["published"] == 80, PATIENCE)
    assert gateway.store.outbox_depth() == 80
    desk = Desk(field, port=tiny.port)
    wait_for(lambda: settled(field, desk, gateway), PATIENCE)
    assert len({id for id in desk.got if not id.startswith("alert/")}) == 80
    assert all(len(contents) == 1 for contents in desk.contents.values())
    assert set(outbox(field).values()) == {1} and field.rows(schema.unconfirmed) == []


def test_a_slow_consumer_loses_nothing_and_slows_nobody(field: Field, tiny: Tiny) -> None:
    """It acknowledges a message only when it gets round to it: two are in flight, five wait."""
    tiny.start()
    device = field.device()
    gateway = start(field, tiny, confirm=True, confirm_s=1)
    slow = Client(tiny.port, "slow", clean=False, manual=True).subscribe(f"{ROOT}/feed/#")
    field.clients.append(slow)
    day(field, device, 10)
    wait_for(lambda: gateway.counters["published"] == 40, PATIENCE)
    # Hanging on two messages for the whole day; then one after the other.
    assert len(slow.packets) <= 2
    mouth = field.client("mouth")
    desk = Desk(field, name="unused", port=tiny.port)
    desk.client.client.unsubscribe(f"{ROOT}/feed/#")
    seen: set[str] = set()

    def turn() -> bool:
        while slow.packets:
            packet = slow.packets.pop(0)
            seen.add(json.loads(packet.payload)["id"])
            slow.client.ack(packet.mid, packet.qos)
            desk.confirm([json.loads(packet.payload)["id"]])
        return gateway.store.outbox_depth() == 0

    wait_for(turn, PATIENCE)
    assert len({id for id in seen if not id.startswith("alert/")}) == 40
    assert mouth.got.empty()


def test_a_hostile_consumer_slows_nobody(field: Field, tiny: Tiny) -> None:
    """It floods the feed's broker on every topic there is, and never reads."""
    tiny.start()
    device = field.device()
    gateway = start(field, tiny, confirm=True, confirm_s=1)
    absent(tiny, "hostile-session")
    hostile = Client(tiny.port, "hostile")
    field.clients.append(hostile)
    for _ in range(40):
        for topic in ("cmd/confirm", "feed/site/alerts", "feed/banco-a/visits", "cmd/x"):
            hostile.client.publish(f"{ROOT}/{topic}", b"\x00garbage" * 500, qos=0, retain=True)
    day(field, device, 20)
    desk = Desk(field, port=tiny.port)
    desk.client.got.queue.clear()
    mine: set[str] = set()

    def turn() -> bool:
        while not desk.client.got.empty():
            _, payload = desk.client.got.get()
            try:
                mine.add(json.loads(payload)["id"])
            except ValueError:
                continue  # somebody else's
        desk.confirm(sorted(mine)[-500:])
        return gateway.store.outbox_depth() == 0

    wait_for(turn, PATIENCE)
    assert len({id for id in mine if not id.startswith("alert/")}) == 80
    assert gateway.counters["commands_refused"] >= 1
    kinds = [row.kind for row in field.rows(schema.alerts)]
    assert 1 <= kinds.count("command_refused") <= 2


def test_a_broker_that_acknowledges_and_drops_is_found_out(field: Field, tiny: Tiny) -> None:
    """mosquitto answers a message above its size limit with a PUBACK and throws it away."""
    tiny.start("message_size_limit 1500\n")
    device = field.device()
    gateway = start(field, tiny, confirm=True, confirm_s=1, confirm_alert_s=10)
    desk = Desk(field, port=tiny.port)
    day(field, device, 2)
    large = [row.event for row in field.rows(schema.outbox) if len(row.payload) > 1500]
    small = [id for id in outbox(field) if id not in large and not id.startswith("alert/")]
    assert large and small

    def small_gone() -> bool:
        desk.confirm(desk.read().got[-30:] or ["none"])
        return all(outbox(field)[id] == 1 for id in small)

    wait_for(small_gone, PATIENCE)
    assert {outbox(field)[id] for id in large} == {3} and not set(large) & set(desk.got)
    until = time.monotonic() + PATIENCE
    while "confirm_lag" not in {row.kind for row in field.rows(schema.alerts)}:
        assert time.monotonic() < until
        time.sleep(0.2)
    # With the limit mended they come.
    tiny.stop()
    tiny.start("")
    again = Desk(field, name="again", port=tiny.port)
    wait_for(lambda: settled(field, again, gateway), PATIENCE)
    assert set(large) <= set(again.got)

"""feed.confirm on a real broker: what nobody confirmed comes again, across restarts, and nothing
that was confirmed does."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_device import DeskDevice
from ronda_gateway import keys, schema
from ronda_gateway.gateway import Gateway
from ronda_gateway.keys import Signer
from ronda_tools import feed_confirm
from ronda_tools.broker import free_port
from test_gateway_broker import ROOT, Client, Field, up, wait_for

TOPIC = f"{ROOT}/cmd/confirm"
RONDA = Path(sys.executable).with_name("ronda")
PATIENCE = 60.0
QUICK = {"confirm": True, "confirm_s": 1}


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


class Desk:
    """A back office that keeps every event it was given, and confirms when told to."""

    def __init__(self, field: Field, name: str = "desk", port: int | None = None) -> None:
        self.client = Client(port or field.port, name, clean=False).subscribe(f"{ROOT}/feed/#")
        field.clients.append(self.client)
        self.signer: Signer = field.site.signer("office")
        self.got: list[str] = []
        self.contents: dict[str, set[str]] = {}

    def read(self) -> "Desk":
        for event in self.client.events():
            self.got.append(event["id"])
            self.contents.setdefault(event["id"], set()).add(json.dumps(event))
        return self

    def confirm(self, ids: list[str]) -> None:
        for batch in feed_confirm.batches(ids):
            self.client.send(TOPIC, feed_confirm.command(self.signer, ROOT, batch))


def day(field: Field, device: DeskDevice, rounds: int) -> None:
    handheld = field.handheld(device.id)
    for raw in device.day(rounds):
        handheld.client.publish(up(device), raw, qos=1)
    assert field.receipted(handheld, 2 * rounds).head == device.prev


def outbox(field: Field) -> dict[str, int]:
    return {row.event: row.state for row in field.rows(schema.outbox)}


def test_it_leaves_when_it_is_confirmed_and_is_repeated_until_then(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed=QUICK)
    desk = Desk(field)
    day(field, device, 3)
    wait_for(lambda: len(set(desk.read().got)) == 12, PATIENCE)
    first = list(dict.fromkeys(desk.got))
    wait_for(lambda: set(outbox(field).values()) == {3}, PATIENCE)
    desk.confirm(first[:6])
    wait_for(lambda: list(outbox(field).values()).count(1) == 6, PATIENCE)
    # The others again and again, oldest first; what was confirmed no more.
    waiting = first[6:]

    def repeats() -> list[str]:
        return [id for id in desk.read().got if id in waiting]

    wait_for(lambda: len(repeats()) >= 18, PATIENCE)
    confirmed = [id for id in desk.got if id in first[:6]]
    wait_for(lambda: len(repeats()) >= 24, PATIENCE)
    assert [id for id in desk.got if id in first[:6]] == confirmed
    for topic in ("/positions", "/battery", "/events", ""):
        mine = [id for id in waiting if id.endswith(topic) and (topic or id.count("/") == 2)]
        told = [id for id in repeats() if id in mine]
        for before, after in itertools.pairwise(told):
            assert mine.index(after) == (mine.index(before) + 1) % len(mine)
    assert all(len(told) == 1 for told in desk.contents.values())
    assert gateway.counters["republished"] >= 6
    # New rows are not behind those.
    handheld = field.handheld(device.id + "x")
    handheld.client.publish(up(device), device.seal_visit(), qos=1)
    wait_for(lambda: any(id not in first for id in desk.read().got), PATIENCE)
    desk.confirm(desk.got)
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
    assert gateway.wait_idle(PATIENCE)
    assert set(outbox(field).values()) == {1} and field.rows(schema.unconfirmed) == []
    # Late, double, unknown: counted, harmless.
    desk.confirm([*first, "desk-01/0000000000000000/1"])
    wait_for(lambda: gateway.counters["confirm_unknown"] == 1, PATIENCE)
    assert gateway.counters["confirm_repeated"] >= 12
    assert set(outbox(field).values()) == {1}


def test_across_restarts_of_gateway_and_broker(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed=QUICK)
    desk = Desk(field)
    day(field, device, 2)
    wait_for(lambda: set(outbox(field).values()) == {3}, PATIENCE)
    gateway.stop()
    # The embedded broker keeps nothing: session, subscription and events are gone with it.
    desk.client.close()
    field.clients.remove(desk.client)
    field.broker.stop()
    time.sleep(0.3)
    field.broker.start()
    desk = Desk(field, "desk-2")
    gateway = field.start(feed=QUICK)
    wait_for(lambda: len(set(desk.read().got)) == 8, PATIENCE)
    gateway.stop()
    assert set(outbox(field).values()) == {3}
    # Confirmed while nobody listens: not heard, so it comes again, and is confirmed again.
    desk.confirm(desk.got)
    gateway = field.start(feed=QUICK)
    seen = len(desk.read().got)
    wait_for(lambda: len(set(desk.read().got[seen:])) == 8, PATIENCE)
    desk.confirm(desk.got)
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
    assert set(outbox(field).values()) == {1}


def test_an_absent_consumer_holds_no_receipt_up_and_switching_off_lets_go(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed=QUICK)
    day(field, device, 30)
    wait_for(lambda: set(outbox(field).values()) == {3}, PATIENCE)
    assert gateway.store.outbox_depth() == 120
    gateway.stop()
    gateway = field.start()
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
    assert field.rows(schema.unconfirmed) == []


def test_on_the_back_offices_own_broker(field: Field) -> None:
    """Commands are read where events are published, and nowhere else."""
    from ronda_gateway.embedded import EmbeddedBroker
    from ronda_gateway.settings import BrokerSettings

    port = free_port()
    broker = EmbeddedBroker(BrokerSettings(port=port))
    broker.start()
    try:
        device = field.device()
        gateway = field.start(feed={**QUICK, "host": "127.0.0.1", "port": port})
        desk = Desk(field, port=port)
        day(field, device, 1)
        wait_for(lambda: len(set(desk.read().got)) == 4, PATIENCE)
        wrong = feed_confirm.command(desk.signer, ROOT, desk.got)
        field.client("other").send(TOPIC, wrong)
        desk.confirm(desk.got)
        wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)
        assert gateway.counters["commands"] == 1
    finally:
        field.gateway.stop()
        desk.client.close()
        field.clients.remove(desk.client)
        broker.stop()


def test_hostile_commands_change_nothing(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed={"confirm": True, "confirm_s": 3600})
    desk = Desk(field)
    day(field, device, 2)
    wait_for(lambda: len(set(desk.read().got)) == 8, PATIENCE)
    ids = list(dict.fromkeys(desk.got))
    hostile = field.client("hostile")
    now = int(time.time())
    signed = json.loads(feed_confirm.command(desk.signer, ROOT, ids))
    good = feed_confirm.command(desk.signer, ROOT, ["nobody/0000000000000000/1"], jti="a" * 8)
    wrong: list[tuple[str, bytes]] = [
        ("unknown_key", feed_confirm.command(keys.make(), ROOT, ids)),
        ("role", feed_confirm.command(field.site.signer(), ROOT, ids)),
        ("expired", feed_confirm.command(desk.signer, ROOT, ids, now - 4000)),
        ("future", feed_confirm.command(desk.signer, ROOT, ids, now + 4000)),
        ("audience", feed_confirm.command(desk.signer, "ronda/otra", ids)),
        ("unsigned", feed_confirm.command(None, ROOT, ids)),
        ("signature", json.dumps({**signed, "payload": signed["payload"][:-8]}).encode()),
        ("form", json.dumps({**signed, "header": {"alg": "none"}}).encode()),
        ("algorithm", none(signed)),
        ("too_big", b"[" * 200_000),
        ("not_json", b"\x00\xff"),
        ("replayed", good),
    ]
    hostile.send(TOPIC, good)
    for _ in range(5):
        for _, raw in wrong:
            hostile.send(TOPIC, raw)
    wait_for(lambda: gateway.counters["commands"] == 61, PATIENCE)
    counted = gateway.counters
    assert {why: counted[f"refused_{why}"] for why, _ in wrong} == {why: 5 for why, _ in wrong}
    assert counted["commands_refused"] == 60 and counted["confirmed"] == 0
    alerts = [row for row in field.rows(schema.alerts) if row.kind == "command_refused"]
    assert sorted(json.loads(row.data)["reason"] for row in alerts) == sorted(w for w, _ in wrong)
    state = outbox(field)
    assert {state[id] for id in ids} == {3}
    desk.confirm(ids)
    wait_for(lambda: gateway.counters["confirmed"] == 8, PATIENCE)


def none(signed: dict[str, Any]) -> bytes:
    """The same with alg none and no signature."""
    import base64

    header = json.loads(base64.urlsafe_b64decode(signed["protected"] + "=="))
    raw = json.dumps({**header, "alg": "none"}).encode()
    protected = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return json.dumps({**signed, "protected": protected, "signature": ""}).encode()


def test_a_flood_of_commands_delays_no_event_for_ever(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed=QUICK)
    desk = Desk(field)
    hostile = field.client("hostile")
    for _ in range(3000):
        hostile.client.publish(TOPIC, b"garbage" * 100, qos=0)
    day(field, device, 10)
    for _ in range(3000):
        hostile.client.publish(TOPIC, b"garbage" * 100, qos=0)

    def settled() -> bool:
        desk.confirm(desk.read().got[-200:])
        return gateway.store.outbox_depth() == 0

    wait_for(settled, PATIENCE)
    visits = {id for id in desk.got if not id.startswith("alert/")}
    assert len(visits) == 40 and set(outbox(field).values()) == {1}


def test_unsigned_where_it_is_allowed(field: Field) -> None:
    device = field.device()
    gateway = field.start(feed=QUICK, commands={"unsigned": True})
    desk = Desk(field)
    day(field, device, 1)
    wait_for(lambda: len(set(desk.read().got)) == 4, PATIENCE)
    desk.client.send(TOPIC, feed_confirm.command(None, ROOT, desk.got))
    wait_for(lambda: gateway.store.outbox_depth() == 0, PATIENCE)


def run(words: list[str], given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_commands_of_a_consumer(field: Field, tmp_path: Path) -> None:
    """`ronda feed tail --confirm` until all is confirmed; `ronda feed confirm` for the rest."""
    device = field.device()
    field.gateway = Gateway(field.settings(feed=QUICK)).start()
    day(field, device, 3)
    config = str(field.site.config)
    tail = [RONDA, "feed", "tail", "--config", config, "--json", "--count", "6", "--confirm"]
    done = run([str(word) for word in tail])
    assert done.returncode == 0, done.stderr
    shown = {json.loads(line)["id"] for line in done.stdout.splitlines()}
    assert shown
    wait_for(lambda: {outbox(field)[id] for id in shown} == {1}, PATIENCE)
    rest = [id for id, state in outbox(field).items() if state == 3]
    confirm = [str(RONDA), "feed", "confirm", "--config", config, "-"]
    done = run(confirm, "\n".join(rest))
    assert done.returncode == 0 and str(len(rest)) in done.stdout, done.stderr
    wait_for(lambda: field.gateway.store.outbox_depth() == 0, PATIENCE)


def test_a_gateway_killed_at_any_moment_loses_no_event(field: Field) -> None:
    """Restarted in the middle again and again while the consumer confirms what it reads."""
    device = field.device()
    field.start(feed=QUICK)
    desk = Desk(field)
    day(field, device, 20)
    for at in range(4):
        wait_for(lambda at=at: len(set(desk.read().got)) > 18 * at, PATIENCE)
        desk.confirm(desk.got[-25:])
        field.gateway.stop()
        field.start(feed=QUICK)

    def settled() -> bool:
        desk.confirm(desk.read().got[-100:])
        return field.gateway.store.outbox_depth() == 0

    wait_for(settled, PATIENCE)
    assert len({id for id in desk.got if not id.startswith("alert/")}) == 80
    assert all(len(told) == 1 for told in desk.contents.values())
    assert set(outbox(field).values()) == {1}

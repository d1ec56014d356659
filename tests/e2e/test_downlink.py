"""The downlink on real parts: gaps asked for again, a restored gateway, settings, trust packs."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_device import DeskDevice, withhold
from ronda_gateway import deliveries, resend, schema, site
from ronda_gateway.gateway import Gateway
from ronda_gateway.settings import Settings
from ronda_gateway.store import open_store
from ronda_protocol import cose, receipt, segment, signed, track
from ronda_tools import provision
from ronda_tools.broker import Broker
from ronda_tools.cli import build
from ronda_tools.conductor import Conductor, Handheld, Script
from ronda_tools.synth import MIRAFLORES, Walk
from ronda_tools.vm import Vm
from test_gateway_broker import ROOT, Client, Field, up, wait_for
from typer.testing import CliRunner

START = 1789477200
DEVICE = "lima-01"
PATIENCE = 60.0


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    yield made
    made.close()


def asked(handheld: Client) -> receipt.Resend:
    """The next resend request on a handheld's topic, receipts passed over."""
    while True:
        sign1 = cose.parse(handheld.got.get(timeout=PATIENCE)[1])
        if signed.message(sign1.payload) == signed.RESEND:
            return receipt.decode_resend(sign1.payload)


def told(office: Client, reason: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found.extend(e["data"] for e in office.events() if e["type"] == "ronda.visit.verdict")
        return any(data["reason"] == reason for data in found)

    wait_for(there, PATIENCE)
    return next(data for data in found if data["reason"] == reason)


def is_on(handheld: Client, device: DeskDevice) -> None:
    said = json.dumps({"online": True, "seq": device.seq, "unsent": 0})
    handheld.client.publish(f"{ROOT}/state/{device.id}", said, qos=1, retain=True)


def claiming(device: DeskDevice, *data: object) -> bytes:
    entries = device.entries(1, 0, 0)
    event = [track.EVENT, device.next_numbers(1)[0], entries[-1][2], track.LOST, list(data)]
    return device.seal_track([*entries, event])


def test_a_gap_is_asked_for_and_what_is_gone_is_declared_lost(field: Field) -> None:
    device = field.device()
    field.start(resend={"after_s": 1})
    office, handheld = field.back_office(), field.handheld()
    day = device.day(3)
    for seq in (1, 4, 6):
        handheld.send(up(device), day[seq - 1])
    # Not before they are stored: what a state says of more is asked for at once.
    wait_for(lambda: len(field.rows(schema.segments)) == 3, PATIENCE)
    is_on(handheld, device)
    first = asked(handheld)
    assert (first.log_id, first.first, first.last) == (device.log_id, 2, 3)
    # Stripped of its answers on the way it closes nothing; whole it does.
    handheld.send(up(device), withhold(day[1], segment.ANSWERS))
    handheld.send(up(device), day[2])
    handheld.send(up(device), day[1])
    assert field.receipted(handheld, 4).ranges[0][:2] == [6, 6]
    assert told(office, "gap_filled")["verdicts"]["chain"] == "linked"
    # Its pace is a request in a minute and a half; an operator's waits for its turn like others.
    words = ["gateway", "resend", device.id, "5", "5", "--config", str(field.site.config)]
    result = CliRunner().invoke(build(words), [*words, "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["state"] == "waiting"
    # The handheld finds out by itself that 5 is unreadable.
    handheld.send(up(device), claiming(device, 5, 5, "unreadable"))
    said = field.receipted(handheld, 7)
    assert (said.upto, said.head) == (7, device.prev)
    assert told(office, "declared_lost")["verdicts"]["chain"] == "lost"
    assert [(row.first, row.last) for row in field.rows(schema.lost)] == [(5, 5)]
    kinds = {row.kind for row in field.rows(schema.alerts)}
    assert {"gap", "parts_withheld", "declared_lost"} <= kinds


def test_a_restarted_gateway_asks_nothing_twice(field: Field) -> None:
    device = field.device()
    field.start(resend={"after_s": 1})
    handheld = field.handheld()
    day = device.day(2)
    is_on(handheld, device)
    handheld.send(up(device), day[0])
    handheld.send(up(device), day[2])
    assert asked(handheld).first == 2
    field.gateway.stop()
    gateway = field.start(resend={"after_s": 1})
    handheld.send(up(device), day[3])
    field.receipted(handheld, 1)
    handheld.send(up(device), day[1])
    assert field.receipted(handheld, 4).head == device.prev
    wait_for(lambda: all(o.state == "done" for o in resend.listing(gateway.store)), PATIENCE)
    assert len(resend.listing(gateway.store)) == 1


# ---- with the firmware -------------------------------------------------------------------------


def gestor() -> Script:
    yield 5000
    yield ("shift_start", {"gestor": "g-1"})


class Lima:
    """A site, a broker, and one handheld in the VM."""

    def __init__(self, folder: Path, broker: Broker, conductor: Conductor) -> None:
        self.conductor = conductor
        now = conductor.now()
        self.site = site.init(folder / "site", "lima", broker.host, broker.port, now)
        self.settings: Settings = self.site.settings
        storage = folder / DEVICE
        provision.provision(storage, self.site, DEVICE, now=now)
        walk = Walk(MIRAFLORES["parque"], START, 3)
        walk.stand_until(900_000)
        self.vm = (storage, walk)
        self.gateway = Gateway(self.settings, clock=conductor)

    def go(self) -> None:
        self.gateway = Gateway(self.settings, clock=self.conductor).start()
        assert self.gateway.wait_connected(60)

    def until(self, condition: Callable[[], bool]) -> None:
        """Let simulated time go on, in small steps, until something is so."""
        end = time.monotonic() + 180
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.conductor.run(self.conductor.ms + 1000)
            time.sleep(0.05)

    def raws(self) -> list[bytes]:
        return [one.raw for one in self.gateway.store.segments(DEVICE)]

    def state(self, number: int) -> str:
        found = [one for one in deliveries.listing(self.gateway.store) if one.pack == number]
        return found[0].state

    def pushed(self, *words: str) -> int:
        whole = [*words, "--wait", "0", "--config", str(self.site.config), "--json"]
        result = CliRunner().invoke(build(whole), whole)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["pack"]


def test_a_restored_gateway_gets_back_what_it_had_receipted(tmp_path: Path) -> None:
    with Broker() as broker, Conductor(START) as conductor:
        lima = Lima(tmp_path, broker, conductor)
        lima.go()
        try:
            storage, walk = lima.vm
            conductor.add(Handheld(DEVICE, Vm(storage), nmea=walk.nmea(), script=gestor()))
            conductor.run(30_000)
            conductor.drain()
            lima.gateway.stop()
            database = lima.settings.database_path
            shutil.copy(database, tmp_path / "backup.db")
            lima.go()
            for ms in (90_000, 150_000, 210_000):
                conductor.run(ms)
                conductor.drain()
            had = lima.raws()
            lima.gateway.stop()
            shutil.copy(tmp_path / "backup.db", database)
            store = open_store(database)
            assert len(store.segments(DEVICE)) < len(had)
            store.close()
            lima.go()
            # The handheld has nothing unsent: only a request brings them back, out of its grace.
            lima.until(lambda: lima.raws()[: len(had)] == had)
            asked = resend.listing(lima.gateway.store)
            assert asked and {one.why for one in asked} <= {"behind", "gap"}
            # Settings for the site, and a trust pack that its root signed anew.
            number = lima.pushed("config", "push", "--site", "search_m=123")
            lima.until(lambda: lima.state(number) == deliveries.APPLIED)
            renewed = site.renew_trust(lima.site.folder, conductor.now())
            queued = deliveries.queue_trust(lima.gateway.store, renewed.trust_pack, START)
            lima.until(lambda: lima.state(queued) == deliveries.APPLIED)
            conductor.drain()
            with lima.gateway.store.read() as connection:
                kinds = {row.kind for row in connection.execute(schema.alerts.select())}
            assert not any("lost" in kind or "refused" in kind for kind in kinds), kinds
            conductor.finish()
        finally:
            lima.gateway.stop()

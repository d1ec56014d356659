"""Half an hour on real parts, every message of it taken off the wire and put before outsiders:
zcbor with protocol/ronda.cddl, pycose, and the printed verifier of docs/verify.md."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cddl_rules
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pycose.keys import CoseKey
from pycose.messages import CoseMessage
from ronda_gateway import keys, packs, site
from ronda_gateway.gateway import Gateway
from ronda_protocol import cose, pack, reading, segment, signed
from ronda_tools import provision
from ronda_tools.broker import Broker
from ronda_tools.conductor import Conductor, Handheld, Script
from ronda_tools.synth import MIRAFLORES, Walk, offset
from ronda_tools.vm import Vm

START = 1789477200
DEVICE = "lima-01"
DOOR = MIRAFLORES["tarata"]
FAR = MIRAFLORES["larco"]


@dataclass
class Taken:
    """What was on the wire, by direction, and the keys and packs behind it."""

    up: list[bytes] = field(default_factory=list)
    down: list[bytes] = field(default_factory=list)
    feed: list[bytes] = field(default_factory=list)
    packs: list[bytes] = field(default_factory=list)
    device: bytes = b""
    gateway: bytes = b""
    root: bytes = b""


def cases() -> list[dict[str, object]]:
    return [
        {
            "case_id": f"C-{order}",
            "portfolio": "banco-a",
            "creditor": "Banco A",
            "place": [1, 1, 0, lat, lon, 200],
            "order": order,
            "currency": "PEN",
        }
        for order, (lat, lon) in enumerate((DOOR, FAR), 1)
    ]


def gestor() -> Script:
    """A promise at the door, a refusal at another, answers in between."""
    yield 30_000
    yield ("shift_start", {"gestor": "g-07"})
    yield 90_000
    yield ("check_in", {"case_id": "C-2"})
    yield ("check_in", {"case_id": "C-1"})
    yield ("answer", {"id": "quien", "value": "titular"})
    yield 200_000
    promise = {"currency": "PEN", "kind": 2, "pairs": [[5000, 20260930]], "who": "titular"}
    yield ("close", {"outcome": "promesa", "promise": {**promise, "limits": 1}, "ask_fix": True})
    yield 300_000
    yield ("check_in", {"case_id": "C-1"})
    yield ("answer", {"id": "quien", "value": "nadie"})
    yield 360_000
    yield ("close", {"outcome": "ausente"})


def tap(broker: Broker, root: str, taken: Taken) -> mqtt.Client:
    """A subscriber to everything."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "tap")
    granted = threading.Event()

    def message(_client: object, _data: object, packet: mqtt.MQTTMessage) -> None:
        kind = packet.topic.removeprefix(f"{root}/").split("/")[0]
        {"up": taken.up, "down": taken.down, "feed": taken.feed}.get(kind, []).append(
            bytes(packet.payload)
        )

    client.on_message = message
    client.on_subscribe = lambda *_: granted.set()
    client.connect(broker.host, broker.port)
    client.subscribe("#", qos=1)
    client.loop_start()
    assert granted.wait(10)
    return client


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    folder = tmp_path_factory.mktemp("outsiders")
    found = Taken()
    walk = Walk(offset(DOOR, 3.0, 2.0), START)
    walk.stand(420)
    walk.go(FAR)
    walk.stand_until(1_800_000)
    with Broker() as broker, Conductor(START) as conductor:
        made = site.init(folder / "site", "lima", broker.host, broker.port, START)
        found.root, found.gateway = made.root_public, made.signer().public
        storage = folder / "handheld"
        listed, until = cases(), START + 86400
        found.device = provision.provision(
            storage, made, DEVICE, now=START, cases=listed, expires_at=until
        )
        round_ = packs.cases_pack(made.signer(), DEVICE, "r-1", listed, START, until)
        found.packs = [made.trust_pack, round_]
        client = tap(broker, made.settings.topic_root, found)
        with Gateway(made.settings, clock=conductor) as gateway:
            assert gateway.wait_connected()
            handheld = Handheld(DEVICE, Vm(storage), nmea=walk.nmea(), script=gestor())
            conductor.add(handheld)
            conductor.run(1_800_000)
            conductor.drain()
            conductor.finish()
            assert gateway.wait_idle()
        client.disconnect()
        client.loop_stop()
    yield found


def test_the_day_was_worth_looking_at(taken: Taken) -> None:
    parsed = [reading.parse(raw) for raw in taken.up]
    assert {one.header.body for one in parsed} == {segment.TRACK_BODY, segment.VISIT_BODY}
    shown = {number for one in parsed for number in one.parts}
    assert shown == {segment.TRACK, segment.EVIDENCE, segment.ANSWERS, segment.PROMISE}
    assert len([one for one in parsed if one.header.body == segment.VISIT_BODY]) >= 3
    assert taken.down and taken.feed


def test_the_cddl_describes_every_message(taken: Taken) -> None:
    for raw in taken.up:
        told = cddl_rules.problem("sealed-segment", cddl_rules.as_array(raw))
        assert not told, (raw.hex(), told)
        for number, rule in ((segment.ANSWERS, "answers"), (segment.PROMISE, "promise")):
            part = reading.parse(raw).parts.get(number)
            assert part is None or not cddl_rules.problem(rule, part[16:])
    for message in taken.down:
        assert not cddl_rules.problem("downlink", message), message.hex()
    for data in taken.packs:
        assert not cddl_rules.problem("pack", cddl_rules.as_array(data))
        parsed = pack.parse(data)
        rule = "trust-body" if parsed.manifest.pack_type == pack.TRUST else "cases-body"
        assert not cddl_rules.problem(rule, parsed.body)


def test_pycose_verifies_every_signature(taken: Taken) -> None:
    """The firmware's own signatures, made in the VM, and the gateway's."""

    def check(message: bytes, public: bytes) -> None:
        end = cose.parse_first(message, 0)[1]
        decoded = CoseMessage.decode(message[:end])
        decoded.key = CoseKey.decode(cose.cose_key(public))
        assert decoded.verify_signature()

    for raw in taken.up[:6]:  # pure Python, 4 ms each
        check(raw, taken.device)
    kinds = set()
    for message in taken.down[:6]:
        check(message, taken.gateway)
        kinds.add(signed.message(cose.parse(message).payload))
    assert kinds == {signed.RECEIPT}
    check(taken.packs[0], taken.root)
    check(taken.packs[1], taken.gateway)


def test_the_printed_verifier_takes_the_feeds_visits(taken: Taken, tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "verify.md"
    (program,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    (tmp_path / "verify.py").write_text(program)
    (tmp_path / "k.pem").write_bytes(keys.public_pem(taken.device))
    visits = [payload for payload in taken.feed if b'"ronda.visit"' in payload]
    assert len(visits) == 3
    for payload in visits:
        (tmp_path / "event.json").write_bytes(payload)
        done = subprocess.run(
            [sys.executable, "-I", "verify.py", "event.json", "k.pem"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"VALID: '{DEVICE}'/" in done.stdout

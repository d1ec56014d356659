"""Half an hour of one handheld on real parts, and every message that passed: the source of the
schemas' examples.

The VM, the broker and the gateway are the real ones, time is the conductor's and the walk comes
from a seed, so that only what is drawn at random differs from run to run: keys, log ids, salts,
signatures. `steady` masks these.
"""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from ronda_gateway import schemas, site
from ronda_protocol import visit
from ronda_tools import feed_confirm
from ronda_tools.conductor import Battery, Link
from ronda_tools.demo import Demo, Options
from ronda_tools.demo_day import START_UNIX, Day, Mistake, Stop
from ronda_tools.synth import MIRAFLORES, Walk

ROOT = "ronda/demo"
FOLDER = Path(schemas.__file__).parent
_SETTLE_S = 60.0
_DRAWN = ("evidence", "sealed", "payload", "protected", "signature")


def day() -> Day:
    """One visit with a promise, a dead zone, and a correction after it."""
    walk = Walk(MIRAFLORES["parque"], START_UNIX, seed=3)
    walk.stand(120)
    arrive = walk.go(MIRAFLORES["tarata"])
    walk.stand(900)
    promise = {
        "currency": "PEN",
        "kind": visit.PARTIAL,
        "pairs": [[15050, 20260918]],
        "who": "titular",
        "limits": 1,
    }
    stop = Stop(
        *("C-1001", "banco-andino", "andino", MIRAFLORES["tarata"], arrive, 200, "promesa"),
        {"quien": "titular", "tipologia": "quiere_puede"},
        promise,
        ask_fix=True,
        mends=Mistake("C-1001", "answers.tipologia", "quiere_no_puede", "leí mal mi nota"),
    )
    link = Link([(0, True), (arrive, False), (arrive + 400_000, True)])
    return Day(walk, link, Battery(), [stop], shift_start_ms=60_000, shift_end_ms=walk.ms - 5000)


class Ear:
    """Hears everything on a broker."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("mqtt://").split(":")
        self.heard: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ear")
        self.client.on_message = lambda _c, _d, packet: self.heard.append(
            (packet.topic, bytes(packet.payload))
        )
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.connect(host, int(port), 60)
        self.client.subscribe(f"{ROOT}/#", qos=1)
        self.client.loop_start()
        assert self._ready.wait(_SETTLE_S)

    def wait(self, topic: str, text: bytes) -> None:
        until = time.monotonic() + _SETTLE_S
        while not any(t == topic and text in raw for t, raw in list(self.heard)):
            assert time.monotonic() < until, (topic, text)
            time.sleep(0.02)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def messages() -> list[tuple[str, Any]]:
    """(topic, decoded message) of all that was published, but segments and receipts."""
    with Demo(Options(), days=[day()]) as demo:
        ear = Ear(demo.url)
        # Somebody who is not enrolled: an alert.
        ear.client.publish(f"{ROOT}/up/ghost-01", b"no segment", qos=1)
        ear.wait(f"{ROOT}/feed/site/alerts", b"quarantined")
        outcome = demo.run()
        assert outcome.data["lost"] == outcome.data["doubled"] == 0, outcome.data
        office = site.load(demo.config.parent).signer("office")
        ids = [json.loads(raw)["id"] for topic, raw in ear.heard if topic.endswith("/visits")]
        made = feed_confirm.command(office, ROOT, ids, START_UNIX + 1800, jti="example-0001")
        ear.client.publish(feed_confirm.topic(ROOT), made, qos=1)
        ear.wait(feed_confirm.topic(ROOT), b"payload")
        ear.wait(f"{ROOT}/state/demo-01", b'"online":false')
        ear.close()
    wire = (f"{ROOT}/up/", f"{ROOT}/down/")
    return [(topic, json.loads(raw)) for topic, raw in ear.heard if not topic.startswith(wire)]


def name_of(topic: str, message: Any) -> str:
    """The schema that a message is to be held against."""
    if topic.startswith(f"{ROOT}/state/"):
        return "state"
    if topic == feed_confirm.topic(ROOT):
        return "confirm"
    return str(message["type"]).removeprefix("ronda.")


def examples(heard: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """The shortest message of each kind, by the schema's name; two states, two confirmations."""
    found: dict[str, list[Any]] = {}
    for topic, message in heard:
        found.setdefault(name_of(topic, message), []).append(message)
    chosen = {name: [min(all_, key=_length)] for name, all_ in found.items()}
    on, off = ([m for m in found["state"] if m["online"] is it] for it in (True, False))
    chosen["state"] = [on[-1], off[-1]]
    chosen["confirm"].append({"ids": ["demo-01/0badcafe00112233/7"]})
    return chosen


def _length(message: Any) -> tuple[int, str]:
    return len(json.dumps(steady(message))), json.dumps(steady(message), sort_keys=True)


def steady(value: Any) -> Any:
    """A message without what is drawn at random."""
    if isinstance(value, dict):
        return {
            name: "#" if name in _DRAWN and isinstance(inner, str) else steady(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    if isinstance(value, str):
        return re.sub("[0-9a-f]{16,}", "#", value)
    return value


def texts(chosen: dict[str, list[Any]]) -> dict[Path, str]:
    """Every schema file with its examples in it."""
    found: dict[Path, str] = {}
    for name in schemas.names():
        path = FOLDER / f"{name}.json"
        whole = json.loads(path.read_text(encoding="utf-8"))
        whole["examples"] = chosen[name]
        found[path] = json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    return found

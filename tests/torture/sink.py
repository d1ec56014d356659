"""The laboratory's back office: subscribes to the feed and remembers what it was told.

Its session at the broker is durable, so that a broker that lives loses it nothing; when the
broker's memory goes, what was in there is gone, and the suite has to know.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

from mqtt_peer import Peer, PeerGone

# What the gateway adds of its own time: the same event told again after a restore differs there.
_GATEWAYS_OWN = {"received_at", "time", "clocks", "at"}


class Sink:
    """`events` are (event id, digest) in the order of arrival, repeats too; `arrivals` the seqs of
    each device's log and kind of event in that order.

    stable: digests leave out the gateway's own times (and, of visits, its verdicts), so that an
    event told again by a restored gateway is the same event.
    """

    def __init__(self, *, stable: bool = False) -> None:
        self.events: list[tuple[str, str]] = []
        self.arrivals: dict[str, list[int]] = {}
        self.alerts: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.sessions = 0
        self._stable = stable

    async def listen(self, where: Callable[[], tuple[str, int]], root: str) -> None:
        """Stay subscribed until cancelled."""
        while True:
            peer = Peer("lab-back-office", self._take)
            try:
                await peer.connect(*where(), clean=False, user=False)
                peer.subscribe(f"{root}/feed/#")
                self.sessions += 1
                await peer.listen()
            except (PeerGone, OSError, TimeoutError):
                await asyncio.sleep(0.1)
            finally:
                peer.close()

    async def _take(self, topic: str, payload: bytes) -> bool:
        self.took(topic, payload)
        return True

    def took(self, topic: str, payload: bytes) -> dict[str, Any]:
        """Remember one event; what it says."""
        event: dict[str, Any] = json.loads(payload)
        data: dict[str, Any] = event["data"]
        name = str(event["id"])
        self.events.append((name, _digest(event) if self._stable else _hash(payload)))
        self.ids.add(name)
        if topic.endswith("/alerts"):
            self.alerts.append(data)
        elif "seq" in data and "log" in data and event["type"] != "ronda.visit.verdict":
            kind = f"{data['device']}/{data['log']}/{event['type']}"
            self.arrivals.setdefault(kind, []).append(int(data["seq"]))
        return event


def _hash(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()[:32]


def _digest(event: dict[str, Any]) -> str:
    """The content of an event without what depends on when the gateway saw it."""
    data = {k: v for k, v in event["data"].items() if k not in _GATEWAYS_OWN}
    if event["type"] == "ronda.visit":
        data.pop("verdicts", None)
    if event["type"] in ("ronda.alert", "ronda.visit.verdict"):
        data = {}
    told = {"type": event["type"], "subject": event["subject"], "id": event["id"], "data": data}
    return _hash(json.dumps(told, sort_keys=True).encode())

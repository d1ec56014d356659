"""When packs go out: to a handheld that is there, again with back-off, from where it asks.

Resend requests (`resend.py`) leave here too, since here it is known who is there.

`heard` is for the network's thread, `turn` for the recorder's. Knows no MQTT: messages go in and
out as bytes. Waits are wall time, since a handheld answers in wall time.
"""

import json
import time
from collections import deque
from typing import Any

import structlog
from sqlalchemy import exc

from ronda_gateway import deliveries
from ronda_gateway.clock import Clock
from ronda_gateway.feed import Feed
from ronda_gateway.keys import Signer
from ronda_gateway.recorder import Downlink, StoreDown
from ronda_gateway.resend import Resends
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

_log = structlog.get_logger("ronda.gateway")

ATTEMPTS = 8
_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 3600.0
_ARRIVAL_S = 10.0  # a handheld that comes back is not waited for, unless it just went
_HEARD = 10_000


class Downlinks:
    """Packs on their way. One per gateway process."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        clock: Clock,
        feed: Feed,
        *,
        resends: Resends | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._feed = feed
        self._resends = resends
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_HEARD)
        self._there: set[str] = set()
        self._counter = -1
        self._open: dict[tuple[int, str], tuple[bytes, bytes, int]] = {}
        self._sent: dict[tuple[int, str], float] = {}
        self._resume: dict[str, tuple[str, int]] = {}

    def heard(self, device: str, payload: bytes) -> None:
        """What state/<device> says; unsigned: it decides when we send, never what is believed."""
        self._heard.append((device, payload))

    def turn(self) -> list[Downlink]:
        """The messages to send now. Raises StoreDown."""
        self._listen()
        try:
            with self._store.read() as connection:
                counter = deliveries.counter(connection)
            if counter != self._counter:
                self._look(counter)
            found = self._due()
            if self._resends:
                asked = self._resends.turn(self._there, counter)
                found += [Downlink(device, payload) for device, payload in asked]
            return found
        except exc.DBAPIError as error:
            raise StoreDown(str(error.orig)) from None

    def _listen(self) -> None:
        while self._heard:
            device, payload = self._heard.popleft()
            said = _said(payload)
            if said.get("online") is not True:
                self._there.discard(device)
                continue
            mark, at = said.get("pack"), said.get("at")
            if isinstance(mark, str) and type(at) is int:
                self._resume[device] = (mark, at)
            if device not in self._there:
                self._there.add(device)
                for key in self._sent:
                    if key[1] == device:
                        self._sent[key] = min(self._sent[key], time.monotonic() + _ARRIVAL_S)

    def _look(self, counter: int) -> None:
        with self._store.write() as connection:
            now = self._clock.now()
            deliveries.sign_drafts(connection, self._signer, now)
            deliveries.address_newcomers(self._store, connection, now)
            self._open = deliveries.open_deliveries(connection)
        self._counter = counter
        self._sent = {key: due for key, due in self._sent.items() if key in self._open}

    def _due(self) -> list[Downlink]:
        now, found = time.monotonic(), list[Downlink]()
        for key, (raw, mark, attempts) in list(self._open.items()):
            number, device = key
            if device not in self._there:
                continue
            asked = self._resume.pop(device, None)
            resuming = asked is not None and asked[0] == mark.hex()
            if now < self._sent.get(key, 0.0) and not resuming:
                continue
            if attempts >= ATTEMPTS:
                self._give_up(number, device)
                del self._open[key]
                continue
            start = asked[1] if asked and resuming else 0
            found += [Downlink(device, data) for data in deliveries.messages(raw, start)]
            with self._store.write() as connection:
                deliveries.sent(connection, number, device, self._clock.now())
            self._open[key] = (raw, mark, attempts + 1)
            self._sent[key] = now + min(_FIRST_WAIT_S * 2**attempts, _LONGEST_WAIT_S)
            _log.info("pack_sent", device=device, pack=number, attempt=attempts + 1)
        return found

    def _give_up(self, number: int, device: str) -> None:
        with self._store.write() as connection:
            work = Transaction(self._store, connection, self._feed)
            deliveries.give_up(work, number, device, self._clock.now())
            work.flush()


def _said(payload: bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(payload[:1024])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]

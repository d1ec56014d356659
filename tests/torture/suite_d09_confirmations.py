"""D9: a back office that confirms late, twice, out of order, and what it never got.

With `feed.confirm` an event leaves the outbox only when the consumer has confirmed its id on
cmd/confirm. The consumer here takes everything and confirms by chance: after a while, two or
three times, in any order, ids that nobody has, ids of events that are not out yet, by commands
that are no commands; its connection goes half open (its peer hears nothing any more and is not
told), and it forgets some ids until they are published again. In the end the outbox holds nothing
that was confirmed and has let go of nothing that was not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping

from crew import crew_of
from history import check
from lab import Bench, Suite, Violation, batches, points
from mqtt_peer import Peer, PeerGone
from rig import Rig
from ronda_gateway.keys import Signer
from ronda_tools.feed_confirm import command, topic
from sink import Sink

HANDHELDS = 10
_ACKS = 1000
_LONGEST_S = 240.0


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D9:acks:0"]
    return batches("D9:acks", 10, 1)


def run(case: str, bench: Bench) -> Mapping[str, int]:
    _, which = points(case)
    short = len(which) == 1 and which[0] == 0
    wanted = 300 if short else _ACKS
    env = {"RONDA_FEED__CONFIRM": "true", "RONDA_FEED__CONFIRM_S": "1"}
    with Rig(bench.folder, bench.history, env=env) as rig:
        crew = rig.man(crew_of(HANDHELDS, bench.history), 40.0)
        crew.most_unsent = 200
        office = _Consumer(rig, bench.rng)
        crew.spawn(office.work())
        rig.gateway.start()
        rig.gateway.ready()
        crew.work()
        until = time.monotonic() + _LONGEST_S
        while len(office.confirmed) < wanted and time.monotonic() < until:
            rig.gateway.pass_time(0.2)
            _nothing_left_early(rig, office, case)
        crew.rest()
        op = bench.history.invoke("recover", "the outbox empties")
        began = time.monotonic()
        office.honest = True
        while _open(rig):
            if time.monotonic() - began > _LONGEST_S:
                raise Violation("I8", f"{_open(rig)} events never left the outbox", case)
            rig.gateway.pass_time(0.2)
        op.ok(took=round(time.monotonic() - began, 1), limit=_LONGEST_S)
        rig.gateway.stop()
        _nothing_left_early(rig, office, case)
        for event in office.confirmed:
            bench.history.did("confirm", event)
        state = rig.final_state(sink=office.sink.events, arrivals=None)
        check(bench.history, state, must=("I1", "I2", "I4", "I5", "I8"), case=case)
        return {
            "events": len(office.sink.ids),
            "acks": office.sent,
            "repeats": len(office.sink.events) - len(office.sink.ids),
            "half open": office.cuts,
        }


def _open(rig: Rig) -> int:
    return int(rig.rows("SELECT count(*) FROM outbox WHERE state IN (0, 3)")[0][0])


def _nothing_left_early(rig: Rig, office: _Consumer, case: str) -> None:
    """Rows that left (state 1) are confirmed by then; read first, so that later ones only help."""
    left = {str(row[0]) for row in rig.rows("SELECT event FROM outbox WHERE state = 1")}
    early = left - set(office.confirmed)
    if early:
        text = f"{len(early)} events left the outbox unconfirmed, as {min(early)}"
        raise Violation("I1", text, case)


class _Consumer:
    """The back office; `confirmed` are the ids of which a valid command was published."""

    def __init__(self, rig: Rig, rng: random.Random) -> None:
        self.sink = Sink()
        self.confirmed: dict[str, None] = {}
        self.honest = False
        self.sent = self.cuts = 0
        self._rig, self._rng = rig, rng
        self._signer: Signer = rig.site.signer("office")
        self._waiting: list[str] = []
        self._heard = asyncio.Event()

    async def work(self) -> None:
        """Take and confirm, over one connection after the other, until cancelled."""
        while True:
            peer = Peer("lab-consumer", self._take)
            try:
                await peer.connect(self._rig.broker.host, self._rig.broker.port, clean=False)
                peer.subscribe(f"{self._rig.root}/feed/#")
                await self._session(peer)
            except (PeerGone, OSError, TimeoutError):
                await asyncio.sleep(0.1)
            finally:
                peer.close()

    async def _session(self, peer: Peer) -> None:
        listening = asyncio.ensure_future(peer.listen())
        try:
            while not listening.done():
                await asyncio.sleep(self._rng.uniform(0.02, 0.2))
                if not self.honest and self._rng.random() < 0.03:
                    # Half open: nobody reads or writes here any more, the broker is not told.
                    self.cuts += 1
                    listening.cancel()
                    await asyncio.sleep(self._rng.uniform(0.5, 1.5))
                    return
                self._confirm(peer)
                await peer.drained()
            listening.result()
        finally:
            listening.cancel()

    async def _take(self, name: str, payload: bytes) -> bool:
        event = str(self.sink.took(name, payload)["id"])
        if self.honest or self._rng.random() > 0.1:  # else: forgotten until it comes again
            self._waiting.append(event)
        return True

    def _confirm(self, peer: Peer) -> None:
        rng, ids = self._rng, list[str]()
        if self.honest:
            ids, self._waiting = self._waiting[:400], self._waiting[400:]
        else:
            rng.shuffle(self._waiting)
            ids = [self._waiting.pop() for _ in range(min(len(self._waiting), rng.randint(1, 60)))]
        if ids:
            self._say(peer, ids)
        if self.honest:
            return
        chance = rng.random()
        if chance < 0.2 and self.confirmed:  # once more, long after
            self._say(peer, rng.sample(list(self.confirmed), min(20, len(self.confirmed))))
        elif chance < 0.3:  # of nobody
            self._send(peer, command(self._signer, self._rig.root, [f"nobody/{rng.random()}"]))
        elif chance < 0.4:  # no command at all
            self._send(peer, rng.randbytes(rng.randint(0, 200)))
        elif chance < 0.5:  # by a key that may not
            own = self._rig.crew.handhelds[0].desk.signer
            self._send(peer, command(own, self._rig.root, sorted(self.sink.ids)[:50]))
        elif chance < 0.55:  # unsigned
            self._send(peer, command(None, self._rig.root, sorted(self.sink.ids)[:50]))

    def _say(self, peer: Peer, ids: list[str]) -> None:
        self.confirmed.update(dict.fromkeys(ids))
        self.sent += len(ids)
        said = command(self._signer, self._rig.root, ids)
        for _ in range(self._rng.choice((1, 1, 1, 2, 3)) if not self.honest else 1):
            self._send(peer, said)

    def _send(self, peer: Peer, payload: bytes) -> None:
        peer.publish(topic(self._rig.root), payload)


SUITE = Suite(
    id="D9",
    title="The back office confirms late, twice, out of order, and what nobody sent",
    plan=plan,
    run=run,
    limit_s=560,
)

"""The laboratory's handhelds on CPython: seal, publish, take receipts, keep grace, answer resends.

They follow the firmware's rules (`handheld/sync.py`, `log.py`) on bytes that are really signed;
the firmware itself has suites of its own. One thread with one asyncio loop carries all of them
and, beside them, the back office's sink (`sink.py`). "Flash" is this process's memory: what is
tried here is the other side.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from desk_device import DeskDevice
from history import History
from mqtt_peer import Peer, PeerGone
from ronda_gateway.keys import verify_digest
from ronda_protocol import cose, reading, receipt, segment, signed, track

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 1.0


def digest(raw: bytes) -> str:
    """What a history and a final state call the content of a segment."""
    return hashlib.sha256(raw).hexdigest()[:32]


class Handheld:
    """One device. `kept` is every sealed segment still on its flash by seq, grace included.

    window: segments under way at most. patience_s: link time without a receipt after which one
    is published again (60 s on a real one). grace: released segments kept, oldest evicted first.
    fixes: entries of a track segment; every `visit_every`-th segment is a visit. ack_s: the
    longest wait for a PUBACK.
    """

    def __init__(
        self,
        name: str,
        history: History,
        *,
        seed: int = 1,
        window: int = 8,
        patience_s: float = 5.0,
        grace: int = 100_000,
        fixes: int = 6,
        visit_every: int = 5,
        ack_s: float = 30.0,
    ) -> None:
        self.ack_s = ack_s
        self.desk = DeskDevice(name, seed=seed)
        self.history = history
        self.window, self.patience_s, self.grace = window, patience_s, grace
        self.fixes, self.visit_every = fixes, visit_every
        self.rng = random.Random(f"{name}/{seed}/link")
        self.kept: dict[int, bytes] = {}
        self.chains: dict[int, bytes] = {}
        self.released = self.oldest = 0
        self.gone: set[int] = set()
        self.published = self.receipts = self.links = self.resends = 0
        self.refused: dict[str, int] = {}
        self.asked: deque[bytes] = deque(maxlen=16)
        self._answered: set[int] = set()
        self._sent: dict[int, float] = {}
        self._again: deque[int] = deque()
        self._told: dict[int, float] = {}
        self.latencies: list[float] = []
        self._due = asyncio.Event()

    @property
    def name(self) -> str:
        return self.desk.id

    @property
    def head(self) -> int:
        """The newest sealed seq."""
        return self.desk.seq

    @property
    def log(self) -> str:
        """`<device>/<log id>`: with `/<seq>` the record ids of this device."""
        return f"{self.name}/{self.desk.log_id.hex()}"

    def key(self, seq: int) -> str:
        return f"{self.log}/{seq}"

    def unsent(self) -> int:
        """Segments without a receipt."""
        return self.head - self.released

    # ---- what happens on the device ----------------------------------------------------------

    def seal(self) -> int:
        """Seal the next segment and keep it; its seq. From here on it is saved."""
        if (self.head + 1) % self.visit_every:
            raw = self.desk.seal_track(self.desk.entries(self.fixes, 1, 0))
        else:
            raw = self.desk.seal_visit()
        return self._keep(raw)

    def _keep(self, raw: bytes) -> int:
        seq = self.head
        self.desk.sealed.clear()
        self.chains[seq] = self.desk.prev
        self.kept[seq] = raw
        self.history.did("save", self.key(seq), digest=digest(raw))
        self._due.set()
        return seq

    def _release(self, upto: int) -> None:
        for seq in range(self.released + 1, upto + 1):
            self.history.did("receipt", self.key(seq), digest=digest(self.kept[seq]))
            self._sent.pop(seq, None)
            self._answered.discard(seq)
        self.released = upto
        while upto - self.oldest > self.grace:
            self.oldest += 1
            self.evict(self.oldest)

    def evict(self, seq: int) -> None:
        """Give up a released segment: its grace is over."""
        if self.kept.pop(seq, None) is not None:
            self.chains.pop(seq, None)
            self.gone.add(seq)
            self.history.did("delete", self.key(seq))

    # ---- the link ----------------------------------------------------------------------------

    async def live(self, host: Callable[[], tuple[str, int]], root: str, gateway: bytes) -> None:
        """Keep a connection until cancelled."""
        self._root, self._gateway = root, gateway
        backoff = _FIRST_BACKOFF_S
        while True:
            peer = Peer(self.name, self._message, lambda _: self._due.set(), self.ack_s)
            try:
                await self._session(peer, *host())
            except (PeerGone, OSError, TimeoutError):
                pass
            finally:
                peer.close()
            if self._sent:
                backoff = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff * self.rng.uniform(0.5, 1.0))
            backoff = min(backoff * 2, _LONGEST_BACKOFF_S)

    async def _session(self, peer: Peer, host: str, port: int) -> None:
        state = f"{self._root}/state/{self.name}"
        await peer.connect(host, port, clean=False, will=(state, b'{"online":false}'))
        peer.subscribe(f"{self._root}/down/{self.name}")
        self.links += 1
        self._sent.clear()  # on a new link everything is published again
        listening = asyncio.ensure_future(peer.listen())
        said: tuple[int, int] | None = None
        try:
            while not listening.done():
                self._due.clear()
                seq = self._next()
                if seq is not None:
                    self._publish(peer, seq)
                    await peer.drained()
                    continue
                now = self.head, self.unsent()
                if said is None or (said != now and not now[1]):
                    said = now
                    told = {"online": True, "seq": now[0], "unsent": now[1]}
                    peer.publish(state, json.dumps(told).encode(), retain=True)
                waiting = asyncio.ensure_future(self._due.wait())
                await asyncio.wait(
                    {waiting, listening}, timeout=0.25, return_when=asyncio.FIRST_COMPLETED
                )
                waiting.cancel()
            listening.result()
        finally:
            listening.cancel()

    def _next(self) -> int | None:
        """The oldest segment that is due, as the window allows; then what was asked for again."""
        now, owed, seq = _now(), 0, self.released + 1
        while seq <= self.head and owed < self.window:
            if seq not in self._answered:
                owed += 1
                if now - self._sent.get(seq, -1e9) >= self.patience_s:
                    return seq
            seq += 1
        if self._again:
            return self._again.popleft()
        return None

    def _publish(self, peer: Peer, seq: int) -> None:
        raw = self.kept.get(seq)
        if raw is None:
            return
        now = _now()
        self.published += 1
        if seq > self.released:
            self._sent[seq] = now
            self._told.setdefault(seq, now)
        peer.publish(f"{self._root}/up/{self.name}", raw)

    # ---- what comes down -----------------------------------------------------------------------

    async def _message(self, _topic: str, payload: bytes) -> bool:
        code = self._take(payload)
        if code:
            self.refused[code] = self.refused.get(code, 0) + 1
        self._due.set()
        return True

    def _take(self, payload: bytes) -> str:
        """Do what a message says; why nothing came of it, or ""."""
        try:
            sign1 = cose.parse(payload)
            kind = signed.message(sign1.payload)
            if not cose.verify(sign1, self._gateway, verify_digest):
                return "signature"
            if kind == signed.RECEIPT:
                return self._receipt(receipt.decode_receipt(sign1.payload))
            if kind == signed.RESEND:
                return self._resend(receipt.decode_resend(sign1.payload))
        except ValueError as error:
            return str(getattr(error, "code", "value"))
        return "kind"

    def _receipt(self, found: receipt.Receipt) -> str:
        if found.device != self.name or found.log_id != self.desk.log_id:
            return "log"
        if found.upto > self.head:
            return "ahead"
        if found.upto and self.chains.get(found.upto, found.head) != found.head:
            return "chain"
        self.receipts += 1
        now = _now()
        for seq in [s for s in self._told if s <= found.upto]:
            self.latencies.append(now - self._told.pop(seq))
        for first, last, head in found.ranges:
            if last <= self.head and self.chains.get(last) == head:
                self._answered.update(range(max(first, self.released + 1), last + 1))
        if found.upto > self.released:
            self._release(found.upto)
        return ""

    def _resend(self, found: receipt.Resend) -> str:
        if found.device != self.name or found.log_id != self.desk.log_id:
            return "log"
        if found.first > self.head:
            return "ahead"
        if found.request_id in self.asked:
            return "repeat"
        if self._again:
            return "busy"
        self.asked.append(found.request_id)
        self.resends += 1
        last = min(found.last, self.head)
        gone = [seq for seq in range(found.first, last + 1) if seq not in self.kept]
        if gone:
            number = self.desk.next_numbers(1)[0]
            lost = [track.EVENT, number, self.desk.ms, track.LOST, [gone[0], gone[-1], "gone"]]
            self._keep(self.desk.seal_track([lost]))
        self._again.extend(seq for seq in range(found.first, last + 1) if seq in self.kept)
        return ""


class Crew:
    """Handhelds at work in a thread of their own; `with Crew(...) as crew`.

    rate: segments a second over all of them, while `working`; otherwise they only send.
    most_unsent: with so many segments without a receipt they seal no more for the moment.
    """

    def __init__(self, handhelds: Sequence[Handheld], rate: float = 0.0) -> None:
        self.handhelds = list(handhelds)
        self.rate = rate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="crew", daemon=True)
        self._tasks: list[asyncio.Task[Any]] = []
        self._working = False
        self.faults: list[BaseException] = []
        self.most_unsent = 1_000_000

    def __enter__(self) -> Crew:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # Whatever their tasks started.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        if self.faults:
            raise self.faults[0]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the handhelds until the end; its fault is the case's fault."""

        def begin() -> None:
            task = self._loop.create_task(work)
            self._tasks.append(task)
            task.add_done_callback(self._ended)

        self._loop.call_soon_threadsafe(begin)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.faults.append(task.exception() or AssertionError("?"))

    def connect(self, where: Callable[[], tuple[str, int]], root: str, gateway: bytes) -> None:
        """Let them all connect, and stay connected, to the broker at `where()`."""
        for handheld in self.handhelds:
            self.spawn(handheld.live(where, root, gateway))

    def work(self) -> None:
        """Begin to seal at `rate`, evenly over the handhelds."""
        self._working = True
        self.spawn(self._work())

    def rest(self) -> None:
        """Seal no more."""
        self._working = False

    async def _work(self) -> None:
        loop, at, turn = asyncio.get_running_loop(), asyncio.get_running_loop().time(), 0
        while self._working:
            if self.unsent() >= self.most_unsent:
                await asyncio.sleep(0.05)
                at = loop.time()
                continue
            self.handhelds[turn % len(self.handhelds)].seal()
            turn += 1
            at += 1 / self.rate
            pause = at - loop.time()
            if pause < -1.0:
                at = loop.time()  # this machine cannot: no burst afterwards
            await asyncio.sleep(max(0.0, pause))  # the others must have their turn in any case

    # ---- from other threads --------------------------------------------------------------------

    def do(self, what: Callable[[], Any]) -> Any:
        """Call something in the crew's thread; its result."""

        async def called() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(60)

    def sealed(self) -> int:
        return sum(handheld.head for handheld in self.handhelds)

    def unsent(self) -> int:
        return sum(handheld.unsent() for handheld in self.handhelds)

    def latencies(self) -> list[float]:
        """Seconds from first publish to receipt, ascending; begins anew."""

        def take() -> list[float]:
            found: list[float] = []
            for handheld in self.handhelds:
                found += handheld.latencies
                handheld.latencies = []
            return sorted(found)

        return self.do(take)


def crew_of(
    count: int, history: History, *, prefix: str = "lab", **options: Any
) -> list[Handheld]:
    """`count` handhelds called `<prefix>-001` and so on."""
    return [Handheld(f"{prefix}-{n:03d}", history, seed=n, **options) for n in range(1, count + 1)]


def chain_of(raw: bytes) -> tuple[int, str, str]:
    """(seq, chain hash, previous hash) of a sealed segment, as a FinalState wants them."""
    found = reading.parse(raw)
    own = segment.chain_hash(found.sign1.protected, found.sign1.payload)
    return found.header.seq, own.hex(), found.header.prev.hex()


def _now() -> float:
    return asyncio.get_running_loop().time()

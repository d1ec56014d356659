"""A TCP proxy between MQTT clients and a broker that spoils what passes, by chance from a seed.

It knows where MQTT packets begin and end, and nothing else of MQTT: what is lost, repeated or
changed is for both ends to find out. Each packet meets one fault at most. The chance of packet n
of connection c in one direction depends on the seed, c, n and the direction alone, so that the
same traffic meets the same faults; every fault is in `log`. TLS would hide the packets: for that
there is `whole=False`, which takes each read for a packet.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

PUBLISH, PUBACK = 3, 4
UP, DOWN = "up", "down"
ANY = frozenset(range(16))
_MAX_LENGTH_BYTES = 4
_REORDER_S = 0.2  # a packet that waits for the next one to overtake it waits no longer
_DRIBBLE_BYTES = 600  # of a packet that are sent one by one: enough to split any field
_READ = 65536


@dataclass(frozen=True)
class Faults:
    """Chances a packet, 0 … 1, that together are at most 1; a packet meets the first that hits.

    drop: the packet is gone. repeat: it comes twice. reorder: the next one overtakes it. flip:
    one bit of a PUBLISH's payload (of others: of anything behind the header) is the other one.
    smash: one bit anywhere, length and header too. lose: some bytes from its middle are gone.
    truncate: its first part, then the connection is reset. halve: our end is closed for writing
    behind it, and reading goes on. reset: the connection ends in its place. dribble: byte by byte.
    delay: it and all behind it wait up to `delay_s`.

    `kinds` are the MQTT packet types that meet faults at all, `ways` the directions.
    """

    drop: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    flip: float = 0.0
    smash: float = 0.0
    lose: float = 0.0
    truncate: float = 0.0
    halve: float = 0.0
    reset: float = 0.0
    dribble: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.5
    kinds: frozenset[int] = frozenset({PUBLISH, PUBACK})
    ways: frozenset[str] = frozenset({UP, DOWN})

    def choose(self, chance: float) -> str:
        """The fault that a chance of 0 … 1 hits; "" for none."""
        for name in _NAMES:
            chance -= getattr(self, name)
            if chance < 0:
                return name
        return ""


_NAMES = tuple(
    f.name for f in fields(Faults) if f.name not in ("delay_s", "kinds", "ways")
)  # in the order in which they are drawn


class Framer:
    """MQTT packets out of a stream; bytes that can be no packet are handed on as they came."""

    def __init__(self, whole: bool = True) -> None:
        self._whole = whole
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are complete with `data`."""
        if not self._whole:
            yield data
            return
        self._data += data
        while self._data:
            end = packet_end(self._data)
            if end < 0:
                self._whole = False
                yield self._data
                self._data = b""
                return
            if not end or end > len(self._data):
                return
            yield self._data[:end]
            self._data = self._data[end:]

    def rest(self) -> bytes:
        """What has come of a packet that is not complete."""
        return self._data


def packet_end(data: bytes) -> int:
    """Where the first packet of `data` ends, 0 when its length is not all there, -1 for a length
    of more than four bytes."""
    size = shift = 0
    for at in range(1, len(data)):
        size |= (data[at] & 127) << shift
        shift += 7
        if not data[at] & 128:
            return at + 1 + size
        if at == _MAX_LENGTH_BYTES:
            return -1
    return 0


def body_start(packet: bytes) -> int:
    """Where a packet's contents begin: of a PUBLISH behind topic and packet id."""
    at = 1
    while at < len(packet) and packet[at] & 128:
        at += 1
    at += 1
    if packet[0] >> 4 == PUBLISH and len(packet) >= at + 2:
        end = at + 2 + int.from_bytes(packet[at : at + 2], "big")
        at = end + (2 if packet[0] & 6 else 0)
    return min(at, len(packet))


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit, counted from the first byte's highest, turned over."""
    found = bytearray(data)
    found[bit // 8] ^= 128 >> bit % 8
    return bytes(found)


class Proxy:
    """`with Proxy(where, faults, seed="…") as proxy`: listens on `proxy.port` of 127.0.0.1.

    where() is the broker's (host, port), asked at each connection. `log` has a dict a fault:
    fault, connection, way, packet, type, size and what it did; `note` is called with each.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        where: Callable[[], tuple[str, int]],
        faults: Faults | None = None,
        *,
        seed: str = "",
        whole: bool = True,
        note: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._where, self._faults, self._seed, self._whole = where, faults or Faults(), seed, whole
        self._note = note
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._socket = socket.create_server((self.host, 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._live: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self.connections = 0
        self.opened_at: list[float] = []  # the loop's clock at each connection
        self.packets: Counter[str] = Counter()  # by direction
        self.messages = 0  # of them PUBLISHes, both ways
        self.counts: Counter[str] = Counter()  # by fault
        self.log: list[dict[str, Any]] = []
        self.trouble: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        if self.trouble:
            raise self.trouble

    def become(self, faults: Faults) -> None:
        """Other faults from the next packet on."""
        self._loop.call_soon_threadsafe(setattr, self, "_faults", faults)

    def heal(self) -> None:
        """No faults from now on; what is delayed goes out in its time."""
        self.become(Faults())

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._do(self._cut())

    @property
    def open(self) -> int:
        """Connections under way."""
        return len(self._live)

    # ---- the loop's thread ---------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, sock=self._socket)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        for task in list(self._live):
            task.cancel()
        await asyncio.gather(*self._live, return_exceptions=True)

    async def _cut(self) -> int:
        cut = 0
        for writers in list(self._live.values()):
            cut += 1
            for writer in writers:
                reset(writer)
        return cut

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self.opened_at.append(self._loop.time())
        number = self.connections
        writers = self._live[task] = [writer]
        try:
            back, ahead = await asyncio.open_connection(*self._where())
            writers.append(ahead)
            for one in writers:
                sock: socket.socket = one.get_extra_info("socket")
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            up = _Way(self, number, UP, reader, ahead)
            down = _Way(self, number, DOWN, back, writer)
            await asyncio.gather(up.pump(), down.pump())
        except (OSError, _Over, asyncio.CancelledError):
            pass  # a task of its own, which nobody awaits: it ends here either way
        except Exception as trouble:  # a mistake of ours, for whoever uses the proxy
            self.trouble = trouble
        finally:
            for one in writers:
                reset(one)
            del self._live[task]

    def faults(self) -> Faults:
        """The faults of this moment."""
        return self._faults

    def chance(self, connection: int, way: str, number: int) -> random.Random:
        """What decides about one packet."""
        return random.Random(f"{self._seed}/{connection}/{way}/{number}")

    def framer(self) -> Framer:
        return Framer(self._whole)

    def did(self, fault: str, **facts: Any) -> None:
        """Remember a fault."""
        self.counts[fault] += 1
        told = {"fault": fault, **facts}
        self.log.append(told)
        self._note(told)


class _Over(Exception):
    """The connection is to end here."""


class _Way:
    """One direction of one connection."""

    def __init__(
        self,
        proxy: Proxy,
        connection: int,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._connection, self._way = proxy, connection, way
        self._reader, self._writer = reader, writer
        self._framer = proxy.framer()
        self._number = 0
        self._held: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._shut = False

    async def pump(self) -> None:
        """Carry one direction until its end; the end is handed on too."""
        try:
            while True:
                data = await self._reader.read(_READ)
                if not data:
                    break
                for packet in self._framer.feed(data):
                    await self._packet(packet)
        finally:
            if self._timer:
                self._timer.cancel()
        self._release()
        if self._framer.rest():
            self._write(self._framer.rest())
        await self._writer.drain()
        if not self._shut:
            self._half_close()

    async def _packet(self, packet: bytes) -> None:
        self._number += 1
        faults, kind = self._proxy.faults(), packet[0] >> 4
        self._proxy.packets[self._way] += 1
        self._proxy.messages += kind == PUBLISH
        rng = self._proxy.chance(self._connection, self._way, self._number)
        hit = faults.choose(rng.random())
        if not hit or kind not in faults.kinds or self._way not in faults.ways:
            self._write(packet)
            self._release()
            await self._writer.drain()
            return
        facts = await getattr(self, "_" + hit)(packet, rng, faults)
        self._proxy.did(
            hit,
            connection=self._connection,
            way=self._way,
            packet=self._number,
            type=kind,
            size=len(packet),
            **(facts or {}),
        )
        if hit in ("truncate", "reset"):
            raise _Over
        if hit != "reorder":
            self._release()

    def _write(self, data: bytes) -> None:
        if not self._shut:
            self._writer.write(data)

    def _release(self) -> None:
        """Send what was held back."""
        for packet in self._held:
            self._write(packet)
        self._held = []

    def _half_close(self) -> None:
        self._shut = True
        try:
            self._writer.write_eof()
        except OSError:
            raise _Over from None

    # ---- the faults ----------------------------------------------------------------------------

    async def _drop(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        pass

    async def _repeat(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        self._write(packet + packet)

    async def _reorder(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        self._held.append(packet)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_REORDER_S, self._release)

    async def _flip(self, packet: bytes, rng: random.Random, faults: Faults) -> dict[str, int]:
        start = min(body_start(packet), len(packet) - 1)
        bit = rng.randrange(8 * start, 8 * len(packet))
        self._write(flipped(packet, bit))
        return {"bit": bit}

    async def _smash(self, packet: bytes, rng: random.Random, faults: Faults) -> dict[str, int]:
        bit = rng.randrange(8 * len(packet))
        self._write(flipped(packet, bit))
        return {"bit": bit}

    async def _lose(self, packet: bytes, rng: random.Random, faults: Faults) -> dict[str, int]:
        first = rng.randrange(len(packet))
        count = rng.randint(1, max(1, len(packet) - first))
        self._write(packet[:first] + packet[first + count :])
        return {"first": first, "count": count}

    async def _truncate(self, packet: bytes, rng: random.Random, faults: Faults) -> dict[str, int]:
        count = rng.randrange(len(packet))
        self._write(packet[:count])
        await self._writer.drain()
        await asyncio.sleep(0)
        return {"count": count}

    async def _halve(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        self._write(packet)
        self._half_close()

    async def _reset(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        pass

    async def _dribble(self, packet: bytes, rng: random.Random, faults: Faults) -> None:
        for at in range(min(len(packet), _DRIBBLE_BYTES)):
            self._write(packet[at : at + 1])
            await self._writer.drain()
            await asyncio.sleep(0)
        self._write(packet[_DRIBBLE_BYTES:])

    async def _delay(self, packet: bytes, rng: random.Random, faults: Faults) -> dict[str, float]:
        seconds = rng.uniform(0, faults.delay_s)
        await asyncio.sleep(seconds)
        self._write(packet)
        return {"seconds": round(seconds, 3)}


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection without a goodbye: RST, not FIN."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    try:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    except OSError:
        pass

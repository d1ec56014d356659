"""A load generator: many handhelds' segments, signed beforehand, sent at a rate; receipts timed.

Knows how to make segments and how to speak enough MQTT 3.1.1 to be cheap beside what is measured
(one asyncio loop, no threads). It verifies no receipt: it reads which seq each one covers.
"""

import asyncio
import random
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ronda_gateway import keys
from ronda_protocol import cose, receipt, segment, track

_PLACE = (-121191427, -770349046)
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK = 1, 2, 3, 4, 8, 9
_KEEPALIVE_S = 600
_PATIENCE_S = 10.0


class LoadFailed(Exception):
    """The broker refused, or went away."""


class LoadDevice:
    """A handheld that only walks: its key, and its sealed track segments ahead of time."""

    def __init__(self, name: str, seed: int, utc: int) -> None:
        self.name = name
        self.signer = keys.make()
        self.sealed: list[bytes] = []
        self._random = random.Random(seed)
        self._log = self._random.randbytes(8)
        self._utc = utc
        self._prev = segment.FIRST_PREV
        self._number, self._ms = 0, 5_000
        self._lat, self._lon = _PLACE

    def seal(self, count: int, entries: int) -> None:
        """Make `count` more segments of `entries` entries: fixes, a battery, in every other an
        event: about what a day of the demo has."""
        for _ in range(count):
            self.sealed.append(self._one(entries))

    def _one(self, entries: int) -> bytes:
        base, first = self._ms, self._number + 1
        part = track.Track(base)
        for number in range(first, first + entries):
            part.add(self._entry(number, number - first, entries))
        self._number += entries
        stamp = [1, base, self._utc + base // 1000, 1, 1]
        header = segment.Header(
            self.name,
            "bench",
            bytes(16),
            self._log,
            len(self.sealed) + 1,
            self._prev,
            stamp,
            segment.ranges(part.numbers),
            segment.TRACK_BODY,
        )
        raw = segment.seal(header, {segment.TRACK: part.part()}, self.signer)
        sign1 = cose.parse_first(raw)[0]
        self._prev = segment.chain_hash(sign1.protected, sign1.payload)
        return raw

    def _entry(self, number: int, index: int, entries: int) -> list[Any]:
        if index == entries - 2:
            return [track.BATTERY, number, self._ms, 3900, 81, 1]
        if index == entries - 1 and len(self.sealed) % 2:
            return [track.EVENT, number, self._ms, track.FIX_FOUND, None]
        self._ms += 15_000
        self._lat += self._random.randint(-1200, 1500)
        self._lon += self._random.randint(-1200, 1500)
        quality = [12, 90, 110, 38, 30, 9, 0] if index % 4 == 0 else None
        return [track.FIX, number, self._ms, self._lat, self._lon, 11, 9, 3, quality]


@dataclass
class LoadResult:
    """What came of a load; times in milliseconds from publishing to the receipt (or PUBACK)."""

    sent: int
    answered: int
    seconds: float
    latencies_ms: list[float] = field(repr=False)
    bytes_each: int = 0

    @property
    def rate(self) -> float:
        """Answered segments a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile(self, part: float) -> float:
        """The latency that `part` (0..1) of the segments did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        told = asdict(self)
        del told["latencies_ms"]
        for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
            told[name] = round(self.percentile(part), 2)
        return {**told, "rate": round(self.rate, 1), "seconds": round(self.seconds, 2)}


def fleet(
    count: int, each: int, entries: int, utc: int, prefix: str = "bench"
) -> list[LoadDevice]:
    """Devices with `each` segments of `entries` entries, ready to be sent."""
    devices = [LoadDevice(f"{prefix}-{n:04d}", n, utc) for n in range(1, count + 1)]
    for device in devices:
        device.seal(each, entries)
    return devices


def run(
    devices: Sequence[LoadDevice],
    host: str,
    port: int,
    root: str,
    *,
    rate: float = 0,
    window: int = 4,
    receipts: bool = True,
    patience_s: float = _PATIENCE_S,
) -> LoadResult:
    """Publish every device's segments; done when all are answered, or none for `patience_s`.

    rate: segments a second over all devices, evenly spaced; 0: as fast as the answers come, with
    `window` of each device under way. receipts False takes the broker's PUBACK for the answer.
    Raises LoadFailed, OSError.
    """
    return asyncio.run(_run(devices, host, port, root, rate, window, receipts, patience_s))


async def _run(  # noqa: PLR0917
    devices: Sequence[LoadDevice],
    host: str,
    port: int,
    root: str,
    rate: float,
    window: int,
    receipts: bool,
    patience_s: float,
) -> LoadResult:
    peers = [_Peer(device, root, window, receipts, patience_s) for device in devices]
    await asyncio.gather(*(peer.connect(host, port) for peer in peers))
    began = time.perf_counter()
    works = [
        asyncio.create_task(
            peer.work(began + index / rate if rate else 0, len(peers) / rate if rate else 0)
        )
        for index, peer in enumerate(peers)
    ]
    try:
        await asyncio.gather(*works)
        seconds = max((peer.last for peer in peers), default=began) - began
    finally:
        for peer in peers:
            peer.close()
    latencies = [ms for peer in peers for ms in peer.latencies]
    sent = sum(peer.sent for peer in peers)
    size = sum(len(raw) for d in devices for raw in d.sealed) // max(
        1, sum(len(d.sealed) for d in devices)
    )
    return LoadResult(sent, len(latencies), seconds, latencies, size)


class _Peer:
    """One device's connection."""

    def __init__(
        self, device: LoadDevice, root: str, window: int, receipts: bool, patience_s: float
    ) -> None:
        self._patience_s = patience_s
        self._device = device
        self._up = f"{root}/up/{device.name}".encode()
        self._down = f"{root}/down/{device.name}".encode()
        self._window = window
        self._receipts = receipts
        self._waiting: deque[tuple[int, float]] = deque()
        self._moved = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.sent = 0
        self.last = 0.0
        self.latencies: list[float] = []

    async def connect(self, host: str, port: int) -> None:
        """CONNECT and SUBSCRIBE, answered."""
        stream, writer = await asyncio.open_connection(host, port)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writer = writer
        name = self._device.name.encode()
        head = _text(b"MQTT") + b"\x04\xc2" + _KEEPALIVE_S.to_bytes(2, "big")
        writer.write(_packet(_CONNECT, 0, head + _text(name) + _text(name) + _text(b"bench")))
        kind, _, body = await _read(stream)
        if kind != _CONNACK or body[1:2] != b"\x00":
            raise LoadFailed(f"CONNACK {body.hex()}")
        writer.write(_packet(_SUBSCRIBE, 2, b"\x00\x01" + _text(self._down) + b"\x01"))
        while kind != _SUBACK:
            kind, _, body = await _read(stream)
        self._reader = asyncio.create_task(self._listen(stream))

    async def work(self, first: float, every: float) -> None:
        """Send all segments, paced from `first` on (perf_counter) or by the window; then wait."""
        due = first
        for seq, raw in enumerate(self._device.sealed, 1):
            if every:
                pause = due - time.perf_counter()
                due += every
                if pause > 0:
                    await asyncio.sleep(pause)
            else:
                while len(self._waiting) >= self._window:
                    if not await self._more():
                        return
            self._publish(seq, raw)
        while self._waiting and await self._more():
            pass

    async def _more(self) -> bool:
        """Wait for an answer; False when none came in time."""
        self._moved.clear()
        try:
            await asyncio.wait_for(self._moved.wait(), self._patience_s)
        except TimeoutError:
            return False
        return True

    def _publish(self, seq: int, raw: bytes) -> None:
        assert self._writer is not None
        packet_id = (seq % 65535 + 1).to_bytes(2, "big")
        self._waiting.append((seq, time.perf_counter()))
        self._writer.write(_packet(_PUBLISH, 2, _text(self._up) + packet_id + raw))
        self.sent += 1

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        assert self._writer is not None
        try:
            while True:
                kind, flags, body = await _read(stream)
                if kind == _PUBACK and not self._receipts:
                    self._answered(self._waiting[0][0] if self._waiting else 0)
                elif kind == _PUBLISH:
                    end = 2 + int.from_bytes(body[:2], "big")
                    if flags & 6:
                        self._writer.write(_packet(_PUBACK, 0, body[end : end + 2]))
                        end += 2
                    if self._receipts:
                        self._answered(receipt.decode_receipt(cose.parse(body[end:]).payload).upto)
        except (asyncio.IncompleteReadError, OSError):
            return

    def _answered(self, upto: int) -> None:
        now = time.perf_counter()
        while self._waiting and self._waiting[0][0] <= upto:
            self.latencies.append((now - self._waiting.popleft()[1]) * 1000)
            self.last = now
        self._moved.set()

    def close(self) -> None:
        """End the connection."""
        if self._reader:
            self._reader.cancel()
        if self._writer:
            self._writer.close()


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(kind: int, flags: int, body: bytes) -> bytes:
    return bytes([kind << 4 | flags, *_length(len(body))]) + body


def _length(value: int) -> Iterator[int]:
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value


async def _read(stream: asyncio.StreamReader) -> tuple[int, int, bytes]:
    first = (await stream.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await stream.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return first >> 4, first & 15, await stream.readexactly(size)

"""For tests in the VM: link time that a test owns, a link in memory, a broker that does as told.

`LinkTime` advances only when every task waits, so that 30 s of time-out cost nothing. `Broker`
answers like an honest MQTT 3.1.1 broker; a test replaces single answers. No sockets, no real time.
"""

import asyncio

_WRAP = 1 << 30


class LinkTime:
    """link_ms and link_sleep_ms of a Board; starts 5 s before the tick wraps."""

    def __init__(self):
        self.now = 0
        self._sleepers = []
        self._task = None

    def link_ms(self):
        return (self.now + _WRAP - 5000) % _WRAP

    def ticks_diff(self, a, b):
        return (a - b + _WRAP // 2) % _WRAP - _WRAP // 2

    async def link_sleep_ms(self, ms):
        if not self._task or self._task.done():
            self._task = asyncio.create_task(self._advance())
        event = asyncio.Event()
        mine = [self.now + ms, event]
        self._sleepers.append(mine)
        try:
            await event.wait()
        finally:
            if mine in self._sleepers:
                self._sleepers.remove(mine)

    async def _advance(self):
        while self._sleepers:
            for _ in range(25):
                await asyncio.sleep_ms(0)
            if not self._sleepers:
                return
            first = self._sleepers[0]
            for sleeper in self._sleepers:
                if sleeper[0] < first[0]:
                    first = sleeper
            self._sleepers.remove(first)
            self.now = max(self.now, first[0])
            first[1].set()


class Stream:
    """One end of a connection in memory: `feed` is what the peer sends, `peer` gets our writes."""

    def __init__(self, peer, piece=0):
        self._peer, self._piece = peer, piece
        self._data = bytearray()
        self._ready = asyncio.Event()
        self.ended = self.closed = self.stalled = False
        self.writes = []
        self.error = None  # raised by the next read

    def feed(self, data):
        self._data += data
        self._ready.set()

    def end(self, error=None):
        self.ended, self.error = True, error
        self._ready.set()

    async def readinto(self, buf):
        while not self._data:
            if self.ended:
                if self.error:
                    raise self.error
                return 0
            self._ready.clear()
            await self._ready.wait()
        n = min(len(buf), len(self._data), self._piece or 1 << 20)
        buf[:n] = self._data[:n]
        self._data = self._data[n:]
        return n

    def write(self, data):
        self.writes.append(bytes(data))

    async def drain(self):
        while self.stalled:
            await asyncio.sleep_ms(1)
        for data in self.writes:
            self._peer.take(self, data)
        self.writes = []

    async def close(self):
        self.closed = True


def packet(head, body=b""):
    """An MQTT packet of up to 2 MiB."""
    n, out = len(body), bytearray([head])
    while True:
        out.append((n & 127) | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out) + body


def text(value):
    """A string as MQTT writes it."""
    return len(value).to_bytes(2, "big") + value


def publish(topic, payload, pid=0, flags=0):
    """A PUBLISH as a broker sends it; QoS 1 when pid is given."""
    name = pid.to_bytes(2, "big") if pid else b""
    return packet(0x30 | (2 if pid else 0) | flags, text(topic) + name + payload)


class Broker:
    """Also the Board's `net`. Collects what clients send in `got`: [kind, flags, body].

    `answers[kind]`: bytes or a function (flags, body) -> bytes | None, instead of the honest
    answer. `greeting`: sent as soon as a connection is open. `piece`: bytes a read gives.
    """

    def __init__(self):
        self.answers, self.greeting, self.piece = {}, b"", 0
        self.got, self.streams, self.published = [], [], []
        self.present, self.refuse, self.is_up = 0, False, True
        self._change = asyncio.Event()

    # --- net ---
    def up(self):
        return self.is_up

    def set_up(self, value):
        self.is_up = value
        self._change.set()

    async def wait_change(self):
        await self._change.wait()
        self._change.clear()

    async def connect(self, host, port):
        if self.refuse or not self.is_up:
            raise OSError(111)
        stream = Stream(self, self.piece)
        self.streams.append(stream)
        stream.feed(self.greeting)
        return stream

    @property
    def stream(self):
        """The newest connection."""
        return self.streams[-1]

    # --- MQTT ---
    def take(self, stream, data):
        """One write of the client's: whole packets."""
        at = 0
        while at < len(data):
            head, n, shift = data[at], 0, 0
            at += 1
            while True:
                n |= (data[at] & 127) << shift
                shift += 7
                at += 1
                if not data[at - 1] & 128:
                    break
            self._packet(stream, head, data[at : at + n])
            at += n

    def _packet(self, stream, head, body):
        kind = head >> 4
        self.got.append([kind, head & 15, body])
        if kind in self.answers:
            answer = self.answers[kind]
            if not isinstance(answer, bytes):
                answer = answer(head & 15, body)
            if answer:
                stream.feed(answer)
            return
        if kind == 1:
            stream.feed(b"\x20\x02" + bytes([self.present, 0]))
        elif kind == 8:
            stream.feed(b"\x90\x03" + body[:2] + b"\x01")
        elif kind == 12:
            stream.feed(b"\xd0\x00")
        elif kind == 3:
            end = 2 + int.from_bytes(body[:2], "big")
            qos = head >> 1 & 3
            self.published.append((head & 15, body[2:end], body[end + (2 if qos else 0) :]))
            if qos:
                stream.feed(b"\x40\x02" + body[end : end + 2])

    def kinds(self):
        return [item[0] for item in self.got]

"""A small asyncio MQTT 3.1.1 client over an injected stream: QoS 0 and 1, persistent session.

It leaves out QoS 2, unsubscribing, radio and TLS (the stream's business), reconnecting (sync.py).
Whatever goes wrong on a link, the broker's doing or ours, ends in one place: `serve()` closes the
stream and raises MqttError with a one-word code. Packet identifiers that were not acknowledged
outlive the link, so that the next one can repeat them with DUP set.

What comes in must fit a fixed buffer. A larger PUBLISH is drained and *acknowledged*, and counted
in `oversized`: left unacknowledged, the broker would repeat it on every connect and it would hold
a place in the broker's in-flight window for ever. Nothing the handheld needs is that large.
"""

import asyncio

from micropython import const

_ACK_MS = const(30000)  # the longest wait for any answer, link time
_KEEP_ALIVE_S = const(60)
_PING_AFTER_MS = const(45000)
_BUFFER = const(4096)
_MAX_DRAIN = const(1048576)  # a PUBLISH above it is not drained but ends the link


class MqttError(Exception):
    """The link is over. `code` is one word: closed, length, puback, connack-5, OSError..."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def _string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return len(data).to_bytes(2, "big") + data


def _packet(head, *parts):
    """One byte string for the whole packet: one write, one TCP segment where it fits."""
    left = sum([len(part) for part in parts])
    start = bytearray([head])
    while True:
        start.append((left & 127) | (128 if left > 127 else 0))
        left >>= 7
        if not left:
            return b"".join((start,) + parts)


class Client:
    """A session with one broker over one link after another.

    board: link_ms, link_sleep_ms, ticks_diff. `async on_message(topic bytes, payload bytes)` must
    have stored what it wants to keep when it returns: only then is the message acknowledged; what
    it raises ends the link. `on_change()` is called whenever `waiting` may have changed, and once
    a second of link time.
    """

    def __init__(self, board, client_id, on_message, on_change):
        self._board = board
        self._id = client_id
        self._on_message, self._on_change = on_message, on_change
        self._view = memoryview(bytearray(_BUFFER))
        self._pid = 0
        self._due = {}  # what is awaited (packet id, or a word) -> link ms since when
        self._over = None
        self.unacked = {}  # packet id -> tag: published, not acknowledged; outlives the link
        self.oversized = 0  # PUBLISH packets too large for the buffer: drained, acknowledged
        self.code = None  # why the last link ended
        self.error = None  # the exception behind it, when it is neither MQTT's nor the stream's

    @property
    def waiting(self):
        """How many answers the broker owes us: connection, CONNACK, SUBACK, PUBACKs."""
        due = self._due
        return len(due) - ("ping" in due) - ("write" in due) - ("packet" in due)

    def fail(self, code):
        """End the link, from outside or inside; the first reason stands."""
        if self._over and not self._over.is_set():
            self.code = code
            self._over.set()

    async def serve(self, work):
        """Run one link: `async work()` calls connect() and goes on from there.

        Raises MqttError when the link is over, which is the only way out but cancellation."""
        self._over = asyncio.Event()
        self._lock = asyncio.Lock()
        self._stream = self._reply = None
        self._due.clear()
        self._sent_at = self._board.link_ms()
        self._expect("open")
        self._reader = self._ping = None
        tasks = [self._task(self._watch()), self._task(work())]
        try:
            await self._over.wait()
        finally:
            await self._end(tasks)
        raise MqttError(self.code)

    async def _end(self, tasks):
        for task in tasks + [self._reader, self._ping]:
            if task:
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass
        self._due.clear()
        stream, self._stream = self._stream, None
        if stream:
            try:
                await asyncio.wait_for(stream.close(), 5)
            except (Exception, asyncio.CancelledError):
                pass  # it is over either way
        self._on_change()

    def _task(self, coroutine):
        return asyncio.create_task(self._guard(coroutine))

    async def _guard(self, coroutine):
        # Whatever it is (a hostile packet, no memory, our own mistake), the link is the price.
        try:
            await coroutine
        except MqttError as error:
            self.fail(error.code)
        except Exception as error:
            if not isinstance(error, (OSError, MemoryError)):
                self.error = error
            self.fail(type(error).__name__)

    def _expect(self, what):
        self._due[what] = self._board.link_ms()
        self._on_change()

    def _got(self, what, code):
        if self._due.pop(what, None) is None:
            raise MqttError(code)
        self._on_change()

    # --- out ---

    async def connect(self, stream, will_topic, will):
        """CONNECT over an open stream; user name = client id, last will retained, QoS 1.

        Returns the broker's session-present flag; without a session nothing is repeated."""
        self._stream = stream
        self._reader = self._task(self._read())
        start = b"\x00\x04MQTT\x04\xac\x00" + bytes([_KEEP_ALIVE_S])
        name = _string(self._id)
        packet = _packet(0x10, start, name, _string(will_topic), _string(will), name)
        present = await self._ask("connack", packet)
        for pid in list(self.unacked):
            if not present or self.unacked[pid] is None:
                del self.unacked[pid]
        return present

    async def subscribe(self, topic):
        """SUBSCRIBE at QoS 1 and wait for the SUBACK."""
        self._sub = self._next_pid()
        await self._ask("suback", _packet(0x82, self._sub, _string(topic), b"\x01"))

    async def publish(self, topic, payload, tag=None, retain=False, qos=1):
        """PUBLISH; returns when it is written. `unacked` and `waiting` tell the PUBACK.

        A tag still unacknowledged from an earlier link goes out under its old id, with DUP; what
        has no tag is forgotten with its link."""
        head = 0x30 | qos << 1 | retain
        if not qos:
            await self._send(_packet(head, _string(topic), payload))
            return
        for pid in self.unacked:
            if tag is not None and self.unacked[pid] == tag:
                head |= 8
                name = pid.to_bytes(2, "big")
                break
        else:
            name = self._next_pid()
            pid = self._pid
            self.unacked[pid] = tag
        self._expect(pid)
        await self._send(_packet(head, _string(topic), name, payload))

    async def disconnect(self):
        """DISCONNECT: the broker forgets the last will. The link is over."""
        await self._send(b"\xe0\x00")
        self.fail("disconnected")

    def _next_pid(self):
        while True:
            self._pid = self._pid % 65535 + 1
            if self._pid not in self.unacked:
                return self._pid.to_bytes(2, "big")

    async def _ask(self, what, packet):
        self._due.pop("open", None)
        self._expect(what)
        self._event = asyncio.Event()
        await self._send(packet)
        await self._event.wait()
        return self._reply

    async def _send(self, data):
        async with self._lock:
            self._due["write"] = self._board.link_ms()
            self._stream.write(data)
            await self._stream.drain()
            self._due.pop("write", None)
            self._sent_at = self._board.link_ms()

    # --- time ---

    async def _watch(self):
        board, due = self._board, self._due
        while True:
            await board.link_sleep_ms(1000)
            now = board.link_ms()
            for what in due:
                limit = _ACK_MS
                if what == "packet":
                    limit += self._size  # 1 kB/s at least, after the usual grace
                elif "packet" in due and what != "write":
                    continue  # behind a large packet every other answer is late
                if board.ticks_diff(now, due[what]) >= limit:
                    raise MqttError("late-" + (what if isinstance(what, str) else "puback"))
            if self._reply is not None and "ping" not in due and "write" not in due:
                if board.ticks_diff(now, self._sent_at) >= _PING_AFTER_MS:
                    self._expect("ping")
                    self._ping = self._task(self._send(b"\xc0\x00"))
            self._on_change()

    # --- in ---

    async def _fill(self, start, end):
        view, stream = self._view, self._stream
        while start < end:
            n = await stream.readinto(view[start:end])
            if not n:
                raise MqttError("closed")
            start += n

    async def _read(self):
        view = self._view
        while True:
            await self._fill(0, 2)
            head = view[0]
            size, shift = view[1] & 127, 0
            while view[1] & 128:
                shift += 7
                if shift > 21:
                    raise MqttError("length")
                await self._fill(1, 2)
                size |= (view[1] & 127) << shift
            self._size = size
            self._due["packet"] = self._board.link_ms()
            if head >> 4 == 3:
                await self._message(head & 15, size)
            elif head & 15 or size > 3:
                raise MqttError("flags" if head & 15 else "length")
            else:
                await self._fill(0, size)
                self._control(head >> 4, size)
            self._due.pop("packet", None)

    def _control(self, kind, size):
        view = self._view
        if kind == 2 and size == 2:
            self._got("connack", "order")
            if view[1]:
                raise MqttError("connack-%d" % view[1])
            if view[0] > 1:
                raise MqttError("flags")
            self._reply = view[0]
            self._event.set()
        elif self._reply is None:
            raise MqttError("order")
        elif kind == 4 and size == 2:
            pid = view[0] << 8 | view[1]
            self._got(pid, "puback")
            del self.unacked[pid]
        elif kind == 9 and size == 3:
            self._got("suback", "suback")
            if bytes(view[:2]) != self._sub or view[2] > 1:
                raise MqttError("suback")
            self._event.set()
        elif kind == 13 and not size:
            self._got("ping", "pingresp")
        else:
            raise MqttError("type")

    async def _message(self, flags, size):
        qos = flags >> 1 & 3
        if self._reply is None:
            raise MqttError("order")
        if qos > 1 or flags & 8 and not qos:
            raise MqttError("qos")
        if size > _MAX_DRAIN:
            raise MqttError("length")
        view = self._view
        have = min(size, _BUFFER)
        await self._fill(0, have)
        end = 2 + (view[0] << 8 | view[1]) if have > 1 else 0
        start = end + 2 * qos  # of the payload
        if end < 3 or start > have:
            raise MqttError("topic")
        answer = b"\x40\x02" + bytes(view[end:start])
        if qos and answer == b"\x40\x02\x00\x00":
            raise MqttError("pid")
        if size > have:
            await self._drain(size - have)
        else:
            # The time for storing is not the broker's.
            self._due.pop("packet", None)
            await self._on_message(bytes(view[2:end]), bytes(view[start:size]))
        if qos:
            await self._send(answer)

    async def _drain(self, left):
        self.oversized += 1
        while left:
            n = min(left, _BUFFER)
            await self._fill(0, n)
            left -= n
        for what in self._due:
            self._due[what] = self._board.link_ms()

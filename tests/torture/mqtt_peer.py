"""An MQTT 3.1.1 client of a page for asyncio: what the laboratory's devices and sinks speak.

QoS 0 and 1. Leaves out reconnecting, keep-alive and sending again: those are the caller's to do
right or wrong. A PUBACK that does not come ends the connection, as it does on a handheld.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = (
    1,
    2,
    3,
    4,
    8,
    9,
    12,
    14,
)
_CONNECT_S = 10.0
_KEEPALIVE_S = 600

OnMessage = Callable[[str, bytes], Awaitable[bool]]


class PeerGone(Exception):
    """The broker refused, or the connection is over."""


class Peer:
    """One connection. `on_message(topic, payload)` is awaited for each message; it is
    acknowledged when that gives True. `on_puback(packet id)` is told of PUBACKs. ack_s: how long
    a PUBACK may take."""

    def __init__(
        self,
        client_id: str,
        on_message: OnMessage | None = None,
        on_puback: Callable[[int], None] = lambda _: None,
        ack_s: float = 30.0,
    ) -> None:
        self.client_id = client_id
        self._ack_s = ack_s
        self._unacked: dict[int, float] = {}
        self._on_message, self._on_puback = on_message, on_puback
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._next = 0

    async def connect(
        self,
        host: str,
        port: int,
        *,
        clean: bool = True,
        will: tuple[str, bytes] | None = None,
        user: bool = True,
    ) -> bool:
        """CONNECT, answered; whether the broker still has our session. PeerGone, OSError."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
        self._reader, self._writer = reader, writer
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flags = (2 if clean else 0) | (0xC0 if user else 0)
        body = text(self.client_id.encode())
        if will:
            flags |= 0x2C  # will, QoS 1, retained
            body += text(will[0].encode()) + text(will[1])
        if user:
            body += text(self.client_id.encode()) + text(b"bench")
        head = text(b"MQTT") + b"\x04" + bytes([flags]) + _KEEPALIVE_S.to_bytes(2, "big")
        writer.write(packet(CONNECT, 0, head + body))
        try:
            kind, _, answer = await asyncio.wait_for(read_packet(reader), _CONNECT_S)
        except (TimeoutError, asyncio.IncompleteReadError):
            raise PeerGone("no CONNACK") from None
        if kind != CONNACK or answer[1:2] != b"\x00":
            raise PeerGone(f"CONNACK {answer.hex()}")
        return bool(answer[0] & 1)

    def subscribe(self, *topics: str) -> None:
        """SUBSCRIBE at QoS 1; `listen` sees the answer and passes over it."""
        body = b"".join(text(topic.encode()) + b"\x01" for topic in topics)
        self._write(packet(SUBSCRIBE, 2, self._id().to_bytes(2, "big") + body))

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """PUBLISH; its packet id, 0 at QoS 0."""
        name, pid = text(topic.encode()), 0
        if qos:
            pid = self._id()
            self._unacked[pid] = asyncio.get_running_loop().time()
            name += pid.to_bytes(2, "big")
        self._write(packet(PUBLISH, qos << 1 | retain, name + payload))
        return pid

    async def listen(self) -> None:
        """Take what comes until the connection ends, then PeerGone."""
        assert self._reader is not None
        watch = asyncio.ensure_future(self._watch())
        try:
            while True:
                kind, flags, body = await read_packet(self._reader)
                if kind == PUBACK:
                    self._unacked.pop(int.from_bytes(body[:2], "big"), None)
                    self._on_puback(int.from_bytes(body[:2], "big"))
                elif kind == PUBLISH:
                    await self._take(flags, body)
        except (asyncio.IncompleteReadError, OSError, UnicodeDecodeError) as error:
            raise PeerGone(str(error)) from None
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        """End the connection when the oldest PUBACK is late."""
        loop = asyncio.get_running_loop()
        while self._writer is not None:
            await asyncio.sleep(self._ack_s / 4)
            oldest = min(self._unacked.values(), default=loop.time())
            if loop.time() - oldest > self._ack_s and self._writer is not None:
                self._writer.transport.abort()

    async def _take(self, flags: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, pid = body[2:end].decode(), b""
        if flags & 6:
            pid = body[end : end + 2]
            end += 2
        if self._on_message is None or not await self._on_message(topic, body[end:]):
            return
        if pid:
            self._write(packet(PUBACK, 0, pid))

    def close(self, *, politely: bool = False) -> None:
        """End the connection; politely: with a DISCONNECT, so that no last will is published."""
        writer, self._writer = self._writer, None
        if writer is not None:
            if politely:
                writer.write(packet(DISCONNECT, 0, b""))
            writer.close()

    async def drained(self) -> None:
        """Wait while too much is unwritten."""
        if self._writer is not None:
            await self._writer.drain()

    def _write(self, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            raise PeerGone("closed")
        self._writer.write(data)

    def _id(self) -> int:
        self._next = self._next % 65535 + 1
        return self._next


def text(data: bytes) -> bytes:
    """A string as MQTT writes it."""
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, flags: int, body: bytes) -> bytes:
    """A whole MQTT packet."""
    size, length = len(body), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes([kind << 4 | flags]) + bytes(length) + body


async def read_packet(stream: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """(kind, flags, body) of the next packet; IncompleteReadError at the end."""
    first = (await stream.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await stream.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            break
    return first >> 4, first & 15, await stream.readexactly(size)

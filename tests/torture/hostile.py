"""A broker that means harm: each case is a script of what it says to one connection.

`HostileBroker` serves one connection after another on one port: hostile ones by the script that is
set, honest ones as a small MQTT 3.1.1 broker would. One client at a time, QoS 1, no messages of
its own but what a script sends.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from mqtt_peer import CONNACK, CONNECT, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, packet, text

_PINGREQ, _PINGRESP = 12, 13
_PATIENCE_S = 30.0
_LARGE = 400_000
ACCEPTED = packet(CONNACK, 0, b"\x00\x00")


class Gone(Exception):
    """The client ended the connection, or was silent for too long."""


class Link:
    """One connection, from the broker's side. `second` is a link second of the client."""

    def __init__(self, sock: socket.socket, rng: random.Random, second: float) -> None:
        self._sock, self.rng, self.second = sock, rng, second
        self._sock.settimeout(_PATIENCE_S)
        self._data = b""
        self.down = b""  # the topic that the client subscribed to
        self.published: list[tuple[bytes, bytes]] = []

    def read(self) -> tuple[int, int, bytes]:
        """The next packet: kind, flags, body. Gone."""
        head = self._take(1)[0]
        size = shift = 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return head >> 4, head & 15, self._take(size)

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            try:
                got = self._sock.recv(65536)
            except OSError:
                raise Gone from None
            if not got:
                raise Gone
            self._data += got
        found, self._data = self._data[:count], self._data[count:]
        return found

    def send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            raise Gone from None

    def drip(self, data: bytes) -> None:
        """A byte a link second, until the client has had enough of it. Gone."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            self._sock.settimeout(self.second)
            try:
                if not self._sock.recv(65536):
                    raise Gone
            except TimeoutError:
                pass
            except OSError:
                raise Gone from None
        self._sock.settimeout(_PATIENCE_S)

    def expect(self, kind: int) -> bytes:
        """Read until a packet of that kind comes; its body. Gone."""
        while True:
            got, flags, body = self.read()
            if got == PUBLISH:
                self._note(flags, body)
            if got == kind:
                return body

    def _note(self, flags: int, body: bytes) -> bytes:
        end = 2 + int.from_bytes(body[:2], "big")
        start = end + (2 if flags & 6 else 0)
        self.published.append((body[2:end], body[start:]))
        return body[end:start]

    def greet(self, answer: bytes = ACCEPTED) -> None:
        """CONNECT, and the answer to it."""
        self.expect(CONNECT)
        self.send(answer)

    def welcome(self, answer: bytes = ACCEPTED) -> None:
        """An honest connection up to the SUBACK."""
        self.greet(answer)
        body = self.expect(SUBSCRIBE)
        self.down = body[4 : 4 + int.from_bytes(body[2:4], "big")]
        self.send(packet(SUBACK, 0, body[:2] + b"\x01"))

    def serve(self, heard: Callable[[bytes, bytes], None] = lambda *_: None) -> None:
        """Be an honest broker until the client goes."""
        while True:
            kind, flags, body = self.read()
            if kind == PUBLISH:
                pid = self._note(flags, body)
                if pid:
                    self.send(packet(PUBACK, 0, pid))
                heard(*self.published[-1])
            elif kind == _PINGREQ:
                self.send(packet(_PINGRESP, 0, b""))

    def linger(self) -> None:
        """Say nothing until the client goes. Gone."""
        while True:
            self._data = b""
            self._take(1)

    def reset(self) -> None:
        """RST, and it is over. Gone."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        raise Gone

    def finish(self) -> None:
        """FIN towards the client; what it says is still read."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)


def message(topic: bytes, payload: bytes, pid: int = 7, flags: int = 2) -> bytes:
    """A PUBLISH as a broker sends it."""
    name = pid.to_bytes(2, "big") if flags & 6 else b""
    return packet(PUBLISH, flags, text(topic) + name + payload)


# ---- the scripts -------------------------------------------------------------------------------


def _refuse(code: int) -> Callable[[Link], None]:
    def script(link: Link) -> None:
        link.greet(packet(CONNACK, 0, bytes([0, code])))
        link.linger()

    return script


def _greeting(answer: bytes) -> Callable[[Link], None]:
    def script(link: Link) -> None:
        link.greet(answer)
        link.linger()

    return script


def _suback(answer: Callable[[bytes], bytes]) -> Callable[[Link], None]:
    def script(link: Link) -> None:
        link.greet()
        link.send(answer(link.expect(SUBSCRIBE)[:2]))
        link.linger()

    return script


def _after(what: Callable[[Link], bytes]) -> Callable[[Link], None]:
    """Honest up to the SUBACK, then this, and silence."""

    def script(link: Link) -> None:
        link.welcome()
        link.send(what(link))
        link.linger()

    return script


def _oversize(link: Link) -> None:
    link.welcome()
    link.send(message(link.down, bytes(_LARGE), 9))
    while link.expect(PUBACK) != b"\x00\x09":  # drained and acknowledged, or it comes for ever
        pass
    link.reset()


def _silent(link: Link) -> None:
    link.linger()


def _no_suback(link: Link) -> None:
    link.greet()
    link.linger()


def _no_puback(link: Link) -> None:
    link.welcome()
    link.linger()


def _slow_connack(link: Link) -> None:
    link.expect(CONNECT)
    link.drip(b"\x20\x80\x80\x80" + bytes(200))


def _slow_publish(link: Link) -> None:
    link.welcome()
    link.drip(message(link.down, bytes(4000)))


def _reset_at_once(link: Link) -> None:
    link.reset()


def _reset_after_connect(link: Link) -> None:
    link.expect(CONNECT)
    link.reset()


def _reset_in_connack(link: Link) -> None:
    link.expect(CONNECT)
    link.send(ACCEPTED[:2])
    link.reset()


def _reset_in_publish(link: Link) -> None:
    link.welcome()
    link.send(message(link.down, bytes(300))[:200])
    link.reset()


def _drop_at_once(link: Link) -> None:
    link.finish()


def _drop_after_connack(link: Link) -> None:
    link.greet()
    link.finish()


def _drop_after_suback(link: Link) -> None:
    link.welcome()
    link.finish()


def _half_close(link: Link) -> None:
    link.welcome()
    link.finish()
    link.linger()


def _session_lie(link: Link) -> None:
    """There is no session of the client here, whatever its memory holds."""
    link.welcome(packet(CONNACK, 0, b"\x01\x00"))
    with contextlib.suppress(Gone):
        for _ in range(3):
            link.expect(PUBLISH)
    link.reset()


def _acked_twice(link: Link) -> None:
    link.welcome()
    body = link.expect(PUBLISH)
    end = 2 + int.from_bytes(body[:2], "big")
    link.send(packet(PUBACK, 0, body[end : end + 2]) * 2)
    link.linger()


def _flood(link: Link) -> None:
    """Two hundred messages at once, none of them ours, all to be acknowledged."""
    link.welcome()
    link.send(b"".join(message(link.down, link.rng.randbytes(60), 100 + n) for n in range(200)))
    seen = 0
    while seen < 200:
        if int.from_bytes(link.expect(PUBACK), "big") >= 100:
            seen += 1
    link.reset()


def _junk(link: Link) -> bytes:
    rng = link.rng
    kinds = (0x84, 0x9B, 0xD2, 0xA1, 0x83, 0x5F)
    return b"".join(
        message(link.down, bytes([rng.choice(kinds)]) + rng.randbytes(rng.randint(0, 300)), n)
        for n in range(1, 20)
    )


def _noise(link: Link) -> bytes:
    return link.rng.randbytes(2000)


SCRIPTS: dict[str, Callable[[Link], None]] = {
    **{f"connack-{code}": _refuse(code) for code in (1, 2, 3, 4, 5)},
    "connack-255": _refuse(255),
    "connack-reserved-bits": _greeting(packet(CONNACK, 0, b"\xfe\x00")),
    "connack-long": _greeting(packet(CONNACK, 0, bytes(3))),
    "connack-twice": _greeting(ACCEPTED * 2),
    "bad-varint": _greeting(b"\x20\xff\xff\xff\xff\x01"),
    "endless-varint": _greeting(b"\x30" + b"\x80" * 64),
    "http": _greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "tls-alert": _greeting(b"\x15\x03\x01\x00\x02\x02\x46"),
    "publish-before-connack": _greeting(message(b"a", b"b")),
    "suback-refused": _suback(lambda pid: packet(SUBACK, 0, pid + b"\x80")),
    "suback-other-id": _suback(lambda _: packet(SUBACK, 0, b"\xff\xff\x01")),
    "suback-short": _suback(lambda pid: packet(SUBACK, 0, pid)),
    "puback-unknown": _after(lambda _: packet(PUBACK, 0, b"\x12\x34")),
    "puback-twice": _acked_twice,
    "pingresp-unasked": _after(lambda _: packet(_PINGRESP, 0, b"")),
    "type-0": _after(lambda _: b"\x00\x00"),
    "type-15": _after(lambda _: b"\xf0\x00"),
    "qos-2": _after(lambda link: message(link.down, b"x", flags=4)),
    "id-0": _after(lambda link: message(link.down, b"x", 0)),
    "topic-beyond-packet": _after(lambda _: packet(PUBLISH, 0, b"\xff\xffab")),
    "256-megabytes": _after(lambda link: b"\x30\xff\xff\xff\x7f" + text(link.down)),
    "oversize-400k": _oversize,
    "session-present-lie": _session_lie,
    "silent": _silent,
    "silent-after-connack": _no_suback,
    "silent-after-suback": _no_puback,
    "byte-a-second-connack": _slow_connack,
    "byte-a-second-publish": _slow_publish,
    "reset-at-once": _reset_at_once,
    "reset-after-connect": _reset_after_connect,
    "reset-in-connack": _reset_in_connack,
    "reset-in-publish": _reset_in_publish,
    "drop-at-once": _drop_at_once,
    "drop-after-connack": _drop_after_connack,
    "drop-after-suback": _drop_after_suback,
    "half-close": _half_close,
    "flood": _flood,
    "junk-messages": _after(_junk),
    "noise": _after(_noise),
}


class HostileBroker:
    """`with HostileBroker(second) as broker`: hostile while `script` is one of SCRIPTS, honest
    while it is "". `second`: what a link second of the client takes here, in seconds."""

    host = "127.0.0.1"

    def __init__(self, second: float = 1.0) -> None:
        self._server = socket.create_server((self.host, 0), backlog=64)
        self.port: int = self._server.getsockname()[1]
        self._second = second
        self._thread = threading.Thread(target=self._run, name="hostile", daemon=True)
        self._news = threading.Condition()
        self._now: socket.socket | None = None
        self.script = ""
        self.rng = random.Random(0)
        self.hostile = self.honest = 0  # connections that got so far as to be served
        self.states = 0  # messages on state/ and up/ that an honest connection acknowledged
        self.trouble: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()
        self._thread.join(60)

    def drop(self) -> None:
        """End the connection that is being served."""
        now = self._now
        if now is not None:
            with contextlib.suppress(OSError):
                now.shutdown(socket.SHUT_RDWR)

    def wait(self, what: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so; False when time ran out."""
        with self._news:
            return self._news.wait_for(lambda: what() or self.trouble is not None, seconds)

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._now = sock
            try:
                self._serve(Link(sock, self.rng, self._second))
            except Gone:
                pass
            except Exception as trouble:  # a mistake of a script: for the suite to raise
                self.trouble = trouble
            finally:
                self._now = None
                sock.close()

    def _serve(self, link: Link) -> None:
        script = self.script
        if script:
            self.hostile += 1
            try:
                SCRIPTS[script](link)
            finally:
                with self._news:
                    self._news.notify_all()
            return
        link.welcome()
        self.honest += 1
        link.serve(self._heard)

    def _heard(self, topic: bytes, _payload: bytes) -> None:
        with self._news:
            self.states += 1
            self._news.notify_all()

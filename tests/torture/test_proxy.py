"""The fault proxy itself: each fault does what it says, is logged, and is the same for a seed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from mqtt_peer import packet, text
from proxy import ANY, Faults, Framer, Proxy, body_start, flipped

PATIENCE_S = 20.0


class Echo:
    """A peer that keeps what it was sent and sends it back."""

    def __init__(self, *, echo: bool = True) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._echo = echo
        self.got: list[bytes] = []
        self.ends: list[str] = []
        self.news = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.got.append(b"")
            thread = threading.Thread(target=self._serve, args=(peer, len(self.got) - 1))
            thread.start()
            self._threads.append(thread)

    def _serve(self, peer: socket.socket, number: int) -> None:
        peer.settimeout(PATIENCE_S)
        end = "closed"
        with peer:
            try:
                while data := peer.recv(65536):
                    with self.news:
                        self.got[number] += data
                        self.news.notify_all()
                    if self._echo:
                        peer.sendall(data)
            except OSError:
                end = "reset"
        with self.news:
            self.ends.append(end)
            self.news.notify_all()

    def wait(self, size: int, number: int = 0) -> bytes:
        """What came, once it is that long."""
        with self.news:
            assert self.news.wait_for(
                lambda: len(self.got) > number and len(self.got[number]) >= size, PATIENCE_S
            )
        return self.got[number]

    def ended(self, count: int = 1) -> list[str]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.ends) >= count, PATIENCE_S)
        return self.ends

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)


@contextmanager
def between(
    faults: Faults, seed: str = "one", *, echo: bool = False
) -> Iterator[tuple[Proxy, Echo, socket.socket]]:
    """A proxy before an Echo, and a client of it."""
    with ExitStack() as stack:
        peer = Echo(echo=echo)
        stack.callback(peer.close)
        proxy = stack.enter_context(Proxy(lambda: ("127.0.0.1", peer.port), faults, seed=seed))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
        client.settimeout(PATIENCE_S)
        yield proxy, peer, client


def message(number: int, size: int = 40) -> bytes:
    """A PUBLISH at QoS 1."""
    body = text(b"ronda/lab/up/one") + number.to_bytes(2, "big") + bytes([number]) * size
    return packet(3, 2, body)


PACKETS = [message(n) for n in range(1, 21)]
LAST = packet(12, 0, b"")  # a PINGREQ meets no faults by default


def sent(faults: Faults, seed: str = "one") -> tuple[bytes, Proxy]:
    """What arrives of twenty messages and a last PINGREQ."""
    with between(faults, seed) as (proxy, peer, client):
        client.sendall(b"".join(PACKETS) + LAST)
        client.shutdown(socket.SHUT_WR)
        peer.ended()
        return peer.got[0], proxy


def test_without_faults_every_byte_arrives_both_ways() -> None:
    with between(Faults(), echo=True) as (proxy, _, client):
        data = b"".join(message(n % 256, 1000) for n in range(500))
        writer = threading.Thread(target=client.sendall, args=(data,))
        writer.start()
        back = b""
        while len(back) < len(data):
            back += client.recv(65536)
        writer.join(PATIENCE_S)
        assert back == data
        assert proxy.packets == {"up": 500, "down": 500} and not proxy.log


def test_dropped_repeated_and_overtaken_packets() -> None:
    got, proxy = sent(Faults(drop=1.0))
    assert got == LAST and proxy.counts == {"drop": 20}
    got, proxy = sent(Faults(repeat=1.0))
    assert got == b"".join(p + p for p in PACKETS) + LAST
    got, proxy = sent(Faults(reorder=0.4))
    assert sorted(Framer().feed(got)) == sorted([*PACKETS, LAST])
    assert got != b"".join(PACKETS) + LAST and 3 <= proxy.counts["reorder"] <= 15


def test_a_held_packet_comes_though_nothing_follows() -> None:
    with between(Faults(reorder=1.0)) as (_, peer, client):
        client.sendall(PACKETS[0])
        assert peer.wait(len(PACKETS[0])) == PACKETS[0]


def test_flips_change_one_bit_of_the_payload_and_smashes_one_anywhere() -> None:
    got, proxy = sent(Faults(flip=1.0))
    found = list(Framer().feed(got))[:20]
    for before, after, told in zip(PACKETS, found, proxy.log, strict=True):
        assert after == flipped(before, told["bit"]) != before
        start = body_start(before)
        assert before[:start] == after[:start]
    got, proxy = sent(Faults(smash=1.0))
    assert (
        got
        == b"".join(flipped(p, told["bit"]) for p, told in zip(PACKETS, proxy.log, strict=True))
        + LAST
    )
    assert min(told["bit"] for told in proxy.log) < 8 * body_start(PACKETS[0])


def test_lost_bytes_and_truncated_packets() -> None:
    got, proxy = sent(Faults(lose=1.0))
    wanted = b""
    for whole, told in zip(PACKETS, proxy.log, strict=True):
        wanted += whole[: told["first"]] + whole[told["first"] + told["count"] :]
    assert got == wanted + LAST
    with between(Faults(truncate=1.0)) as (proxy, peer, client):
        client.sendall(PACKETS[0])
        assert peer.ended() == ["reset"]
        assert peer.got[0] == PACKETS[0][: len(peer.got[0])]
        assert len(peer.got[0]) <= proxy.log[0]["count"] < len(PACKETS[0])
        with pytest.raises(OSError):
            if not client.recv(10):
                raise ConnectionResetError


def test_a_half_closed_connection_still_answers() -> None:
    with between(Faults(halve=1.0, ways=frozenset({"up"})), echo=True) as (_, peer, client):
        client.sendall(PACKETS[0] + PACKETS[1])
        back = b""
        while data := client.recv(1000):
            back += data
        assert peer.ended() == ["closed"]
        assert peer.got[0] == back == PACKETS[0]


def test_resets_delays_and_single_bytes() -> None:
    with between(Faults(reset=1.0)) as (proxy, peer, client):
        client.sendall(PACKETS[0])
        assert peer.ended() == ["reset"] and peer.got[0] == b""
    got, proxy = sent(Faults(dribble=1.0))
    assert got == b"".join(PACKETS) + LAST and proxy.counts["dribble"] == 20
    got, proxy = sent(Faults(delay=1.0, delay_s=0.01))
    assert got == b"".join(PACKETS) + LAST
    assert all(0 <= told["seconds"] <= 0.01 for told in proxy.log)


def test_the_same_seed_meets_the_same_faults() -> None:
    mixed = Faults(drop=0.1, repeat=0.1, flip=0.1, smash=0.1, lose=0.1, kinds=ANY)
    first, one = sent(mixed, "one")
    again, two = sent(mixed, "one")
    other, three = sent(mixed, "two")
    assert first == again and one.log == two.log and len(one.log) > 3
    assert other != first and three.log != one.log
    assert {told["fault"] for told in one.log + three.log} >= {"drop", "repeat", "flip"}


def test_faults_keep_to_their_direction_kind_and_time() -> None:
    faults = Faults(drop=1.0, ways=frozenset({"down"}), kinds=frozenset({3}))
    with between(faults, echo=True) as (proxy, peer, client):
        client.sendall(PACKETS[0] + LAST)
        assert peer.wait(len(PACKETS[0] + LAST)) == PACKETS[0] + LAST
        assert client.recv(1000) == LAST
        proxy.heal()
        client.sendall(PACKETS[1])
        assert client.recv(1000) == PACKETS[1]
        assert proxy.counts == {"drop": 1} and proxy.log[0]["way"] == "down"


def test_a_cut_ends_every_connection_and_the_next_one_works() -> None:
    with between(Faults(), echo=True) as (proxy, peer, client):
        client.sendall(PACKETS[0])
        peer.wait(len(PACKETS[0]))
        assert proxy.cut() == 1
        assert peer.ended() == ["reset"]
        with socket.create_connection(("127.0.0.1", proxy.port)) as other:
            other.sendall(PACKETS[1])
            assert peer.wait(len(PACKETS[1]), 1) == PACKETS[1]
        assert proxy.connections == 2


def test_bytes_that_are_no_mqtt_pass_unchanged() -> None:
    with between(Faults(drop=1.0)) as (_, peer, client):
        noise = b"\xf0\xff\xff\xff\xff\xff" + bytes(range(256))
        client.sendall(noise)
        assert peer.wait(len(noise)) == noise


def test_packets_are_found_however_they_are_cut() -> None:
    data = b"".join(message(n, 150) for n in range(1, 6)) + LAST
    whole = list(Framer().feed(data))
    assert len(whole) == 6 and b"".join(whole) == data
    framer = Framer()
    single = [p for at in range(len(data)) for p in framer.feed(data[at : at + 1])]
    assert single == whole and framer.rest() == b""
    assert body_start(message(1)) == 2 + 2 + 16 + 2

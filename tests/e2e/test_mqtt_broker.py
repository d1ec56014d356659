"""The device's MQTT client, as .mpy in the VM with 192k of heap, against real brokers."""

import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from ronda_tools import vm
from ronda_tools.broker import Broker, free_port, port_taken

PROGRAMS = Path(__file__).parents[1] / "handheld" / "programs"
UP, DOWN, STATE = (f"ronda/lima/{name}/prueba-01" for name in ("up", "down", "state"))


class Mosquitto:
    """Debian's mosquitto on a loopback port, sessions kept in memory."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self._folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process = subprocess.Popen(
            [shutil.which("mosquitto") or "mosquitto", "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not port_taken(self.port) and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Peer:
    """The VM; `do` sends a command line and reads its result."""

    def __init__(self, port: int) -> None:
        built = vm.build()
        environment = dict(
            os.environ, MICROPYPATH=f"{built.path}:{PROGRAMS}:.frozen", RONDA_PORT=str(port)
        )
        self._process = subprocess.Popen(
            [vm.find_vm(), "-X", "heapsize=192k", "-c", "import mqtt_peer"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, line: str) -> dict[str, object]:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._process.stderr.read()
        return json.loads(answer)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Office:
    """A paho client that collects what the device says."""

    def __init__(self, port: int) -> None:
        self.messages: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="office")
        self._client.on_message = lambda _c, _u, m: self.messages.put(
            (m.topic, m.payload, m.retain)
        )
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(UP, 1), (STATE, 1)])
        assert subscribed.wait(5)

    def take(self, topic: str, count: int, seconds: float = 10) -> list[bytes]:
        """The next messages on a topic; others are dropped."""
        found: list[bytes] = []
        deadline = time.monotonic() + seconds
        while len(found) < count:
            got = self.messages.get(timeout=max(0.01, deadline - time.monotonic()))
            if got[0] == topic:
                found.append(got[1])
        return found

    def send(self, payload: bytes) -> list[object]:
        """Publish to the device; what it should report."""
        self._client.publish(DOWN, payload, qos=1).wait_for_publish(5)
        return [len(payload), hashlib.sha256(payload).hexdigest()[:16]]

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _mosquitto(folder: Path, port: int | None = None) -> Mosquitto:
    if not shutil.which("mosquitto"):
        pytest.skip("no mosquitto here (apt-get install mosquitto)")
    return Mosquitto(folder, port)


@pytest.fixture(params=["iotcore", pytest.param("mosquitto", marks=pytest.mark.server)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | Mosquitto]:
    """A running broker; iotcore is the embedded one."""
    found = Broker() if request.param == "iotcore" else _mosquitto(tmp_path)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def peer(broker: Broker | Mosquitto) -> Iterator[Peer]:
    found = Peer(broker.port)
    yield found
    found.kill()


@pytest.fixture
def office(broker: Broker | Mosquitto) -> Iterator[Office]:
    found = Office(broker.port)
    yield found
    found.stop()


def test_messages_go_both_ways(peer: Peer, office: Office) -> None:
    """Fifty up in order, each acknowledged; twenty down, each whole."""
    assert peer.do("link") == {"present": 0, "code": None}
    assert office.take(STATE, 1) == [b'{"online":true}']
    assert peer.do("publish 50 700") == {"unacked": 0, "code": None}
    assert [int(data[:8]) for data in office.take(UP, 50)] == list(range(1, 51))
    sent = [office.send(os.urandom(size)) for size in range(1, 4000, 200)]
    assert peer.do(f"received {len(sent)}")["got"] == sent


def test_the_last_will_says_offline(peer: Peer, office: Office, broker: Broker) -> None:
    """After a cut, not after a goodbye; the state is retained."""
    peer.do("link")
    assert office.take(STATE, 1) == [b'{"online":true}']
    peer.do("cut")
    assert office.take(STATE, 1) == [b'{"online":false}']
    office.stop()
    late = Office(broker.port)
    assert late.messages.get(timeout=30) == (STATE, b'{"online":false}', True)
    peer.do("link")
    assert late.take(STATE, 1) == [b'{"online":true}']
    assert peer.do("bye")["code"] == "disconnected"
    with pytest.raises(queue.Empty):
        late.take(STATE, 1, 0.5)
    late.stop()


def test_the_session_outlives_the_link(peer: Peer, office: Office) -> None:
    """What is sent while the device is away arrives when it is back."""
    peer.do("link")
    peer.do("cut")
    sent = [office.send(b"while away %d" % n) for n in range(5)]
    assert peer.do("link") == {"present": 1, "code": None}
    assert peer.do("received 5")["got"] == sent
    assert peer.do("publish 3 100") == {"unacked": 0, "code": None}


def test_a_message_larger_than_the_buffer_is_drained(peer: Peer, office: Office) -> None:
    """400 kB into 192k of heap: counted, acknowledged, and the next one is whole."""
    peer.do("link")
    office.send(bytes(400_000))
    small = office.send(b"after")
    answer = peer.do("received 1")
    assert answer["got"] == [small] and answer["oversized"] == 1
    peer.do("cut")
    assert peer.do("link")["present"] == 1
    small = office.send(b"again")
    answer = peer.do("received 1")  # the large one does not come back
    assert answer["got"] == [small] and answer["oversized"] == 1


def test_a_killed_broker_ends_the_link_and_the_next_one_works(
    peer: Peer, broker: Broker | Mosquitto, tmp_path: Path
) -> None:
    """The client sees the end, and connects to the broker's successor on the same port."""
    peer.do("link")
    broker.stop()
    assert peer.do("ended")["code"] in ("closed", "OSError")
    assert peer.do("link")["code"] == "OSError"  # refused
    successor = (
        Broker(broker.port) if isinstance(broker, Broker) else Mosquitto(tmp_path, broker.port)
    )
    successor.start()
    try:
        assert peer.do("link") == {"present": 0, "code": None}
        assert peer.do("publish 5 100") == {"unacked": 0, "code": None}
    finally:
        successor.stop()


def test_a_hundred_links_leave_the_heap_as_it_was(peer: Peer, office: Office) -> None:
    """D20 in small: cut and connect again; a message up and down each time."""
    heap: list[int] = []
    for turn in range(100):
        assert peer.do("link")["code"] is None
        assert peer.do("publish 1 300")["unacked"] == 0
        sent = office.send(b"turn %d" % turn)
        answer = peer.do("received 1")
        assert answer["got"] == [sent]
        assert isinstance(answer["heap"], int)
        heap.append(answer["heap"])
        peer.do("cut")
    assert max(heap[20:]) - min(heap[20:]) <= 4096

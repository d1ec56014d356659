"""The MQTT client against a broker in memory: honest, slow, forgetful and hostile."""

HEAP = "192k"

import asyncio
import gc

from handheld import mqtt
from script_broker import Broker, LinkTime, packet, publish, text

ACK = b"\x20\x02\x00\x00"


class Rig:
    """A client with its board and broker; `work` publishes once and then waits for ever."""

    def __init__(self, broker=None):
        self.board, self.broker = LinkTime(), broker or Broker()
        self.client = mqtt.Client(self.board, "prueba-01", self.message, self.change)
        self.messages, self.outstanding, self.present = [], [], None
        self.failing = None
        self.todo = None  # async function run after the subscription

    async def message(self, topic, payload):
        if self.failing:
            raise self.failing
        acks = [g for g in self.broker.got if g[0] == 4]
        self.messages.append((topic, payload, len(acks)))

    def change(self):
        n = self.client.waiting
        if not self.outstanding or self.outstanding[-1] != n:
            self.outstanding.append(n)

    async def work(self):
        stream = await self.broker.connect("h", 1)
        self.present = await self.client.connect(stream, "w/state", b"gone")
        await self.client.subscribe("w/down")
        if self.todo:
            await self.todo()
        await asyncio.Event().wait()

    async def link(self):
        """One link until it ends; its code."""
        try:
            await self.client.serve(self.work)
        except mqtt.MqttError as error:
            assert self.broker.streams == [] or self.broker.stream.closed
            assert self.client.waiting == 0
            return error.code

    async def good_link(self, seconds=1):
        """The client must be usable: an honest link on which something is published."""
        broker = self.broker
        broker.answers, broker.greeting, broker.piece, broker.refuse = {}, b"", 0, False
        before = len(broker.published)

        async def todo():
            await self.client.publish("w/up", b"alive")
            await self.board.link_sleep_ms(1000 * seconds)
            self.client.fail("enough")

        self.todo = todo
        assert await self.link() == "enough"
        assert broker.published[before][2] == b"alive"
        assert not self.client.unacked


async def test_connect_says_who_and_what_to_do_when_gone():
    rig = Rig()
    await rig.good_link()
    assert rig.broker.got[0] == [
        1,
        0,
        b"\x00\x04MQTT\x04\xac\x00\x3c"  # user name, will retained at QoS 1, session kept, 60 s
        + text(b"prueba-01")
        + text(b"w/state")
        + text(b"gone")
        + text(b"prueba-01"),
    ]
    assert rig.broker.got[1] == [8, 2, b"\x00\x01" + text(b"w/down") + b"\x01"]
    assert rig.present == 0


async def test_outstanding_counts_every_answer_owed_and_ends_at_zero():
    rig = Rig()
    await rig.good_link()
    assert max(rig.outstanding) == 1 and rig.outstanding[-1] == 0
    assert rig.outstanding[0] == 1  # the connection itself


async def test_one_write_a_packet():
    rig = Rig()
    sizes = []

    def count(flags, body):
        sizes.append((len(rig.broker.stream.writes), len(body)))
        return b"\x40\x02" + body[6:8]

    async def todo():
        await rig.client.publish("w/up", b"x" * 1000)
        rig.client.fail("enough")

    rig.broker.answers[3] = count
    rig.todo = todo
    await rig.link()
    assert sizes == [(1, 1008)]


async def test_messages_are_acknowledged_after_they_are_stored():
    rig = Rig()

    async def todo():
        rig.broker.stream.feed(publish(b"w/down", b"one", 7) + publish(b"w/down", b"two"))
        rig.broker.stream.feed(publish(b"w/down", b"three", 8, 8))
        await rig.board.link_sleep_ms(500)
        rig.client.fail("enough")

    rig.todo = todo
    await rig.link()
    assert rig.messages == [
        (b"w/down", b"one", 0),
        (b"w/down", b"two", 1),
        (b"w/down", b"three", 1),
    ]
    assert [g[2] for g in rig.broker.got if g[0] == 4] == [b"\x00\x07", b"\x00\x08"]


async def test_what_could_not_be_stored_is_not_acknowledged():
    for failing, code in (
        (OSError(28), "OSError"),
        (MemoryError(), "MemoryError"),
        (ValueError("x"), "ValueError"),
        (IndexError(), "IndexError"),
        (AssertionError(), "AssertionError"),
    ):
        rig = Rig()

        async def todo():
            rig.broker.stream.feed(publish(b"w/down", b"one", 7))

        rig.todo, rig.failing = todo, failing
        assert await rig.link() == code
        assert 4 not in rig.broker.kinds()
        rig.failing = None
        await rig.good_link()


async def test_unacknowledged_is_repeated_with_dup_in_a_kept_session():
    rig = Rig()
    rig.broker.answers[3] = b""

    async def todo():
        await rig.client.publish("w/up", b"segment", "tag")
        await rig.client.publish("w/state", b"of the moment")
        await rig.board.link_sleep_ms(10)
        rig.broker.stream.end()

    rig.todo = todo
    assert await rig.link() == "closed"
    first = rig.broker.got[-2]
    assert rig.client.unacked == {2: "tag", 3: None} and first[1] == 2
    rig.broker.present, rig.broker.answers = 1, {}

    async def again():
        await rig.client.publish("w/up", b"segment", "tag")
        await rig.client.publish("w/up", b"next", "tag 2")
        await rig.board.link_sleep_ms(10)
        rig.client.fail("enough")

    rig.todo = again
    await rig.link()
    assert rig.present == 1
    sent = [g for g in rig.broker.got if g[0] == 3]
    assert sent[2] == [3, 0x0A, first[2]]  # same packet id, same content, DUP
    assert sent[3][1] == 2 and sent[3][2][6:8] != first[2][6:8]
    assert not rig.client.unacked


async def test_a_new_session_repeats_nothing():
    rig = Rig()
    rig.broker.answers[3] = b""

    async def todo():
        await rig.client.publish("w/up", b"segment", "tag")
        rig.broker.stream.end()

    rig.todo = todo
    await rig.link()
    assert rig.client.unacked

    async def again():
        assert not rig.client.unacked
        await rig.client.publish("w/up", b"segment", "tag")
        assert rig.broker.got[-1][1] == 2
        rig.client.fail("enough")

    rig.todo = again
    assert await rig.link() == "enough"


async def test_packet_ids_go_round_and_are_never_zero():
    rig = Rig()
    rig.client._pid = 65533
    seen = []

    async def todo():
        for _ in range(5):
            await rig.client.publish("w/up", b"x")
            seen.append(rig.broker.got[-1][2][6:8])
        await rig.board.link_sleep_ms(10)
        rig.client.fail("enough")

    rig.todo = todo
    await rig.link()
    assert seen == [b"\xff\xff", b"\x00\x01", b"\x00\x02", b"\x00\x03", b"\x00\x04"]
    # An id still in use is passed over.
    rig.client._pid, rig.client.unacked = 0, {1: "a", 2: "b"}
    assert rig.client._next_pid() == b"\x00\x03"


async def test_qos_0_goes_out_without_an_id():
    rig = Rig()

    async def todo():
        await rig.client.publish("w/up", b"x", None, True, 0)
        rig.client.fail("enough")

    rig.todo = todo
    await rig.link()
    assert rig.broker.got[-1] == [3, 1, text(b"w/up") + b"x"]
    assert not rig.client.unacked


async def test_keep_alive_pings_a_quiet_link():
    rig = Rig()
    await rig.good_link(seconds=200)
    assert 3 <= rig.broker.kinds().count(12) <= 5
    assert rig.board.now < 260000


async def test_a_silent_broker_is_dropped_within_two_minutes():
    rig = Rig()
    rig.broker.answers[12] = b""
    assert await rig.link() == "late-ping"
    assert rig.board.now <= 120000


async def test_too_large_a_message_is_drained_and_acknowledged():
    """400 kB, as the broker that deafened mqtt_as sent it; in 192k of heap."""
    rig = Rig()
    size = 400000

    async def todo():
        head = packet(0x32, b"")[:1] + bytes([(size & 127) | 128, (size >> 7 & 127) | 128])
        rig.broker.stream.feed(head + bytes([size >> 14]) + text(b"w/down") + b"\x00\x09")
        left = size - 10
        while left:
            n = min(left, 5000)
            rig.broker.stream.feed(bytes(n))
            left -= n
            await rig.board.link_sleep_ms(500)
        rig.broker.stream.feed(publish(b"w/down", b"after", 10))
        await rig.board.link_sleep_ms(500)
        rig.client.fail("enough")

    rig.todo = todo
    assert await rig.link() == "enough"
    assert rig.client.oversized == 1
    assert [m[1] for m in rig.messages] == [b"after"]
    assert [g[2] for g in rig.broker.got if g[0] == 4] == [b"\x00\x09", b"\x00\x0a"]


async def test_the_largest_message_that_fits():
    rig = Rig()

    async def todo():
        rig.broker.stream.feed(publish(b"w/down", b"y" * (4096 - 10), 9))
        rig.broker.stream.feed(publish(b"w/down", b"z" * (4097 - 10), 10))
        await rig.board.link_sleep_ms(500)
        rig.client.fail("enough")

    rig.todo = todo
    await rig.link()
    assert [len(m[1]) for m in rig.messages] == [4086] and rig.client.oversized == 1


async def test_a_slow_but_honest_link_works():
    rig = Rig()
    rig.broker.piece = 1
    await rig.good_link()
    rig = Rig()
    rig.broker.greeting = b""

    async def todo():  # one byte a second: a small packet has 30 s
        for byte in publish(b"w/down", b"slow", 3):
            rig.broker.stream.feed(bytes([byte]))
            await rig.board.link_sleep_ms(1000)
        rig.client.fail("enough")

    rig.todo = todo
    assert await rig.link() == "enough" and rig.messages[0][1] == b"slow"


# name -> (code, what to change in the broker). A case ends the link, within two minutes.
def _after(data):
    """The broker is honest up to the subscription, then sends this and no PUBACK."""
    answer = lambda flags, body: b"\x90\x03" + body[:2] + b"\x01" + data  # noqa: E731
    return {"answers": {8: answer, 3: b""}}


def _suback(data):
    return {"answers": {8: lambda flags, body: data(body[:2])}}


CASES = {
    "connack-1": ("connack-1", {"answers": {1: b"\x20\x02\x00\x01"}}),
    "connack-2": ("connack-2", {"answers": {1: b"\x20\x02\x00\x02"}}),
    "connack-3": ("connack-3", {"answers": {1: b"\x20\x02\x00\x03"}}),
    "connack-4": ("connack-4", {"answers": {1: b"\x20\x02\x00\x04"}}),
    "connack-5": ("connack-5", {"answers": {1: b"\x20\x02\x00\x05"}}),
    "connack-255": ("connack-255", {"answers": {1: b"\x20\x02\x01\xff"}}),
    "connack reserved bits": ("flags", {"answers": {1: b"\x20\x02\xfe\x00"}}),
    "connack long": ("order", {"answers": {1: b"\x20\x03\x00\x00\x00"}}),
    "connack short": ("order", {"answers": {1: b"\x20\x01\x00"}}),
    "connack flags": ("flags", {"answers": {1: b"\x21\x02\x00\x00"}}),
    "connack twice": ("order", {"answers": {1: ACK + ACK}}),
    "no connack": ("late-connack", {"answers": {1: b""}}),
    "connack cut": ("late-packet", {"answers": {1: b"\x20\x02\x00"}}),
    "bad varint": ("length", {"answers": {1: b"\x20\xff\xff\xff\xff\x01"}}),
    "endless varint": ("length", {"greeting": b"\x30" + b"\x80" * 40}),
    "http": ("flags", {"answers": {1: b"HTTP/1.1 400 Bad Request\r\n\r\n"}}),
    "tls": ("flags", {"answers": {1: b"\x15\x03\x01\x00\x02\x02\x46"}}),
    "publish before connack": ("order", {"greeting": publish(b"w/down", b"x", 1)}),
    "ping before connack": ("order", {"greeting": b"\xd0\x00"}),
    "connack unasked": ("late-connack", {"greeting": b"", "answers": {1: None}}),
    "suback refused": ("suback", _suback(lambda pid: b"\x90\x03" + pid + b"\x80")),
    "suback qos 2": ("suback", _suback(lambda pid: b"\x90\x03" + pid + b"\x02")),
    "suback other id": ("suback", _suback(lambda pid: b"\x90\x03\xff\xff\x01")),
    "suback short": ("type", _suback(lambda pid: b"\x90\x02" + pid)),
    "suback long": (
        "length",
        _suback(lambda pid: b"\x90\x08" + pid + b"\x01\x01\x01\x01\x01\x01"),
    ),
    "no suback": ("late-suback", _suback(lambda pid: b"")),
    "suback twice": ("suback", _after(b"\x90\x03\x00\x01\x01")),
    "puback unknown": ("puback", _after(b"\x40\x02\x12\x34")),
    "puback zero": ("puback", _after(b"\x40\x02\x00\x00")),
    "puback short": ("type", _after(b"\x40\x01\x12")),
    "puback flags": ("flags", _after(b"\x42\x02\x12\x34")),
    "pingresp unasked": ("pingresp", _after(b"\xd0\x00")),
    "pingresp long": ("type", _after(b"\xd0\x01\x00")),
    "type 0": ("type", _after(b"\x00\x00")),
    "type 15": ("type", _after(b"\xf0\x00")),
    "a connect": ("length", _after(packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"))),
    "a subscribe": ("flags", _after(packet(0x82, b"\x00\x01\x00\x01a\x00"))),
    "pubrel": ("flags", _after(b"\x62\x02\x00\x01")),
    "pubrec": ("type", _after(b"\x50\x02\x00\x01")),
    "qos 2": ("qos", _after(b"\x34" + publish(b"w/down", b"x", 1)[1:])),
    "qos 3": ("qos", _after(b"\x36" + publish(b"w/down", b"x", 1)[1:])),
    "dup at qos 0": ("qos", _after(b"\x38" + publish(b"w/down", b"x")[1:])),
    "id 0": ("pid", _after(packet(0x32, text(b"w/down") + b"\x00\x00x"))),
    "no topic": ("topic", _after(packet(0x30, b"\x00\x00x"))),
    "empty publish": ("topic", _after(b"\x30\x00")),
    "one byte publish": ("topic", _after(b"\x30\x01\x00")),
    "topic beyond packet": ("topic", _after(packet(0x30, b"\xff\xffw/down"))),
    "id beyond packet": ("topic", _after(packet(0x32, b"\x00\x02ab\x00"))),
    "256 MB": ("length", _after(b"\x30\xff\xff\xff\x7f" + text(b"w/down") + bytes(64))),
    "topic over the buffer": ("topic", _after(packet(0x32, b"\x20\x00" + bytes(8300)))),
    "cut publish": ("late-packet", _after(publish(b"w/down", b"x" * 50, 1)[:-1])),
    "cut header": ("late-puback", _after(b"\x30")),
    "end in a packet": ("closed", {"end": publish(b"w/down", b"x" * 50, 1)[:-1]}),
    "end": ("closed", {"end": b""}),
    "reset": ("OSError", {"error": OSError(104)}),
    "refused": ("OSError", {"refuse": True}),
    "no memory in the stream": ("MemoryError", {"error": MemoryError()}),
    "failed certificate": ("ValueError", {"error": ValueError("cert")}),
    "session-present lie": ("enough", {"present": 1}),
}


async def hostile(rig, change):
    """One link under a case; its code."""
    broker = rig.broker
    broker.answers, broker.greeting = dict(change.get("answers", {})), change.get("greeting", b"")
    broker.refuse, broker.present = change.get("refuse", False), change.get("present", 0)
    if None in broker.answers.values():
        broker.answers[1] = b""

    async def todo():
        await rig.client.publish("w/up", b"hello", "tag")
        await rig.board.link_sleep_ms(1)
        if "end" in change:
            broker.stream.feed(change["end"])
            broker.stream.end()
        elif "error" in change:
            broker.stream.end(change["error"])
        elif "present" in change:
            await rig.board.link_sleep_ms(50)
            rig.client.fail("enough")

    rig.todo = todo
    code = await rig.link()
    broker.got, broker.streams, broker.published = [], [], []
    broker.present = 0
    return code


async def test_hostile_brokers_end_in_one_path_and_the_next_link_works():
    rig = Rig()
    wrong = []
    for name in sorted(CASES):
        code, change = CASES[name]
        start = rig.board.now
        got = await hostile(rig, change)
        if got != code or rig.board.now - start > 120000:
            wrong.append((name, code, got, rig.board.now - start))
        await rig.good_link()
    assert len(CASES) >= 50 and not wrong, wrong


async def test_hostile_brokers_leave_the_heap_as_it_was():
    rig = Rig()
    used = []
    for _ in range(6):
        for name in CASES:
            await hostile(rig, CASES[name][1])
        rig.outstanding, rig.messages = [], []
        gc.collect()
        used.append(gc.mem_alloc())
    assert max(used[1:]) - used[1] <= 2048, used


async def test_a_peer_that_stops_reading_is_dropped():
    rig = Rig()

    async def todo():
        rig.broker.stream.stalled = True
        await rig.client.publish("w/up", b"x" * 2000, "tag")

    rig.todo = todo
    assert await rig.link() in ("late-write", "late-puback")
    rig.broker.stream.stalled = False
    await rig.good_link()


async def test_whatever_a_stream_raises_ends_the_link():
    for error in (OSError(32), ValueError(), MemoryError(), IndexError(), AssertionError()):
        for method in ("readinto", "write", "drain", "close"):
            rig = Rig()

            def bad(*args):
                raise error

            async def todo():
                setattr(rig.broker.stream, method, bad)
                if method != "close":
                    rig.broker.stream.feed(publish(b"w/down", b"x", 1))
                    await rig.client.publish("w/up", b"x", "tag")
                else:
                    rig.broker.stream.end()
                await asyncio.Event().wait()

            rig.todo = todo
            try:
                await rig.client.serve(rig.work)
            except mqtt.MqttError as ended:
                wanted = "closed" if method == "close" else type(error).__name__
                assert ended.code == wanted, (method, ended.code)
            await rig.good_link()


async def test_a_byte_a_second_is_given_up_in_time():
    """A packet must come at 1 kB/s after 30 s: the same for what fits and what is drained."""
    for size in (4000, 400000):
        rig = Rig()

        async def drip():
            head = bytes([0x32, (size & 127) | 128, (size >> 7 & 127) | 128, size >> 14])
            rig.broker.stream.feed(head + text(b"w/down") + b"\x00\x09")
            while True:
                await rig.board.link_sleep_ms(1000)
                rig.broker.stream.feed(b"x")

        rig.todo = drip
        assert await rig.link() == "late-packet"
        assert rig.board.now <= 35000 + size
        await rig.good_link()


async def test_a_connection_that_never_opens_is_given_up():
    rig = Rig()

    async def never():
        await asyncio.Event().wait()

    try:
        await rig.client.serve(never)
    except mqtt.MqttError as error:
        assert error.code == "late-open"
    assert rig.board.now <= 32000


async def test_no_puback_drops_the_link_and_keeps_the_message():
    rig = Rig()
    rig.broker.answers[3] = b""

    async def todo():
        await rig.client.publish("w/up", b"x", "tag")

    rig.todo = todo
    assert await rig.link() == "late-puback"
    assert list(rig.client.unacked.values()) == ["tag"]


async def test_random_bytes_never_do_more_than_end_the_link():
    """3,000 streams of noise after an honest handshake, by a fixed generator."""
    state = 12345
    rig = Rig()
    for turn in range(300):
        noise = bytearray()
        for _ in range(10):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            kind = (0x20, 0x30, 0x32, 0x40, 0x90, 0xD0, 0x50, 0x38)[state >> 8 & 7]
            noise.append(kind | (state >> 20 & 1))
            noise.append(state >> 12 & 31)
            for _ in range(state >> 4 & 15):
                state = (state * 1103515245 + 12345) & 0x7FFFFFFF
                noise.append(state >> 16 & 255)
        code = await hostile(rig, _after(bytes(noise)))
        assert code and rig.client.error is None, (turn, code, rig.client.error)
        rig.messages, rig.outstanding = [], []
    await rig.good_link()


async def test_cancelling_the_link_closes_the_stream():
    rig = Rig()
    task = asyncio.create_task(rig.link())
    await rig.board.link_sleep_ms(100)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert rig.broker.stream.closed and rig.client.waiting == 0

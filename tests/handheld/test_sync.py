"""Segments out, receipts in: what is released, what is repeated, and what a forged receipt does.

The log is the real one on littlefs in RAM, the broker and the gateway are in memory.
"""

import asyncio
import gc
import os

from handheld.log import Log
from handheld.sync import Sync
from handheld.trust import Trust
from handheld_board import FakeBoard, FakeClock, Signer, files
from ronda_protocol import cbor, cose, issuing, pack, reading, receipt, signed, track
from script_broker import Broker, LinkTime, publish

gc.threshold(100000)  # as firmware/main.py does: hours of link time must not scatter the heap
HEAP = "1m"  # sources, compiled in the VM
NOW = 1789473600
CONFIG = {1: "broker", 2: 1883, 3: "ronda/lima"}
DOWN = b"ronda/lima/down/prueba-01"
UP = b"ronda/lima/up/prueba-01"
GATEWAY, STRANGER, RELEASE = [Signer(bytes([n]) * 32) for n in (2, 4, 3)]


class LinkBoard(LinkTime, FakeBoard):
    """A FakeBoard with a link: outstanding operations are recorded."""

    def __init__(self, net, count=96):
        LinkTime.__init__(self)
        FakeBoard.__init__(self, count=count)
        self.net = net
        self.outstanding = []

    def link_outstanding(self, n):
        self.outstanding.append(n)


class GatewayClock(FakeClock):
    def __init__(self):
        FakeClock.__init__(self)
        self.told = []

    def on_gateway(self, utc, late_s=60):
        self.told.append((utc, late_s))
        return track.TIME_SET, [utc, 2, late_s]


class Rig:
    """A log with segments, a sync over a link in memory, a gateway that signs receipts."""

    def __init__(self, segments=0):
        gc.collect()
        self.broker = Broker()
        self.broker.answers[3] = self.on_publish
        self.board = LinkBoard(self.broker)
        self.clock = GatewayClock()
        self.log = Log(self.board, self.clock)
        self.log.open()
        self.add(segments)
        self.trust = Trust(self.board)
        self.trust.window = [0, NOW * 2]
        self.trust.keys = [
            [GATEWAY.kid, GATEWAY.public, pack.GATEWAY, 0, NOW * 2, False],
            [RELEASE.kid, RELEASE.public, pack.RELEASE, 0, NOW * 2, False],
        ]
        self.sync = Sync(self.board, self.clock, self.log, self.trust, CONFIG, 0)
        self.up, self.states = [], []  # seqs published, texts of state
        self.hold = False  # the gateway is silent
        self.puback = True
        self.held = []  # dispositions of the next receipt
        self.have = {}  # seq -> chain hash
        self.pid = 100
        self.task = None

    def add(self, n):
        """Seal n more segments."""
        for _ in range(n):
            self.log.event(track.PAUSE, [self.log.head])
            self.clock.now += 1000
            assert self.log.seal_track()

    # --- the other side ---
    def on_publish(self, flags, body):
        end = 2 + int.from_bytes(body[:2], "big")
        topic, data = body[2:end], body[end + 2 :]
        if topic == UP:
            header = reading.parse(data)
            self.up.append((header.header.seq, flags & 8))
            self.have[header.header.seq] = header.chain_hash()
            if not self.hold:
                self.send(self.receipt())
        else:
            assert flags & 1 and topic == b"ronda/lima/state/prueba-01"
            self.states.append(bytes(data))
        return b"\x40\x02" + body[end : end + 2] if self.puback else None

    def upto(self):
        n = self.log.released
        while n + 1 in self.have:
            n += 1
        return n

    def receipt(self, upto=None, signer=GATEWAY, **other):
        """A receipt as the gateway would sign it; `other` replaces fields."""
        upto = self.upto() if upto is None else upto
        head = self.have.get(upto) or self.log.chain.hash_at(upto) or receipt.NO_HEAD
        fields = {"device": "prueba-01", "log_id": self.log.log_id, "head": head, "now": NOW}
        fields.update({"ranges": [], "dispositions": self.held, "nonce": b"12345678"})
        fields.update(other)
        data = issuing.encode_receipt(
            fields["device"],
            fields["log_id"],
            upto,
            fields["head"],
            fields["ranges"],
            fields["dispositions"],
            fields["now"],
            fields["nonce"],
        )
        return cose.sign(data, signer)

    def send(self, data, topic=DOWN):
        self.pid += 1
        self.broker.stream.feed(publish(topic, data, self.pid))

    # --- time ---
    def start(self):
        self.task = asyncio.create_task(self.sync.run())

    async def wait(self, seconds):
        await self.board.link_sleep_ms(1000 * seconds)

    async def stop(self):
        self.task.cancel()
        try:
            await self.task
        except asyncio.CancelledError:
            pass

    def seqs(self):
        return [seq for seq, _ in self.up]


async def test_segments_go_oldest_first_and_are_released():
    rig = Rig(10)
    rig.start()
    await rig.wait(5)
    assert rig.seqs() == list(range(1, 11))
    assert rig.log.released == 10 and rig.log.unsent() == 0
    assert rig.board.outstanding[0] == 1 and rig.board.outstanding[-1] == 0
    assert rig.states[-1] == b'{"online":true,"seq":10,"unsent":0}'
    assert rig.sync.receipts and not rig.sync.refused
    # A segment sealed later goes at once, and state follows when it is quiet.
    rig.add(1)
    await rig.wait(1)
    assert rig.log.released == 11 and rig.board.outstanding[-1] == 0
    assert rig.states[-1] == b'{"online":true,"seq":11,"unsent":0}'
    await rig.stop()
    assert rig.board.outstanding[-1] == 0


async def test_never_more_than_four_without_a_receipt():
    rig = Rig(10)
    rig.hold = True
    rig.start()
    await rig.wait(10)
    assert rig.seqs() == [1, 2, 3, 4]
    assert rig.board.outstanding[-1] == 4 and max(rig.board.outstanding) <= 9
    rig.hold = False
    rig.send(rig.receipt(3))  # cumulative
    await rig.wait(10)
    assert rig.log.released == 10 and rig.seqs() == list(range(1, 11))
    assert rig.board.outstanding[-1] == 0
    await rig.stop()


async def test_a_puback_releases_nothing_and_silence_is_asked_again():
    rig = Rig(2)
    rig.hold = True
    rig.start()
    await rig.wait(59)
    assert rig.seqs() == [1, 2] and rig.log.released == 0
    await rig.wait(3)
    assert rig.seqs() == [1, 2, 1, 2]
    await rig.wait(120)  # then after 120, 240, 480 s
    assert rig.seqs() == [1, 2] * 3
    await rig.wait(60 * 60)
    assert 6 <= len(rig.up) // 2 <= 12
    assert rig.log.released == 0 and rig.board.outstanding[-1] == 2
    rig.hold = False
    rig.send(rig.receipt())
    await rig.wait(1)
    assert rig.log.released == 2 and rig.board.outstanding[-1] == 0
    await rig.stop()


async def test_after_a_cut_it_goes_on_behind_what_was_released():
    rig = Rig(6)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    rig.send(rig.receipt(2))
    rig.puback = False
    await rig.wait(1)
    assert rig.seqs() == [1, 2, 3, 4, 5, 6]
    rig.broker.set_up(False)
    rig.broker.stream.end()
    await rig.wait(1)
    assert rig.board.outstanding[-1] == 0  # link down: nothing is awaited
    rig.up, rig.puback, rig.hold, rig.broker.present = [], True, False, 1
    rig.broker.set_up(True)
    await rig.wait(1)
    # 5 and 6 had no PUBACK: the same packets again, with DUP.
    assert rig.up == [(3, 0), (4, 0), (5, 8), (6, 8)]
    assert rig.log.unsent() == 0 and rig.board.outstanding[-1] == 0
    await rig.stop()


async def test_the_links_return_ends_the_back_off():
    rig = Rig(1)
    rig.broker.refuse = True
    rig.start()
    await rig.wait(600)
    rig.broker.set_up(False)
    await rig.wait(100)
    rig.broker.refuse = False
    before = rig.board.now
    rig.broker.set_up(True)
    await rig.wait(1)
    assert rig.log.unsent() == 0 and rig.board.now - before <= 1000
    # Also while it is waiting with the link up.
    rig.broker.refuse = True
    rig.broker.stream.end()
    await rig.wait(600)
    rig.broker.refuse = False
    rig.add(1)
    rig.broker.set_up(True)
    await rig.wait(1)
    assert rig.log.unsent() == 0
    await rig.stop()


async def test_back_off_is_bounded_and_never_outstanding():
    rig = Rig(1)
    rig.broker.refuse = True
    rig.start()
    tries = []
    connect = rig.broker.connect

    async def counting(host, port):
        tries.append(rig.board.now)
        return await connect(host, port)

    rig.broker.connect = counting
    await rig.wait(3600)
    gaps = [tries[i + 1] - tries[i] for i in range(len(tries) - 1)]
    assert 115 <= len(tries) <= 260, len(tries)
    # Whoever comes back is found within 30 s, however long it was away.
    assert gaps[0] >= 2000 and max(gaps) <= 30000 and min(gaps[4:]) >= 14000
    assert len(set([gap // 100 for gap in gaps[4:]])) > 5  # jitter
    assert rig.board.outstanding[-1] == 0
    await rig.stop()


async def test_a_broker_that_accepts_and_drops_is_not_hammered():
    """Threat 25: however it drops, at most 90 connects an hour, after the first minutes too."""
    end = lambda rig: lambda flags, body: rig.broker.stream.end()  # noqa: E731
    for kind in (1, 8, 3):
        rig = Rig(1)
        rig.broker.answers[kind] = end(rig)
        rig.board._entropy = 37 * kind
        rig.start()
        await rig.wait(3600)
        first = len(rig.broker.streams)
        assert 50 <= first <= 90, first
        await rig.wait(3600)
        assert 50 <= len(rig.broker.streams) - first <= 82
        await rig.stop()


async def test_a_replayed_receipt_does_not_shorten_the_back_off():
    """A broker gives an old receipt with ranges at each connect, and drops."""
    rig = Rig(3)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    old = rig.receipt(1, ranges=[[3, 3, rig.log.chain.hash_at(3)]])
    rig.send(old)
    await rig.wait(1)
    assert rig.log.released == 1 and rig.sync.receipts == 1

    def drop(flags, body):
        rig.send(old)
        rig.broker.stream.feed(b"\x00\x00")

    rig.broker.answers[3] = drop
    rig.broker.stream.end()
    await rig.wait(3600)
    assert rig.sync.receipts > 40  # they count, as they tell what is there
    assert len(rig.broker.streams) <= 91, len(rig.broker.streams)
    await rig.stop()


async def test_a_fleet_comes_back_over_more_than_ten_seconds():
    """One handheld stands for thirty: its broker is gone and back at once, or after five minutes.
    Each back-off draws anew, so what one does in turn a fleet does side by side."""
    for away in (0, 300):
        rig = Rig(1)
        rig.start()
        late = []
        for turn in range(30):
            await rig.wait(61)
            rig.broker.refuse = away > 0
            rig.board._entropy = 11 * turn
            links = rig.sync.links
            rig.broker.stream.end()
            await rig.wait(away)
            rig.broker.refuse = False
            back = rig.board.now
            while rig.sync.links == links:
                await rig.board.link_sleep_ms(100)
            late.append(rig.board.now - back)
        assert max(late) <= 31000 and max(late) - min(late) >= 10000, late
        thirds = [len([x for x in late if at <= x - min(late) < at + 5000]) for at in (0, 5000)]
        assert min(thirds) >= 3, late
        await rig.stop()


async def test_the_links_return_while_the_last_one_ends_is_not_missed():
    """Closing takes up to 5 s; the radio may be back before."""
    rig = Rig(1)
    rig.start()
    await rig.wait(2)
    stream = rig.broker.stream

    async def slow():
        await rig.board.link_sleep_ms(1000)

    stream.close = slow
    rig.broker.set_up(False)
    await rig.wait(0)
    rig.broker.set_up(True)
    before = rig.board.now
    while rig.sync.links < 2:
        await rig.board.link_sleep_ms(100)
    assert rig.board.now - before <= 1500
    await rig.stop()


# Threat 10: every one of these must delete nothing.
def mutations(rig):
    """name -> bytes of a downlink message that may not release anything."""
    good = rig.receipt(3)
    sign1 = cose.parse(good)
    body = cbor.decode(sign1.payload)

    def changed(key, value, signer=GATEWAY):
        other = dict(body)
        if value is None:
            del other[key]
        else:
            other[key] = value
        return cose.sign(cbor.encode(other), signer)

    def framed(protected, unprotected, payload, signature):
        return cbor.encode(cbor.Tagged(18, [protected, unprotected, payload, signature]))

    s = int.from_bytes(sign1.signature[32:], "big")
    high = (int.from_bytes(cose.N, "big") - s).to_bytes(32, "big")
    flipped = bytearray(sign1.signature)
    flipped[5] ^= 4
    resend = issuing.encode_resend("prueba-01", rig.log.log_id, 1, 3, b"12345678")
    parts = sign1.protected, {}, sign1.payload, sign1.signature
    return {
        "stranger's key": rig.receipt(3, STRANGER),
        "release key": rig.receipt(3, RELEASE),
        "our own key": rig.receipt(3, rig.board.signer),
        "another's kid": framed(
            cbor.encode({1: -7, 4: GATEWAY.kid}),
            {},
            sign1.payload,
            cose.parse(rig.receipt(3, STRANGER)).signature,
        ),
        "signature bit": framed(parts[0], {}, parts[2], bytes(flipped)),
        "signature zero": framed(parts[0], {}, parts[2], bytes(64)),
        "high s": framed(parts[0], {}, parts[2], sign1.signature[:32] + high),
        "unprotected kid": framed(parts[0], {4: GATEWAY.kid}, parts[2], parts[3]),
        "alg": framed(cbor.encode({1: -35, 4: GATEWAY.kid}), {}, parts[2], parts[3]),
        "payload bit": good.replace(parts[2], parts[2][:-1] + bytes([parts[2][-1] ^ 1])),
        "other device": rig.receipt(3, device="prueba-02"),
        "other log": rig.receipt(3, log_id=b"otherlog"),
        "wrong hash": rig.receipt(3, head=bytes(range(32))),
        "hash of another seq": rig.receipt(3, head=rig.log.chain.hash_at(2)),
        "zero hash": rig.receipt(3, head=bytes(32)),
        "beyond the head": rig.receipt(99, head=rig.log.head_hash),
        "major version": changed(1, 2),
        "unknown key": changed(10, 1),
        "no hash": changed(5, None),
        "upto as text": changed(4, "3"),
        "upto negative": changed(4, -3),
        "a stranger's resend request": cose.sign(resend, STRANGER),
        "a segment of ours": rig.log.read(3),
        "another kind": changed(0, signed.MANIFEST),
        "cut": good[:-1],
        "twice": good + good,
        "empty": b"",
        "no tag": good[1:],
        "noise": b"\xff" * 200,
        "bomb": b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff" * 30,
        "not a receipt": b'{"upto":3}',
    }


async def test_forged_foreign_and_old_receipts_delete_nothing():
    rig = Rig(4)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    tried = mutations(rig)
    assert len(tried) >= 20
    flash = files("/flash")
    erases = rig.board.blocks.programs
    for name in sorted(tried):
        before = sum(rig.sync.refused.values())
        rig.send(tried[name])
        await rig.wait(1)
        assert rig.log.released == 0, name
        assert sum(rig.sync.refused.values()) == before + 1, name
    rig.send(rig.receipt(3), b"ronda/lima/down/prueba-02")
    await rig.wait(1)
    assert rig.log.released == 0 and rig.sync.refused["topic"] == 1
    assert files("/flash") == flash and rig.board.blocks.programs == erases
    assert rig.sync.links == 1  # none of them even ended the link
    assert rig.clock.told == []
    # The genuine one works still; afterwards older ones are just old.
    old = [rig.receipt(n) for n in range(4)]
    rig.send(rig.receipt(4))
    await rig.wait(1)
    assert rig.log.released == 4
    for data in old:
        rig.send(data)
    await rig.wait(1)
    assert rig.log.released == 4 and rig.sync.refused["old"] == 4
    await rig.stop()


async def test_a_receipt_counts_only_while_its_key_does():
    for change in ("revoked", "ended", "no pack"):
        rig = Rig(1)
        key = rig.trust.keys[0]
        if change == "revoked":
            key[5] = True
        elif change == "ended":
            key[4] = NOW - 1
        else:
            rig.trust.window = None
        rig.start()
        await rig.wait(2)
        assert rig.log.released == 0 and rig.sync.refused == {"signer": 1}, change
        await rig.stop()


async def test_held_segments_are_not_repeated_every_minute():
    rig = Rig(3)
    rig.held = [[1, receipt.HELD], [2, receipt.QUARANTINED], [3, receipt.UNREADABLE]]
    rig.hold = True
    rig.start()
    await rig.wait(1)
    rig.send(rig.receipt(0))
    await rig.wait(1700)
    assert rig.seqs() == [1, 2, 3] and rig.log.released == 0
    assert rig.board.outstanding[-1] == 0
    await rig.wait(200)
    assert rig.seqs() == [1, 2, 3, 1]  # asked with the oldest, after half an hour
    # New segments go out meanwhile; a receipt names only what it answers.
    rig.add(1)
    await rig.wait(1)
    assert rig.seqs()[-1] == 4
    rig.held = [[4, receipt.HELD]]
    rig.send(rig.receipt(0))
    await rig.wait(300)
    assert rig.seqs() == [1, 2, 3, 1, 4]
    rig.held = []
    rig.send(rig.receipt(4))
    await rig.wait(1)
    assert rig.log.unsent() == 0
    await rig.stop()


async def test_a_gap_is_filled_and_what_lies_beyond_is_not_repeated():
    rig = Rig(6)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    ranges = [[3, 4, rig.log.chain.hash_at(4)]]
    rig.send(rig.receipt(1, ranges=ranges))
    await rig.wait(2)
    assert rig.log.released == 1 and rig.seqs() == [1, 2, 3, 4, 5, 6]
    assert rig.board.outstanding[-1] == 3
    await rig.wait(62)
    assert rig.seqs()[6:] == [2, 5, 6]
    rig.send(rig.receipt(6))
    await rig.wait(1)
    assert rig.log.unsent() == 0 and rig.board.outstanding[-1] == 0
    await rig.stop()


async def test_a_full_flash_is_in_the_state_as_long_as_it_is_full():
    rig = Rig(2)
    rig.start()
    await rig.wait(1)
    assert b"full" not in rig.states[-1]
    with open("/flash/ballast", "wb") as f:
        while os.statvfs("/flash")[3] > 12:
            f.write(bytes(1024))
            f.flush()
    assert not rig.log.room()
    await rig.wait(1)
    assert rig.states[-1].endswith(b',"full":true}')
    os.remove("/flash/ballast")
    assert rig.log.room()
    await rig.wait(1)
    assert b"full" not in rig.states[-1]
    await rig.stop()


async def test_an_unreadable_segment_is_declared_lost_once():
    rig = Rig(4)
    path = [name for name, _ in files("/flash") if name.endswith(".vol")][0]
    with open(path, "rb") as f:
        data = bytearray(f.read())
    size = int.from_bytes(data[:2], "big")
    data[size + 8 + 40] ^= 1  # within the second segment
    with open(path, "wb") as f:
        f.write(data)
    assert rig.log.read(2) is None
    rig.hold = True
    rig.start()
    await rig.wait(130)
    assert rig.seqs()[:3] == [1, 3, 4]
    await rig.stop()
    sealed = reading.parse(rig.log.read(rig.log.seal_track()))
    lost = [entry[4] for entry in sealed.entries() if entry[3] == track.LOST]
    assert lost == [[2, 2, "unreadable"]]


async def test_a_held_segment_that_becomes_unreadable_is_one_event():
    rig = Rig(2)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    rig.held = [[1, receipt.HELD], [2, receipt.HELD]]
    rig.send(rig.receipt(0))
    await rig.wait(1)
    os.remove([name for name, _ in files("/flash") if name.endswith(".vol")][0])
    events = rig.log.counts["event"]
    await rig.wait(2 * 3600)
    assert rig.seqs() == [1, 2] and rig.log.counts["event"] == events + 1
    await rig.stop()


async def test_much_damage_is_declared_in_bounded_memory():
    rig = Rig(2)
    lane = rig.sync._lanes[-1]
    for seq in range(10, 200, 2):
        rig.sync._seldom("unreadable", lane, seq)
    assert len(lane.lost) == 32 and lane.answered(198) == 198
    rig.sync._seldom("unreadable", lane, 100)  # no event twice
    assert rig.log.counts["event"] <= 3 + 95


async def test_a_gateway_that_knows_more_than_this_flash_is_no_harm():
    """An old image was put back: receipts name segments that are not here."""
    rig = Rig(2)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    rig.send(rig.receipt(2, ranges=[[90, 95, bytes(32)]]))
    await rig.wait(2 * 3600)
    assert rig.seqs() == [1, 2] and rig.log.unsent() == 0
    rig.send(rig.receipt(95, head=bytes(range(32))))
    await rig.wait(1)
    assert rig.sync.refused == {"ahead": 1}
    await rig.stop()


async def test_gateway_time_comes_from_fresh_receipts_only():
    rig = Rig(2)
    rig.start()
    await rig.wait(2)
    assert rig.clock.told and rig.clock.told[0] == (NOW, 1)
    await rig.stop()
    # Sealed before this boot: a receipt for it may have waited in the broker for days.
    rig = Rig(2)
    rig.sync._lanes[-1].born = 2
    rig.start()
    await rig.wait(2)
    assert rig.log.released == 2 and rig.clock.told == []
    # Published an hour ago.
    rig.hold = True
    rig.add(1)
    await rig.wait(3600)
    rig.send(rig.receipt(3))
    await rig.wait(1)
    assert rig.log.released == 3 and rig.clock.told == []
    # Published before the link was cut.
    rig.add(1)
    await rig.wait(1)
    rig.broker.stream.end()
    await rig.wait(5)
    rig.send(rig.receipt(4))
    await rig.wait(1)
    assert rig.log.released == 4 and rig.clock.told == []
    await rig.stop()


async def test_segments_of_an_older_log_go_first():
    rig = Rig(3)
    old = rig.log.log_id
    rig.board.nv.set("log", b"newlogid")  # as after a format: nv and flash no longer agree
    rig.board.nv.set("head", bytes(40) + b"newlogid")
    rig.log = Log(rig.board, rig.clock)
    rig.log.open()
    assert len(rig.log.chains()) == 2 and rig.log.log_id != old
    rig.add(1)
    rig.sync = Sync(rig.board, rig.clock, rig.log, rig.trust, CONFIG)
    rig.hold = True
    rig.start()
    await rig.wait(1)
    assert rig.seqs() == [1, 2, 3, 1]
    rig.send(rig.receipt(3, log_id=old, head=rig.log.chains()[0].hash_at(3)))
    await rig.wait(1)
    assert rig.log.unsent() == 1
    rig.send(rig.receipt(1, head=rig.log.head_hash))
    await rig.wait(1)
    assert rig.log.unsent() == 0
    await rig.stop()


async def test_closing_says_offline():
    rig = Rig(1)
    rig.start()
    await rig.wait(2)
    await rig.sync.close()
    assert rig.states[-1] == b'{"online":false}'
    assert rig.broker.got[-1][0] == 14
    await rig.stop()


async def test_sixty_reconnects_leave_the_heap_as_it_was():
    rig = Rig(2)
    rig.start()
    await rig.wait(2)
    used = []
    for turn in range(60):
        rig.broker.got, rig.broker.streams[:-1], rig.up = [], [], []
        rig.board.outstanding, rig.board.told, rig.states = [0], [], []
        rig.board.saved_entries = []
        rig.broker.stream.end()
        await rig.wait(95)
        if turn % 10 == 9:
            gc.collect()
            used.append(gc.mem_alloc())
    assert rig.sync.links == 61
    assert max(used) - used[0] <= 2048, used
    await rig.stop()

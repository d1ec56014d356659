"""Packs on the move and resend requests: chunks in any order, refusals, power cuts, repeats.

The log and the packs are the real ones on littlefs in RAM; messages go to the Sync as MQTT would
hand them over.
"""

import gc
import os
import sys

from always_loaded import forget
from handheld import packs, provision, sync
from handheld.log import Log
from handheld.trust import Trust
from handheld_board import FakeBoard, FakeClock, PowerCut, Signer, files
from ronda_protocol import cbor, chunk, cose, issuing, pack, reading, receipt, track
from script_broker import LinkTime

HEAP = "2m"
NOW = 1789473600
DAY = 86400
DOWN = b"ronda/lima/down/prueba-01"
ROOT, GATEWAY, RELEASE, STRANGER = [Signer(bytes([n]) * 32) for n in (1, 2, 3, 4)]
OTHER = Signer(bytes([5]) * 32)
CONFIG = {1: "broker", 2: 1883, 3: "ronda/lima"}


def case(i, order=1):
    """A case of about 80 bytes."""
    place = [1, 1, 0, -121200000 + i, -770300000, 300]
    return {
        "case_id": "caso-%04d" % i,
        "portfolio": "banco-a",
        "creditor": "Banco Andino S.A.",
        "place": place,
        "order": order,
        "currency": "PEN",
    }


def cases_pack(version=20, count=70, scope="prueba-01", signer=GATEWAY, **more):
    """(manifest message, body) of a cases pack."""
    body = more.pop("body", None)
    if body is None:
        listed = [case(i) for i in range(count)]
        body = issuing.encode_cases("r%d" % version, NOW, more.pop("expires", NOW + DAY), listed)
    return sealed(pack.CASES, "cases", version, body, scope, signer, **more)


def sealed(kind, name, version, body, scope="prueba-01", signer=GATEWAY, **more):  # noqa: PLR0917
    first, last = more.get("first", NOW - 60), more.get("last", NOW + DAY)
    manifest = pack.Manifest(kind, more.get("scope", scope), name, version, first, last)
    manifest.requires = more.get("requires", [])
    whole = issuing.seal(manifest, body, signer)
    return whole[: cose.parse_first(whole)[1]], body


def trust_pack(version=3, keys=None, root=ROOT, signer=None, scope="site"):
    keys = keys or [
        [GATEWAY.public, pack.GATEWAY, 0, NOW + 9 * DAY, False],
        [RELEASE.public, pack.RELEASE, 0, NOW + 9 * DAY, False],
    ]
    body = issuing.encode_trust(root.public, keys)
    return sealed(pack.TRUST, "trust", version, body, scope, signer or root, last=NOW + 9 * DAY)


def whole(message, body):
    """The pack's file."""
    return message + cbor.encode(body)


def chunks(message, body, size=2048):
    name = pack.manifest_hash(cose.parse(message))
    return [chunk.encode(name, at, body[at : at + size]) for at in range(0, len(body), size)]


class LinkBoard(LinkTime, FakeBoard):
    def __init__(self, count=128):
        gc.collect()
        LinkTime.__init__(self)
        FakeBoard.__init__(self, count=count)
        self.nv.set("root", cose.thumbprint(ROOT.public))


OLD = cases_pack(10, 3)
NEW = cases_pack()


class Handheld:
    """From power-on: a log, a trust, a Sync without a link, what came into force."""

    def __init__(self, board=None, segments=0, utc=NOW, old=OLD):
        if not board:
            board = LinkBoard()
            provision.install(board, "prueba-01", whole(*trust_pack()), whole(*old))
        boots = getattr(board, "boots", 0) + 1
        board.boots = boots
        self.board, self.clock = board, FakeClock(boots, utc)
        self.log = Log(board, self.clock)
        self.log.open()
        for _ in range(segments):
            self.log.event(track.PAUSE, [self.log.head])
            self.clock.now += 1000
            assert self.log.seal_track()
        self.trust = Trust(board)
        self.found = packs.take(self.trust, self.clock, self.log)
        there = packs.arriving(board)
        coming = there and list(there[:3]) + [board.link_ms() - 60000, there[4]]
        self.sync = sync.Sync(board, self.clock, self.log, self.trust, CONFIG, 0, self.use, coming)

    def use(self, row, value):
        self.found.append((row, value))

    async def get(self, *messages):
        """Hand messages over; the reasons why nothing came of them."""
        before = dict(self.sync.refused)
        for data in messages:
            await self.sync._message(DOWN, data)
        after = self.sync.refused
        return sorted([code for code in after if after[code] != before.get(code, 0)])

    def events(self, code=track.PACK):
        """Data of the events of a code, oldest first."""
        self.log.seal_track()
        found = []
        for seq in range(1, self.log.head + 1):
            part = reading.parse(self.log.read(seq))
            found += [entry[4] for entry in part.entries() if entry[:1] + entry[3:4] == [3, code]]
        return found

    def in_force(self):
        """Version of the cases pack on flash, verified."""
        return packs.load(self.trust, self.clock, pack.CASES)[0][2]

    def nothing_changed(self):
        """The old pack is there, and no other."""
        names = sorted(os.listdir("/flash/packs"))
        return names == ["cases", "trust", "versions"] and self.in_force() == 10


async def test_a_pack_in_chunks_is_put_in_force_and_told_at_once():
    device = Handheld()
    message, body = NEW
    assert len(body) > 2 * 2048
    sync.forget = forget
    assert await device.get(message) == []
    assert device.sync.coming and device.in_force() == 10
    for data in chunks(message, body):
        assert await device.get(data) == []
        # What only packs need is there while one is looked at, and no longer.
        for name in ("handheld.inbox", "handheld.packs", "ronda_protocol.pack"):
            assert name not in sys.modules, name
    sync.forget = lambda *names: None
    row, value = device.found[-1]
    assert row[:3] == [2, "cases", 20] and value.version == 20
    assert value.get("caso-0069")["order"] == 1 and len(value.ids()) == 70
    assert device.sync.coming is None and device.sync.want is None
    assert sorted(os.listdir("/flash/packs")) == ["cases", "trust", "versions"]
    assert device.in_force() == 20
    with open("/flash/packs/cases", "rb") as f:
        data = f.read()
    start = whole(message, body)[: -len(body)]
    assert data[: len(start)] == start and b"caso-0069" in body and b"caso-" not in data
    # The event is sealed already: nobody waits a quarter of an hour for it.
    assert device.log.open_count == 0
    mark = pack.manifest_hash(cose.parse(message))[:8]
    assert device.events()[-1] == [2, "cases", 20, 1, "", mark]
    assert ("pack", {"name": "cases", "version": 20, "applied": True, "reason": ""}) in (
        device.board.told
    )
    # And it is what a restart finds.
    again = Handheld(device.board)
    assert again.found[1][0][2] == 20 and len(again.events()) == len(device.events())


async def test_chunks_doubled_lost_and_out_of_order():
    device = Handheld()
    message, body = NEW
    parts = chunks(message, body)
    assert await device.get(parts[0]) == ["unknown"]  # before its manifest
    assert await device.get(message, message) == ["repeat"]
    assert await device.get(parts[1], parts[2]) == ["hole"]
    assert device.sync.want == (pack.manifest_hash(cose.parse(message))[:8].hex(), 0)
    assert await device.get(parts[0]) == [] and device.sync.want is None
    assert await device.get(parts[0]) == ["repeat"]
    assert await device.get(parts[2]) == ["hole"]
    assert device.sync.want[1] == 2048
    # From anywhere before the hole on, cut in whatever way.
    name = pack.manifest_hash(cose.parse(message))
    assert await device.get(chunk.encode(name, 2000, body[2000:4000])) == []
    assert await device.get(chunk.encode(name, len(body) - 1, b"xy")) == ["range"]
    assert await device.get(chunk.encode(name, 0, body[:2048])) == ["repeat"]
    assert device.in_force() == 10
    assert await device.get(chunk.encode(name, 4000, body[4000:])) == []
    assert device.in_force() == 20 and len(device.events()) == 3
    # Chunks that come late are nobody's.
    assert await device.get(*parts) == ["unknown"]


async def test_two_packs_at_once_do_not_mix():
    device = Handheld()
    first, second = NEW, cases_pack(21, 69)
    parts = [chunks(*first), chunks(*second)]
    assert await device.get(first[0], second[0]) == ["busy"]
    for one, two in zip(parts[0], parts[1]):
        await device.get(one, two)
    assert device.in_force() == 20 and device.sync.refused["unknown"] >= 2
    # One that stopped half-way holds nobody up for long.
    third = cases_pack(30, 50)
    assert await device.get(second[0], parts[1][0], third[0]) == ["busy"]
    device.board.now += 31000
    assert await device.get(third[0], *chunks(*third)) == []
    assert device.in_force() == 30
    assert await device.get(*parts[1]) == ["unknown"]
    assert await device.get(second[0]) == ["old"]


async def test_what_is_refused_touches_nothing_and_says_why():
    for name, message, code in (
        ("another handheld's", cases_pack(scope="prueba-02")[0], "scope"),
        ("another board's", cases_pack(scope="esp32-s3")[0], "scope"),
        ("older", cases_pack(9)[0], "old"),
        ("the same version, other contents", cases_pack(10, 4)[0], "old"),
        ("of an unknown name", sealed(2, "ronda-0915", 20, b"x")[0], "name"),
        ("of a type it does not take", sealed(6, "message", 20, b"x")[0], "type"),
        ("firmware", sealed(8, "firmware", 20, b"x", signer=RELEASE)[0], "type"),
        ("the wrong role", cases_pack(signer=RELEASE)[0], "signer"),
        ("a stranger", cases_pack(signer=STRANGER)[0], "signer"),
        ("the root is no gateway", cases_pack(signer=ROOT)[0], "signer"),
        ("a handheld's own key", cases_pack(signer=Signer())[0], "signer"),
        ("ended", cases_pack(last=NOW - 1)[0], "time"),
        ("needs another", cases_pack(requires=[[1, "trust", 99]])[0], "requires"),
        (
            "settings by the release key",
            sealed(4, "config", 5, b"\xa0", signer=RELEASE)[0],
            "signer",
        ),
        ("trust by a gateway", trust_pack(9, signer=GATEWAY)[0], "signature"),
        ("trust by another root", trust_pack(9, root=STRANGER)[0], "signature"),
        ("trust for one handheld", trust_pack(9, scope="prueba-01")[0], "scope"),
        ("trust that is older", trust_pack(2)[0], "old"),
    ):
        device = Handheld()
        before = files("/flash/packs")
        assert await device.get(message) == [code], name
        assert files("/flash/packs") == before and device.nothing_changed(), name
        assert device.sync.coming is None
        told = device.events()[-1]
        assert told[3:5] == [0, code] and len(told[5]) == 8, name
        # Said once: the same again is only counted.
        count = len(device.events())
        assert await device.get(message) == [code]
        assert len(device.events()) == count


async def test_what_is_no_pack_at_all_is_only_counted():
    device = Handheld()
    message, body = NEW
    sign1 = cose.parse(message)
    payload = cbor.decode(sign1.payload)
    events = len(device.events())
    before = files("/flash")
    wrong = [cose.sign(cbor.encode([4, 1]), GATEWAY), message[:-1], message + b"x"]
    for key, value in ((1, 2), (2, 99), (3, "Site"), (5, -1), (8, None), (11, 1)):
        other = dict(payload)
        other[key] = value
        wrong.append(cose.sign(cbor.encode(other), GATEWAY))
    wrong += [b"\x83", b"\x83" + bytes(40), b"\x83" * 60, whole(message, body)[:4000]]
    assert len(await device.get(*wrong)) >= 4
    assert sum(device.sync.refused.values()) == len(wrong)
    assert files("/flash") == before and device.sync.coming is None
    assert len(device.events()) == events and device.nothing_changed()


async def test_a_body_that_is_not_what_was_signed_is_refused_at_the_end():
    message, body = NEW
    changed = bytearray(body)
    changed[2500] ^= 1
    for pack_, data, codes in (
        (NEW, bytes(changed), ("hash", "cases", "cbor-utf8", "cbor-order")),
        (cases_pack(body=b"\x80" * 9), None, ("cases",)),
        (cases_pack(body=b"\xa0"), None, ("cases",)),
        (cases_pack(body=b"x" * 3000), None, ("cases", "cbor-trailing", "cbor-truncated")),
        (cases_pack(body=b""), None, ("cbor-truncated",)),
        (cases_pack(expires=NOW - 5), None, ("expired",)),
        (sealed(4, "config", 7, cbor.encode({4: 0})), None, ("config",)),
        (sealed(4, "config", 7, cbor.encode({1: "evil"})), None, ("config",)),
        (sealed(1, "trust", 7, b"\xa0", "site", ROOT), None, ("trust",)),
    ):
        device = Handheld()
        message, body = pack_
        await device.get(message)
        refused = await device.get(*chunks(message, data or body)) if body else []
        told = device.events()[-1]
        assert told[3] == 0 and told[4] in codes, told
        assert not refused or refused == [told[4]]
        assert device.nothing_changed() and device.sync.coming is None
        assert len(device.found) == 2
        # The genuine one goes through afterwards.
        assert await device.get(NEW[0], *chunks(*NEW)) == []
        assert device.in_force() == 20


async def test_a_pack_that_does_not_fit():
    device = Handheld()
    big = pack.Manifest(pack.CASES, "prueba-01", "cases", 20, 0, NOW + DAY, 61441, bytes(32))
    from ronda_protocol import issuing

    message = cose.sign(issuing.manifest_payload(big), GATEWAY)
    assert await device.get(message) == ["too-big"]
    with open("/flash/filler", "wb") as f:
        while device.log._blocks() > 18:
            f.write(bytes(2048))
            f.flush()
    assert await device.get(NEW[0]) == ["space"]
    assert device.events()[-1][:5] == [2, "cases", 20, 0, "space"]
    os.remove("/flash/filler")
    assert await device.get(NEW[0]) == []
    # It fills up while the pack is on its way.
    device.board.flash.fail = -28
    assert await device.get(*chunks(*NEW)[:1]) == ["space"]
    device.board.flash.fail = 0
    assert device.sync.coming is None and device.in_force() == 10
    assert await device.get(NEW[0], *chunks(*NEW)) == []
    assert device.in_force() == 20


async def test_an_applied_pack_that_comes_again_is_confirmed_once():
    device = Handheld()
    await device.get(NEW[0], *chunks(*NEW))
    events = len(device.events())
    assert await device.get(NEW[0]) == ["repeat"]
    assert len(device.events()) == events  # told in this boot already
    again = Handheld(device.board)
    for _ in range(3):
        assert await again.get(NEW[0]) == ["repeat"]
    assert len(again.events()) == events + 1
    assert again.events()[-1][:5] == [2, "cases", 20, 1, ""]


async def test_whoever_shouts_gets_few_events():
    device = Handheld()
    events = len(device.events())
    for i in range(40):
        await device.get(cases_pack(100 + i, 1, signer=STRANGER)[0])
    assert device.sync.refused == {"signer": 40}
    assert len(device.events()) == events + 8
    assert len(device.sync.told) <= 8
    device.board.now += 3600000
    await device.get(cases_pack(9, 1)[0])
    assert len(device.events()) == events + 9


async def test_flipped_bits_are_never_put_in_force():
    """Every bit of the manifest (sampled) and of a chunk (sampled): the old pack stays."""
    device = Handheld()
    message, body = cases_pack(20, 6)
    data = bytearray(message)
    for bit in range(0, len(data) * 8, 3):
        data[bit >> 3] ^= 1 << (bit & 7)
        await device.get(bytes(data))
        assert device.sync.coming is None, bit
        data[bit >> 3] ^= 1 << (bit & 7)
    assert device.nothing_changed()
    assert len(chunks(message, body)) == 1
    data = bytearray(chunks(message, body)[0])
    for bit in range(5, len(data) * 8, 29):
        data[bit >> 3] ^= 1 << (bit & 7)
        device.sync.coming = None
        packs.drop(device.board)
        assert await device.get(message) == [], bit
        codes = await device.get(bytes(data))
        assert codes and device.in_force() == 10, bit
        data[bit >> 3] ^= 1 << (bit & 7)
    device.sync.coming = None
    packs.drop(device.board)
    assert await device.get(message, bytes(data)) == []
    assert device.in_force() == 20


async def test_a_power_cut_at_any_block_operation_leaves_the_old_or_the_new_pack():
    message, body = cases_pack(20, 60)
    for torn in (False, True):
        first = Handheld()
        image = {block: bytes(data) for block, data in first.board.blocks.data.items()}
        words = dict(first.board.nv.values)
        first = None
        seen, cut, done = set(), 0, False
        board = LinkBoard()
        while not done:
            cut += 1
            board.blocks.data = {block: bytearray(data) for block, data in image.items()}
            board.nv.values = dict(words)
            board.reboot()
            device = Handheld(board)
            board.flash.operations, board.flash.cut_at, board.flash.torn = 0, cut, torn
            try:
                await device.get(message, *chunks(message, body))
                done = True
            except PowerCut:
                pass
            device = None
            board.reboot()
            device = Handheld(board)
            version = device.in_force()
            seen.add(version)
            kept = device.sync.coming
            assert version in (10, 20) and not (kept and version == 20), cut
            # The gateway sends it again, from where the handheld says it is, or from the start.
            at = kept[1] // 2048 if kept else 0
            await device.get(message, *chunks(message, body)[at:])
            assert device.in_force() == 20 and "coming" not in os.listdir("/flash/packs"), cut
            told = [data for data in device.events() if data[2] == 20]
            assert told and all([data[3] for data in told]), (cut, told)
            assert cut < 400
        assert seen == {10, 20} and cut > 20, (seen, cut)


async def test_a_new_trust_pack_changes_whom_it_believes_at_once():
    device = Handheld(segments=2)
    keys = [
        [GATEWAY.public, pack.GATEWAY, 0, NOW + 9 * DAY, True],
        [OTHER.public, pack.GATEWAY, 0, NOW + 9 * DAY, False],
    ]
    message, body = trust_pack(4, keys)
    assert await device.get(message, *chunks(message, body)) == []
    assert device.found[-1][0][:3] == [1, "trust", 4]
    assert device.events()[-1][:5] == [1, "trust", 4, 1, ""]

    def receipt_by(signer):
        log = device.log
        return cose.sign(
            issuing.encode_receipt(
                "prueba-01", log.log_id, 1, log.chain.hash_at(1), [], [], NOW, bytes(8)
            ),
            signer,
        )

    assert await device.get(receipt_by(GATEWAY), NEW[0]) == ["signer"]
    assert await device.get(receipt_by(OTHER)) == [] and device.log.released == 1
    newer = cases_pack(40, 3, signer=OTHER)
    assert await device.get(newer[0], *chunks(*newer)) == []
    again = Handheld(device.board)
    assert again.found[0][0][2] == 4 and again.in_force() == 40
    # Without any trust nothing can be verified, so nothing is taken.
    again.trust.root = None
    assert await again.get(trust_pack(9)[0]) == ["signer"]


async def test_the_sites_pack_waits_behind_our_own():
    device = Handheld()
    message, body = cases_pack(50, 3, scope="site")
    assert await device.get(message, *chunks(message, body)) == []
    assert sorted(os.listdir("/flash/packs")) == ["cases", "cases.site", "trust", "versions"]
    assert device.events()[-1][:5] == [2, "cases", 50, 1, ""]
    again = Handheld(device.board)
    assert again.found[1][0][2] == 10  # device scope beats site
    os.remove("/flash/packs/cases")
    assert Handheld(device.board).found[1][0][2] == 50


# --- resend requests ---


def resend(log_id, first, last, name=b"request1", signer=GATEWAY, device="prueba-01"):  # noqa: PLR0917
    return cose.sign(issuing.encode_resend(device, log_id, first, last, name), signer)


async def answered(device):
    """What the device publishes for the request in hand."""
    seqs = []
    while device.sync.again:
        found = device.sync._seldom("again")
        if found:
            assert reading.parse(found[2]).header.seq == found[1]
            seqs.append(found[1])
    return seqs


async def test_a_pack_that_would_eat_the_reserve_is_given_up():
    device = Handheld()
    message, body = NEW
    parts = chunks(message, body)
    assert await device.get(message) == [] and await device.get(parts[0]) == []
    with open("/flash/ballast", "wb") as f:  # it began with room enough, and then the log grew
        while os.statvfs("/flash")[3] > 16:
            f.write(bytes(1024))
            f.flush()
    assert await device.get(parts[1]) == ["space"]
    assert not device.sync.coming and os.statvfs("/flash")[3] >= 16
    assert await device.get(message) == ["space"]  # nor does it begin again
    os.remove("/flash/ballast")
    assert device.log.room() and await device.get(message) == []
    for part in parts:
        assert await device.get(part) == []
    assert device.in_force() == 20


async def test_segments_are_sent_again_from_grace_once_a_request():
    device = Handheld(segments=9)
    log = device.log
    assert log.release(9, log.chain.hash_at(9))
    head = log.head
    assert await device.get(resend(log.log_id, 3, 6)) == []
    assert await answered(device) == [3, 4, 5, 6]
    assert log.released == 9
    assert await device.get(resend(log.log_id, 3, 6)) == ["repeat"]
    # At most one a minute, whatever its id; one at a time.
    assert await device.get(resend(log.log_id, 1, 2, b"request2")) == ["rate"]
    device.board.now += 61000
    assert await device.get(resend(log.log_id, 1, 99, b"request2")) == []
    device.board.now += 61000
    assert await device.get(resend(log.log_id, 1, 2, b"request3")) == ["busy"]
    assert await answered(device) == list(range(1, head + 1))
    # An id is remembered over a restart.
    again = Handheld(device.board)
    assert await again.get(resend(log.log_id, 3, 6)) == ["repeat"]
    assert await again.get(resend(log.log_id, 1, 2, b"request3")) == []
    assert again.log.counts["event"] == 1  # the boot


async def test_forged_and_foreign_requests_are_not_answered():
    device = Handheld(segments=4)
    log_id = device.log.log_id
    good = resend(log_id, 1, 2)
    sign1 = cose.parse(good)
    flipped = bytearray(good)
    flipped[-5] ^= 1
    for data, code in (
        (resend(log_id, 1, 2, signer=STRANGER), "signer"),
        (resend(log_id, 1, 2, signer=RELEASE), "signer"),
        (resend(log_id, 1, 2, device="prueba-02"), "device"),
        (resend(b"otherlog", 1, 2), "log"),
        (resend(log_id, 99, 100), "ahead"),
        (bytes(flipped), "signature"),
        (cose.sign(sign1.payload[:-1] + b"\x00", STRANGER), "signer"),
    ):
        assert await device.get(data) == [code], code
        assert device.sync.again is None
    assert "resends" not in os.listdir("/flash")
    assert await device.get(good) == []


async def test_what_cannot_be_sent_again_is_declared_lost():
    device = Handheld(segments=6)
    log = device.log
    assert log.release(6, log.chain.hash_at(6))
    path = [name for name, _ in files("/flash/log") if name.endswith(".vol")][0]
    with open(path, "rb") as f:
        data = bytearray(f.read())
    at = 0
    for seq in range(1, 5):
        if seq in (3, 4):
            data[at + 40] ^= 1
        at += int.from_bytes(data[at : at + 2], "big") + 8
    with open(path, "wb") as f:
        f.write(data)
    await device.get(resend(log.log_id, 1, 6))
    assert await answered(device) == [1, 2, 5, 6]
    assert device.events_of_lost() == [[3, 4, "gone"]]


def events_of_lost(device):
    """LOST events of this boot; what cannot be read is passed over."""
    device.log.seal_track()
    part = reading.parse(device.log.read(device.log.head))
    return [entry[4] for entry in part.entries() if entry[:1] + entry[3:4] == [3, track.LOST]]


Handheld.events_of_lost = events_of_lost


async def test_what_was_evicted_is_one_event_and_older_logs_are_named():
    device = Handheld(segments=5)
    log, old = device.log, device.log.log_id
    head = log.head
    assert log.release(head, log.head_hash)
    log.chain.firsts = [4] + log.chain.firsts[1:]  # volumes 1 to 3 are gone
    os.rename(log.chain.path(1), log.chain.path(4))
    with open(log.chain.path(4), "rb") as f:
        data = f.read()
    at = 0
    for _ in range(3):
        at += int.from_bytes(data[at : at + 2], "big") + 8
    with open(log.chain.path(4), "wb") as f:
        f.write(data[at:])
    assert log.read(4) and not log.read(3)
    await device.get(resend(old, 1, 4))
    assert await answered(device) == [4]
    assert device.events_of_lost() == [[1, 3, "gone"]]
    device.board.nv.set("log", b"newlogid")  # as after a format
    device.board.nv.set("head", bytes(40) + b"newlogid")
    again = Handheld(device.board)
    assert again.log.log_id != old and again.sync.lane(old)
    await again.get(resend(old, 1, 4, b"request9"))
    assert await answered(again) == [4]
    assert [1, 3, "gone", old] in again.events_of_lost()


async def test_a_restored_gateways_ranges_are_honoured_and_nothing_is_unreleased():
    device = Handheld(segments=6)
    log = device.log
    assert log.release(4, log.chain.hash_at(4))

    def said(upto, ranges):
        head = log.chain.hash_at(upto) if upto else receipt.NO_HEAD
        return cose.sign(
            issuing.encode_receipt("prueba-01", log.log_id, upto, head, ranges, [], NOW, bytes(8)),
            GATEWAY,
        )

    lane = device.sync.lane(log.log_id)
    assert await device.get(said(2, [])) == ["old"]
    assert await device.get(said(2, [[5, 5, log.chain.hash_at(5)]])) == []
    assert log.released == 4 and lane.answered(5) == 5 and not lane.answered(6)
    # A range that ends in another's hash is a clone's: ours is still to be sent.
    assert await device.get(said(2, [[5, 5, bytes(32)]])) == []
    assert not lane.answered(5)
    wrong = issuing.encode_receipt(
        "prueba-01", log.log_id, 2, bytes(range(32)), [[5, 5, bytes(32)]], [], NOW, bytes(8)
    )
    assert await device.get(cose.sign(wrong, GATEWAY)) == ["chain"]

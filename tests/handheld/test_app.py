"""The app on boards that lack parts, with bad packs, with tasks that die, and its day's end."""

import asyncio
import gc
import os

import always_loaded  # noqa: F401
from handheld import app, packs, provision
from handheld.signer import Signer
from handheld_board import FakeBoard
from ronda_protocol import cbor, chunk, cose, issuing, pack, reading, segment, track
from script_broker import Broker, LinkTime, publish

HEAP = "2m"  # the RAM flash and every source as it is

NOW = 1789473600
ROOT, GATEWAY = Signer(bytes([1]) * 32), Signer(bytes([2]) * 32)
LATER = 4000000000
CASE = {
    "case_id": "c-1",
    "portfolio": "banco-a",
    "creditor": "banco-a",
    "place": [1, 1, 0, -121200000, -770300000, 300],
    "order": 1,
    "currency": "PEN",
}


def trust_pack(version=3, last=LATER):
    keys = [[GATEWAY.public, pack.GATEWAY, 0, LATER, False]]
    manifest = pack.Manifest(pack.TRUST, "site", "trust", version, 0, last)
    return issuing.seal(manifest, issuing.encode_trust(ROOT.public, keys), ROOT)


def cases_pack(first=0, last=LATER):
    manifest = pack.Manifest(pack.CASES, "site", "cases", 3, first, last)
    return issuing.seal(manifest, issuing.encode_cases("r", 1, LATER, [CASE]), GATEWAY)


class Script:
    """Intents one after another; `answers` in order."""

    def __init__(self):
        self.todo, self.answers = [], []
        self.some = asyncio.Event()

    async def next(self):
        while not self.todo:
            self.some.clear()
            await self.some.wait()
        return self.todo.pop(0)

    def answer(self, result):
        self.answers.append(result)


class AppBoard(LinkTime, FakeBoard):
    """Device time is link time here, so that a day takes as long as its tasks need."""

    def __init__(self):
        gc.collect()
        LinkTime.__init__(self)
        FakeBoard.__init__(self, count=128)
        self.nv.set("root", cose.thumbprint(ROOT.public))
        self.intents = Script()
        self.reports, self.outstanding, self.fed = [], [], 0
        self.end = asyncio.Event()

    ticks_ms = LinkTime.link_ms
    sleep_ms = LinkTime.link_sleep_ms

    def link_outstanding(self, n):
        self.outstanding.append(n)

    async def finished(self):
        await self.end.wait()

    def done(self, report):
        self.reports.append(report)

    def feed(self):
        self.fed += 1

    async def ask(self, name, **args):
        """Do an intent; its answer."""
        n = len(self.intents.answers)
        self.intents.todo.append((name, args))
        self.intents.some.set()
        while len(self.intents.answers) == n:
            await self.sleep_ms(100)
        return self.intents.answers[-1]

    async def over(self, task):
        """End the run; its report."""
        self.end.set()
        await task
        assert self.reports[-1]["ended"] == "finished"
        return self.reports[-1]


class Rtc:
    def unix(self):
        return NOW


class Power:
    def read(self):
        return 3900, 70, 1


class Silent:
    """A receiver that says nothing."""

    async def readinto(self, buf):
        await asyncio.Event().wait()


class Gateway(Broker):
    """A broker with a gateway behind it that receipts everything."""

    def __init__(self):
        Broker.__init__(self)
        self.answers[3] = self.receive
        self.seen = []

    def receive(self, flags, body):
        end = 2 + int.from_bytes(body[:2], "big")
        if b"/up/" in body[2:end]:
            found = reading.parse(body[end + 2 :])
            header = found.header
            self.seen.append(header.seq)
            now = (header.stamp[2] or NOW) + 1
            data = issuing.encode_receipt(
                header.device,
                header.log_id,
                header.seq,
                found.chain_hash(),
                [],
                [],
                now,
                b"12345678",
            )
            topic = b"ronda/lima/down/" + header.device.encode()
            self.stream.feed(publish(topic, cose.sign(data, GATEWAY), 9))
        return b"\x40\x02" + body[end : end + 2]


def config_pack(version, scope="prueba-01", **values):
    """(manifest message, its first bytes' mark, chunk messages) of a config pack."""
    manifest = pack.Manifest(pack.CONFIG, scope, "config", version, 0, LATER)
    whole = issuing.seal(manifest, issuing.encode_config(values), GATEWAY)
    sign1, end = cose.parse_first(whole)
    name = pack.manifest_hash(sign1)
    body = cbor.decode(whole[end:])
    return whole[:end], name[:8], [chunk.encode(name, 0, body)]


def watched():
    """The Apps that main() makes from now on, newest last."""
    made = []

    class Watched(WHOLE):
        def __init__(self, board):
            made.append(self)
            WHOLE.__init__(self, board)

    app.App = Watched
    return made


WHOLE = app.App


def start(board):
    return asyncio.create_task(app.main(board))


def events(board):
    """[code, data] of every event on flash, sealed or open, oldest first."""
    from handheld.clock import Clock
    from handheld.log import Log

    log = Log(board, Clock(board, 99))
    log.open()
    found = []
    for seq in range(1, log.head + 1):
        part = reading.parse(log.read(seq))
        if part.header.body == segment.TRACK_BODY:
            found += [entry[3:5] for entry in part.entries() if entry[0] == track.EVENT]
    return found


def missing(board):
    return [data for code, data in events(board) if code == track.PART_MISSING]


async def test_a_board_without_anything_starts_and_says_what_is_missing():
    board = AppBoard()
    task = start(board)
    await board.sleep_ms(3000)
    assert (await board.ask("status"))["ok"]
    assert (await board.ask("shift_start", gestor="g1"))["ok"]
    assert (await board.ask("check_in", case_id="c-1"))["code"] == "no_time"
    assert (await board.ask("nonsense"))["code"] == "unknown_intent"
    report = await board.over(task)
    for name in ("gnss", "counts", "head", "released", "unsent", "log", "open_visit"):
        assert name in report
    assert report["counts"]["event"] == len(board.saved_entries)
    what = missing(board)
    for part in ("config", "trust", "net", "gps", "power"):
        assert [part] in what, part


async def test_a_pack_that_is_bad_is_refused_and_recorded():
    os_packs = (
        (b"", None, [1, "trust", 0, 0, "cose-cbor-truncated"]),
        (trust_pack()[:-3], None, None),
        (trust_pack(), b"\x00", None),
        (trust_pack(), cases_pack(last=5), [2, "cases", 0, 0, "time"]),
    )
    for trust, cases, wanted in os_packs:
        board = AppBoard()
        board.rtc = Rtc()
        os.mkdir("/flash/packs")
        for name, data in (("trust", trust), ("cases", cases)):
            if data is not None:
                packs.store(board, "/flash/packs/" + name, data)
        task = start(board)
        await board.sleep_ms(1000)
        await board.ask("shift_start", gestor="g1")
        assert (await board.ask("check_in", case_id="c-1"))["code"] == "no_cases"
        await board.over(task)
        refused = [data for code, data in events(board) if code == track.PACK and not data[3]]
        assert len(refused) == 1 and (wanted is None or refused == [wanted]), refused


async def test_a_pack_is_applied_once_and_used_until_it_ends():
    board = AppBoard()
    board.rtc, board.wdt = Rtc(), board
    provision.install(board, "prueba-01", trust_pack(), cases_pack(last=NOW + 200))
    for _ in range(2):
        task = start(board)
        await board.sleep_ms(1000)
        await board.ask("shift_start", gestor="g1")
        assert (await board.ask("check_in", case_id="c-1"))["code"] == "waiting_fix"
        board.fed = 0
        await board.sleep_ms(60000)
        assert 55 <= board.fed <= 62
        await board.over(task)
        board.end.clear()
    task = start(board)
    await board.sleep_ms(300000)
    assert (await board.ask("check_in", case_id="c-1"))["code"] in ("no_cases", "cases_expired")
    await board.over(task)
    told = [data for code, data in events(board) if code == track.PACK]
    assert [data[:5] for data in told] == [
        [1, "trust", 3, 1, ""],
        [2, "cases", 3, 1, ""],
        [2, "cases", 3, 0, "time"],
    ]
    assert told[1][5] == told[2][5] != told[0][5] and len(told[0][5]) == 8


async def test_the_simulator_flags_packs_from_the_future():
    board = AppBoard()
    board.rtc = Rtc()
    provision.install(board, "prueba-01", trust_pack(), cases_pack(first=NOW + 90000))
    task = start(board)
    await board.sleep_ms(130000)
    await board.ask("shift_start", gestor="g1")
    assert (await board.ask("check_in", case_id="c-1"))["code"] == "waiting_fix"
    await board.over(task)
    assert [data for code, data in events(board) if code == track.FUTURE_PACK] == [["cases"]]


async def test_what_a_wrong_clock_refused_is_used_when_it_is_right():
    board = AppBoard()
    board.rtc = Rtc()
    board.rtc.unix = lambda: NOW + 900000000
    provision.install(board, "prueba-01", trust_pack(), cases_pack(last=NOW + 86400))
    parts = app.App(board)
    parts._check_time()
    assert parts.visits.cases is None
    for i in range(3):
        parts.clock.on_gnss(NOW + i, 1000 * i)
    parts._check_time()
    assert parts.visits.cases.round_id == "r"
    # A receiver's jump ends them; its return brings them back.
    for late in (900000000, 100):
        for i in range(3):
            parts.clock.on_gnss(NOW + late + i, 5000 + 1000 * i)
        parts._check_time()
        assert (parts.visits.cases is None) == (late > 100)


async def test_a_task_that_dies_is_recorded_and_starts_again():
    board = AppBoard()
    board.gps = Silent()
    parts = app.App(board)
    deaths = []

    async def mortal():
        deaths.append(board.now)
        if len(deaths) < 4:
            raise IndexError("a bug")
        await asyncio.Event().wait()

    task = asyncio.create_task(parts.keep("sync", mortal))
    await board.sleep_ms(10000)
    assert len(deaths) == 4 and not parts.over.is_set()
    task.cancel()
    parts.log.seal_track()
    assert missing(board).count(["sync", "IndexError"]) == 3
    assert ("died", {"task": "sync", "why": "IndexError"}) in board.told


async def test_a_task_that_keeps_dying_ends_the_run_with_the_reason():
    for error in (MemoryError(), OSError(5), ValueError("x"), RuntimeError()):
        board = AppBoard()
        board.gps = Silent()

        async def broken(buf):
            raise error

        board.gps.readinto = broken
        await start(board)
        assert board.reports[-1]["ended"] == "gnss " + type(error).__name__
        assert missing(board).count(["gnss", type(error).__name__]) == 8


async def test_an_intent_that_fails_is_answered():
    board = AppBoard()
    task = start(board)
    await board.sleep_ms(1000)

    class Bad:
        def __getattr__(self, name):
            raise KeyError(name)

    answer = await board.ask("check_in", case_id=Bad())
    assert not answer["ok"]
    assert (await board.ask("status"))["ok"]
    await board.over(task)


async def test_a_seal_without_heap_ends_the_run():
    """What is sealed and what is not then only a boot can tell: no retry, no second visit."""
    board = AppBoard()
    parts = app.App(board)
    append = parts.log.chain.append

    def fails(sealed, digest):
        append(sealed, digest)
        raise MemoryError

    parts.log.chain.append = fails
    board.intents.todo.append(("sync", {}))
    try:
        await parts._intents()
        raise AssertionError("it went on")
    except MemoryError:
        pass
    parts.log.chain.append = append
    assert parts.over.is_set() and parts.ended == "intents"
    assert board.intents.answers[-1]["code"] == "failed"
    assert parts.log.broken and parts.log.battery(3900, 80, 1) is None
    assert (
        parts.log.seal_track() is None and parts.log.seal_visit([1, 1, None, 0, 0], b"x") is None
    )


async def test_an_uncaught_error_ends_the_run_of_a_real_board():
    board = AppBoard()
    board.ident.profile = "release"
    try:
        task = start(board)
        await board.sleep_ms(1000)

        async def lost():
            raise IndexError

        asyncio.create_task(lost())
        await task
        assert board.reports[-1]["ended"] == "task IndexError"
        assert ["task", "IndexError"] in missing(board)
    finally:
        asyncio.get_event_loop().set_exception_handler(None)


async def test_a_flash_that_refuses_to_write_does_not_keep_the_app_from_starting():
    board = AppBoard()
    board.rtc = Rtc()
    provision.install(board, "prueba-01", trust_pack(), cases_pack())
    task = start(board)
    await board.sleep_ms(1000)
    await board.over(task)
    board.end.clear()
    os.remove("/flash/packs/versions")
    board.flash.fail = -28
    task = start(board)
    await board.sleep_ms(3000)
    assert (await board.ask("status"))["ok"]
    assert (await board.ask("shift_start", gestor="g1"))["code"] == "storage_full"
    board.flash.fail = 0
    await board.sleep_ms(120000)
    assert (await board.ask("shift_start", gestor="g1"))["ok"]
    await board.over(task)


async def test_a_boot_that_fails_is_told_on_a_real_board_and_loud_in_the_simulator():
    board = AppBoard()
    board.entropy = None  # no log id can be made
    board.ident.profile = "release"
    await start(board)
    assert board.reports == [{"ended": "boot TypeError"}]
    board.ident.profile = "sim"
    try:
        await start(board)
        assert False
    except TypeError:
        pass


async def test_finish_ends_the_shift_seals_and_waits_for_the_receipts():
    board = AppBoard()
    board.rtc, board.power, board.net = Rtc(), Power(), Gateway()
    board.nv.set("dev", b"prueba-01")
    provision.configure(board, {1: "h", 2: 1883, 3: "ronda/lima"})
    provision.install(board, "prueba-01", trust_pack(), cases_pack())
    task = start(board)
    await board.sleep_ms(1000)
    assert (await board.ask("shift_start", gestor="g1"))["ok"]
    await board.sleep_ms(60000)
    answer = await board.ask("sync")
    assert answer["code"] == "sealed" and answer["seq"] == 1
    answer = await board.ask("finish")
    assert answer["ok"] and answer["unsent"] == 0 and answer["head"] == answer["released"] == 2
    assert board.net.seen == [1, 2] and board.outstanding[-1] == 0
    assert (await board.ask("status"))["unsent"] == 0
    report = await board.over(task)
    assert report["receipts"] == 2 and report["refused"] == {}
    assert report["counts"]["battery"] >= 2


async def test_finish_without_a_gateway_gives_up_after_a_minute():
    board = AppBoard()
    board.net = Broker()
    provision.configure(board, {1: "h", 2: 1883, 3: "ronda/lima"})
    task = start(board)
    await board.sleep_ms(1000)
    before = board.now
    answer = await board.ask("finish")
    assert not answer["ok"] and answer["unsent"] == 1
    assert board.now - before <= 65000
    board.net.set_up(False)
    answer = await board.ask("finish")
    assert answer["unsent"] == 1
    await board.over(task)


async def test_settings_sent_over_the_air_hold_at_once_and_after_a_reboot():
    board, made = AppBoard(), watched()
    board.rtc, board.net = Rtc(), Gateway()
    board.nv.set("dev", b"prueba-01")
    provision.configure(board, {1: "h", 2: 1883, 3: "ronda/lima", 4: 20})
    provision.install(board, "prueba-01", trust_pack(), cases_pack())

    def in_force():
        live = made[-1]
        return live.visits.search_m, live.battery.ms // 60000, live.gnss.sample_ms

    async def told(messages, wanted):
        for message in messages:
            board.net.stream.feed(publish(b"ronda/lima/down/prueba-01", message, 7))
        for _ in range(100):
            if in_force() == wanted:
                break
            await board.sleep_ms(100)
        assert in_force() == wanted, in_force()

    async def reboot(task):
        await board.over(task)
        board.end.clear()
        task = start(board)
        await board.sleep_ms(3000)
        return task

    task = start(board)
    await board.sleep_ms(3000)
    before = 300, 15, 19900
    assert in_force() == before
    manifest, mark, chunks = config_pack(11, search_m=120, battery_min=5)
    await told([manifest], before)  # half of it is nothing
    await told(chunks, (120, 5, 19900))
    task = await reboot(task)
    assert in_force() == (120, 5, 19900)
    # The site's is kept beside the handheld's own, which beats it; so it does after a reboot.
    site, site_mark, more = config_pack(12, "site", search_m=50)
    await told([site] + more, (120, 5, 19900))
    await board.sleep_ms(3000)
    task = await reboot(task)
    assert in_force() == (120, 5, 19900)
    # A newer one of its own replaces all of it: what it does not say is as configured.
    last, last_mark, more = config_pack(13, wait_s=60)
    await told([last] + more, before)
    assert made[-1].visits.wait_s == 60
    task = await reboot(task)
    assert in_force() == before and made[-1].visits.wait_s == 60
    await board.over(task)
    app.App = WHOLE
    applied = [data for code, data in events(board) if code == track.PACK and data[0] == 4]
    wanted = [(11, mark), (12, site_mark), (13, last_mark)]
    assert applied == [[4, "config", version, 1, "", name] for version, name in wanted]


async def test_a_rebooted_handheld_sends_what_is_left():
    board = AppBoard()
    board.net = Gateway()
    board.net.set_up(False)
    provision.configure(board, {1: "h", 2: 1883, 3: "ronda/lima"})
    provision.install(board, "prueba-01", trust_pack())
    for _ in range(3):
        task = start(board)
        await board.sleep_ms(20000)
        await board.over(task)
        board.end.clear()
    assert board.net.seen == []
    board.net.set_up(True)
    task = start(board)
    await board.sleep_ms(5000)
    assert board.net.seen[:3] == [1, 2, 3]
    report = await board.over(task)
    assert report["unsent"] == 0 and report["published"] == report["head"]

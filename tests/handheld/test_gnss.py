"""The receiver's task in the VM: sampling, window, frozen positions, silences, events, report."""

import asyncio
import gc

from handheld.clock import Clock
from handheld.gnss import Gnss
from ronda_protocol import track

HEAP = "224k"  # its sources are compiled here
_WRAP = 1 << 30
NOON = 1789473600 // 86400 * 86400 + 12 * 3600


def _unpacked(fixes):
    """What an auditor reads of packed fixes; imported late, for it is not on a handheld's heap."""
    from ronda_protocol import reading

    return reading.unpack_fixes(track.pack_fixes(fixes, 0), 0)


class Ident:
    time_floor = 1767225600


class Board:
    """Device time that the test moves; sleepers wake as it passes. `gps` hands out `lines`."""

    ident = Ident()
    rtc = None

    def __init__(self, receiver=True):
        self.ticks = _WRAP - 5000
        self.gps = self if receiver else None
        self.waiting = []
        self.lines = []
        self.come = asyncio.Event()

    def ticks_ms(self):
        return self.ticks

    def tell(self, name, fields):
        pass

    def ticks_diff(self, a, b):
        return (a - b + _WRAP // 2) % _WRAP - _WRAP // 2

    async def sleep_ms(self, ms):
        event = asyncio.Event()
        self.waiting.append((self.ticks + ms, event))
        await event.wait()

    async def readinto(self, buf):
        while not self.lines:
            self.come.clear()
            await self.come.wait()
        data = self.lines.pop(0)
        n = min(len(data), len(buf))
        buf[:n] = data[:n]
        if n < len(data):
            self.lines.insert(0, data[n:])
        return n

    async def advance(self, ms, data=b""):
        """Let `ms` pass in steps of 100, then bytes come."""
        for _ in range(ms // 100):
            self.ticks += 100
            for item in self.waiting[:]:
                if item[0] <= self.ticks:
                    self.waiting.remove(item)
                    item[1].set()
            await asyncio.sleep_ms(0)
            await asyncio.sleep_ms(0)
        if data:
            self.lines.append(data)
            self.come.set()
            for _ in range(4 + len(data) // 512):
                await asyncio.sleep_ms(0)


class Log:
    """What was logged: fix entries and (ms, code, data) of events."""

    def __init__(self, clock):
        self.clock = clock
        self.fixes = []
        self.events = []

    def fix(self, entry):
        # The track part takes it as it is.
        numbered = list(entry)
        numbered[1] = len(self.fixes) + 1
        track.encode_track([numbered], entry[2])
        self.fixes.append(entry)

    def event(self, code, data=None):
        self.events.append((self.clock.ms(), code, data))

    def codes(self):
        return [event[1] for event in self.events if event[1] != track.TIME_SET]


def sentence(body):
    c = 0
    for x in body.encode():
        c ^= x
    return ("$%s*%02X\r\n" % (body, c)).encode()


def epoch(  # noqa: PLR0917
    second, north=0, speed="0.00", status="A", hdop="1.2", sats="08", high="103.4", course=""
):
    """One second's bytes; north in 1e-4 minutes."""
    time = "%02d%02d%02d.00" % (second // 3600 % 24, second // 60 % 60, second % 60)
    if status != "A":
        out = sentence("GPRMC,%s,V,,,,,,,150926,,,N" % time)
        return out + sentence("GPGGA,%s,,,,,0,00,,,M,,M,," % time)
    place = "1207.%04d,S,07701.5678,W" % (1234 - north)
    out = sentence("GPRMC,%s,A,%s,%s,%s,150926,,,A" % (time, place, speed, course))
    out += sentence("GPGGA,%s,%s,1,%s,%s,%s,M,1.0,M,," % (time, place, sats, hdop, high))
    return out + sentence("GPGSA,A,3,01,02,03,04,,,,,,,,,1.5,1.2,1.0")


class Bench:
    """A Gnss that runs, and a second hand for its receiver."""

    def __init__(self, sample_s=15, receiver=True):
        self.board = Board(receiver)
        self.clock = Clock(self.board, 1)
        self.log = Log(self.clock)
        self.gnss = Gnss(self.board, self.clock, self.log, sample_s)
        self.second = 43200
        self.task = None

    async def start(self):
        self.task = asyncio.create_task(self.gnss.run())
        await asyncio.sleep_ms(0)
        return self

    async def walk(self, n, **kw):
        """n seconds with an epoch each, going north by a metre and a half."""
        for _ in range(n):
            self.second += 1
            await self.board.advance(1000, epoch(self.second, self.second % 1000, "2.90", **kw))

    async def stand(self, n, **kw):
        for _ in range(n):
            self.second += 1
            await self.board.advance(1000, epoch(self.second, **kw))

    async def quiet(self, n):
        self.second += n
        await self.board.advance(n * 1000)

    def stop(self):
        self.task.cancel()


async def test_first_fix_at_once_then_every_15_s():
    b = await Bench().start()
    await b.walk(91)
    fixes = b.log.fixes
    assert [fix[2] for fix in fixes] == [1000 + 15000 * i for i in range(7)]
    assert [bool(fix[8]) for fix in fixes] == [True, False, False, False, True, False, False]
    assert fixes[0][0] == track.FIX and fixes[0][5:8] == [12, 8, 3]
    # 2.9 knots are 14.92 dm/s; no course is 0; 103.4 m is 103 m.
    assert fixes[0][8] == [15, 0, 103, None, None, None, 0]
    assert b.log.events[0][1:] == (track.FIX_FOUND, None)
    assert b.log.events[1] == (3000, track.TIME_SET, [NOON + 3, 1, 1])
    assert len(b.log.events) == 2
    assert b.clock.utc() == NOON + 91
    b.stop()


async def test_other_intervals_and_gaps():
    b = await Bench(sample_s=1).start()
    await b.walk(5)
    assert len(b.log.fixes) == 5
    b.stop()
    b = await Bench(sample_s=10).start()
    await b.walk(8)
    await b.quiet(8)
    await b.walk(12)
    # 17 s after the first, and 10 s after that.
    assert [fix[2] for fix in b.log.fixes] == [1000, 17000, 27000]
    b.stop()


async def test_five_epochs_a_second_in_large_reads():
    b = await Bench().start()
    data = b""
    for i in range(40):
        data += epoch(43200 + i, i)
    await b.board.advance(1000, data)
    assert b.gnss.parser.fixes == 40 and len(b.log.fixes) == 1
    # Forty seconds in one: no time is taken from that.
    assert not b.clock.trusted()
    b.stop()


async def test_window():
    b = await Bench().start()
    assert b.gnss.window() == [] and b.gnss.last is None and not b.gnss.has_fix
    await b.walk(3)
    window = b.gnss.window()
    assert [fix[2] for fix in window] == [1000, 2000, 3000]
    assert [bool(fix[8]) for fix in window] == [False, False, True]
    assert window[2] == b.gnss.last and b.gnss.has_fix
    await b.walk(17)
    assert [fix[2] for fix in b.gnss.window()] == [13000 + 1000 * i for i in range(8)]
    await b.quiet(10)
    assert b.gnss.has_fix
    await b.quiet(15)
    assert not b.gnss.has_fix
    assert [fix[2] for fix in b.gnss.window()] == [15000 + 1000 * i for i in range(6)]
    await b.quiet(6)
    assert b.gnss.window() == [] and b.gnss.last[2] == 20000
    packed = track.pack_fixes(window, 0)
    assert len(packed) < 60
    b.stop()


async def test_frozen():
    b = await Bench().start()
    await b.stand(60)
    assert [track.fix_flags(fix) for fix in b.gnss.window()] == [0] * 8
    await b.stand(1)
    assert [track.fix_flags(fix) for fix in b.gnss.window()] == [0] * 7 + [track.FROZEN]
    await b.stand(60)
    window = b.gnss.window()
    assert [track.fix_flags(fix) for fix in window] == [track.FROZEN] * 8
    assert [track.fix_flags(fix) for fix in b.log.fixes] == [0] * 4 + [1] * 5
    assert _unpacked(window) == window
    # One step to the north, and it is alive; the next sampled fix says so.
    await b.stand(1, north=1)
    assert track.fix_flags(b.gnss.last) == 0
    await b.stand(14, north=1)
    assert b.log.fixes[-1][8][6] == 0
    assert [bool(fix[8]) for fix in b.log.fixes[-6:]] == [True] * 6
    b.stop()


async def test_a_position_that_stirs_is_not_frozen():
    for change in (
        {"hdop": "1.3"},
        {"sats": "09"},
        {"high": "103.5"},
        {"speed": "0.01"},
        {"north": 1},
    ):
        b = await Bench().start()
        for _ in range(4):
            await b.stand(40)
            await b.stand(1, **change)
        assert track.fix_flags(b.gnss.last) == 0, change
        assert not any([track.fix_flags(fix) for fix in b.log.fixes])
        b.stop()
        gc.collect()


async def test_silences_are_one_event_each():
    b = await Bench().start()
    await b.walk(5)
    await b.quiet(8)
    await b.walk(5)
    assert b.log.codes() == [track.FIX_FOUND]
    await b.quiet(11)
    assert b.log.codes() == [track.FIX_FOUND, track.GPS_SILENT]
    assert b.log.events[-1][0] == 28000
    await b.quiet(3600)
    assert b.log.codes() == [track.FIX_FOUND, track.GPS_SILENT]
    assert b.board.waiting == []
    await b.walk(5)
    assert b.log.codes()[2:] == [track.FIX_FOUND]
    for _ in range(3):
        await b.quiet(12)
        await b.board.advance(100, b"\x00noise")
    assert b.log.codes()[3:] == [track.GPS_SILENT] * 3
    b.stop()


async def test_a_receiver_that_never_speaks():
    b = await Bench().start()
    await b.quiet(60)
    assert b.log.codes() == [track.GPS_SILENT] and b.log.events[0][0] == 10000
    b.stop()


async def test_no_receiver():
    b = await Bench(receiver=False).start()
    await b.quiet(60)
    assert b.log.events == [(0, track.PART_MISSING, ["gps"])]
    assert b.gnss.window() == [] and b.gnss.report()["fixes"] == 0


async def test_fix_lost_and_found():
    b = await Bench().start()
    await b.stand(3, status="V")
    assert b.log.codes() == []
    await b.walk(3)
    await b.stand(4, status="V")
    assert not b.gnss.has_fix
    await b.walk(3)
    assert b.log.codes() == [track.FIX_FOUND, track.FIX_LOST, track.FIX_FOUND]
    assert b.gnss.report()["losses"] == 1
    b.stop()


async def test_a_receiver_that_flickers_fills_no_log():
    b = await Bench().start()
    for _ in range(60):
        await b.walk(1)
        await b.stand(1, status="V")
    assert len(b.log.events) <= 10 + 120 // 15 + 1
    assert b.gnss.parser.losses == 60
    # What was said last becomes true again.
    await b.walk(40)
    assert b.log.codes()[-1] == track.FIX_FOUND
    b.stop()


async def test_report():
    b = await Bench().start()
    report = b.gnss.report()
    assert report["first_fix"] is None and report["last_position"] is None
    await b.stand(2, status="V")
    await b.walk(5)
    # An epoch that has only its GGA moves nothing.
    data = epoch(43300, 900)
    await b.board.advance(1000, data[data.find(b"$GPGGA") :])
    report = b.gnss.report()
    assert report["sentences"] == 4 + 15 + 2 and report["fixes"] == 5 and report["losses"] == 0
    assert report["checksum_errors"] == report["bad_fields"] == 0
    first, last = report["first_fix"], report["last_position"]
    assert first["time"] == "2026-09-15T12:00:03Z" and last["time"] == "2026-09-15T12:00:07Z"
    assert last["lat_e7"] - first["lat_e7"] == 67 and first["lon_e7"] == -770261300
    b.stop()


async def test_no_position_before_the_time():
    """Fixes before UTC is known are kept, with no time of their own in the clock."""
    b = await Bench().start()
    for _ in range(6):
        b.second += 100
        await b.board.advance(1000, epoch(b.second, b.second % 1000))
    assert b.gnss.parser.fixes == 6 and len(b.log.fixes) == 1
    assert b.clock.stamp()[2] is None
    b.stop()


async def test_a_fix_costs_little_heap():
    b = await Bench().start()
    gnss = b.gnss
    data = bytearray(epoch(43300, 1) + epoch(43301, 2))
    await b.walk(10)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(50):
        gnss.take(data, len(data) - 1)
    each = (gc.mem_alloc() - before) // 100
    gc.enable()
    print("heap bytes allocated a fix:", each)
    # The bound method of each call, and a sampled entry now and then.
    assert each < 250, each
    b.stop()


def _gsv(snr):
    return sentence("GPGSV,1,1,04,01,45,100,%d,02,45,100,,03,45,100,20,04,45,100," % snr)


async def test_signal_strength_travels_with_the_fix():
    b = await Bench().start()
    for i in range(20):
        b.second += 1
        await b.board.advance(1000, _gsv(30 + i % 3) + epoch(b.second, b.second % 1000, "2.90"))
    assert b.gnss.last[8][3:6] == [26, 20, 11]
    assert [fix[8] and fix[8][3:6] for fix in b.log.fixes] == [[None] * 3, None]
    assert _unpacked([b.gnss.last]) == [b.gnss.last]
    await b.walk(5)
    assert b.gnss.last[8][3:6] == [26, 20, 11]
    await b.walk(1)
    assert b.gnss.last[8][3:6] == [None] * 3  # too old
    b.stop()


async def test_a_flag_lasts_until_a_fix_is_sampled():
    b = await Bench().start()
    await b.walk(5)
    b.second += 1
    await b.board.advance(1000, epoch(b.second, 1200, "2.90"))
    assert track.fix_flags(b.gnss.last) == track.JUMP | track.MOTION
    await b.stand(1, north=1200)
    assert track.fix_flags(b.gnss.last) == 0
    assert [track.fix_flags(fix) for fix in b.gnss.window()] == [0] * 5 + [24] + [0]
    await b.stand(60, north=1200)
    assert [track.fix_flags(fix) for fix in b.log.fixes] == [0, 24, 0, 0, 0]
    assert [bool(fix[8]) for fix in b.log.fixes] == [True, True, True, False, True]
    b.stop()


async def test_a_date_before_the_floor_is_no_time():
    """A receiver whose week has rolled over: its fixes are kept and flagged, its date not used."""
    b = await Bench().start()
    for _ in range(10):
        b.second += 1
        data = epoch(b.second, b.second % 1000, "2.90").replace(b"150926", b"300107")
        for line in data.split(b"\r\n")[:-1]:
            await b.board.advance(0, sentence(line[1:-3].decode()))
        await b.board.advance(1000)
    assert b.gnss.parser.fixes == 10 and b.clock.utc() is None
    assert {track.fix_flags(fix) for fix in b.gnss.window()} == {track.CLOCK}
    assert b.log.codes() == [track.FIX_FOUND]
    b.stop()

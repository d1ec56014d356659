"""The detector flags in the VM: each raised by what it is for, and by nothing that may happen."""

from handheld.clock import Clock
from handheld.detectors import Detectors
from handheld.nmea import Parser
from ronda_protocol import track

HEAP = "192k"
FLOOR = 1767225600
DAY = 1789473600 // 86400  # 2026-09-15


class Board:
    """Device time that the test moves."""

    rtc = None
    now = 0

    class ident:
        time_floor = FLOOR

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, a, b):
        return a - b


def sentence(body):
    c = 0
    for x in body.encode():
        c ^= x
    return "$%s*%02X\r\n" % (body, c)


class Receiver:
    """A receiver in Lima and what the detectors make of each epoch: `flags` of those with a fix.

    `at` is its time in ms of the day, north and east (metres) where it says it is. `tell()` is one
    epoch, of which `said` overrides what is usual; `second()` a second and an epoch.
    """

    def __init__(self):
        self.board = Board()
        self.clock = Clock(self.board, 1)
        self.detectors = Detectors(self.clock)
        self.parser = Parser(self._epoch)
        self.flags = []
        self.at = 12 * 3600000
        self.north = self.east = 0

    def _epoch(self, p):
        if not p.fixed:
            self.detectors.lost(p, self.board.now)
            return
        self.flags.append(self.detectors.flags(p, self.board.now))
        utc = p.day * 86400 + p.ms // 1000
        self.clock.on_gnss(utc, self.board.now - p.ms % 1000)

    def feed(self, data):
        data = data.encode() if isinstance(data, str) else data
        self.parser.feed(data, len(data))
        self.parser.idle()

    def tell(self, **said):
        def get(name, usual):
            return said[name] if name in said else usual

        ms = self.at
        time = "%02d%02d%02d.%03d" % (ms // 3600000, ms // 60000 % 60, ms // 1000 % 60, ms % 1000)
        # A ten thousandth of a minute is 18.433 cm of latitude, 18.123 cm of longitude here.
        lat = 12071234 - self.north * 100000 // 18433
        lon = 77015678 - self.east * 100000 // 18123
        place = "%04d.%04d,S,%05d.%04d,W" % (lat // 10000, lat % 10000, lon // 10000, lon % 10000)
        motion = get("speed", "0.05"), get("course", ""), get("date", "150926")
        rmc = "GPRMC,%s,A,%s," % (time, place) + "%s,%s,%s,,,A" % motion
        found = get("quality", 1), get("sats", "08"), get("hdop", "1.2"), get("high", "103.4")
        gga = "GPGGA,%s,%s," % (time, place) + "%s,%s,%s,%s,M,1.0,M,," % found
        self.feed(sentence(rmc) + get("more", "") + sentence(gga))
        return self.flags[-1] if self.flags else None

    def second(self, n=1, **said):
        """The flags of n more epochs, a second each, joined."""
        found = 0
        for _ in range(n):
            self.at += 1000
            self.board.now += 1000
            found |= self.tell(**said)
        return found

    def walk(self, n, metres=2, speed="2.7", course="0.0", **said):
        """n seconds going north; 2.7 knots are 1.4 m/s."""
        found = 0
        for _ in range(n):
            self.north += metres
            found |= self.second(speed=speed, course=course, **said)
        return found


def gsv(numbers, snr, talker="GP"):
    """A group; `snr` one for all, or a list."""
    out = ""
    count = (len(numbers) + 3) // 4
    for i in range(count):
        body = "%sGSV,%d,%d,%02d" % (talker, count, i + 1, len(numbers))
        for j in range(4 * i, min(4 * i + 4, len(numbers))):
            body += ",%d,45,100,%d" % (numbers[j], snr if isinstance(snr, int) else snr[j])
        out += sentence(body)
    return out


EIGHT = [1, 3, 4, 8, 11, 14, 17, 22]
SKY = [36, 24, 37, 16, 29, 30, 22, 41]


def test_an_honest_walk_has_no_flag():
    r = Receiver()
    view = gsv(EIGHT, SKY)
    assert r.second(30, more=view) == 0
    for course, north, east in ((0, 2, 0), (90, 0, 2), (180, -2, 0), (270, 0, -2), (45, 1, 1)):
        for _ in range(20):
            r.north += north
            r.east += east
            assert r.second(speed="3.2", course="%d.0" % course, more=view) == 0
    # On a bus, and its stops.
    for speed in (2, 6, 12, 15, 15, 15, 12, 6, 2, 0):
        for _ in range(4):
            r.north += speed
            assert r.second(speed="%d.0" % (speed * 2), course="0.5") == 0, speed
    # Indoors for ten minutes, out at another door.
    r.at += 600000
    r.board.now += 600000
    r.north += 60
    assert r.second(30) == 0


def test_frozen():
    r = Receiver()
    assert r.second(60, speed="0.00") == 0
    assert r.second(speed="0.00") == track.FROZEN == r.second(60, speed="0.00")
    # Any stirring ends it.
    for said in ({"hdop": "1.3"}, {"sats": "09"}, {"high": "103.5"}, {"speed": "0.01"}):
        assert r.second(**said) == 0, said
        assert r.second(60, **said) & ~track.FROZEN == 0, said
    # A speed that is not told is not zero.
    r.second(5, speed="0.01")
    assert r.second(90, speed="") & track.FROZEN == 0
    r.second(70, speed="0.00")
    r.north += 3
    assert r.second(speed="0.00") == 0


def test_frozen_with_satellites_needs_theirs_constant():
    r = Receiver()
    assert r.second(speed="0.00", more=gsv(EIGHT, SKY)) == 0
    for i in range(40):
        assert r.second(2, speed="0.00", more=gsv(EIGHT, SKY[:7] + [39 - i % 2])) == 0
    assert r.second(59, speed="0.00", more=gsv(EIGHT, SKY)) == 0
    assert r.second(3, speed="0.00", more=gsv(EIGHT, SKY)) == track.FROZEN
    # Told every fifth second, they are constant until they are told to be others.
    r = Receiver()
    for i in range(13):
        found = r.second(speed="0.00", more=gsv(EIGHT, SKY)) | r.second(4, speed="0.00")
    assert found == track.FROZEN
    assert r.second(speed="0.00", more=gsv(EIGHT, SKY[1:] + [9])) == 0


def test_time_that_goes_back_or_stands_still():
    r = Receiver()
    r.second(5)
    r.at -= 3000
    r.board.now += 1000
    assert r.tell() == track.TIME
    assert r.second() == 0
    # The epoch before once more is no fix at all; the next one says so.
    r.feed(sentence("GPRMC,120009.50,V,,,,,,,150926,,,N"))
    told = len(r.flags)
    r.tell()
    r.tell()
    assert len(r.flags) == told
    assert r.second() == track.TIME and r.second() == 0
    # Midnight is no going back.
    r = Receiver()
    r.at = 86399000
    r.tell(date="140926")
    r.at = 0
    r.board.now += 1000
    assert r.tell() == 0


def test_leap_second():
    r = Receiver()
    place = "1207.1234,S,07701.5678,W"
    for time, date in (("235959.00", "311226"), ("235960.00", "311226"), ("000000.00", "010127")):
        r.board.now += 1000
        r.feed(
            sentence("GPRMC,%s,A,%s,0.05,,%s,,,A" % (time, place, date))
            + sentence("GPGGA,%s,%s,1,08,1.2,103.4,M,1.0,M,," % (time, place))
        )
    # The second after it has the same number of seconds since 1970.
    assert r.flags == [0, 0, track.TIME]


def test_dates_that_are_not_trusted():
    # 1,024 and 2,048 weeks before 2026-09-15: what a receiver says whose week has rolled over.
    for date in ("300107", "150687", "010180", "311225"):
        r = Receiver()
        assert r.second(5, date=date) == track.CLOCK, date
        assert not r.clock.trusted()
        # A clock that is right stays so.
        r = Receiver()
        r.second(3)
        assert r.clock.trusted() and r.second(date=date) == track.TIME | track.CLOCK
        r.second(5, date=date)
        assert r.clock.utc() == DAY * 86400 + 12 * 3600 + 9
    r = Receiver()
    assert r.second(3, date="150926") == 0
    # The day before, and a second too late to be waiting for its reader.
    assert r.second(date="140926") & track.CLOCK
    assert r.second(date="160926") & track.CLOCK
    r.second()
    r.at += 11000
    assert r.second() == 0  # 10 s and what is not certain
    r.at += 2000
    assert r.second() == track.CLOCK
    # Three that agree set the clock: an event, and then nothing conflicts.
    assert r.second(2) == track.CLOCK and r.second() == 0


def test_zda_of_another_day():
    r = Receiver()
    zda = "GPZDA,12000%d.000,%s,09,2026,00,00"
    assert r.second(more=sentence(zda % (1, "15"))) == 0
    assert r.second(more=sentence(zda % (2, "16"))) == track.CLOCK
    assert r.second(more=sentence(zda % (2, "16"))) == 0  # of another time


def test_jump():
    r = Receiver()
    r.walk(5)
    r.north += 80
    assert r.walk(1) & track.JUMP
    assert r.walk(5) == 0
    # 60 m/s and the accuracy of both: with HDOP 5 that is 110 m.
    r.east += 100
    assert not r.second(hdop="5.0") & track.JUMP
    r.east += 120
    assert r.second(hdop="5.0") & track.JUMP
    # Across the ocean, the pole and the date line: integers all the way.
    for lat, lon in (("0000.0000,N", "00000.0000,E"), ("9000.0000,S", "18000.0000,W")):
        r.at += 1000
        r.board.now += 1000
        time = "%02d%02d%02d.00" % (r.at // 3600000, r.at // 60000 % 60, r.at // 1000 % 60)
        body = "%s,A,%s,%s,0.00,,150926,,,A" % (time, lat, lon)
        body = sentence("GPRMC," + body) + sentence(
            "GPGGA,%s,%s,%s,1,08,1.2,103.4,M,1.0,M,," % (time, lat, lon)
        )
        r.feed(body)
        assert r.flags[-1] & track.JUMP
    # In ten minutes one gets far, in one not so.
    for minutes, flag in ((1, track.JUMP), (10, 0)):
        r = Receiver()
        r.walk(5)
        r.at += minutes * 60000
        r.board.now += minutes * 60000
        r.north += 10000
        assert r.walk(5) == flag


def test_motion_that_is_not_told():
    r = Receiver()
    r.second(5)
    r.north += 20
    assert r.second() == track.MOTION
    # Slowly, at a speed of nothing: seen after half a minute.
    r = Receiver()
    found = [r.walk(1, 2, "0.01", "") for _ in range(70)]
    assert set(found) == {0, track.MOTION} and found.count(track.MOTION) == 2
    # A slow drift at a door is no walk, nor is pacing up and down.
    r = Receiver()
    for i in range(120):
        r.north = i // 6
        assert r.second(speed="0.10") == 0
    for i in range(120):
        r.north += 2 if i // 10 % 2 else -2
        assert r.second(speed="3.9", course="0.0" if i // 10 % 2 else "180.0") == 0
    # Without a speed there is nothing to contradict.
    r = Receiver()
    assert r.walk(40, 5, "", "") == 0


def test_motion_that_is_only_told():
    r = Receiver()
    assert r.second(5, speed="2.7", course="10.0") == 0
    assert r.second(5, speed="60.0", course="10.0") == track.MOTION
    # And the other way.
    r = Receiver()
    assert r.walk(10, 10, "19.4", "0.0") == 0
    assert r.walk(10, 10, "19.4", "180.0") == track.MOTION
    r.walk(3, 10, "19.4", "359.0")
    assert r.walk(10, 10, "19.4", "60.0") == 0  # a curve


def test_altitude():
    r = Receiver()
    r.second(5)
    assert r.second(high="135.0") == 0
    assert r.second(high="190.0") == track.ALTITUDE
    assert r.second(high="190.0") == 0
    assert r.second(high="") == 0 and r.second(high="9000.0") == 0
    assert r.second(high="9100.0", hdop="9.0") == 0


def test_signals_that_are_too_alike():
    r = Receiver()
    assert r.second(more=gsv(EIGHT, 40)) == track.SIGNAL
    assert r.second() == 0  # nothing new
    assert r.second(more=gsv(EIGHT, [40] * 7 + [41])) == 0
    assert r.second(more=gsv(EIGHT[:5], 40)) == 0  # five are too few to say
    assert r.second(more=gsv(EIGHT, SKY)) == 0
    for by, flag in ((5, 0), (6, track.SIGNAL), (-6, track.SIGNAL)):
        r = Receiver()
        assert r.second(3, more=gsv(EIGHT, SKY)) == 0
        assert r.second(more=gsv(EIGHT, [x + by for x in SKY])) == flag, by
        assert r.second(more=gsv(EIGHT, [x + by for x in SKY])) == 0
    # A hand over the antenna loses some and dims the others each by its own.
    assert r.second(more=gsv(EIGHT[:7], [20, 14, 27, 10, 12, 22, 11])) == 0


def test_satellites_that_cannot_be():
    r = Receiver()
    assert r.second(more=gsv([1, 3, 100], 30)) == track.SKY
    assert r.second(more=gsv([1, 3, 4], 30)) == 0
    used = sentence("GPGSA,A,3,01,03,05,,,,,,,,,,1.5,1.2,1.0")
    assert r.second(more=used) == r.second(more=gsv([1, 3, 5], 30) + used) == 0
    assert r.second(more=used + gsv([1, 3, 4], 30)) == track.SKY
    assert r.second() == 0


def test_first_fix_too_early():
    void = sentence("GPGGA,,,,,,0,00,,,M,,M,,") + sentence("GPRMC,,V,,,,,,,,,,N")
    for seconds, flag in ((3, track.EARLY), (11, track.EARLY), (12, 0), (30, 0)):
        r = Receiver()
        r.feed(void)
        r.board.now += 1000
        r.feed(void)
        r.board.now += seconds * 1000 - 1000
        r.at += seconds * 1000
        assert r.second() == flag, seconds
        assert r.second() == 0
    # It knew the time, or saw satellites: a warm start.
    for more in (
        sentence("GPRMC,120000.00,V,,,,,,,150926,,,N"),
        gsv([1, 3], 30),
    ):
        r = Receiver()
        r.feed(more + void)
        assert r.second() == 0
    # A loss is no start, unless the line was quiet.
    r = Receiver()
    r.second(3)
    r.feed(void)
    assert r.second() == 0


def test_another_rate():
    r = Receiver()
    assert r.second(30) == 0
    # Lost epochs are no other rate.
    for _ in range(20):
        r.at += 1000
        r.board.now += 1000
        assert r.second() | r.second() == 0
    found = []
    for _ in range(12):
        r.at += 200
        r.board.now += 200
        found.append(r.tell())
    assert found == [0] * 8 + [track.RATE] * 4
    assert r.second(8) == track.RATE and r.second(1) == 0


def test_garbage():
    r = Receiver()
    r.second(3)
    r.feed("# a line of text that is no sentence\r\n")
    assert r.second() == 0
    r.feed(bytes(200))
    assert r.second() == track.GARBAGE and r.second() == 0
    for n, flag in ((2, 0), (3, track.GARBAGE)):
        r.feed("$GPTXT,1*00\r\n" * n)
        assert r.second() == flag, n
    # Binary frames are no garbage.
    frame = b"\xb5\x62\x01\x07\x00\x00\x08\x19"
    r.feed(frame * 60)
    assert r.parser.frames == 60 and r.second() == 0
    # Nor are voids, however long there was no fix.
    for _ in range(100):
        r.feed(sentence("GPRMC,,V,,,,,,,,,,N") + sentence("GPGGA,,,,,,0,00,,,M,,M,,"))
    assert r.second() == 0


def test_not_from_satellites():
    r = Receiver()
    for quality in (1, 2, 3, 4, 5):
        assert r.second(quality=quality) == 0
    for quality in (6, 7, 8, 9):
        assert r.second(quality=quality) == track.ESTIMATED

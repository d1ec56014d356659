"""The clock in the VM: ticks that wrap, sources of UTC, steps, and dates as integers."""

from handheld.clock import GATEWAY, GNSS, NONE, RTC, Clock, days_from_civil
from handheld.dates import civil_from_days, iso
from ronda_protocol import track
from ronda_protocol.bounds import is_stamp

HEAP = "192k"
_WRAP = 1 << 30
FLOOR = 1767225600  # 2026-01-01
NOON = 1789473600


class Ident:
    time_floor = FLOOR


class Rtc:
    def __init__(self, utc):
        self.utc = utc

    def unix(self):
        return self.utc


class Board:
    """Ticks as the test moves them, 5 s before they wrap."""

    ident = Ident()

    def __init__(self, rtc=None):
        self.ticks = _WRAP - 5000
        self.rtc = Rtc(rtc) if rtc is not None else None

    def ticks_ms(self):
        return self.ticks

    def ticks_diff(self, a, b):
        return (a - b + _WRAP // 2) % _WRAP - _WRAP // 2

    def advance(self, ms):
        self.ticks = (self.ticks + ms) % _WRAP


def seconds(clock, board, utc, n, step=1000):
    """n fixes, one each `step` ms of both clocks; the events."""
    events = []
    for _ in range(n):
        events.append(clock.on_gnss(utc, clock.ms()))
        assert is_stamp(clock.stamp())
        board.advance(step)
        utc += step // 1000
    return events


def test_ms_goes_on_over_the_wrap():
    board = Board()
    clock = Clock(board, 7)
    assert clock.ms() == 0
    board.advance(149)
    assert clock.ms() == 100
    board.advance(1)
    assert clock.ms() == 100
    board.advance(50)
    assert clock.ms() == 200
    total = 200
    for step in (4900, 100, 600000, 86400000, 3 * 86400000, 5 * 86400000, 5 * 86400000):
        board.advance(step)
        total += step
        assert clock.ms() == total
    assert clock.stamp() == [7, total, None, NONE, 0]
    # A tick that seems to go backward changes nothing.
    board.advance(-250)
    assert clock.ms() == total


def test_no_time_is_said_to_be_none():
    clock = Clock(Board(), 1)
    assert clock.utc() is None and not clock.trusted()
    assert clock.stamp() == [1, 0, None, NONE, 0] and is_stamp(clock.stamp())


def test_three_fixes_that_agree_set_the_time():
    board = Board()
    clock = Clock(board, 1)
    events = seconds(clock, board, NOON, 4)
    assert events == [None, None, (track.TIME_SET, [NOON + 2, GNSS, 1]), None]
    assert clock.trusted() and clock.utc() == NOON + 4
    assert clock.stamp() == [1, 4000, NOON + 4, GNSS, 1]


def test_fixes_that_disagree_set_nothing():
    board = Board()
    clock = Clock(board, 1)
    utc = NOON
    for i in range(20):
        # Time runs at a third of its speed, then three times as fast, then jumps.
        assert clock.on_gnss(utc, clock.ms()) is None, i
        board.advance(3100)
        utc += 1
    for _ in range(20):
        assert clock.on_gnss(utc, clock.ms()) is None
        board.advance(1000)
        utc += 3
    for i in range(20):
        assert clock.on_gnss(NOON + i % 2 * 3600, clock.ms()) is None
        board.advance(1000)
    assert not clock.trusted()
    # Two that agree, one that does not, then three.
    events = seconds(clock, board, NOON, 2) + seconds(clock, board, NOON + 500, 3)
    assert [bool(event) for event in events] == [False] * 4 + [True]
    # A difference of 1 s agrees.
    board = Board()
    clock = Clock(board, 1)
    for utc, ms in ((NOON, 0), (NOON + 2, 1000), (NOON + 3, 3000)):
        event = clock.on_gnss(utc, ms)
    assert event == (track.TIME_SET, [NOON + 3, GNSS, 1])


def test_times_before_the_floor_are_refused():
    board = Board()
    clock = Clock(board, 1)
    assert seconds(clock, board, FLOOR - 1024 * 7 * 86400, 10) == [None] * 10
    assert clock.on_gateway(FLOOR - 1) is None
    assert not clock.trusted()
    # The floor breaks a row, too.
    seconds(clock, board, FLOOR - 2, 4)
    assert not clock.trusted()
    assert seconds(clock, board, FLOOR + 2, 1)[0] == (track.TIME_SET, [FLOOR + 2, GNSS, 1])


def test_uncertainty_grows_and_a_fix_renews_it():
    board = Board()
    clock = Clock(board, 1)
    seconds(clock, board, NOON, 3)
    board.advance(9_000_000)
    assert clock.stamp()[3:] == [GNSS, 1]
    board.advance(1_000_000)
    assert clock.stamp() == [1, 10_003_000, NOON + 10_003, GNSS, 2]
    board.advance(26_400_000)
    assert clock.stamp()[4] == 4
    # It ran 5 s slow meanwhile: no step, for that is what it had said of itself.
    events = seconds(clock, board, clock.utc() + 5, 3)
    assert events == [None, None, None]
    assert clock.stamp()[4] == 1


def test_a_step_is_an_event():
    board = Board()
    clock = Clock(board, 1)
    seconds(clock, board, NOON, 5)
    was = clock.utc()
    events = seconds(clock, board, was + 3600, 3)
    assert events == [None, None, (track.TIME_STEP, [was + 2, was + 3602])]
    was = clock.utc()
    events = seconds(clock, board, was - 3, 3)
    assert events[2] == (track.TIME_STEP, [was + 2, was - 1])
    # One fix that is an hour off, or two, move nothing.
    was = clock.utc()
    seconds(clock, board, was + 3600, 2)
    assert clock.utc() == was + 2


def test_a_clock_that_is_dragged_is_seen():
    """A receiver whose seconds are a little short moves the clock by steps that are events."""
    board = Board()
    clock = Clock(board, 1)
    steps = 0
    for i in range(600):
        event = clock.on_gnss(NOON + i, clock.ms())
        steps += bool(event) and event[0] == track.TIME_STEP
        board.advance(900)
    # A minute in ten: more than 2 s at a time is told, less is not taken.
    assert 15 <= steps <= 30, steps


def test_a_gateway_sets_what_nobody_else_does():
    board = Board()
    clock = Clock(board, 1)
    assert clock.on_gateway(NOON, 4) == (track.TIME_SET, [NOON, GATEWAY, 5])
    assert clock.stamp() == [1, 0, NOON, GATEWAY, 5]
    board.advance(60000)
    # Better ones are taken quietly, worse ones passed over.
    assert clock.on_gateway(NOON + 61, 2) is None
    assert clock.stamp()[2:] == [NOON + 61, GATEWAY, 3]
    assert clock.on_gateway(NOON + 90, 59) is None
    assert clock.stamp()[2:] == [NOON + 61, GATEWAY, 3]
    # Two that exclude each other: the newer one counts, and it is a step.
    assert clock.on_gateway(NOON + 7000) == (track.TIME_STEP, [NOON + 61, NOON + 7000])
    # GNSS is better than any; a gateway does not move it, however sure.
    events = seconds(clock, board, NOON + 7030, 3)
    assert events[2] == (track.TIME_SET, [NOON + 7032, GNSS, 1])
    assert clock.on_gateway(NOON, 0) is None and clock.on_gateway(NOON + 99999, 1) is None
    assert clock.stamp()[2:] == [NOON + 7033, GNSS, 1]
    # After hours without a fix the gateway knows better.
    board.advance(6 * 3600000)
    assert clock.stamp()[4] == 3
    at = clock.utc() + 2
    assert clock.on_gateway(at, 1) == (track.TIME_SET, [at, GATEWAY, 2])


def test_the_rtc_is_the_last_resort():
    assert Clock(Board(FLOOR - 1), 1).stamp() == [1, 0, None, NONE, 0]
    board = Board(NOON)
    clock = Clock(board, 1)
    board.advance(20_000_000)
    assert clock.stamp() == [1, 20_000_000, NOON + 20_000, RTC, 302]
    assert clock.on_gateway(NOON + 20_100) == (track.TIME_SET, [NOON + 20_100, GATEWAY, 61])
    clock = Clock(Board(NOON), 1)
    assert clock.on_gateway(NOON + 90000) == (track.TIME_STEP, [NOON, NOON + 90000])
    board = Board(NOON)
    clock = Clock(board, 1)
    assert seconds(clock, board, NOON - 200, 3)[2] == (track.TIME_SET, [NOON - 198, GNSS, 1])


def test_jumps_of_years_never_raise():
    board = Board()
    clock = Clock(board, 1)
    state = 99
    utc = NOON
    for _ in range(300):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        utc = max(0, utc + (state % 630720000 - 315360000 if state % 5 == 0 else 1))
        clock.on_gnss(utc, clock.ms())
        if state % 7 == 0:
            clock.on_gateway(utc, state % 100)
        board.advance(state % 3000)
        assert is_stamp(clock.stamp())


def test_days_from_civil():
    day = 0
    for year in range(1970, 2107):
        for month in range(1, 13):
            last = days_from_civil(year, month, 1) - 1
            for date in range(1, 32):
                days = days_from_civil(year, month, date)
                if days < 0:
                    assert date > 28 and civil_from_days(last + date) != (year, month, date)
                    continue
                assert days == day and civil_from_days(days) == (year, month, date)
                day += 1
    assert day == days_from_civil(2107, 1, 1) == 50038
    for date in ((1969, 12, 31), (2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 1, 32)):
        assert days_from_civil(*date) == -1
    for date in ((2026, 2, 29), (2100, 2, 29), (2026, 4, 31), (2024, 2, 30)):
        assert days_from_civil(*date) == -1
    assert days_from_civil(2000, 2, 29) == 11016


def test_iso():
    assert iso(0, 0) == "1970-01-01T00:00:00Z"
    assert iso(20711, 46799000) == "2026-09-15T12:59:59Z"
    assert iso(20711, 46799040) == "2026-09-15T12:59:59.040Z"
    assert iso(20711, 86399999) == "2026-09-15T23:59:59.999Z"
    assert iso(20711, 86400500) == "2026-09-15T23:59:60.500Z"

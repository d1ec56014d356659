"""The receiver's task: bytes to fixes, the clock, the window for a verdict, the sampled track.

Leaves out the verdict (ronda_protocol.fence) and what a fix is suspected of
(handheld.detectors); a receiver that talks nonsense shows as counters and as no fix.
"""

import asyncio

from micropython import const
from ronda_protocol import track

from handheld.detectors import Detectors
from handheld.nmea import Parser

_WINDOW = const(8)
_WINDOW_MS = const(30000)
_SILENT_MS = const(10000)
_STALE_MS = const(10000)
_SKY_MS = const(6000)  # GSV every fifth second is usual
_DAY_MS = const(86400000)
# Fixes lost and found: ten events at once, then one in 15 s, whatever a receiver does.
_EVENT_MS = const(15000)
_EVENTS_MS = const(150000)


class Gnss:
    """Fixes of `board.gps`: each into the window, one every `sample_s` seconds into the log."""

    def __init__(self, board, clock, log, sample_s=15):
        self._board = board
        self._clock = clock
        self._log = log
        # Stamps are whole tenths: what a receiver calls 15 s may be 14.9 s here.
        self.sample_ms = sample_s * 1000 - 100
        self.parser = Parser(self._epoch)
        self._detectors = Detectors(clock)
        # The last fixes, in place: ms, lat, lon, hdop, satellites, kind, flags, speed, course,
        # altitude as the parser tells them, then the C/N0's mean (0: no news), low, spread.
        self._ring = [[0] * 13 for _ in range(_WINDOW)]
        self._taken = 0
        self.watch = None  # called with each fix: ms, lat, lon, hdop, flags
        self._first = None  # lat, lon, day, ms of the day
        self._last = [0] * 4
        self._now = self._heard = clock.ms()
        self._silent = False
        self._again = asyncio.Event()
        # What the log was told last, and for how many ms it may still be told more.
        self._found = False
        self._credit = _EVENTS_MS
        self._credited = self._now
        self._sampled = self._samples = 0
        self._sampled_flags = self._flags = 0

    async def run(self):
        """For ever. A board without a receiver is one event and no more."""
        gps = self._board.gps
        if not gps:
            self._log.event(track.PART_MISSING, ["gps"])
            return
        watch = asyncio.create_task(self._watch())
        buffer = bytearray(512)
        try:
            while True:
                self.take(buffer, await gps.readinto(buffer))
        finally:
            watch.cancel()

    def take(self, buffer, n):
        """The first n bytes of `buffer` came; fewer than it holds says that the line is quiet."""
        self._now = self._heard = self._clock.ms()
        if self._silent:
            self._silent = False
            self._again.set()
        self.parser.feed(buffer, n)
        if n < len(buffer):
            self.parser.idle()

    async def _watch(self):
        """One event for each silence of 10 s."""
        while True:
            left = self._heard + _SILENT_MS - self._clock.ms()
            if left > 0:
                await self._board.sleep_ms(left)
                continue
            self._silent = True
            self._found = self.parser.timed = False
            self._detectors.silence()
            self._log.event(track.GPS_SILENT)
            self._again.clear()
            await self._again.wait()

    @property
    def has_fix(self):
        """Whether the last epoch had a fix and is no older than 10 s."""
        return self.parser.fixed and self._clock.ms() - self._newest()[0] <= _STALE_MS

    @property
    def last(self):
        """The newest fix as an entry [1, 0, ms, …] with its quality block, or None."""
        fix = self._newest()
        return _entry(fix, True, fix[6]) if self._taken else None

    def window(self):
        """Entries of the last 8 fixes that are no older than 30 s, oldest first.

        The newest has a quality block, and every one that has a detector flag.
        """
        oldest = self._clock.ms() - _WINDOW_MS
        found = []
        for i in range(max(0, self._taken - _WINDOW), self._taken):
            fix = self._ring[i % _WINDOW]
            if fix[0] >= oldest:
                found.append(_entry(fix, i == self._taken - 1, fix[6]))
        return found

    def report(self):
        """Counters, first and last position, for the simulator's report."""
        parser = self.parser
        return {
            "sentences": parser.sentences,
            "checksum_errors": parser.checksum_errors,
            "bad_fields": parser.bad_fields,
            "fixes": parser.fixes,
            "losses": parser.losses,
            "first_fix": _place(self._first),
            "last_position": _place(self._first and self._last),
        }

    def _newest(self):
        return self._ring[(self._taken - 1) % _WINDOW]

    def _epoch(self, parser):
        """The parser ended an epoch."""
        ms = self._now
        if parser.fixed:
            self._fix(parser)
        else:
            self._detectors.lost(parser, ms)
        self._credit = min(self._credit + ms - self._credited, _EVENTS_MS)
        self._credited = ms
        if parser.fixed != self._found and self._credit >= _EVENT_MS:
            self._credit -= _EVENT_MS
            self._found = parser.fixed
            self._log.event(track.FIX_FOUND if parser.fixed else track.FIX_LOST)
            self._board.tell("fix", {"found": parser.fixed})

    def _fix(self, parser):
        ms = self._now
        flags = self._detectors.flags(parser, ms)
        if parser.zda in (-1, parser.day):
            utc = parser.day * 86400 + parser.ms // 1000
            event = self._clock.on_gnss(utc, ms - parser.ms % 1000)
            if event:
                self._log.event(*event)
        place = self._last
        place[0] = parser.lat
        place[1] = parser.lon
        place[2] = parser.day
        place[3] = parser.ms
        if not self._first:
            self._first = place[:]
        fix = self._ring[self._taken % _WINDOW]
        self._taken += 1
        fix[0] = ms
        fix[1] = parser.lat
        fix[2] = parser.lon
        fix[3] = parser.hdop
        fix[4] = parser.satellites
        fix[5] = parser.kind
        fix[6] = flags
        fix[7] = parser.speed
        fix[8] = parser.course
        fix[9] = parser.altitude
        if self.watch:
            self.watch(ms, parser.lat, parser.lon, parser.hdop, flags)
        sky = parser.sky
        fix[10] = 0
        if sky.count and sky.time >= 0 and (parser.ms - sky.time) % _DAY_MS <= _SKY_MS:
            fix[10] = sky.mean
            fix[11] = sky.low
            fix[12] = sky.spread
        # A flag lasts until a fix is sampled; a disqualifying one is of its own fix alone.
        self._flags = self._flags & ~track.DISQUALIFYING | flags
        if self._samples and ms - self._sampled < self.sample_ms:
            return
        full = self._samples % 4 == 0 or self._flags != self._sampled_flags
        self._sampled = ms
        self._samples += 1
        self._sampled_flags = self._flags
        self._log.fix(_entry(fix, full, self._flags))
        self._flags = 0


def _entry(fix, full, flags):
    """A place of the ring as track's entry; with its quality block if `full` or flagged."""
    quality = None
    if full or flags:
        quality = [None, None, None, None, None, None, flags]
        if fix[7] is not None and fix[9] is not None:
            quality[0] = (fix[7] * 463 + 45000) // 90000  # a knot is 463/90 dm/s
            # A receiver at rest tells no course.
            quality[1] = ((fix[8] or 0) + 50) // 100 % 360
            quality[2] = (fix[9] + 5) // 10
        if fix[10]:
            quality[3:6] = fix[10:]
    return [track.FIX, 0, fix[0], fix[1], fix[2], fix[3], min(fix[4], 15), fix[5], quality]


def _place(place):
    if not place:
        return None
    from handheld.dates import iso

    return {"lat_e7": place[0], "lon_e7": place[1], "time": iso(place[2], place[3])}

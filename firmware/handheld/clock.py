"""Device time: milliseconds since boot, UTC with source and uncertainty, dates as integers.

The one module that reads time (through the board). Leaves out time zones, the law's use of the
uncertainty, every wall-clock time-out of the link, and dates as text (handheld.dates).
"""

from micropython import const
from ronda_protocol import track

NONE, GNSS, GATEWAY, RTC = 0, 1, 2, 3
"""Where UTC comes from: the stamp's source."""

_RTC_S = const(300)
_DRIFT_MS = const(10000000)  # 1 s in 10,000 s: a crystal's 100 ppm
_CONFLICT_S = const(10)  # an epoch may wait for its reader that long


class Clock:
    """One per boot. Extends the wrapping tick: something must call it every few days at least."""

    def __init__(self, board, boot):
        self._board = board
        self.boot = boot  # recovery raises it where flash knows of a later one
        self._tick = board.ticks_ms()
        self._elapsed = 0
        # UTC was `_utc` at `_at` ms, within `_within` seconds.
        self._utc = self._at = self._within = 0
        self._source = NONE
        # How many fixes in a row agree, and the first of them.
        self._agreeing = self._row_utc = self._row_ms = 0
        if board.rtc:
            utc = board.rtc.unix()
            if utc >= board.ident.time_floor:
                self._utc = utc
                self._source = RTC
                self._within = _RTC_S

    def ms(self):
        """Milliseconds since boot in whole tenths of a second; never goes backward."""
        tick = self._board.ticks_ms()
        step = self._board.ticks_diff(tick, self._tick)
        if step > 0:
            self._elapsed += step
            self._tick = tick
        return self._elapsed - self._elapsed % 100

    def trusted(self):
        """Whether UTC is known at all; `stamp()` says how well."""
        return self._source != NONE

    def utc(self):
        """Unix seconds, or None."""
        return self._utc_at(self.ms()) if self._source else None

    def stamp(self):
        """[boot, ms, unix seconds or None, source, uncertainty in s]: protocol.md, Stamp."""
        ms = self.ms()
        if not self._source:
            return [self.boot, ms, None, NONE, 0]
        return [self.boot, ms, self._utc_at(ms), self._source, self._uncertainty(ms)]

    def conflicts(self, utc, ms):
        """Whether `utc` at `ms` cannot be: before `time_floor`, or 10 s beyond what is known."""
        if utc < self._board.ident.time_floor:
            return True
        late = _CONFLICT_S + self._uncertainty(ms)
        return self._source != NONE and abs(utc - self._utc_at(ms)) > late

    def on_gnss(self, utc, ms):
        """A fix says that `utc` (unix seconds) began at `ms`; an event (code, data) or None.

        Used when it is at least the third in a row past `time_floor` whose differences in UTC and
        in ticks, from the first of the row, agree within 1 s.
        """
        if utc < self._board.ident.time_floor:
            self._agreeing = 0
            return None
        apart = (utc - self._row_utc) * 1000 - (ms - self._row_ms)
        if not self._agreeing or not -1000 <= apart <= 1000:
            self._agreeing = 0
            self._row_utc = utc
            self._row_ms = ms
        self._agreeing += 1
        return self._set(utc, ms, GNSS, 1) if self._agreeing > 2 else None

    def on_gateway(self, utc, late_s=60):
        """A verified receipt signed at `utc`, at most `late_s` seconds ago; an event or None."""
        if utc < self._board.ident.time_floor:
            return None
        return self._set(utc, self.ms(), GATEWAY, 1 + late_s)

    def _utc_at(self, ms):
        return self._utc + (ms - self._at) // 1000

    def _uncertainty(self, ms):
        return self._within + (ms - self._at) // _DRIFT_MS

    def _set(self, utc, ms, source, within):
        """Take a time unless what the clock has is as good; it moves in no small steps unseen."""
        old, ours, was = self._utc_at(ms), self._uncertainty(ms), self._source
        step = was and abs(utc - old) > 1 + max(ours, within)
        if ours <= within and (was == GNSS != source or was == source and not step):
            return None
        self._utc, self._at, self._source, self._within = utc, ms, source, within
        if step:
            return track.TIME_STEP, [old, utc]
        return None if was == source else (track.TIME_SET, [utc, source, within])


def days_from_civil(year, month, day):
    """Days since 1970-01-01 of a Gregorian date; -1 for a date that is none or is before."""
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= 31:
        return -1
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 or year % 400 == 0) else 28
    else:
        longest = 30 + (month + month // 8) % 2
    if day > longest:
        return -1
    # Years that begin in March end with their leap day (H. Hinnant, days_from_civil).
    if month < 3:
        year -= 1
        month += 12
    days = year * 365 + year // 4 - year // 100 + year // 400
    return days + (153 * (month - 3) + 2) // 5 + day - 719469

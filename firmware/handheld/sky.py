"""Satellites in view and in use, from GSV and GSA: what their C/N0 is, and what cannot be.

Kept between two epochs told by the parser. Leaves out what azimuths, elevations and DOPs say
about a position; nothing is allocated per sentence.
"""

from micropython import const

_MOST = const(64)

# Systems as NMEA 4.11 numbers them: 0 unknown, 1 GPS and SBAS, 2 GLONASS, 3 Galileo, 4 BeiDou,
# 5 QZSS, 6 NavIC. By a talker's second letter, A to Z (GP, GL, GA, GB or BD, GQ or QZ, GI, GN).
_BY_LETTER = b"\3\4\0\4\0\0\0\0\6\0\0\2\0\0\0\1\5\0\0\0\0\0\0\0\0\5"
# A system's satellites have the places after _FIRST; that place itself says that any is in view.
_FIRST = b"\0\0\x48\x6c\x91\xd1\xdc"
_TOP = b"\x40\x47\x23\x24\x3f\x0a\x0f"
_PLACES = const(236)


class Sky:
    """After `close()`: of the satellites in view with a C/N0, `count`, `mean`, `low`, `spread`.

    C/N0 is in dB-Hz, of each satellite the best of its signals; `mark` is a number that changes
    with any of them, `time` the ms of the day of the epoch that they came with (-1: none yet), and
    `fresh` says whether they came since the close before. `odd` becomes True when something
    cannot be: a satellite's number, elevation or C/N0, or one in use that is not in view.
    """

    def __init__(self):
        self.count = self.mean = self.low = self.spread = self.mark = 0
        self.time = -1
        self.fresh = self.odd = False
        # By place: 0 not in view, 1 in view without a C/N0, else C/N0 + 1. And the places in view.
        self._now = bytearray(_PLACES)
        self._places = bytearray(_MOST)
        self._in_view = 0
        # In use: a place and the first of its system.
        self._used = bytearray(2 * _MOST)
        self._in_use = 0
        # Whether any came since the last close, and whether a group's sentences came in order.
        self._gsv = self._gsa = False
        self._whole = True
        self._next = 1

    def gsv(self, b, i, e, time):
        """Read a GSV: fields from b[i], * at e; `time` of the epoch in hand."""
        if not self._gsv:
            self._gsv = True
            now = self._now
            for j in range(self._in_view):
                now[self._places[j]] = 0
            for j in _FIRST:
                now[j] = 0
            self._in_view = 0
            self._whole = self._next == 1
        self.time = time
        system = _system(b, i)
        # How many sentences and which is this, in a digit each; how many satellites.
        if e - i < 4 or b[i + 1] != 44 or b[i + 3] != 44:
            self._whole = False
            return
        x = b[i + 2]
        if x - 48 != self._next:
            self._whole = False
        self._next = x - 47 if x < b[i] else 1
        i = b.find(b",", i + 4, e)
        while i > 0:
            i += 1
            n = 0
            x = b[i]
            while 47 < x < 58 and n < 1000:
                n = n * 10 + x - 48
                i += 1
                x = b[i]
            if x != 44:
                return  # the signal's id
            height = i + 1
            i = b.find(b",", height, e)
            around = i + 1
            i = b.find(b",", around, e) + 1
            if not i or around < 1:
                return
            snr = 0
            x = b[i]
            while 47 < x < 58 and snr < 1000:
                snr = snr * 10 + x - 48
                i += 1
                x = b[i]
            if n:
                # Below the horizon, or three digits.
                self._add(_place(system, n), snr, b[height] == 45 or around - height > 3)
            if x != 44:
                return

    def _add(self, place, snr, odd):
        """A satellite in view."""
        if place < 0 or snr > 99 or odd and snr:
            self.odd = True
            return
        now = self._now
        now[place >> 8] = 1
        place &= 255
        if not now[place]:
            if self._in_view == _MOST:
                return
            self._places[self._in_view] = place
            self._in_view += 1
            now[place] = 1
        if snr >= now[place]:
            now[place] = snr + 1

    def gsa(self, b, i, e):
        """Read a GSA: fields from b[i], * at e."""
        if not self._gsa:
            self._gsa = True
            self._in_use = 0
        system = _system(b, i)
        # NMEA 4.11 tells the system in one digit at the end.
        if not system and b[e - 2] == 44 and 48 < b[e - 1] < 55:
            system = b[e - 1] - 48
        used = self._used
        k = self._in_use
        i += 3 if b[i] != 44 else 2
        if i >= e or b[i] != 44:
            return
        for _ in range(12):
            i += 1
            n = 0
            x = b[i]
            while 47 < x < 58 and n < 1000:
                n = n * 10 + x - 48
                i += 1
                x = b[i]
            if x != 44:
                break
            if n:
                n = _place(system, n)
                if n < 0:
                    self.odd = True
                elif k < 2 * _MOST:
                    used[k] = n & 255
                    used[k + 1] = n >> 8
                    k += 2
        self._in_use = k

    def close(self):
        """An epoch ends: sum up what came since the one before."""
        self.fresh = self._gsv
        if self._gsv:
            now = self._now
            total = count = top = mark = 0
            low = 100
            for j in range(self._in_view):
                place = self._places[j]
                snr = now[place] - 1
                mark = (mark * 33 ^ place ^ snr << 8) & 0xFFFF
                if snr:
                    count += 1
                    total += snr
                    low = min(low, snr)
                    top = max(top, snr)
            self.mark = mark
            self.count = count
            if count:
                self.mean = (total + count // 2) // count
                self.low = low
                self.spread = top - low
            if self._gsa and self._whole and self._next == 1:
                for j in range(0, self._in_use, 2):
                    # A system without any satellite in view is one that the receiver keeps quiet.
                    if now[self._used[j + 1]] and not now[self._used[j]]:
                        self.odd = True
        self._gsv = self._gsa = False


def _system(b, i):
    """The system that the talker names of the sentence whose fields begin at b[i]."""
    x = b[i - 5] - 65
    if b[i - 6] == 80 and x == 16:  # PQ, Quectel's for BeiDou
        return 4
    return _BY_LETTER[x] if 0 <= x < 26 else 0


def _place(system, n):
    """The first place of a satellite's system << 8, and its own; -1 if there is none such.

    Numbers above those of any system in NMEA 4.11 are receivers' own and tell the system.
    """
    if n > 300:
        system = 3
        n -= 300
    elif n > 200 and system != 5:
        system = 4
        n -= 200
    elif n > 192:
        system = 5
        n -= 192
    elif n > 119:  # SBAS
        system = 1
        n -= 87
    elif n > 64 and system < 3:
        system = 2
        n -= 64
    if not 0 < n <= _TOP[system]:
        return -1
    return _FIRST[system] << 8 | _FIRST[system] + n

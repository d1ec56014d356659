"""NMEA 0183 from a receiver's bytes: fixes merged from RMC, GGA or GNS, and GSA, as integers.

Also reads GSV (handheld.sky), VTG where RMC tells no motion, and GLL and ZDA as witnesses of an
epoch's position and date. Binary frames between sentences are passed over. Leaves out what
proprietary sentences say, and every judgement about whether a position is true
(handheld.detectors). Nothing is allocated per byte or per sentence.
"""

from micropython import const

from handheld.clock import days_from_civil
from handheld.sky import Sky

# From $ to *. NMEA 0183 allows 82 characters; proprietary sentences of real receivers reach 120.
_LONGEST = const(160)
# A binary frame, all of it. u-blox's MON-VER and NAV-SAT and CASIC's NAV-GPSINFO fit; what is
# longer is read over as noise is.
_FRAME = const(512)
_E7 = const(10000000)
# RMC and GGA may round to different digits: 1e-3 minutes (under 2 m) in 1e-7 degrees.
_APART = const(167)

# A field that is empty; any other negative value is no number (a lone letter is -ord).
_EMPTY = const(-1)

_HEX = b"0123456789ABCDEF"

# Sentences by their last three letters.
_RMC = const(0x524D43)
_GGA = const(0x474741)
_GNS = const(0x474E53)
_GSA = const(0x475341)
_GSV = const(0x475356)
_GLL = const(0x474C4C)
_VTG = const(0x565447)
_ZDA = const(0x5A4441)


class Parser:
    """Feed bytes in; `on_epoch(parser)` is called for each epoch that ends with or without a fix.

    An epoch is the sentences that share one hhmmss.sss; it is a fix when its RMC has status A and
    its GGA a quality above 0, and no fix when its RMC has V or its GGA 0. Where no GGA comes, a
    GNS that is not all N stands for it; GLL or RMC alone are no fix. It ends when another begins,
    or at `idle()` once it has both. During the call `fixed` says which it was, and a fix is told
    by `day` (days since 1970-01-01), `ms` (of that day), `lat`, `lon` (1e-7 degrees), `hdop`
    (tenths, rounded up; 255 unknown), `satellites`, `quality`, `kind` (2, 3; 1 unknown),
    `altitude` (dm or None), `speed` (1/1000 knot or None), `course` (1/100 degree or None). `sky`
    has its satellites; `zda` is the day that its ZDA told, -1 for none.

    `sentences` counts valid framing and checksum, `checksum_errors` framed ones that fail it,
    `bad_fields` RMC, GGA and GNS that were not used, and epochs that tell two positions; `fixes`
    distinct epochs with a fix, `losses` changes from fix to no fix, `repeated` epochs with the
    time of the fix before; `frames` binary frames; `fed` bytes, `used` those of sentences and
    frames (whoever compares them sets both to 0). `timed` says whether any time was told yet.
    """

    def __init__(self, on_epoch=None):
        self.on_epoch = on_epoch
        self.sentences = self.checksum_errors = self.bad_fields = 0
        self.fixes = self.losses = self.repeated = 0
        self.frames = self.fed = self.used = 0
        self.fixed = self.timed = False
        self.day = self.ms = self.lat = self.lon = 0
        self.satellites = self.quality = 0
        self.hdop = 255
        self.kind = 1
        self.altitude = self.speed = self.course = None
        self.zda = -1
        self.sky = Sky()
        # A sentence whose end has not come yet, and behind it a frame that may be one.
        self._line = bytearray(_LONGEST + 3 + _FRAME)
        self._held = self._frame = 0
        # Fields of the sentence in hand: digits before the point, fraction in 1e-7, how many
        # digits before the point; and whether the last field has a minus.
        self._value = [0] * 9
        self._fraction = [0] * 9
        self._width = [0] * 9
        self._minus = False
        # The epoch in hand: its ms of the day (-1: its sentences told none), RMC's status (True:
        # A) and GGA's quality (None: not heard), fix type, whether it was told.
        self._time = -1
        self._status = self._gga = None
        self._gns = self._gll = self._done = False
        self._kind = self._next_kind = 0
        self._lat = self._lon = 0  # RMC's position
        self._gll_lat = self._gll_lon = 0
        self._vtg_speed = self._vtg_course = -1
        self._date = self._date_day = -1
        self._last_day = self._last_ms = -1

    def feed(self, data, n):
        """Take the first n bytes of `data`, bytes or bytearray (not a memoryview); not kept.

        What is read is the stream without its binary frames. A frame is one only when its length
        and checksum hold; until that is known its bytes wait, and then they are read as text.
        """
        self.fed += n
        at = 0
        while True:
            if self._frame:
                at = self._binary(data, at, n)
                if self._frame:
                    return
            head = _lead(data, at, n)
            self._text(data, at, head)
            if head == n:
                return
            self._line[self._held] = data[head]
            self._frame = 1
            at = head + 1

    def _binary(self, data, at, n):
        """Go on with the frame in hand; returns from where in `data` to read on."""
        line = self._line
        start = self._held
        have = start + self._frame
        while True:
            size = _frame_size(line, start, have)
            if size < 0 or size and have == start + size:
                break
            if at >= n:
                self._frame = have - start
                return at
            stop = min(n, at + (start + size - have if size else 1))
            while at < stop:
                line[have] = data[at]
                have += 1
                at += 1
        if size > 0 and _frame_holds(line, start, have):
            self._frame = 0
            self.frames += 1
            self.used += size
            return at
        # No frame after all. Within it none other is looked for: hostile bytes cost twice at most.
        self._give_up(start - size if size < 0 else have)
        return at - (have - start + size if size < 0 else 0)

    def _give_up(self, end):
        """What was held for a frame is read as text."""
        self._held = self._frame = 0
        self._text(self._line, 0, end)

    def _text(self, data, at, end):
        """Read the sentences of data[at:end], which goes on from what is held; hold its rest."""
        if self._held:
            at = self._join(data, at, end)
        while True:
            star = data.find(b"*", at, end)
            if star < 0 or star + 2 >= end:
                break
            start = data.rfind(b"$", at, star)
            if start >= 0 and _one_line(data, start, star):
                self._sentence(data, start, star)
            at = star + 1
        start = data.rfind(b"$", at, end)
        if start >= 0 and end - start < _LONGEST + 3 and _one_line(data, start, end):
            line = self._line
            for i in range(start, end):
                line[i - start] = data[i]
            self._held = end - start

    def _join(self, data, at, n):
        """Go on with the held sentence; returns from where in `data` to look for the next."""
        line = self._line
        held = self._held
        self._held = 0
        # The sentence ends with the second character after its *, which may be held already.
        star = line.find(b"*", max(held - 2, 0), held)
        if star >= 0:
            end = at + star + 3 - held
        else:
            star = data.find(b"*", at, n)
            end = star + 3 if star >= 0 else n + 1
        stop = min(end, n)
        if held + stop - at > _LONGEST + 3 or data.find(b"$", at, stop) >= 0:
            return at
        if not _one_line(data, at, stop):
            return at
        held -= at
        for i in range(at, stop):
            line[held + i] = data[i]
        held += stop
        if stop == end:
            self._sentence(line, 0, held - 3)
        else:
            self._held = held
        return stop

    def idle(self):
        """The line is quiet: an epoch that has RMC and GGA ends now, not when the next begins.

        And what ends in a line feed is not the middle of a frame.
        """
        have = self._held + self._frame
        if self._frame and self._line[have - 1] == 10:
            self._give_up(have)
        if self._status is not None and self._gga is not None:
            self._end()

    def _sentence(self, b, s, e):
        """Check framing and checksum of $…*hh with $ at s and * at e, and read what is of use."""
        if e - s > _LONGEST:
            return
        x = b[s + 1]
        i = b.find(b",", s, e)
        # $P… is proprietary, of any length; but Quectel gives QZSS the talker PQ.
        useful = i == s + 6 and (x != 80 or b[s + 2] == 81)
        if not useful and (x != 80 or (i if i > 0 else e) - s < 5) or not 64 < x < 91:
            return
        c = 0
        i = s + 1
        while i < e - 3:
            c ^= b[i] ^ b[i + 1] ^ b[i + 2] ^ b[i + 3]
            i += 4
        while i < e:
            c ^= b[i]
            i += 1
        if b[e + 1] != _HEX[c >> 4] or b[e + 2] != _HEX[c & 15]:
            high = _nibble(b[e + 1])
            low = _nibble(b[e + 2])
            if high < 0 or low < 0:
                return
            if c != high << 4 | low:
                self.checksum_errors += 1
                return
        self.sentences += 1
        self.used += e - s + 5
        if not useful:
            return
        x = b[s + 3] << 16 | b[s + 4] << 8 | b[s + 5]
        s += 7
        if x == _GSV:
            self.sky.gsv(b, s, e, self._time)
        elif x == _GSA:
            self._gsa_read(b, s, e)
        elif x == _RMC:
            self._rmc_read(b, s, e)
        elif x == _GGA or x == _GNS:
            self._gga_read(b, s, e, x == _GNS)
        elif x == _GLL:
            self._gll_read(b, s, e)
        elif x == _VTG:
            if self._split(b, s, e, 0, 5):
                self._vtg_course = self._scaled(0, 100, 361)
                self._vtg_speed = self._scaled(4, 1000, 10000)
        elif x == _ZDA and self._split(b, s, e, 0, 4) and self._time_of_day() == self._time:
            v = self._value
            self.zda = days_from_civil(v[3], v[2], v[1])

    def _split(self, b, i, e, k, count):
        """Read fields from b[i] into places k to count - 1; where the next begins, 0 if too few.

        Each must end with a comma. The * at e stops every loop.
        """
        values = self._value
        v = f = w = 0
        start = i
        while i < e:
            x = b[i]
            if x > 47:
                if x > 57:
                    v = -x if i == start else -2
                elif v < 100000000:
                    v = v * 10 + x - 48
                else:
                    v = -2
            elif x == 44:
                values[k] = _EMPTY if i == start else v
                self._fraction[k] = f
                self._width[k] = w or i - start
                k += 1
                if k == count:
                    return i + 1
                v = f = w = 0
                start = i + 1
            elif x == 46:
                w = i - start or -1
                f = 0
                weight = 1000000
                i += 1
                x = b[i]
                while 47 < x < 58:
                    f += (x - 48) * weight
                    weight //= 10
                    i += 1
                    x = b[i]
                if x != 44:
                    v = -2
                continue
            elif x == 45 and k == 8 and i == start:
                self._minus = True
            else:
                v = -2
            i += 1
        return 0

    def _time_of_day(self):
        """ms of the day of field 0; -1 where it is empty, -2 where it is none."""
        v = self._value[0]
        if v == _EMPTY:
            return -1
        minutes = v // 100
        if v < 0 or v > 235960 or minutes % 100 > 59 or self._width[0] != 6:
            return -2
        if v % 100 > 59 and v != 235960:  # a leap second
            return -2
        seconds = minutes // 100 * 3600 + minutes % 100 * 60 + v % 100
        return seconds * 1000 + self._fraction[0] // 10000

    def _day_of(self):
        """Days since 1970 of field 8 (ddmmyy); -1 where it is none."""
        v = self._value[8]
        if self._width[8] != 6 or v < 0 or self._minus:
            return -1
        if v != self._date:
            year = v % 100
            year += 1900 if year > 79 else 2000
            self._date_day = days_from_civil(year, v // 100 % 100, v // 10000)
            self._date = v
        return self._date_day

    def _angle(self, k, width, top, plus, minus):
        """Field k and its hemisphere in 1e-7 degrees, to the nearest; None where it is none."""
        v = self._value[k]
        side = -self._value[k + 1]
        minutes = v % 100
        if v < 0 or minutes > 59 or self._width[k] != width or side != plus and side != minus:
            return None
        # Sixty times 1e7 is a small integer on a 32-bit board too.
        part = (minutes * _E7 + self._fraction[k] + 30) // 60
        v //= 100
        if v > top or v == top and part:
            return None
        v = v * _E7 + part
        return v if side == plus else -v

    def _scaled(self, k, scale, top):
        """Field k in 1/scale, to the nearest; -1 where it is empty, -2 where it is none."""
        v = self._value[k]
        if v < 0 or v >= top:
            return -1 if v == _EMPTY else -2
        unit = _E7 // scale
        return v * scale + (self._fraction[k] + unit // 2) // unit

    def _rmc_read(self, b, i, e):
        self._minus = False
        i = self._split(b, i, e, 0, 2)
        time = self._time_of_day() if i else -2
        status = self._value[1]
        if time > -2 and status == -86:  # V
            self._begin(time, self._status)
            if not self._status:
                self._status = False
            return
        if i and status == -65 and time >= 0 and self._split(b, i, e, 2, 9):  # A
            day = self._day_of()
            lat = self._angle(2, 4, 90, 78, 83)
            lon = self._angle(4, 5, 180, 69, 87)
            speed = self._scaled(6, 1000, 10000)
            course = self._scaled(7, 100, 361)
            if lat is not None and lon is not None and day >= 0 and speed > -2 and course > -2:
                self._begin(time, self._status)
                self._status = True
                self._lat = lat
                self._lon = lon
                self.day = day
                self.speed = speed if speed >= 0 else None
                self.course = course % 36000 if course >= 0 else None
                return
        self.bad_fields += 1

    def _gga_read(self, b, i, e, gns):
        self._minus = False
        quality = 0
        if gns:
            i = self._split(b, i, e, 0, 5)
            # A letter for each constellation.
            while i and 64 < b[i] < 91:
                if b[i] in b"ADFPR":
                    quality = 1
                elif b[i] != 78 and not quality:
                    quality = 6
                i += 1
            if not quality:
                return
            i = b[i] == 44 and self._split(b, i + 1, e, 6, 9)
        else:
            i = self._split(b, i, e, 0, 9)
            quality = self._value[5]
        time = self._time_of_day()
        if not i or time < -1 or quality < 0 or quality > 9 or quality and time < 0:
            self.bad_fields += 1
        elif not quality:
            self._begin(time, self._gga)
            if self._gns or not self._gga:
                self._gga = 0
            self._gns = False
        elif not gns or time != self._time or self._gga is None:
            self._gga_fix(time, quality, gns)

    def _gga_fix(self, time, quality, gns):
        lat = self._angle(1, 4, 90, 78, 83)
        lon = self._angle(3, 5, 180, 69, 87)
        satellites = self._value[6]
        hdop = self._value[7]
        height = self._scaled(8, 10, 100000)
        if lat is None or lon is None or not -2 < satellites < 100 or hdop < -1 or height < -1:
            self.bad_fields += 1
            return
        self._begin(time, self._gga)
        self._gns = gns
        self._gga = self.quality = quality
        self.lat = lat
        self.lon = lon
        self.satellites = satellites if satellites > 0 else 0
        # Rounded up: away from inside.
        hdop = min(hdop, 26) * 10 + (self._fraction[7] + 999999) // 1000000
        self.hdop = hdop if 0 < hdop < 255 else 255
        self.altitude = None
        if height >= 0:
            self.altitude = -height if self._minus else height

    def _gll_read(self, b, i, e):
        """The position of the epoch in hand once more: a witness, never a fix."""
        i = self._split(b, i, e, 1, 5)
        if i:
            i = self._split(b, i, e, 0, 1)
        if i and b[i] == 65 and self._time_of_day() == self._time:
            lat = self._angle(1, 4, 90, 78, 83)
            lon = self._angle(3, 5, 180, 69, 87)
            if lat is not None and lon is not None:
                self._gll_lat = lat
                self._gll_lon = lon
                self._gll = True

    def _gsa_read(self, b, i, e):
        self.sky.gsa(b, i, e)
        # Mode (one letter or nothing), then the fix type in one digit.
        if b[i] != 44:
            i += 1
        x = b[i + 1]
        if b[i] == 44 and b[i + 2] == 44 and 49 < x < 52:
            if self._done:
                self._next_kind = x - 48
            elif x - 48 > self._kind:
                self._kind = x - 48

    def _begin(self, time, heard):
        """A sentence of this time has come: end the epoch in hand if it is of another.

        `heard` is what the epoch in hand has of this kind: without times, a second one of a kind
        begins an epoch.
        """
        if time >= 0:
            self.timed = True
        if time != self._time or time < 0 and heard is not None:
            self._end()
            self._time = time
            self._status = self._gga = None
            self._gns = self._gll = self._done = False
            self._kind = 0
            self.zda = self._vtg_speed = self._vtg_course = -1

    def _end(self):
        """Tell of the epoch in hand, once."""
        if self._done:
            return
        self._done = True
        self.sky.close()
        if self._status and self._gga:
            if self.day == self._last_day and self._time == self._last_ms:
                self.repeated += 1
                return
            # A checksum is eight bits: two sentences cut and joined pass it now and then, and
            # then tell two positions.
            if self._apart(self._lat, self._lon) or (
                self._gll and self._apart(self._gll_lat, self._gll_lon)
            ):
                self.bad_fields += 1
                return
            if self.speed is None and self._vtg_speed >= 0:
                self.speed = self._vtg_speed
            if self.course is None and self._vtg_course >= 0:
                self.course = self._vtg_course % 36000
            self._last_day = self.day
            self._last_ms = self.ms = self._time
            self.kind = self._kind or self._next_kind or 1
            self.fixes += 1
            self.fixed = True
        elif self._status is False or self._gga == 0:
            if self.fixed:
                self.losses += 1
            self.fixed = False
        else:
            return
        self._next_kind = 0
        if self.on_epoch:
            self.on_epoch(self)

    def _apart(self, lat, lon):
        return abs(self.lat - lat) > _APART or abs(self.lon - lon) > _APART


def _lead(data, at, n):
    """Where in data[at:n] the first byte of a binary frame may be; n if nowhere."""
    i = data.find(b"\xb5", at, n)
    if i < 0:
        i = n
    at = data.find(b"\xba", at, i)
    return i if at < 0 else at


def _frame_size(b, i, n):
    """Size in bytes of the frame that begins at b[i]; 0 if b[i:n] is too short to tell.

    -1: its second byte is wrong; -6: no length of a frame. Both have a payload's length in two
    bytes, low one first: UBX B5 62 class id length … two of checksum (u-blox M8 §32.2); CASIC
    BA CE length class id … four of checksum (a length of whole words).
    """
    ubx = b[i] == 0xB5
    if n - i > 1 and b[i + 1] != (0x62 if ubx else 0xCE):
        return -1
    if n - i < 6:
        return 0
    at = i + 4 if ubx else i + 2
    size = b[at] | b[at + 1] << 8
    if size & 3 and not ubx:
        return -6
    size += 8 if ubx else 10
    return size if size <= _FRAME else -6


def _frame_holds(b, i, n):
    """Whether the checksum of the frame b[i:n] is right."""
    low = high = 0
    if b[i] == 0xB5:  # Fletcher's, of eight bits
        for at in range(i + 2, n - 2):
            low += b[at]
            high += low
        return low & 255 == b[n - 2] and high & 255 == b[n - 1]
    # Words of 32 bits, low byte first, added in halves: small integers on any board.
    for at in range(i + 2, n - 4, 4):
        low += b[at] | b[at + 1] << 8
        high += b[at + 2] | b[at + 3] << 8
    high += low >> 16
    return (
        low & 255 == b[n - 4]
        and low >> 8 & 255 == b[n - 3]
        and high & 255 == b[n - 2]
        and high >> 8 & 255 == b[n - 1]
    )


def _one_line(data, start, end):
    return data.find(b"\n", start, end) < 0 and data.find(b"\r", start, end) < 0


def _nibble(x):
    """Value of a hexadecimal digit; -1 for any other byte."""
    if 47 < x < 58:
        return x - 48
    x |= 32
    return x - 87 if 96 < x < 103 else -1

"""The NMEA parser in the VM: values, epochs, framing, hostile fields, and no allocation."""

import gc

import micropython
from handheld.nmea import Parser

HEAP = "192k"


def sentence(body, good=True):
    """`$body*hh` with its line end; a wrong checksum unless `good`."""
    c = 0
    for x in body.encode():
        c ^= x
    return "$%s*%02X\r\n" % (body, c if good else c ^ 1)


def rmc(time="081412.00", status="A", place="1207.1234,S,07701.5678,W", rest="1.5,90.0,150926"):
    return sentence("GNRMC,%s,%s,%s,%s,,,A" % (time, status, place, rest))


def gga(time="081412.00", place="1207.1234,S,07701.5678,W", rest="1,08,1.2,103.4,M,1.0,M,,"):
    return sentence("GNGGA,%s,%s,%s" % (time, place, rest))


def gsa(kind, talker="GN"):
    return sentence(talker + "GSA,A,%s,01,02,,,,,,,,,,,1.5,1.2,1.0" % kind)


def epoch(time="081412.00", place="1207.1234,S,07701.5678,W", rest="1,08,1.2,103.4,M,1.0,M,,"):
    return rmc(time, "A", place) + gga(time, place, rest)


class Fixes:
    """Collects what a parser tells: a tuple an epoch with a fix, None an epoch without."""

    def __init__(self, text="", idle=True):
        self.told = []
        self.parser = Parser(self.epoch)
        if text:
            self.feed(text)
            if idle:
                self.parser.idle()

    def epoch(self, p):
        fix = (p.day, p.ms, p.lat, p.lon, p.hdop, p.satellites, p.quality, p.kind)
        self.told.append(fix + (p.altitude, p.speed, p.course) if p.fixed else None)

    def feed(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.parser.feed(data, len(data))
        return self

    def counts(self):
        p = self.parser
        return p.sentences, p.checksum_errors, p.bad_fields, p.fixes, p.losses


def one(text):
    got = Fixes(text)
    assert len(got.told) == 1 and got.told[0], (text, got.told, got.counts())
    return got.told[0]


def test_one_epoch():
    day, ms, lat, lon, hdop, sats, quality, kind, altitude, speed, course = one(epoch() + gsa(3))
    assert day == 20711 and ms == ((8 * 60 + 14) * 60 + 12) * 1000
    assert (lat, lon) == (-121187233, -770261300)
    assert (hdop, sats, quality, kind) == (12, 8, 1, 3)
    assert (altitude, speed, course) == (1034, 1500, 9000)


def test_the_type_of_a_fix():
    assert one(rmc() + gsa(3) + gga())[7] == 3
    assert one(rmc() + gsa(2) + gga())[7] == 2
    assert one(rmc() + gsa(1) + gga())[7] == 1
    assert one(rmc() + gsa(1, "GL") + gsa(3, "GP") + gsa(1, "GA") + gga())[7] == 3
    late = Fixes(epoch() + gsa(3) + gsa(2) + epoch("081413.00"), idle=False)
    assert [fix[7] for fix in late.told] == [3]
    late.feed(gsa(2) + epoch("081414.00"))
    assert [fix[7] for fix in late.told] == [3, 2]
    # After idle() the epoch is told: a late GSA serves the next one, unless that has its own.
    late.parser.idle()
    late.feed(gsa(3) + epoch("081415.00") + gsa(2)).parser.idle()
    assert [fix[7] for fix in late.told] == [3, 2, 1, 2]
    late.feed(gsa(3) + epoch("081416.00")).parser.idle()
    late.feed(epoch("081417.00")).parser.idle()
    assert [fix[7] for fix in late.told] == [3, 2, 1, 2, 3, 1]


def test_degrees_are_rounded_to_the_nearest():
    for text, expected in (
        ("0000.00,N,00000.00,E", (0, 0)),
        ("0000.001,N,00000.003,W", (167, -500)),
        ("1207.12,S,07701.56,W", (-121186667, -770260000)),
        ("1207.1234567,S,07701.7654321,W", (-121187243, -770294239)),
        ("4404.14066,N,12118.85481,W", (440690110, -1213142468)),
        ("3645.876324,N,03124.670280,E", (367646054, 314111713)),
        ("0000.000003,N,00000.0000029,E", (1, 0)),  # half away from zero
        ("0000.000003,S,00000.0000031,W", (-1, -1)),
        ("8959.9999999,N,17959.9999999,W", (900000000, -1800000000)),
        ("9000.0000,S,18000.0000,E", (-900000000, 1800000000)),
        ("1207,S,07701,W", (-121166667, -770166667)),
        ("1207.12345678999,S,07701.00000000001,W", (-121187243, -770166667)),
    ):
        assert one(epoch(place=text))[2:4] == expected, text


def test_hdop_is_rounded_up():
    for text, expected in (
        ("0.91", 10),
        ("0.9", 9),
        ("1", 10),
        ("1.01", 11),
        ("25.4", 254),
        ("25.41", 255),
        ("99.99", 255),
        ("", 255),
        ("0.0", 255),
        ("0.01", 1),
        ("700000000", 255),
    ):
        assert one(epoch(rest="1,08,%s,103.4,M,1.0,M,," % text))[4] == expected, text


def test_what_a_receiver_may_leave_out():
    fix = one(rmc(rest=",,150926") + gga(rest="2,,,,M,,M,,"))
    assert fix[4:] == (255, 0, 2, 1, None, None, None)
    fix = one(rmc(rest="0.0,360.0,150926") + gga(rest="1,12,1.0,-21.36,M,,M,,"))
    assert fix[8:] == (-214, 0, 0)


def test_every_talker_and_no_proprietary_one():
    for talker in ("GP", "GN", "GL", "GA", "GB", "BD", "GQ", "QZ", "GI", "PQ", "XX"):
        text = epoch().replace("GN", talker)
        p = Parser()
        for line in text.split("\r\n")[:-1]:
            data = sentence(line[1 : line.find("*")]).encode()
            p.feed(data, len(data))
        p.idle()
        assert (p.sentences, p.fixes) == (2, 1), talker
    # Garmin's $PGRMC is a set-up, and Quectel's and MTK's own are of any length.
    text = sentence("PGRMC,A,1,2,3,4,5,6,7,8,9") + sentence("PMTK001,314,3") + sentence("PUBX,00")
    text += sentence("PQTMVERNO,MODULE,2022") + sentence("PCAS") + sentence("PQ,1")
    assert Fixes(text).counts() == (5, 0, 0, 0, 0)


def test_checksums():
    assert Fixes(epoch().replace("*", "x")).counts() == (0, 0, 0, 0, 0)
    assert Fixes("$GNGGA,081412.00,,,,,0\r\n" * 3).counts() == (0, 0, 0, 0, 0)
    assert Fixes(sentence("GNZDA,1", False) + epoch()).counts() == (2, 1, 0, 1, 0)
    assert Fixes(epoch().replace("*", "*G")).counts()[:2] == (0, 0)
    text = sentence("GPGSV,1,1,00,9")
    assert text[-4:-2] == "6C"
    assert Fixes(text.replace("6C", "6c")).counts()[0] == 1
    # Neither line ends nor line beginnings are asked for.
    assert Fixes(epoch().replace("\r\n", "")).counts() == (2, 0, 0, 1, 0)
    assert Fixes("noise " + epoch().replace("\r\n", "0,*4E")).counts() == (2, 0, 0, 1, 0)


def test_what_is_no_sentence():
    for text in (
        "$*00\r\n",
        "$GP*17\r\n",
        "$*",
        "$$$$$,,,,,*00",
        sentence("GP,00,0.0"),
        sentence("11,23,87,270"),
        sentence("GPGGAX,1,2"),
        sentence("gpgga,1,2"),
        sentence("GPG428.00,22,08"),
        sentence("PQT"),
        "$GPGGA,1\r2*00\r\n",
        "$GPGGA\n,12*00\r\n",
        "*00*00*00",
    ):
        assert Fixes(text).counts() == (0, 0, 0, 0, 0), text


def test_overlong_lines_are_dropped():
    for n, count in (
        (150, 1),
        (153, 1),
        (154, 0),
        (155, 0),
        (156, 0),
        (157, 0),
        (200, 0),
        (999, 0),
    ):
        text = sentence("GPTXT," + "x" * n) + epoch()
        for size in (1, 3, 64, 2000):
            got = Fixes()
            for i in range(0, len(text), size):
                got.feed(text[i : i + size])
            got.parser.idle()
            assert got.counts() == (2 + count, 0, 0, 1, 0), (n, size)


def test_split_anywhere_gives_the_same():
    text = "\x00\xff$G" + gsa(3) + epoch() + "#$GP,," + gga("081413.00")[:30] + epoch("081413.40")
    text += (
        sentence("GPGSV,1,1,01", False) + rmc("081414.00", "V") + gga("081414.00", ",,,", "0,,,")
    )
    data = text.encode() + b"$GPGGA,12*"
    whole = Fixes(data)
    assert whole.counts() == (7, 1, 1, 2, 0)
    for size in range(1, 40):
        parts = Fixes()
        for i in range(0, len(data), size):
            parts.feed(data[i : i + size])
        parts.parser.idle()
        assert parts.told == whole.told and parts.counts() == whole.counts(), size
    for cut in range(len(data)):
        parts = Fixes().feed(data[:cut]).feed(data[cut:])
        parts.parser.idle()
        assert parts.told == whole.told and parts.counts() == whole.counts(), cut


def test_only_the_first_n_bytes_count():
    data = bytearray((epoch() + epoch("081413.00")).encode())
    got = Fixes()
    got.parser.feed(data, len(epoch()))
    got.parser.idle()
    assert got.counts()[3] == 1
    got.parser.feed(data, 0)
    assert got.counts()[0] == 2


def test_back_in_step_within_one_sentence():
    binary = b"\xb5\x62\x01\x07\x5c\x00$*\x24\x2a\x0d\xba\xce\x00\x05,\x10"
    for noise in (
        binary,
        b"$",
        b"$GNGGA,0814",
        b"$GNGGA,0814*",
        b"$GNGGA,0814*4",
        b"*",
        b"$" * 200,
    ):
        data = noise + epoch().encode()
        for size in (1, 7, 1000):
            got = Fixes()
            for i in range(0, len(data), size):
                got.feed(data[i : i + size])
            got.parser.idle()
            assert got.counts()[3] == 1, (noise, size)
    # A sentence in the middle of another is the one that counts.
    text = gga()
    assert Fixes(text[:20] + text).counts() == (1, 0, 0, 0, 0)


def test_hostile_fields_are_not_used():
    bad = ["9", "24", "-1", "A", "08141", "0814120", "081460a", "086012.0", "240000", "0814.12"]
    bad += [
        "081461",
        ".081412",
        "08:14:12",
        "9" * 60,
        "-81412",
        " 81412",
        "081412.0.0",
        "081412."[1:],
    ]
    for time in bad:
        assert Fixes(rmc(time) + gga(time)).counts() == (2, 0, 2, 0, 0), time
        assert Fixes(rmc(time, "V")).counts() == (1, 0, 1, 0, 0), time
    bad = [
        "9000.0001,S,07701.1,W",
        "1260.0,S,07701.1,W",
        "1207.1,S,18000.001,W",
        "127.1,S,07701.1,W",
    ]
    bad += ["1207.1,X,07701.1,W", "1207.1,,07701.1,W", "1207.1,S,07701.1,N", "1207.1,W,07701.1,S"]
    bad += ["1207.1,S,7701.1,W", "1207.1,S,07760.0,W", ",S,07701.1,W", "1207.1,S,,W", ",,,"]
    bad += [
        "-207.1,S,07701.1,W",
        "12O7.1,S,07701.1,W",
        "1207.1,SS,07701.1,W",
        "1207,1,S,07701.1,W",
    ]
    bad += ["1207.1,S,07701.1,1", "1207.1e3,S,07701.1,W", "nan,S,inf,W", "1207.1,s,07701.1,W"]
    for place in bad:
        assert Fixes(epoch(place=place)).counts() == (2, 0, 2, 0, 0), place
        assert Fixes(rmc() + gga(place=place)).counts() == (2, 0, 1, 0, 0), place
    bad = ["1.5,90.0,310926", "1.5,90.0,000926", "1.5,90.0,151326", "1.5,90.0,150026", "1.5,90.0,"]
    bad += [
        "1.5,90.0,290226",
        "1.5,90.0,15092",
        "1.5,90.0,1509266",
        "1.5,90.0,-50926",
        "x,90.0,150926",
    ]
    bad += ["1.5,361.0,150926", "1.5,-1,150926", "10000.0,90.0,150926", "-1.5,90.0,150926", "1.5"]
    for rest in bad:
        assert Fixes(rmc(rest=rest) + gga()).counts() == (2, 0, 1, 0, 0), rest
    for status in ("", "D", "a", "AA", "1", "-"):
        assert Fixes(rmc(status=status) + gga()).counts() == (2, 0, 1, 0, 0), status
    bad = [
        "10,08,1.2,103.4,M",
        ",08,1.2,103.4,M",
        "A,08,1.2,103.4,M",
        "-1,08,1.2,103.4,M",
        "1,08,1.2",
    ]
    bad += [
        "1,100,1.2,103.4,M",
        "1,-8,1.2,103.4,M",
        "1,x,1.2,103.4,M",
        "1,08,-1,103.4,M",
        "1,08,x,1,M",
    ]
    bad += ["1,08,1.2,1--03.4,M", "1,08,1.2,x,M", "1,08,1.2,100000,M", "1,08,1.2,1.0.3,M"]
    for rest in bad:
        assert Fixes(rmc() + gga(rest=rest)).counts() == (2, 0, 1, 0, 0), rest
    for body in (
        "GNRMC,",
        "GNRMC,081412,A",
        "GNGGA,1",
        "GNGGA,,,,,,",
        "GNGSA,",
        "GNGSA,A",
        "GNGSA,A,3",
    ):
        got = Fixes(sentence(body) + epoch()).counts()
        assert got[0] == 3 and got[3] == 1, body
        got = Fixes(epoch() + sentence(body)).counts()
        assert got[0] == 3 and got[3] == 1, body


def test_two_positions_in_one_epoch_are_none():
    text = rmc() + gga(place="1207.1245,S,07701.5678,W")
    assert Fixes(text).counts() == (2, 0, 1, 0, 0)
    # A receiver may round its two sentences to different digits.
    text = rmc(place="1207.1234,S,07701.5678,W") + gga(place="1207.12339,S,07701.567849,W")
    assert one(text)[2:4] == (-121187232, -770261308)


def test_an_epoch_is_told_once():
    got = Fixes(epoch(), idle=False)
    assert not got.told
    got.parser.idle()
    got.parser.idle()
    got.feed(gga() + rmc() + gsa(3)).parser.idle()
    got.feed(epoch()).parser.idle()
    assert len(got.told) == 1
    got.feed(
        epoch("081413.00") + epoch("081412.00") + epoch("081413.00"),
    ).parser.idle()
    assert [fix[1] % 60000 for fix in got.told] == [12000, 13000, 12000, 13000]
    # idle() in the middle of an epoch ends nothing.
    got = Fixes(rmc())
    assert not got.told
    got.feed(gga()).parser.idle()
    assert got.counts() == (2, 0, 0, 1, 0)


def test_an_epoch_needs_both_sentences():
    assert Fixes(rmc() + rmc("081413.00") + gga("081414.00") + rmc("081415.00")).told == []
    text = rmc() + gga("081412.20") + rmc("081412.20") + gga("081412.40")
    assert [fix[1] % 1000 for fix in Fixes(text).told] == [200]


def test_losses():
    void = rmc("081413.00", "V", ",,,", ",,150926") + gga("081413.00", ",,,", "0,,,,M,,M,,")
    assert Fixes(void).counts() == (2, 0, 0, 0, 0)
    got = Fixes(epoch() + void + epoch("081414.00"))
    assert got.counts() == (6, 0, 0, 2, 1)
    assert [bool(fix) for fix in got.told] == [True, False, True]
    # Void positions that look like numbers are none.
    void = rmc("081413.00", "V") + gga("081413.00", rest="0,00,0.0,,M,,M,,")
    assert Fixes(epoch() + void).counts() == (4, 0, 0, 1, 1)
    # One of the two is enough, and says more than the other.
    assert Fixes(epoch() + rmc("081413.00", "V") + epoch("081414.00")).counts()[3:] == (2, 1)
    text = rmc("081413.00") + gga("081413.00", ",,,", "0,,,,M,,M,,")
    assert Fixes(epoch() + text).counts()[3:] == (1, 1)
    # No time, as when a receiver has lost it: each pair is an epoch, told when the line is quiet.
    void = sentence("GPGGA,,,,,,0,,,,,,,,") + sentence("GPRMC,,V,,,,,,,,,,N")
    got = Fixes(epoch())
    for _ in range(3):
        got.feed(void).parser.idle()
    assert got.counts() == (8, 0, 0, 1, 1)
    assert Fixes(epoch() + void * 3, idle=False).counts() == (8, 0, 0, 1, 1)
    assert [bool(fix) for fix in Fixes(epoch() + void * 3).told] == [True] + [False] * 3
    # An epoch with a sentence missing is neither.
    assert Fixes(epoch() + rmc("081413.00") + epoch("081414.00")).counts() == (5, 0, 0, 2, 0)


def test_several_talkers_in_one_epoch():
    text = gga() + sentence("GLGGA,081412.00,,,,,0,00,,,M,,M,,") + rmc()
    assert Fixes(text).counts() == (3, 0, 0, 1, 0)
    assert Fixes(rmc() + rmc("081412.00", "V") + gga()).counts() == (3, 0, 0, 1, 0)


def test_dates():
    for text, day in (
        ("010170", -1),
        ("010180", 3652),
        ("220899", 10825),
        ("010100", 10957),
        ("290224", 19782),
        ("311279", 40176),
    ):
        got = Fixes(rmc(rest="1.5,90.0," + text) + gga())
        if day < 0:
            assert got.told[0][0] == 36525  # 1970 is not told from 2070
        else:
            assert got.told[0][0] == day, text
    assert one(rmc("235960.50") + gga("235960.50"))[1] == 86400500


def _fed_under_lock(parser, data):
    gc.collect()
    micropython.heap_lock()
    try:
        parser.feed(data, len(data))
        parser.idle()
    finally:
        micropython.heap_unlock()


def test_no_allocation():
    """Nothing is allocated, whatever comes: not even once per fix."""
    told = [0]

    def count(_):
        told[0] += 1

    text = ""
    for i in range(20):
        time = "0815%02d.%03d" % (i, i * 7)
        text += "$GP\x01" + gsa(2) + epoch(time) + gsa(3) + sentence("GLGSV,3,1,09,68,07", i % 5)
        text += sentence("PMTK,%d" % i) + "$GNGGA,0815\x02*" + "y" * 200
        text += rmc(time, "V", "9" * 80) + gga(time, "9999999999999.99999999999999,X,Z,Z")
    data = bytearray(text.encode())
    pieces = [data[i : i + 37] for i in range(0, len(data), 37)]
    parser = Parser(count)
    _fed_under_lock(parser, data)
    assert parser.fixes == told[0] == 20 and parser.checksum_errors == 4
    parser.__init__(count)
    for piece in pieces:
        _fed_under_lock(parser, piece)
    assert parser.fixes == 20 and told[0] == 40


def test_fuzz_bytes():
    """Random bytes out of what matters to the parser: never an exception, never a fix."""
    state = 12345
    letters = b"$*,.\r\nGNRMCSAV0123456789-\x00\xff"
    data = bytearray(64)
    parser = Parser()
    for _ in range(1500):
        for i in range(64):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            data[i] = letters[(state >> 12) % len(letters)]
        parser.feed(data, 64)
        parser.idle()
    assert parser.fixes == 0

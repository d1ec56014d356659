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


def gns(time="081412.00", place="1207.1234,S,07701.5678,W", rest="AA,09,1.1,103.4,32.0,,,V"):
    return sentence("GNGNS,%s,%s,%s" % (time, place, rest))


def gll(time="081412.00", place="1207.1234,S,07701.5678,W", rest="A,A"):
    return sentence("GNGLL,%s,%s,%s" % (place, time, rest))


def ubx(payload, kind=b"\x01\x07"):
    """A u-blox frame."""
    body = kind + bytes((len(payload) & 255, len(payload) >> 8)) + payload
    a = c = 0
    for x in body:
        a = a + x & 255
        c = c + a & 255
    return b"\xb5\x62" + body + bytes((a, c))


def casic(payload, kind=b"\x01\x03"):
    """A CASIC frame."""
    body = bytes((len(payload) & 255, len(payload) >> 8)) + kind + payload
    c = 0
    for i in range(0, len(body), 4):
        c += int.from_bytes(body[i : i + 4], "little")
    return b"\xba\xce" + body + (c & 0xFFFFFFFF).to_bytes(4, "little")


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
        "081460",
        "081461",
        "235860",
        "225960",
        "235961",
        "240000.00",
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


def test_gns_stands_for_gga():
    fix = one(rmc() + gns())
    assert fix[2:10] == (-121187233, -770261300, 11, 9, 1, 1, 1034, 1500)
    # Where both come, GGA is the one, whichever is first.
    assert one(rmc() + gns() + gga()) == one(rmc() + gga() + gns()) == one(epoch())
    for modes, quality in (("A", 1), ("NDN", 1), ("NNR", 1), ("EN", 6), ("SS", 6), ("EA", 1)):
        assert one(rmc() + gns(rest=modes + ",09,1.1,103.4,32.0,,"))[6] == quality, modes
    # All N says nothing: RMC does, and GGA does not count for less.
    void = gns(rest="NNN,,,,,,,V")
    assert Fixes(rmc() + void).counts() == (2, 0, 0, 0, 0)
    assert one(rmc() + void + gga()) == one(rmc() + gga() + void) == one(epoch())
    zero = gga(rest="0,00,,,M,,M,,")
    for text in (gns() + rmc() + zero, zero + rmc() + gns(), rmc() + gns() + zero + gns()):
        assert Fixes(epoch("081411.00") + text).counts()[3:] == (1, 1), text
    # A receiver that has only GNS: fixes, losses, idle().
    text = rmc("081413.00") + gns("081413.00") + rmc("081414.00", "V", ",,,", ",,150926")
    got = Fixes(text + gns("081414.00", ",,,", "NN,,,,,,"), idle=False)
    assert got.counts() == (4, 0, 0, 1, 0)
    got.feed(rmc("081415.00", "V", ",,,", ",,150926"))
    assert got.counts()[3:] == (1, 1)
    # GNS alone, or with a position of its own, is none.
    assert Fixes(gns() + gns("081413.00") + gsa(3)).counts()[3:] == (0, 0)
    assert Fixes(rmc() + gns(place="1207.1334,S,07701.5678,W")).counts() == (2, 0, 1, 0, 0)
    for rest in ("A", "A,", "A,x,1.1,3,3,,", "A,-1,1,3,3,,", "AA1,9,1,3,3,,", "A,9,x,3,3,,"):
        assert Fixes(rmc() + gns(rest=rest)).counts() == (2, 0, 1, 0, 0), rest
    for rest in ("", ",9,1,3,3,,", "1,9,1,3,3,,", "n,9,1,3,3,,"):
        assert Fixes(rmc() + gns(rest=rest)).counts() == (2, 0, 0, 0, 0), rest
    for time in ("", "240000", "081461"):
        assert Fixes(rmc() + gns(time)).counts() == (2, 0, 1, 0, 0), time


def test_gll_and_rmc_alone_are_no_fix():
    assert Fixes(rmc() + gll() + rmc("081413.00") + gll("081413.00")).counts() == (4, 0, 0, 0, 0)
    assert Fixes(gll() + gll("081413.00") + gsa(3)).counts()[3:] == (0, 0)
    # A witness: the epoch's third position must be the same, to the digits of both.
    assert one(epoch() + gll()) == one(rmc() + gll() + gga()) == one(epoch())
    assert one(epoch() + gll(rest="A"))
    other = "1207.1245,S,07701.5678,W"
    for text in (rmc() + gll(place=other) + gga(), epoch() + gll(place=other)):
        assert Fixes(text).counts() == (3, 0, 1, 0, 0), text
    # Of another time, void, or without a number, it is none.
    for more in (
        gll("081411.00", other),
        gll(place=other, rest="V,N"),
        gll(place="1207,1245,S,07701.5678,W"),
        gll(place=",,,"),
        gll("", other),
        sentence("GNGLL,"),
        sentence("GNGLL,1207.1245,S,07701.5678,W,081412.00,"),
    ):
        assert one(rmc() + more + gga()) == one(epoch()), more


def test_vtg_where_rmc_tells_no_motion():
    vtg = sentence("GNVTG,90.00,T,,M,1.500,N,2.8,K,A")
    still = rmc(rest=",,150926")
    assert one(still + vtg + gga())[9:] == (1500, 9000)
    assert one(rmc(rest="0.7,,150926") + vtg + gga())[9:] == (700, 9000)
    assert one(rmc(rest="0.7,10.0,150926") + vtg + gga())[9:] == (700, 1000)
    for body in ("GNVTG,,T,,M,,N,,K,N", "GNVTG,x,T,,M,-1,N,,K,N", "GNVTG,400,T,,M,1", "GNVTG,"):
        assert one(still + sentence(body) + gga())[9:] == (None, None), body
    # It is its epoch's alone.
    got = Fixes(still + vtg + gga() + rmc("081413.00", rest=",,150926") + gga("081413.00"))
    assert [fix[9] for fix in got.told] == [1500, None]


def test_zda_tells_the_day_of_its_epoch():
    class Days(Fixes):
        def epoch(self, p):
            self.told.append(p.zda)

    for body, day in (
        ("081412.00,15,09,2026,00,00", 20711),
        ("081412.00,15,09,2026,,", 20711),
        ("081412.00,30,01,2007,00,00", 13543),
        ("081411.00,15,09,2026,00,00", -1),
        (",15,09,2026,00,00", -1),
        ("081412.00,31,09,2026,00,00", -1),
        ("081412.00,,,,00,00", -1),
        ("081412.00,15,09,26,00,00", -1),
        ("081412.00,15,09", -1),
    ):
        text = rmc() + sentence("GPZDA," + body) + gga() + epoch("081413.00")
        assert Days(text).told == [day, -1], body


def test_a_time_that_stands_still_is_told_once():
    got = Fixes(epoch() + rmc("081412.50", "V") + epoch() + rmc("081412.60", "V") + epoch())
    assert got.counts()[3:] == (1, 1) and got.parser.repeated == 2
    assert not Fixes(sentence("GPRMC,,V,,,,,,,,,,N")).parser.timed
    assert Fixes(rmc(status="V")).parser.timed


def test_frames_are_passed_over():
    inside = epoch("081413.00").encode()
    for frame in (
        ubx(b""),
        ubx(b"$GNGGA,08"),
        ubx(b"$"),
        ubx(b"*00" * 9),
        ubx(inside),
        ubx(b"\xb5\x62\x05\x01\x02\x00" + inside),
        ubx(bytes(504)),
        ubx(bytes(504 - len(inside)) + inside),
        casic(b""),
        casic(inside + bytes(-len(inside) & 3)),
        casic(b"\xff" * 500),
        casic(b"$$$*" * 100),
        ubx(inside) + casic(bytes(4)) + ubx(inside),
    ):
        for between in (
            frame + epoch().encode(),
            epoch().encode() + frame,
            rmc().encode() + frame + gga().encode(),
            # Between the bytes of a sentence, too.
            rmc().encode()[:30] + frame + rmc().encode()[30:] + gga().encode(),
            rmc().encode() + gga().encode()[:-4] + frame + gga().encode()[-4:],
        ):
            for size in (1, 5, 64, 512, 5000):
                got = Fixes()
                for i in range(0, len(between), size):
                    got.feed(between[i : i + size])
                got.parser.idle()
                assert got.counts() == (2, 0, 0, 1, 0), (between, size)
                assert got.parser.frames in (1, 3) and got.parser.fed == got.parser.used


def test_what_only_looks_like_a_frame_swallows_nothing():
    text = epoch().encode()
    whole = ubx(bytes(300))
    for noise in (
        b"\xb5",
        b"\xba",
        b"\xb5\x62",
        b"\xba\xce",
        b"\xb5\xb5\x62\xba\xba\xce",
        b"\xb5\x62\x01\x07",
        b"\xb5\x62\x01\x07\x00\x00",
        b"\xb5\x62\x01\x07\xf8\x01",
        b"\xb5\x62\x01\x07\xf9\x01",
        b"\xb5\x62\x01\x07\xff\xff",
        b"\xba\xce\x00\x00\x01\x03",
        b"\xba\xce\xf4\x01\x01\x03",
        b"\xba\xce\x02\x00\x01\x03",
        b"\xb5\x62\x01\x07\x40\x00" * 9,
        whole[:-1],
        whole[:200],
        whole[:-1] + b"x",
        casic(bytes(300))[:-1] + b"x",
        b"\xb5" + whole,
        whole[:100] + whole,
    ):
        data = noise + text + noise + text.replace(b"12.00", b"13.00")
        for size in (1, 7, 64, 512, 5000):
            got = Fixes()
            for i in range(0, len(data), size):
                got.feed(data[i : i + size])
            got.parser.idle()
            # The second epoch's checksums are another's, but its sentences were all seen.
            assert got.counts() == (2, 2, 0, 1, 0), (noise, size, got.counts())
            assert got.parser.fed == len(data)
    # Quiet in the middle of a frame: what was held for it is read.
    got = Fixes(b"\xb5\x62\x01\x07\xf8\x01" + text)
    assert got.counts() == (2, 0, 0, 1, 0)
    got.feed(b"\xb5").parser.idle()
    got.feed(epoch("081413.00")).parser.idle()
    assert got.counts() == (4, 0, 0, 2, 0)


def test_bytes_in_sentences_are_counted():
    got = Fixes(epoch() + sentence("PMTK010,001") + sentence("GPTXT,01"))
    assert got.parser.fed == got.parser.used
    got.feed("# a comment\r\n" + sentence("GPTXT,01", False))
    assert got.parser.fed - got.parser.used == 13 + len(sentence("GPTXT,01"))


def test_proprietary_sentences_are_skipped_in_order():
    text = rmc()
    for body in (
        "PUBX,00,081350.00,4717.113210,N,00833.915187,E,546.589,G3,2.1,2.0,0.007,77.52,0.007,,"
        "0.92,1.19,0.77,9,0,0",
        "PUBX,03,02,23,-,,,45,010,29,U,195,07,48,026",
        "PUBX,04,073731.00,091202,113851.00,1196,15D,1930035,-2660.664,43",
        "PCAS66,1*",
        "PCAS10,3",
        "PQTMVERNO,LC29HAANR11A01S,2022/12/07,14:36:43",
        "PQVERNO,R,L96NR01A03S,2018/07/30,04:17",
        "PQ1PPS,W,4,100",
        "PMTK001,220,3",
        "PMTK010,002",
        "PAIR001,066,0",
        "PGRME,15.0,M,45.0,M,25.0,M",
        "PSRF150,1",
        "PTNLRMC,081412.00,A,1207.9999,S,07701.5678,W,1.5,90.0,150926,,,A",
    ):
        text += sentence(body.replace("*", ""))
    got = Fixes(text + gga())
    assert got.counts() == (16, 0, 0, 1, 0) and got.told == [one(epoch())]


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
    for i in range(5):
        time = "0815%02d.%03d" % (i, i * 7)
        text += "$GP\x01" + gsa(2) + epoch(time) + gsa(3) + sentence("GLGSV,3,1,09,68,07", i % 5)
        text += sentence("PMTK,%d" % i) + "$GNGGA,0815\x02*" + "y" * 200
        text += rmc(time, "V", "9" * 80) + gga(time, "9999999999999.99999999999999,X,Z,Z")
        text += gns(time) + gll(time) + sentence("GNVTG,90.0,T,,M,1.5,N,2.8,K,A")
        text += sentence("GPZDA,%s,15,09,2026,00,00" % time)
        text += sentence("GPGSV,2,1,07,01,53,280,36,03,29,301,24,04,55,223,37,08,38,166,16,1")
        text += sentence("GPGSV,2,2,07,11,40,245,%d,999999999999,05,034,,14,-3,055,30,1" % i)
        text += sentence("GPGSV,1,1,01,01,53,280,99999999999999999999,6")
    data = bytearray(text.encode())
    for frame in (ubx(data[:150]), ubx(data[:500]), casic(bytes(240)), ubx(data[:99])[:-2]):
        data += frame + gsa(3).encode()
    text = None
    pieces = [data[i : i + 37] for i in range(0, len(data), 37)]
    parser = Parser(count)
    _fed_under_lock(parser, data)
    assert parser.fixes == told[0] == 5 and parser.checksum_errors == 1
    assert parser.frames == 3 and parser.sky.count == 5 and parser.sky.odd
    parser.__init__(count)
    for piece in pieces:
        _fed_under_lock(parser, piece)
    assert parser.fixes == 5 and told[0] == 10


def test_fuzz_bytes():
    """Random bytes out of what matters to the parser: never an exception, never a fix."""
    state = 12345
    letters = b"$*,.\r\nGNRMCSAV0123456789-\x00\xff\xb5\x62\xba\xce"
    data = bytearray(64)
    parser = Parser()
    for _ in range(1500):
        for i in range(64):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            data[i] = letters[(state >> 12) % len(letters)]
        parser.feed(data, 64)
        parser.idle()
    assert parser.fixes == 0

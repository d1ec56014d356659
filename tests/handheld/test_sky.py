"""Satellites in the VM: C/N0 over all groups of an epoch, numbers of every system, oddities."""

from handheld.nmea import Parser

HEAP = "192k"


def sentence(body):
    c = 0
    for x in body.encode():
        c ^= x
    return "$%s*%02X\r\n" % (body, c)


def gsv(satellites, talker="GP", signal="", view=None):
    """The sentences of a group: (number, elevation, azimuth, C/N0) as texts or integers."""
    out = ""
    groups = [satellites[i : i + 4] for i in range(0, len(satellites), 4)] or [[]]
    for i in range(len(groups)):
        body = "%sGSV,%d,%d,%02d" % (talker, len(groups), i + 1, view or len(satellites))
        for satellite in groups[i]:
            body += ",%s,%s,%s,%s" % satellite
        out += sentence(body + signal)
    return out


def plain(numbers, snr=30):
    return [(n, 45, 100, snr) for n in numbers]


def many(top, talker):
    """Satellites 1 to top; a group has nine sentences at most."""
    parts = [range(i, min(i + 36, top + 1)) for i in range(1, top + 1, 36)]
    return "".join([gsv(plain(part), talker) for part in parts])


def gsa(numbers, talker="GN", system=""):
    used = ",".join(["%02d" % n for n in numbers]) + "," * (12 - len(numbers))
    return sentence("%sGSA,A,3,%s,1.5,1.2,1.0%s" % (talker, used, system))


def epoch(second=12):
    time = "0814%02d.00" % second
    place = "1207.1234,S,07701.5678,W"
    out = sentence("GNRMC,%s,A,%s,1.5,90.0,150926,,,A" % (time, place))
    return out + sentence("GNGGA,%s,%s,1,08,1.2,103.4,M,1.0,M,," % (time, place))


def sky(text, parser=None):
    """What the sky is after an epoch with this text in it."""
    p = parser or Parser()
    data = (epoch() + text + epoch(13)).encode()
    p.feed(data, len(data))
    assert p.checksum_errors == 0
    return p.sky


def summary(text):
    s = sky(text)
    return s.count, s.mean, s.low, s.spread


def test_the_summary():
    text = gsv(
        [(1, 53, 280, 36), (3, 29, 301, 24), (4, 55, 223, ""), (8, 38, 166, 16), (9, 1, 2, 0)]
    )
    assert summary(text) == (3, 25, 16, 20)  # 76 / 3 is 25.33; 0 is none
    text += gsv([(65, 10, 20, 41), (66, 10, 20, "")], "GL") + gsv([], "GA")
    assert summary(text) == (4, 29, 16, 25)
    assert summary(gsv([(7, "", "", 31)])) == (1, 31, 31, 0)
    s = sky(gsv([(7, "", "", "")]))
    assert s.count == 0 and s.fresh and not s.odd
    s = sky("")
    assert (s.count, s.time, s.fresh) == (0, -1, False)


def test_a_satellite_counts_once():
    """NMEA 4.11: a group for each signal; the best of them is the satellite's."""
    one = gsv([(1, 53, 280, 36), (3, 29, 301, 24)], "GP", ",1")
    two = gsv([(1, 53, 280, 30), (3, 29, 301, 33)], "GP", ",8")
    assert summary(one + two) == (2, 35, 33, 3)
    assert summary(two + one) == (2, 35, 33, 3)
    # Another's number 1 is another satellite.
    assert summary(one + gsv([(1, 9, 9, 12)], "GA", ",7"))[0] == 3
    # Quectel's: signal, then system.
    assert summary(one + gsv([(1, 9, 9, 12)], "PQ", ",0,4"))[0] == 3


def test_every_talker_and_system():
    for talker, numbers in (
        ("GP", (1, 32, 33, 64, 120, 158, 193, 65)),
        ("GL", (65, 96, 1, 24)),
        ("GA", (1, 36, 301, 336)),
        ("GB", (1, 63, 201, 263)),
        ("BD", (1, 63)),
        ("PQ", (1, 63)),
        ("GQ", (1, 10, 193, 202)),
        ("QZ", (1, 193)),
        ("GI", (1, 15)),
        ("GN", (1, 64, 65, 96, 193, 201, 301)),
        ("XX", (1, 64)),
    ):
        s = sky("".join([gsv(plain([n]), talker) for n in numbers]))
        assert not s.odd, talker
        twice = {"GP": 1, "GL": 1, "GA": 2, "GB": 2, "GQ": 2, "QZ": 1}.get(talker, 0)
        assert s.count == len(numbers) - twice, (talker, s.count)
    for talker, numbers in (
        ("GP", (100, 119, 159, 192, 337, 999, 1000)),
        ("GL", (36, 64, 100)),
        ("GA", (37, 64, 300, 337)),
        ("GB", (64, 264)),
        ("GQ", (11, 203 + 64)),
        ("GI", (16,)),
    ):
        for n in numbers:
            s = sky(gsv(plain([n, 2]), talker))
            assert s.odd and s.count == 1, (talker, n)


def test_all_systems_have_places_of_their_own():
    text = ""
    for talker, top in (("GP", 64), ("GL", 32), ("GA", 36), ("GB", 63), ("GQ", 10), ("GI", 15)):
        s = sky(many(top, talker))
        assert s.count == top and not s.odd, talker
        text += gsv(plain([1, top]), talker)
    assert sky(text).count == 12


def test_more_satellites_than_there_is_room_for():
    s = sky(many(36, "GA") + many(63, "GB"))
    assert s.count == 64 and not s.odd
    used = "".join([gsa(range(i, i + 12), "GA") for i in range(1, 25, 4)])
    assert not sky(many(36, "GA") + used).odd


def test_what_cannot_be():
    for satellite in ((7, -3, 100, 30), (7, 100, 100, 30), (7, 45, 100, 100), (7, 45, 100, 999)):
        assert sky(gsv([satellite, (8, 45, 100, 30)])).odd, satellite
    # Below the horizon without being heard: an almanac's.
    for satellite in ((7, -3, 100, ""), (7, 0, 0, 30), (7, 90, 359, 99), ("", "", "", "")):
        assert not sky(gsv([satellite])).odd, satellite


def test_in_use_but_not_in_view():
    view = gsv(plain([1, 3, 4, 8, 11]))
    assert not sky(view + gsa([1, 3, 11])).odd
    assert sky(view + gsa([1, 3, 12])).odd
    assert sky(gsa([1, 3, 12], "GP") + view).odd
    # A system of which no satellite is told in view may be used.
    assert not sky(view + gsa([1, 3, 11, 65, 70])).odd
    assert sky(view + gsv(plain([66]), "GL") + gsa([1, 65])).odd
    assert not sky(view + gsv(plain([65]), "GL") + gsa([1, 65])).odd
    # NMEA 4.11 tells the system at the end; Galileo's 5 is not GPS's.
    view += gsv(plain([5]), "GA", ",7")
    assert not sky(view + gsa([1], system=",1") + gsa([5], system=",3")).odd
    assert sky(view + gsa([5], system=",1")).odd
    assert sky(view + gsa([3], system=",3")).odd
    assert not sky(view + gsa([5], "GA")).odd
    assert sky(view + gsa([5], "GP")).odd
    assert sky(view + gsa([100])).odd
    # It is asked only of an epoch's whole groups.
    half = gsv(plain([1, 3, 4, 8, 11, 12])).split("\r\n")
    for text in (half[0] + "\r\n", half[1] + "\r\n", half[1] + "\r\n" + half[0] + "\r\n"):
        assert not sky(text + gsa([1, 9])).odd, text
    assert sky(half[0] + "\r\n" + half[1] + "\r\n" + gsa([1, 9])).odd
    assert not sky("").odd and not sky(gsa([1])).odd


def test_epochs_do_not_mix():
    p = Parser()
    assert sky(gsv(plain([1, 2, 3], 30)) + gsa([1]), p).count == 3
    # Nothing new: what is known stays, with its time.
    s = sky("", p)
    assert s.count == 3 and not s.fresh and s.time == 29652000
    s = sky(gsv(plain([4], 20)), p)
    assert (s.count, s.mean, s.fresh, s.odd) == (1, 20, True, False)
    # Satellites that come after idle() are the next epoch's.
    p = Parser()
    for i in range(3):
        data = epoch(20 + i).encode()
        p.feed(data, len(data))
        p.idle()
        assert (p.sky.count, p.sky.mean) == ((3, 29 + i) if i else (0, 0))
        data = (gsa([1, 9]) + gsv(plain([1, 2, 9], 30 + i))).encode()
        p.feed(data, len(data))
        p.idle()
    assert not p.sky.odd


def test_the_mark_changes_with_any_satellite():
    one = sky(gsv(plain([1, 2, 3]))).mark
    assert sky(gsv(plain([1, 2, 3]))).mark == one
    for other in (plain([1, 2, 4]), plain([1, 2]), plain([1, 2, 3], 31), plain([1, 3, 2])):
        assert sky(gsv(other)).mark != one, other
    assert sky(gsv([(1, 9, 9, 30), (2, 9, 9, 30), (3, 9, 9, 31)])).mark != one
    assert sky(gsv([(1, 9, 9, 30), (2, 9, 9, 30), (3, 9, 9, "")])).mark != one


def test_hostile_fields():
    """Whatever a sentence with a right checksum says: no exception, no satellite of nobody's."""
    for body in (
        "GPGSV,",
        "GPGSV,1",
        "GPGSV,1,1",
        "GPGSV,1,1,",
        "GPGSV,1,1,01",
        "GPGSV,1,1,01,",
        "GPGSV,1,1,01,1",
        "GPGSV,1,1,01,1,2",
        "GPGSV,1,1,01,1,2,3",
        "GPGSV,10,1,01,1,2,3,30",
        "GPGSV,1,10,01,1,2,3,30",
        "GPGSV,,,01,,,,",
        "GPGSV,1,1,01,A,2,3,30",
        "GPGSV,1,1,01,-1,2,3,30",
        "GPGSV,1,1,01,1.5,2,3,30",
        "GPGSV,1,1,01," + "9" * 99 + ",2,3,30",
        "GPGSV,1,1,01,0,2,3,30",
        "GPGSV" + "," * 100,
        "@@GSV,1,1,01,1,2,3,",
        "G\xffGSV,1,1,01,1,2,3,",
        "GNGSA,",
        "GNGSA,A,3",
        "GNGSA,A,3,",
        "GNGSA,,3,09",
        "GNGSA,A,,09,09,09",
        "GNGSA,AA,3,09,09,09",
        "GNGSA,,,,,,,",
        "GNGSA,A,3," + "9" * 99,
        "GNGSA,A,3,-1,1.5,A,,,,",
        "GNGSA,A,3" + ",0" * 60,
        "GNGSA" + "," * 100,
    ):
        data = (epoch() + sentence(body) + epoch(13)).encode()
        p = Parser()
        p.feed(data, len(data))
        assert p.fixes == 1 and p.sky.count == 0, body
        data = sentence(body).strip().encode()
        p.feed(data, len(data))
    assert sky(gsv([(1, "x", "y", "40"), (2, "", "", "4x"), (3, "", "", 30)])).count == 2

"""The synthesised receiver: read by pynmea2, true to the walk, deterministic, or frozen."""

import itertools

import pynmea2
import pytest
from ronda_tools.synth import (
    MIRAFLORES,
    Canyon,
    Point,
    Walk,
    distance_m,
    metres_per_degree,
    offset,
)

START = 1789477200  # 2026-09-15 13:00 UTC: 08:00 in Lima
Epoch = dict[str, pynmea2.NMEASentence]


def _epoch(data: bytes) -> Epoch:
    lines = data.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return {m.sentence_type: m for m in (pynmea2.parse(line, check=True) for line in lines)}


def _all(data: bytes, kind: str) -> list[pynmea2.NMEASentence]:
    """Every sentence of a kind in an epoch."""
    told = [pynmea2.parse(line, check=True) for line in data.decode("ascii").splitlines()]
    return [message for message in told if message.sentence_type == kind]


def _point(message: pynmea2.NMEASentence) -> Point:
    return round(message.latitude * 1e7), round(message.longitude * 1e7)


def _walk(seed: int = 1) -> Walk:
    walk = Walk(MIRAFLORES["parque"], START, seed)
    walk.stand(60)
    walk.go(MIRAFLORES["larco"])
    walk.stand(120)
    walk.indoors(90)
    walk.go(MIRAFLORES["schell"], 1.0, hdop=2.5)
    walk.frozen(100)
    walk.silent(30)
    walk.frozen(70, offset(walk.here, 40, 0))
    walk.stand(20)
    return walk


def test_every_sentence_parses_and_every_second_speaks() -> None:
    """RMC, GGA and GSA with right checksums each second, except where the receiver is silent."""
    walk = _walk()
    times = []
    for ms, data in walk.nmea():
        epoch = _epoch(data)
        assert set(epoch) - {"GSV"} == {"RMC", "GGA", "GSA"}
        assert ("GSV" in epoch) == (ms // 1000 % 5 == 1)
        rmc = epoch["RMC"]
        assert rmc.datetime.timestamp() == START + ms // 1000
        assert epoch["GGA"].timestamp == rmc.timestamp
        times.append(ms)
    assert times == sorted(set(times)) and times[-1] == walk.ms
    assert len(times) == walk.ms // 1000 - 30


def test_what_is_said_is_near_the_truth() -> None:
    """Position within the noise; speed and course of the leg; HDOP and satellites go together."""
    walk = _walk()
    frozen_from = next(leg for leg in walk._legs if leg.kind == "frozen").from_ms
    errors = []
    for ms, data in walk.nmea():
        if ms > frozen_from:
            break
        epoch = _epoch(data)
        if epoch["RMC"].status == "V":
            continue
        errors.append(distance_m(_point(epoch["RMC"]), walk.position_at(ms)))
        assert _point(epoch["GGA"]) == _point(epoch["RMC"])
        hdop, used = float(epoch["GGA"].horizontal_dil), int(epoch["GGA"].num_sats)
        assert 0.5 <= hdop < 3.5 and 4 <= used <= 12
        listed = [getattr(m, f"sv_id{n:02d}") for m in _all(data, "GSA") for n in range(1, 13)]
        assert sum(map(bool, listed)) == used
    assert max(errors) < 15 and 0.2 < sum(errors) / len(errors) < 5
    moving = _epoch(dict(walk.nmea())[61_000 + 30_000])["RMC"]
    assert 2.2 < moving.spd_over_grnd < 2.9  # 1.3 m/s is 2.5 knots
    assert 140 < moving.true_course < 180  # Larco runs to the south-south-east
    standing = _epoch(dict(walk.nmea())[30_000])["RMC"]
    assert standing.spd_over_grnd < 0.2 and standing.true_course is None


def test_indoors_there_is_no_fix() -> None:
    """RMC V, GGA quality 0, GSA mode 1, with the time."""
    walk = Walk(MIRAFLORES["parque"], START)
    walk.indoors(5)
    for _, data in walk.nmea():
        epoch = _epoch(data)
        assert epoch["RMC"].status == "V" and epoch["RMC"].lat == ""
        assert epoch["GGA"].gps_qual == 0 and epoch["GSA"].mode_fix_type == "1"


def test_frozen_is_identical_to_the_last_digit() -> None:
    """Everything but the time repeats, at speed 0, at the place claimed."""
    walk = Walk(MIRAFLORES["parque"], START)
    door = MIRAFLORES["schell"]
    walk.frozen(90, door)
    said = {
        b"".join(
            b",".join(field for k, field in enumerate(line.split(b"*")[0].split(b",")) if k != 1)
            for line in data.splitlines()
            if b"GSV" not in line
        )
        for _, data in walk.nmea()
    }
    assert len(said) == 1
    skies = {tuple(x for x in data.splitlines() if b"GSV" in x) for _, data in walk.nmea()}
    assert len(skies - {()}) == 1  # the satellites' C/N0 too
    epoch = _epoch(next(iter(walk.nmea()))[1])
    assert distance_m(_point(epoch["RMC"]), door) < 0.1
    assert epoch["RMC"].spd_over_grnd == 0
    assert walk.position_at(30_000) == MIRAFLORES["parque"]


def test_an_honest_stop_is_never_frozen() -> None:
    """Standing still, a receiver's last digits move: no two minutes look injected."""
    walk = Walk(MIRAFLORES["parque"], START, seed=9)
    walk.stand(900)
    places = [_point(_epoch(data)["GGA"]) for _, data in walk.nmea()]
    longest = run = 1
    for before, after in itertools.pairwise(places):
        run = run + 1 if before == after else 1
        longest = max(longest, run)
    assert longest < 5


def test_the_seed_decides() -> None:
    """Same seed, same bytes; another seed, other noise on the same way."""
    assert list(_walk(3).nmea()) == list(_walk(3).nmea())
    assert list(_walk(3).nmea()) != list(_walk(4).nmea())
    assert _walk(3).ms == _walk(4).ms


def test_legs_say_when_they_end() -> None:
    """go() takes distance / speed; positions run straight between the ends."""
    walk = Walk(MIRAFLORES["parque"], START)
    there = offset(MIRAFLORES["parque"], 0, 130)
    assert walk.go(there, 1.3) in (100_000, 101_000)
    assert walk.here == there and walk.ms > 0
    half = walk.position_at(walk.ms // 2)
    assert abs(distance_m(half, there) - 65) < 1
    assert walk.stand_until(200_000) == 200_000
    assert walk.position_at(10**9) == there
    with pytest.raises(ValueError, match="cannot end"):
        walk.stand_until(1000)
    with pytest.raises(ValueError, match="nowhere"):
        Walk(there, START).position_at(0)


def test_metres_are_wgs84() -> None:
    """The series against the known length of a degree at the equator and at Lima."""
    assert metres_per_degree(0) == pytest.approx((110574, 111320), abs=2)
    assert metres_per_degree(-121211000) == pytest.approx((110624, 108863), abs=10)
    east = offset(MIRAFLORES["parque"], 0, 100)
    assert distance_m(MIRAFLORES["parque"], east) == pytest.approx(100, abs=0.01)


def test_satellites_are_where_satellites_can_be() -> None:
    """GSV by pynmea2: numbers, angles, C/N0; what is in use is in view and strong enough."""
    walk = Walk(MIRAFLORES["parque"], START)
    walk.stand(7200)
    seen: dict[str, int] = {}
    for ms, data in walk.nmea():
        groups = _all(data, "GSV")
        if not groups:
            continue
        in_view: dict[str, str] = {}
        for m in groups:
            for n in range(1, min(4, int(m.num_sv_in_view) - 4 * (int(m.msg_num) - 1)) + 1):
                number = getattr(m, f"sv_prn_num_{n}")
                assert 5 <= int(getattr(m, f"elevation_deg_{n}")) <= 90
                assert 0 <= int(getattr(m, f"azimuth_{n}")) < 360
                assert (65 <= int(number) <= 88) == (m.talker == "GL")
                in_view[number] = getattr(m, f"snr_{n}")
        assert 12 <= len(in_view) <= 26, ms
        used = [getattr(m, f"sv_id{n:02d}") for m in _all(data, "GSA") for n in range(1, 13)]
        assert all(26 <= int(in_view[number]) <= 55 for number in used if number)
        seen.update(dict.fromkeys(in_view, ms))
    assert len(seen) > len(in_view)  # satellites rose


def _spread(canyon: Canyon | None) -> tuple[float, float, float]:
    """Median satellites in use, HDOP and error in metres over some hours at one place."""
    walk = Walk(MIRAFLORES["parque"], START, around=lambda _: canyon)
    walk.stand(4 * 3600)
    rows = []
    for ms, _ in walk.nmea():
        heard = walk.heard
        if ms % 120_000 == 1000 and heard.where and heard.hdop:
            rows.append((heard.used, heard.hdop, distance_m(heard.where, walk.here)))
    return tuple(sorted(column)[len(rows) // 2] for column in zip(*rows, strict=True))  # type: ignore[return-value]


def test_buildings_hide_satellites_and_push_the_position() -> None:
    """Between walls fewer satellites, a larger HDOP, a larger error: each wall a bit more."""
    sky, low, high = (
        _spread(canyon) for canyon in (None, Canyon(10, 5, 8, 5, 8), Canyon(10, 2, 18, 10, 18))
    )
    assert sky[0] == 12 and low[0] < 12 and high[0] <= low[0]
    assert sky[1] < low[1] < high[1] < 5
    assert sky[2] < 4 and 2 < high[2] < 15


def test_indoors_the_satellites_are_weak() -> None:
    """Few are heard and none well enough to be used."""
    walk = Walk(MIRAFLORES["parque"], START)
    walk.indoors(5)
    [told] = [_all(data, "GSV") for _, data in walk.nmea() if b"GSV" in data]
    levels = [getattr(m, f"snr_{n}", "") for m in told for n in range(1, 5)]
    assert 0 < len([level for level in levels if level]) < 6
    assert all(int(level) < 30 for level in levels if level)

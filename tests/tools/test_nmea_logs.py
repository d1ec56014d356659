"""Real receivers' logs through the parser in the VM, beside pynmea2 and gpsd's own reading."""

import json
import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pynmea2
import pytest
import vm
from ronda_protocol import reading
from ronda_tools.replay import Replay, first_date

PROGRAMS = Path(__file__).parents[1] / "handheld" / "programs"
LOGS = [
    "bu353-glonass",
    "gp-320fw-2019-04-07-coldboot",
    "haicom-305N",
    "neo-m8n",
    "quectel-eg25-g",
    "quectel-l76k-nmea",
    "rx210",
]
# sentences, checksum errors, fixes, losses, first and last fix. Counted by hand where few.
EXPECTED = {
    "bu353-glonass": (112, 0, 8, 1, "2014-05-26T08:14:12Z", "2014-05-26T08:14:19Z"),
    "gp-320fw-2019-04-07-coldboot": (
        *(97, 21, 1, 1),
        *("2019-04-07T00:03:45.030Z", "2019-04-07T00:03:45.030Z"),
    ),
    "haicom-305N": (325, 0, 68, 0, "2007-04-08T09:53:04.802Z", "2007-04-08T09:54:15.787Z"),
    "neo-m8n": (293, 0, 23, 0, "2015-03-18T17:19:26Z", "2015-03-18T17:19:48Z"),
    "quectel-eg25-g": (861, 0, 23, 2, "2022-09-11T19:15:03.010Z", "2022-09-11T19:15:33.980Z"),
    "quectel-l76k-nmea": (2280, 0, 149, 0, "2026-08-05T05:52:34.200Z", "2026-08-05T05:53:03.800Z"),
    "rx210": (160, 0, 40, 0, "2016-04-03T18:41:02Z", "2016-04-03T18:41:41Z"),
}


# The date of each log's fixes as its receiver tells it, and how many days gpsd, which believes no
# date before its own last release but one, moves it on: 1,024 weeks. We take what the receiver
# says and set no clock from it when it is before time_floor. gp-320fw's receiver was led by a
# simulator to 2019-04-07 and later says 1999-08-22, without a fix.
DATES = {
    "bu353-glonass": ("2014-05-26", 0),
    "gp-320fw-2019-04-07-coldboot": ("2019-04-07", 0),
    "haicom-305N": ("2007-04-08", 0),
    "neo-m8n": ("2015-03-18", 1024 * 7),
    "quectel-eg25-g": ("2022-09-11", 0),
    "quectel-l76k-nmea": ("2026-08-05", 0),
    "rx210": ("2016-04-03", 0),
}

# Where we mean to differ from gpsd. "only gpsd": it takes an RMC (and the log has no GGA of that
# time) for a fix, we want both. "only ours": it reports nothing before a second date, or before
# the log's last sentence has a successor. "type unknown": epochs without a GSA, for which gpsd
# keeps the last one's or guesses from the altitude; we say that we do not know. "type": the
# receiver's GSA says 2, gpsd makes 3 of it because there is an altitude.
GPSD_DIFFERS: dict[str, dict[str, Any]] = {
    "bu353-glonass": {"only gpsd": ["08:14:11.000"]},
    "haicom-305N": {
        "only ours": ["09:53:04.802"],
        "type unknown": 44,
        "type": ["09:53:07.801"],
    },
    "neo-m8n": {"only ours": ["17:19:48.000"]},
    "quectel-eg25-g": {"type unknown": 1},
    "quectel-l76k-nmea": {"only gpsd": ["05:52:34.000"]},
    "rx210": {"type unknown": 32},
}

# Where we mean to differ from pynmea2: the bodies of an RMC and of another sentence, what it says
# of the other or of the RMC, how many fixes we make of both, and why.
_PLACE = "1207.1234,S,07701.5678,W"
_GGA = f"GPGGA,081412.00,{_PLACE},1,08,1.2,103.4,M,1.0,M,,"
PYNMEA2_DIFFERS: list[tuple[str, str, Callable[[Any, Any], bool], int, str]] = [
    (
        f"GPRMC,235960.00,A,{_PLACE},1.5,90.0,311226,,,A",
        _GGA.replace("081412", "235960"),
        lambda rmc, _: rmc.timestamp == "235960.00",
        1,
        "a leap second is a time",
    ),
    (
        f"GPRMC,240000.00,A,{_PLACE},1.5,90.0,311226,,,A",
        _GGA.replace("081412", "240000"),
        lambda rmc, _: rmc.timestamp == "240000.00",
        0,
        "24:00:00 is none",
    ),
    (
        f"GPRMC,081412.00,A,{_PLACE},1.5,90.0,310226,,,A",
        _GGA,
        lambda rmc, _: rmc.is_valid and rmc.datestamp == "310226",
        0,
        "31 February is no date, and without one there is no fix",
    ),
    (
        f"GPRMC,081412.00,A,{_PLACE},1.5,90.0,010170,,,A",
        _GGA,
        lambda rmc, _: rmc.datestamp.year == 1970,
        1,
        "a year of two digits is from 1980 to 2079: GPS time begins in 1980",
    ),
    (
        "GPRMC,081412.00,A,1260.0000,S,07701.5678,W,1.5,90.0,150926,,,A",
        _GGA,
        lambda rmc, _: rmc.latitude == -13,
        0,
        "there are no 60 minutes",
    ),
    (
        "GPRMC,081412.00,A,1207.1234,X,07701.5678,W,1.5,90.0,150926,,,A",
        _GGA,
        lambda rmc, _: rmc.latitude == 0,
        0,
        "a position needs its hemisphere",
    ),
    (
        f"GPRMC,081412.00,A,{_PLACE},1.5,90.0,150926,,,A",
        "GPGSV,1,1,01,20,10,100,30,1",
        lambda _, gsv: gsv.sv_prn_num_2 == "1",
        0,
        "NMEA 4.11: behind the satellites comes the signal, not one more of them",
    ),
    (
        f"GPRMC,081412.00,A,{_PLACE},1.5,90.0,150926,,,A",
        "PQGSV,1,1,01,20,10,100,30,0,4",
        lambda _, gsv: isinstance(gsv, pynmea2.ProprietarySentence),
        0,
        "Quectel's BeiDou under the talker PQ is no proprietary sentence",
    ),
]

# Fixes with each detector flag, when a handheld hears the log at the pace of its own times. Only
# eg25-g has any: it says 0.2 to 2.3 m/s while it moves 14, 16, 62, 73, 93 m in a second and 95 m
# in two (motion), 73 m in one at HDOP 1.5 (jump), and its height leaps by 72 to 172 m (altitude).
# They are what the flags are for: no place in that street can be proved by such fixes.
FLAGS: dict[str, dict[str, int]] = {
    "quectel-eg25-g": {"motion": 6, "altitude": 4, "jump": 1},
}


@cache
def in_vm(program: str, *arguments: str) -> dict[str, Any]:
    """Run a program of tests/handheld/programs in the VM; the JSON that it prints."""
    found = vm.micropython()
    assert found, "no MicroPython VM"
    search = os.pathsep.join(str(path) for path in vm.DEVICE_PATHS[:2]) + os.pathsep + ".frozen"
    done = subprocess.run(
        [found, "-X", "heapsize=2m", str(PROGRAMS / program), *arguments],
        env=dict(os.environ, MICROPYPATH=search),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def checked(raw: bytes) -> tuple[list[str], int]:
    """Sentences whose checksum is right, and how many are framed and fail it."""
    good, bad = [], 0
    framed = rb"\$((?:[A-Z][^,]{4}|P[A-Z0-9]{3,}),[^$*\r\n]*)\*([0-9A-Fa-f]{2})"
    for match in re.finditer(framed, raw):
        c = 0
        for x in match[1]:
            c ^= x
        if c == int(match[2], 16):
            good.append(match[0].decode("ascii"))
        else:
            bad += 1
    return good, bad


def e7(text: str, side: str) -> int:
    """ddmm.mmmm and its hemisphere in 1e-7 degrees."""
    degrees, minutes = divmod(Decimal(text), 100)
    value = ((degrees + minutes / 60) * 10**7).quantize(Decimal(1), ROUND_HALF_UP)
    return int(-value if side in "SW" else value)


def tenths_up(text: str) -> int:
    value = int((Decimal(text or "0") * 10).quantize(Decimal(1), ROUND_CEILING))
    return value if 0 < value < 255 else 255


class Oracle:
    """Epochs as runs of RMC and GGA with one time, and all that comes between (pynmea2 reads)."""

    def __init__(self, raw: bytes) -> None:
        good, self.checksum_errors = checked(raw)
        self.sentences = len(good)
        self.fixes: list[list[Any]] = []
        self.losses = 0
        self._had = False
        self._sky: dict[tuple[str, int], int] = {}
        epoch: dict[str, Any] = {}
        for line in good:
            kind = line[3:6]
            if line.startswith("$P") and not line.startswith("$PQGSV"):
                continue
            if kind == "GSV":
                self._gsv(line)
                continue
            message = pynmea2.parse(line, check=True)
            if kind in ("RMC", "GGA"):
                time = message.timestamp or None
                if epoch and (time != epoch["time"] or (time is None and kind in epoch)):
                    self._end(epoch)
                    epoch = {}
                if not epoch:
                    self._sky = {}  # of before the first
                epoch["time"] = time
                epoch[kind] = message
            elif epoch and kind == "GSA":
                epoch["kind"] = max(epoch.get("kind", 1), int(message.mode_fix_type))
            elif epoch and getattr(message, "timestamp", epoch["time"]) == epoch["time"]:
                epoch[kind] = message
        self._end(epoch)

    def _gsv(self, line: str) -> None:
        # pynmea2 knows no talker PQ, and no signal or system after the satellites.
        count = line.count(",") - 3
        body = "GBGSV" + line[6:-3] if line.startswith("$PQ") else line[1:-3]
        body = body.rsplit(",", count % 4)[0]
        message = pynmea2.parse("$" + body, check=False)
        for i in range(1, count // 4 + 1):
            number = getattr(message, f"sv_prn_num_{i}")
            key = (body[:2], int(number or 0))
            snr = int(getattr(message, f"snr_{i}") or 0)
            self._sky[key] = max(self._sky.get(key, 0), snr)

    def _summary(self) -> list[int] | None:
        heard = [snr for snr in self._sky.values() if snr]
        if not heard:
            return None
        low, count = min(heard), len(heard)
        return [count, (2 * sum(heard) + count) // (2 * count), low, max(heard) - low]

    def _end(self, epoch: dict[str, Any]) -> None:
        rmc, gga = epoch.get("RMC"), epoch.get("GGA")
        if rmc and gga and rmc.status == "A" and gga.gps_qual > 0:
            for other in (rmc, epoch.get("GLL", gga)):
                assert (other.lat, other.lat_dir) == (gga.lat, gga.lat_dir)
                assert (other.lon, other.lon_dir) == (gga.lon, gga.lon_dir)
            at = datetime.combine(rmc.datestamp, epoch["time"])
            zda = epoch.get("ZDA")
            day = date(zda.year, zda.month, zda.day) if zda else None
            assert day in (None, rmc.datestamp)
            vtg = epoch.get("VTG")
            if vtg and vtg.spd_over_grnd_kts is not None:
                assert float(vtg.spd_over_grnd_kts) == rmc.spd_over_grnd
            self.fixes.append(
                [
                    *(zulu(at), e7(gga.lat, gga.lat_dir), e7(gga.lon, gga.lon_dir)),
                    *(tenths_up(gga.horizontal_dil), int(gga.num_sats), gga.gps_qual),
                    epoch.get("kind", 1),
                    *(round(gga.altitude * 10), round(rmc.spd_over_grnd * 1000)),
                    None if rmc.true_course is None else round(rmc.true_course * 100),
                    *(self._summary(), (day - date(1970, 1, 1)).days if day else -1),
                ]
            )
            self._had = True
        elif (rmc and rmc.status == "V") or (gga and gga.gps_qual == 0):
            self.losses += self._had
            self._had = False
        self._sky = {}


def zulu(at: datetime) -> str:
    text = at.replace(tzinfo=None).isoformat(
        timespec="milliseconds" if at.microsecond else "seconds"
    )
    return text + "Z"


def gpsd(path: Path) -> dict[datetime, list[dict[str, Any]]]:
    """gpsd's TPV reports with a time and a position, by time."""
    reports: dict[datetime, list[dict[str, Any]]] = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        if line.startswith('{"class":"TPV"'):
            report = json.loads(line)
            if "time" in report and "lat" in report:
                at = datetime.fromisoformat(report["time"]).astimezone(UTC)
                reports.setdefault(at, []).append(report)
    return reports


@pytest.mark.parametrize("name", LOGS)
def test_counts_and_ends(data: Path, name: str) -> None:
    told = in_vm("nmea_log.py", str(data / "nmea" / f"{name}.log"), "512")
    got = (told["sentences"], told["checksum_errors"], told["count"], told["losses"])
    assert (*got, told["fixes"][0][0], told["fixes"][-1][0]) == EXPECTED[name]
    assert told["bad_fields"] == 0
    assert len({fix[0] for fix in told["fixes"]}) == told["count"] == len(told["fixes"])


@pytest.mark.parametrize("size", ["1", "61", "1000000"])
@pytest.mark.parametrize("name", LOGS)
def test_the_same_as_pynmea2(data: Path, name: str, size: str) -> None:
    """Every count, and every field of every fix; however the bytes are cut."""
    path = data / "nmea" / f"{name}.log"
    oracle = Oracle(path.read_bytes())
    told = in_vm("nmea_log.py", str(path), size)
    assert told["sentences"] == oracle.sentences
    assert told["checksum_errors"] == oracle.checksum_errors
    assert told["losses"] == oracle.losses
    assert told["fixes"] == oracle.fixes


@pytest.mark.parametrize("case", PYNMEA2_DIFFERS, ids=lambda case: case[-1])
def test_where_pynmea2_reads_otherwise(tmp_path: Path, case: tuple[Any, ...]) -> None:
    rmc, other, theirs, fixes, _ = case
    lines = []
    for body in (rmc, other):
        check = 0
        for x in body.encode():
            check ^= x
        lines.append(f"${body}*{check:02X}")
    assert theirs(pynmea2.parse(lines[0], check=True), pynmea2.parse(lines[1], check=True))
    path = tmp_path / "log"
    path.write_text("\r\n".join(lines))
    told = in_vm("nmea_log.py", str(path), "512")
    assert (told["sentences"], len(told["fixes"]), told["odd"]) == (2, fixes, False)


@pytest.mark.parametrize("name", LOGS)
def test_the_same_as_gpsd(data: Path, name: str) -> None:
    """The same fixes: time to the millisecond, position within 2e-6 degrees, and type."""
    told = in_vm("nmea_log.py", str(data / "nmea" / f"{name}.log"), "512")
    reports = gpsd(data / "nmea" / f"{name}.log.chk")
    day, rolled = DATES[name]
    differs = GPSD_DIFFERS.get(name, {})
    ours = {datetime.fromisoformat(fix[0]).astimezone(UTC): fix for fix in told["fixes"]}
    assert {at.date().isoformat() for at in ours} == {day}
    assert rolled % (1024 * 7) == 0
    theirs = {at - timedelta(days=rolled): found for at, found in reports.items()}

    def clock(times: Iterable[datetime]) -> list[str]:
        return [at.strftime("%H:%M:%S.%f")[:-3] for at in sorted(times)]

    assert clock(theirs.keys() - ours.keys()) == differs.get("only gpsd", [])
    assert clock(ours.keys() - theirs.keys()) == differs.get("only ours", [])
    unknown, other = [], []
    for at in ours.keys() & theirs.keys():
        fix = ours[at]
        for report in theirs[at]:
            assert abs(fix[1] - report["lat"] * 1e7) <= 20, fix
            assert abs(fix[2] - report["lon"] * 1e7) <= 20, fix
        # Our 1 is "unknown"; gpsd's is "no fix", which a position never has.
        if fix[6] == 1:
            unknown.append(at)
        elif fix[6] not in {report["mode"] for report in theirs[at]}:
            other.append(at)
    assert len(unknown) == differs.get("type unknown", 0)
    assert clock(other) == differs.get("type", [])


@pytest.mark.parametrize("name", LOGS)
def test_detector_flags(data: Path, tmp_path: Path, name: str) -> None:
    """How many fixes of each log have which flag; and what is recorded of them."""
    path = data / "nmea" / f"{name}.log"
    epochs = tmp_path / "epochs"
    with epochs.open("wb") as out:
        for ms, said in Replay(path):
            out.write(struct.pack("<II", ms, len(said)) + said)
    told = in_vm("gnss_log.py", str(epochs), str(first_date(path)))
    assert len(told["fixes"]) == EXPECTED[name][2]
    flags = Counter(flag for fix in told["fixes"] for flag in reading.flag_names(fix[1]))
    assert flags == FLAGS.get(name, {})
    # Every flag of a fix is recorded, with it or with the next that is.
    recorded = Counter(
        flag for entry in told["entries"] if entry[8] for flag in reading.flag_names(entry[8][6])
    )
    assert recorded.keys() <= flags.keys()
    if name != "gp-320fw-2019-04-07-coldboot":  # only fix
        assert told["events"][1][0] == 2  # the clock is set


def test_documented_flags_are_the_flags() -> None:
    """WIRE.md names every flag with its value."""
    wire = (vm.ROOT / "protocol" / "WIRE.md").read_text()
    section = wire.partition("### Detector flags")[2].partition("### ")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.M)
    assert [(1 << i, name) for i, name in enumerate(reading.flag_names(0xFFF))] == [
        (int(value), name) for value, name in rows
    ]

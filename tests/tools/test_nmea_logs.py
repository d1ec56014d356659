"""Real receivers' logs through the parser in the VM, beside pynmea2 and gpsd's own reading."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pynmea2
import pytest
import vm

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
ROLLOVER = timedelta(weeks=1024)

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
    """Epochs as runs of RMC and GGA with one time (pynmea2 reads the fields)."""

    def __init__(self, raw: bytes) -> None:
        good, self.checksum_errors = checked(raw)
        self.sentences = len(good)
        self.fixes: list[list[Any]] = []
        self.losses = 0
        self._had = False
        epoch: dict[str, Any] = {}
        for line in good:
            kind = line[3:6]
            if line[1] == "P" or kind not in ("RMC", "GGA"):
                continue
            message = pynmea2.parse(line, check=True)
            time = message.timestamp or None
            if epoch and (time != epoch["time"] or (time is None and kind in epoch)):
                self._end(epoch)
                epoch = {}
            epoch["time"] = time
            epoch[kind] = message
        self._end(epoch)

    def _end(self, epoch: dict[str, Any]) -> None:
        rmc, gga = epoch.get("RMC"), epoch.get("GGA")
        if rmc and gga and rmc.status == "A" and gga.gps_qual > 0:
            assert (rmc.lat, rmc.lat_dir) == (gga.lat, gga.lat_dir)
            assert (rmc.lon, rmc.lon_dir) == (gga.lon, gga.lon_dir)
            at = datetime.combine(rmc.datestamp, epoch["time"])
            self.fixes.append(
                [
                    *(zulu(at), e7(gga.lat, gga.lat_dir), e7(gga.lon, gga.lon_dir)),
                    *(tenths_up(gga.horizontal_dil), int(gga.num_sats), gga.gps_qual),
                    *(round(gga.altitude * 10), round(rmc.spd_over_grnd * 1000)),
                    None if rmc.true_course is None else round(rmc.true_course * 100),
                ]
            )
            self._had = True
        elif (rmc and rmc.status == "V") or (gga and gga.gps_qual == 0):
            self.losses += self._had
            self._had = False


def zulu(at: datetime) -> str:
    text = at.replace(tzinfo=None).isoformat(
        timespec="milliseconds" if at.microsecond else "seconds"
    )
    return text + "Z"


def gpsd(path: Path) -> dict[datetime, dict[str, Any]]:
    """gpsd's TPV reports with a time and a position, by time; the last one of each."""
    reports = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        if line.startswith('{"class":"TPV"'):
            report = json.loads(line)
            if "time" in report and "lat" in report:
                reports[datetime.fromisoformat(report["time"]).astimezone(UTC)] = report
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
    assert [[*fix[:6], *fix[7:]] for fix in told["fixes"]] == oracle.fixes


@pytest.mark.parametrize("name", LOGS)
def test_the_same_as_gpsd(data: Path, name: str) -> None:
    """Positions within 2e-6 degrees and the fix type, for each time that gpsd reports too."""
    told = in_vm("nmea_log.py", str(data / "nmea" / f"{name}.log"), "512")
    reports = gpsd(data / "nmea" / f"{name}.log.chk")
    compared = 0
    for fix in told["fixes"]:
        at = datetime.fromisoformat(fix[0]).astimezone(UTC)
        # gpsd moves neo-m8n's dates of 2015 on by 1024 weeks; we take what the receiver says.
        report = reports.get(at) or reports.get(at + ROLLOVER)
        if report is None:
            continue
        compared += 1
        assert abs(fix[1] - report["lat"] * 1e7) <= 20, fix
        assert abs(fix[2] - report["lon"] * 1e7) <= 20, fix
        # The mode of a report is that of the last GSA, which may have come for an earlier fix.
        assert report["mode"] in (2, 3)
    # gp-320fw's only fix has no report with a position: gpsd wants two RMC of one date.
    assert compared >= len(told["fixes"]) * 9 // 10 or name.startswith("gp-320fw"), compared


def test_nothing_real_is_no_log(tmp_path: Path) -> None:
    """Empty, binary and endless input: counted, never read as a fix."""
    for content in (b"", bytes(range(256)) * 64, b"$" * 70000, b"$GPGGA," + b"1" * 400000):
        path = tmp_path / "input"
        path.write_bytes(content)
        told = in_vm("nmea_log.py", str(path), "512")
        assert (told["sentences"], told["fixes"]) == (0, [])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_logs_give_no_false_fix(data: Path, seed: int) -> None:
    """Cut anywhere, joined to any other, bytes changed: no exception, no position of nobody's."""
    paths = [str(data / "nmea" / f"{name}.log") for name in LOGS]
    seen = in_vm("nmea_fuzz.py", str(seed), "150", *paths)
    assert seen["wrong"] == [], f"seed {seed}"
    assert seen["sentences"] > 25000 and seen["fixes"] > 2000 and seen["damaged"] > 1000, seen

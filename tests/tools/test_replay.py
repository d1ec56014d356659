"""A log cut into epochs and paced: rates, midnight, gaps, jumps, noise, hostile files."""

from pathlib import Path

import pytest
from ronda_tools import synth
from ronda_tools.replay import Replay, first_date
from ronda_tools.texts import UsedWrong


def _rmc(time: str, status: str = "A", date: str = "150926") -> bytes:
    body = f"GNRMC,{time},{status},1207.26600,S,07701.78200,W,0.0,,{date},,,A"
    return synth.sentence(body).encode()


def _gga(time: str, quality: int = 1) -> bytes:
    body = f"GNGGA,{time},1207.26600,S,07701.78200,W,{quality},09,0.9,79.0,M,24.0,M,,"
    return synth.sentence(body).encode()


def _other() -> bytes:
    return synth.sentence("GNGSA,A,3,02,05,,,,,,,,,,,1.5,0.9,1.2").encode()


def _epoch(time: str) -> bytes:
    return _rmc(time) + _gga(time) + _other()


def _log(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "log.nmea"
    path.write_bytes(data)
    return path


def _times(tmp_path: Path, data: bytes) -> list[int]:
    return [ms for ms, _ in Replay(_log(tmp_path, data))]


def test_every_byte_comes_once_and_in_order(tmp_path: Path) -> None:
    """Comments aside; noise, half sentences and the last epoch without a line end too."""
    data = b"\x00\xffjunk" + _epoch("130000.00") + b"half$GN\r\n" + _epoch("130001.00").rstrip()
    log = b"# a comment $GPRMC\r\n" + data + b"\r\n#last"
    got = list(Replay(_log(tmp_path, log)))
    assert b"".join(said for _, said in got) == data + b"\r\n"
    assert [ms for ms, _ in got] == [1000, 2000]


def test_device_time_follows_the_receivers(tmp_path: Path) -> None:
    """1 Hz, 5 Hz, a gap of seconds, midnight, a leap second."""
    for times, expected in (
        (["130000.00", "130001.00", "130002.00"], [1000, 2000, 3000]),
        (["130000.000", "130000.200", "130000.400"], [1000, 1200, 1400]),
        (["130000", "130007", "130008"], [1000, 8000, 9000]),
        (["235959.50", "000000.50", "000001.50"], [1000, 2000, 3000]),
        (["235959.00", "235960.00", "000000.00"], [1000, 2000, 3000]),
    ):
        assert _times(tmp_path, b"".join(map(_epoch, times))) == expected, times


def test_what_is_no_step_is_a_nominal_second(tmp_path: Path) -> None:
    """Long gaps, jumps back, repeats of a whole epoch, epochs without a time."""
    for times, expected in (
        (["130000.00", "131500.00", "131501.00"], [1000, 2000, 3000]),
        (["130000.00", "125959.00", "130000.00"], [1000, 2000, 3000]),
        (["130000.00", "130000.00", "130001.00"], [1000, 2000, 3000]),
    ):
        assert _times(tmp_path, b"".join(map(_epoch, times))) == expected, times
    blind = (_rmc("", "V", "") + _gga("", 0) + _other()) * 3
    assert _times(tmp_path, blind) == [1000, 2000, 3000]


def test_times_in_bad_sentences_are_not_believed(tmp_path: Path) -> None:
    """A failing checksum or a time that is none paces nothing."""
    broken = _rmc("180000.00").replace(b"*", b"*0")
    odd = synth.sentence("GPGLL,1207.2,S,07701.7,W,997799.00,A,A").encode()
    assert _times(tmp_path, _epoch("130000.00") + broken + odd + _epoch("130001.00")) == [
        1000,
        2000,
    ]


def test_the_first_valid_fix_is_noted(tmp_path: Path) -> None:
    """The first epoch with RMC A and GGA above 0, at its simulated time."""
    data = _rmc("130000.00", "V") + _gga("130000.00", 0) + _rmc("130001.00") + _gga("130001.00", 0)
    replay = Replay(_log(tmp_path, data + _epoch("130002.00") + _epoch("130003.00")))
    assert replay.first_fix_ms is None
    list(replay)
    assert replay.first_fix_ms == 3000 and replay.ended


def test_a_file_without_times_passes_in_pieces(tmp_path: Path) -> None:
    """Binary, or one endless line: bounded pieces, a second each."""
    data = bytes(range(256)).replace(b"\n", b"").replace(b"#", b"") * 400
    pieces = list(Replay(_log(tmp_path, data)))
    assert b"".join(said for _, said in pieces) == data
    assert max(len(said) for _, said in pieces) <= 8192
    assert [ms for ms, _ in pieces] == [1000 * (k + 1) for k in range(len(pieces))]


def test_progress_counts_the_bytes(tmp_path: Path) -> None:
    """The numbers add up to what was read."""
    data = _epoch("130000.00") * 10
    seen: list[int] = []
    list(Replay(_log(tmp_path, data), seen.append))
    assert sum(seen) == len(data)


def test_first_date(tmp_path: Path) -> None:
    """Of the first valid RMC: not void, right checksum, a real date, centuries as the firmware."""
    late = _rmc("130000.00") + _rmc("130001.00", date="160926")
    for data, expected in (
        (late, 1789430400),
        (_rmc("130000.00", "V", "010126") + late, 1789430400),
        (_rmc("130000.00", date="320926") + late, 1789430400),
        (_rmc("130000.00", date="010180"), 315532800),
        (_rmc("130000.00", date="010179"), 3439756800),
        (_gga("130000.00"), None),
    ):
        assert first_date(_log(tmp_path, data)) == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "file.empty"), (b"\x00\x01\xff" * 5000, "nmea.none"), (b"hello\nworld\n", "nmea.none")],
)
def test_files_that_are_no_log(tmp_path: Path, data: bytes, code: str) -> None:
    """Empty, binary, or text of another kind: each its own error."""
    with pytest.raises(UsedWrong) as caught:
        first_date(_log(tmp_path, data))
    assert caught.value.code == code


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    """Missing, a folder, a device, a name that cannot be."""
    for path, code in (
        (tmp_path / "no", "file.missing"),
        (tmp_path, "file.directory"),
        (Path("/dev/zero"), "nmea.not_file"),
        (tmp_path / ("x" * 300), "file.unreadable"),
    ):
        with pytest.raises(UsedWrong) as caught:
            first_date(path)
        assert caught.value.code == code

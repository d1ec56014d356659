"""Replays a receiver's log: cuts it into epochs by the UTC time in its sentences and paces them.

It reads times only, to know how much device time lies between two epochs; what the sentences mean
is the firmware's business. Lines that begin with # are comments of whoever kept the log. The file
is streamed.
"""

import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ronda_tools import texts
from ronda_tools.texts import Text, UsedWrong

texts.add(
    {
        "nmea.not_file": Text(
            "{file} no es un archivo común",
            "{file} is not a regular file",
            "guarde en un archivo lo que dijo el receptor y nómbrelo con --nmea",
            "keep in a file what the receiver said and name it with --nmea",
        ),
        "nmea.none": Text(
            "en {path} no hay ninguna sentencia NMEA ($…*hh)",
            "there is no NMEA sentence ($…*hh) in {path}",
            "si es un registro binario del receptor, expórtelo como NMEA 0183",
            "if it is a receiver's binary log, export it as NMEA 0183",
        ),
    }
)

_LINE_MAX = 1024  # longer lines come in pieces
_BURST_MAX = 4096  # without a time in so many bytes, a second passes
_STEP_MAX_MS = 10_000
_NOMINAL_MS = 1000
_DAY_MS = 86_400_000
_FRAMED = re.compile(rb"\$[A-Z][A-Z0-9]{3,10},[\x20-\x7e]{0,160}\*[0-9A-Fa-f]{2}")
_TIMED = re.compile(rb"\$([A-Z]{2}(?:RMC|GGA|GLL|ZDA|GNS)),([\x20-\x29\x2b-\x7e]*)\*(..)")
_CLOCK = re.compile(rb"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{1,9}))?")


def check(path: Path) -> None:
    """UsedWrong unless the path is a file with something in it."""
    try:
        mode = path.stat()
    except FileNotFoundError:
        raise UsedWrong("file.missing", file=path) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if stat.S_ISDIR(mode.st_mode):
        raise UsedWrong("file.directory", file=path)
    if not stat.S_ISREG(mode.st_mode):
        raise UsedWrong("nmea.not_file", file=path)
    if not mode.st_size:
        raise UsedWrong("file.empty", file=path)


def _unreadable(path: Path, error: Exception) -> UsedWrong:
    why = getattr(error, "strerror", None) or str(error)
    return UsedWrong("file.unreadable", file=path, why=why)


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of the file, comments left out, long ones in pieces."""
    try:
        with path.open("rb") as file:
            begins, comment = True, False
            while piece := file.readline(_LINE_MAX):
                if begins:
                    comment = piece.startswith(b"#")
                begins = piece.endswith(b"\n")
                yield b"" if comment else piece
    except OSError as error:
        raise _unreadable(path, error) from None


def _checked(found: "re.Match[bytes]") -> bool:
    """Whether a sentence's checksum is right."""
    value = 0
    for byte in found.group()[1:-3]:
        value ^= byte
    return b"%02X" % value == found[3].upper()


def _time_ms(text: bytes) -> int | None:
    """ms of the day of hhmmss.sss, or None."""
    found = _CLOCK.fullmatch(text)
    if not found:
        return None
    hours, minutes, seconds = int(found[1]), int(found[2]), int(found[3])
    fraction = int((found[4] or b"0").ljust(3, b"0")[:3])
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction


def first_date(path: Path) -> int | None:
    """Unix time at 00:00 UTC of the first date a valid RMC tells; None if none does.

    UsedWrong `nmea.none` when the file holds no framed sentence at all, right or wrong.
    """
    check(path)
    framed = False
    for line in _lines(path):
        framed = framed or _FRAMED.search(line) is not None
        found = _TIMED.search(line)
        if not found or found[1][2:] != b"RMC" or not _checked(found):
            continue
        fields = found[2].split(b",")
        if len(fields) > 8 and fields[1] == b"A":
            try:
                date = datetime.strptime(fields[8].decode("ascii"), "%d%m%y")
            except ValueError:
                continue
            # As the firmware reads it: receivers that forgot the century begin in 1980.
            year = date.year % 100 + (1900 if date.year % 100 > 79 else 2000)
            return int(date.replace(year=year, tzinfo=UTC).timestamp())
    if not framed:
        raise UsedWrong("nmea.none", path=path)
    return None


class Replay:
    """Iterates a log as (simulated ms, bytes of one epoch), the first at 1000 ms.

    Device time advances by the difference of two epochs' UTC times when it is above 0 and at most
    10 s, midnight included; else (a gap, a jump, a repeat, no time) by a nominal second. After
    iterating, `first_fix_ms` is when the first epoch with RMC A and GGA > 0 was said, or None.
    """

    def __init__(self, path: Path, progress: Callable[[int], None] | None = None) -> None:
        check(path)
        self.path = path
        self.size = path.stat().st_size
        self.first_fix_ms: int | None = None
        self.ended = False
        self.ms = _NOMINAL_MS
        self._progress = progress
        self._burst: list[bytes] = []
        self._length = 0
        self._forget()

    def _forget(self) -> None:
        """A new burst: nothing heard in it yet."""
        self._time: int | None = None
        self._heard: set[bytes] = set()
        self._status = self._quality = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for line in _lines(self.path):
            if self._progress:
                self._progress(len(line))
            if not line:
                continue
            found = _TIMED.search(line)
            if found and _checked(found):
                yield from self._timed(found[1], found[2].split(b","))
            elif self._length >= _BURST_MAX:
                yield from self._say(self._time)
            self._burst.append(line)
            self._length += len(line)
        yield from self._say(None)
        self.ended = True

    def _timed(self, address: bytes, fields: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """A sentence that tells a time, or could: end the burst in hand if it begins another."""
        kind = address[2:]
        time = _time_ms(fields[4] if kind == b"GLL" and len(fields) > 4 else fields[0])
        another = time is not None and self._time is not None and time != self._time
        # Without times (or with a clock that stands still) a repeated sentence begins an epoch.
        if another or address in self._heard:
            yield from self._say(time)
        if time is not None:
            self._time = time
        self._heard.add(address)
        if kind == b"RMC":
            self._status = self._status or (len(fields) > 1 and fields[1] == b"A")
        elif kind == b"GGA":
            self._quality = self._quality or (len(fields) > 5 and fields[5] not in (b"", b"0"))
        if self._status and self._quality and self.first_fix_ms is None:
            self.first_fix_ms = self.ms

    def _say(self, time: int | None) -> Iterator[tuple[int, bytes]]:
        """The burst in hand is complete; `time` is the next one's."""
        if self._burst:
            yield self.ms, b"".join(self._burst)
            step = _NOMINAL_MS
            if time is not None and self._time is not None:
                step = (time - self._time) % _DAY_MS
            self.ms += step if 0 < step <= _STEP_MAX_MS else _NOMINAL_MS
        self._burst.clear()
        self._length = 0
        self._forget()

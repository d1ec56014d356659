"""A receiver's line as it is on a bad day (D15): sentences damaged, lost, joined, drowned, framed.

`Line(rng).make(sources, count)` gives the bytes, in pieces as a UART hands them over, and what an
oracle knows of them by construction: which whole sentences nothing has touched. `Truth` reads the
undamaged sentences by itself, with decimal arithmetic, not with the firmware's parser. Leaves out
the VM and the verdict.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from pathlib import Path

from ronda_tools.synth import MIRAFLORES, Walk

FRAMED = re.compile(rb"\$((?:[A-Z][^,$*\r\n]{4}|P[A-Z0-9]{3,}),[^$*\r\n]*)\*([0-9A-Fa-f]{2})")
_LONGEST = 160


def holds(sentence: bytes) -> bool:
    """Whether these bytes begin with one whole sentence whose checksum is right."""
    found = FRAMED.match(sentence)
    if not found or found.end(1) > _LONGEST:
        return False
    c = 0
    for x in found[1]:
        c ^= x
    return c == int(found[2], 16)


def sources(folder: Path) -> dict[str, list[bytes]]:
    """Sentences of each real log in `folder` (none where it is absent) and of two walks."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        lines = path.read_bytes().splitlines(keepends=True)
        found[path.stem] = [line for line in lines if not line.startswith(b"#")]
    for name, seed in (("walk", 1), ("2038", 2)):
        # 2038-01-19 03:14:08 UTC is where 32 bits of unix seconds end.
        walk = Walk(MIRAFLORES["parque"], 1789477200 if seed == 1 else 2147483400, seed)
        walk.stand(60)
        walk.go(MIRAFLORES["larco"])
        walk.indoors(30)
        walk.go(MIRAFLORES["schell"])
        walk.stand(120)
        said = b"".join(data for _, data in walk.nmea())
        found[name] = said.splitlines(keepends=True)
    return found


# ---- the oracle ---------------------------------------------------------------------------------


@dataclass
class Truth:
    """What undamaged sentences say: `rmc` ms of the day → {(day, lat, lon)}, `gga` ms → {(lat,
    lon, HDOP in tenths, satellites)}; 1e-7 degrees, days since 1970."""

    rmc: dict[int, set[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(set))
    gga: dict[int, set[tuple[int, int, int, int]]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def read(self, sentences: Iterable[bytes]) -> Truth:
        for sentence in sentences:
            if holds(sentence):
                self._read(sentence[1 : sentence.index(b"*")].decode("latin-1").split(","))
        return self

    def _read(self, words: list[str]) -> None:
        kind = words[0][2:]
        try:
            if kind == "RMC" and words[2] == "A":
                day, month, year = (int(words[9][i : i + 2]) for i in (0, 2, 4))
                when = date(year + (1900 if year > 79 else 2000), month, day)
                days = when.toordinal() - date(1970, 1, 1).toordinal()
                self.rmc[_time(words[1])].add((days, *_place(words[3:7])))
            elif kind in {"GGA", "GNS"} and words[6].strip("N") not in {"", "0"}:
                at = _time(words[1])
                self.gga[at].add((*_place(words[2:6]), _tenths(words[8]), int(words[7] or 0)))
        except (ValueError, IndexError, InvalidOperation):
            return

    def explains(self, fix: Fix) -> bool:
        """Whether an RMC and a GGA of this very content were said."""
        near = any(
            day == fix.day and _near(lat, lon, fix) for day, lat, lon in self.rmc.get(fix.ms, ())
        )
        return near and any(
            abs(lat - fix.lat) < 2
            and abs(lon - fix.lon) < 2
            and hdop == fix.hdop
            and satellites == fix.satellites
            for lat, lon, hdop, satellites in self.gga.get(fix.ms, ())
        )

    def near(self, fix: Fix) -> bool:
        """Whether the position, at least, is what was said for that time, within 2 m."""
        return any(_near(lat, lon, fix) for lat, lon, *_ in self.gga.get(fix.ms, ()))


@dataclass(frozen=True)
class Fix:
    """A fix as the firmware made it."""

    day: int
    ms: int
    lat: int
    lon: int
    hdop: int
    satellites: int


def _near(lat: int, lon: int, fix: Fix) -> bool:
    return abs(lat - fix.lat) <= 168 and abs(lon - fix.lon) <= 168


def _time(text: str) -> int:
    hours, minutes, seconds = int(text[:2]), int(text[2:4]), Decimal(text[4:])
    return (hours * 60 + minutes) * 60_000 + int(seconds * 1000)


def _place(words: list[str]) -> tuple[int, int]:
    def angle(text: str, digits: int, minus: bool) -> int:
        degrees, minutes = int(text[:digits]), Decimal(text[digits:])
        value = round((degrees + minutes / 60) * 10_000_000)
        return -value if minus else value

    return angle(words[0], 2, words[1] == "S"), angle(words[2], 3, words[3] == "W")


def _tenths(text: str) -> int:
    value = int((Decimal(text or "0") * 10).to_integral_value(ROUND_CEILING))
    return value if 0 < value < 255 else 255


# ---- the line -----------------------------------------------------------------------------------


@dataclass
class Said:
    """`pieces` are (bytes, quiet afterwards, ms before them); `plain` is the same without its
    whole binary frames; `untouched` whole sentences nothing has touched; `damage` by kind."""

    pieces: list[tuple[bytes, bool, int]] = field(default_factory=list)
    plain: bytearray = field(default_factory=bytearray)
    untouched: int = 0
    frames: int = 0
    sentences: int = 0
    damage: dict[str, int] = field(default_factory=lambda: defaultdict(int))


_MARKS = (b"$", b"*", b"$*", b"*$", b"$$$$", b"$GPRMC", b"$GPGGA,*", b"*4", b"\xb5", b"\xba")
_MARKS += (b"\xb5\x62", b"\xba\xce", b"\xb5\x62\x01\x07\xff\x00", b"$GPRMC,1,A*", b"\r")


class Line:
    """Draws damage. All chance is `rng`'s."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.said = Said()
        self._out = bytearray()
        self._bad = 0.0

    def make(self, found: dict[str, list[bytes]], count: int) -> Said:
        """About `count` sentences of these sources, spoilt in windows, each its own way."""
        names = sorted(found)
        while self.said.sentences < count:
            lines = found[self.rng.choice(names)]
            start = self.rng.randrange(len(lines))
            window = lines[start : start + self.rng.choice((5, 40, 150, 400))]
            self._bad = self.rng.choice((0, 0.002, 0.02, 0.1, 0.4))
            self._window(window)
        self._cut()
        return self.said

    def _window(self, lines: list[bytes]) -> None:
        skip = 0
        for line in lines:
            self.said.sentences += 1
            if skip:  # lost in an overrun
                skip -= 1
                if not skip:
                    self._put(line[self.rng.randrange(len(line)) :])
            elif self.rng.random() < self._bad:
                skip = self._spoil(line)
            else:
                self._whole(line)

    def _whole(self, line: bytes) -> None:
        self.said.untouched += holds(line)
        self._put(line)

    def _put(self, data: bytes, framed: bool = False) -> None:
        self._out += data
        if framed:
            self.said.frames += 1
        else:
            self.said.plain += data

    def _spoil(self, line: bytes) -> int:
        """Put a spoilt sentence, or something between two; how many of the next are lost."""
        kinds = (
            *("bits", "bits", "bits", "byte", "lost", "twice", "swapped", "end"),
            *("overrun", "overrun", "break", "baud", "noise", "marks"),
            *("frame before", "frame inside", "half frame", "bad frame", "other", "shout"),
        )
        kind = self.rng.choice(kinds)
        self.said.damage[kind] += 1
        return getattr(self, "_" + kind.replace(" ", "_"))(line) or 0

    # One sentence is spoilt.

    def _bits(self, line: bytes) -> None:
        """Flipped bits, often of one weight: those are what an XOR does not see."""
        out, bit = bytearray(line), 1 << self.rng.randrange(8)
        for _ in range(self.rng.choice((1, 1, 2, 2, 2, 3, 8))):
            at = self.rng.randrange(len(out))
            out[at] ^= bit if self.rng.randrange(3) else 1 << self.rng.randrange(8)
        self._put(bytes(out))

    def _byte(self, line: bytes) -> None:
        out = bytearray(line)
        for _ in range(self.rng.choice((1, 2, 10))):
            out[self.rng.randrange(len(out))] = self.rng.randrange(256)
        self._put(bytes(out))

    def _lost(self, line: bytes) -> None:
        at = self.rng.randrange(len(line))
        self._put(line[:at] + line[at + self.rng.choice((1, 1, 2, 7, 30)) :])

    def _twice(self, line: bytes) -> None:
        at = self.rng.randrange(len(line))
        self._put(line[:at] + line[max(0, at - self.rng.choice((1, 3, 30))) :])

    def _swapped(self, line: bytes) -> None:
        """Two neighbours change places: the checksum stays right."""
        at = self.rng.randrange(max(1, len(line) - 1))
        self._put(line[:at] + line[at + 1 : at + 2] + line[at : at + 1] + line[at + 2 :])

    def _end(self, line: bytes) -> None:
        """CR or LF or both are lost; the sentence itself is whole."""
        text = line.rstrip(b"\r\n")
        self._whole(text + self.rng.choice((b"", b"\r", b"\n", b"\n\n\r")))

    # Something goes on for longer.

    def _overrun(self, line: bytes) -> int:
        """The receive buffer ran over: the end of this, some whole ones, the start of another."""
        self._put(line[: self.rng.randrange(len(line))])
        return self.rng.choice((1, 1, 2, 5, 20))

    def _break(self, line: bytes) -> None:
        self._put(bytes(self.rng.choice((1, 3, 200))))
        self._whole(line)

    def _baud(self, line: bytes) -> int:
        """Read at another speed: bytes that look like nothing, for a while."""
        likely = b"\x00\x80\xe0\xf8\xfe\xff\x1c\x78\xb5\xba\x62\xce$*"
        size = self.rng.choice((30, 300, 2000))
        self._put(bytes(self.rng.choices(likely + self.rng.randbytes(20), k=size)))
        return size // 60

    def _noise(self, line: bytes) -> None:
        self._put(self.rng.randbytes(self.rng.choice((1, 2, 6, 60))))
        self._whole(line)

    def _marks(self, line: bytes) -> None:
        """What a parser stumbles over: marks without sentences, heads without bodies."""
        self._put(self.rng.choice(_MARKS))
        self._whole(line)

    def _other(self, line: bytes) -> None:
        """Bytes of its own from a moment ago: a DMA buffer read twice."""
        old = bytes(self.said.plain[-self.rng.choice((20, 80, 300)) :])
        self._put(old)
        self._whole(line)

    def _shout(self, line: bytes) -> None:
        """A sentence that never ends."""
        self._put(b"$GPGGA," + b"1" * self.rng.choice((100, 161, 700)))
        self._whole(line)

    # Binary frames.

    def _frame_before(self, line: bytes) -> None:
        self._put(self._frame(), framed=True)
        self._whole(line)

    def _frame_inside(self, line: bytes) -> None:
        """In the middle of a sentence, as a receiver's two ports do that share a line."""
        at = self.rng.randrange(1, max(2, len(line) - 4))
        self._put(line[:at])
        self._put(self._frame(), framed=True)
        self._put(line[at:])
        self.said.untouched += holds(line)

    def _half_frame(self, line: bytes) -> None:
        frame = self._frame()
        self._put(frame[: self.rng.randrange(1, len(frame))])
        self._whole(line)

    def _bad_frame(self, line: bytes) -> None:
        frame = bytearray(self._frame())
        frame[self.rng.randrange(2, len(frame))] ^= 1 << self.rng.randrange(8)
        self._put(bytes(frame))
        self._whole(line)

    def _frame(self) -> bytes:
        """UBX or CASIC, sometimes full of sentences."""
        size = self.rng.choice((0, 4, 20, 92, 400))
        inside = bytes(self.said.plain[-size:]) if self.rng.randrange(2) else b""
        inside = (inside + self.rng.randbytes(size))[:size]
        return ubx(inside) if self.rng.randrange(2) else casic(inside[: size & ~3])

    # As a UART hands it over.

    def _cut(self) -> None:
        at = 0
        while at < len(self._out):
            size = self.rng.choice((1, 2, 7, 60, 180, 511, 511))
            piece = bytes(self._out[at : at + size])
            self.said.pieces.append((piece, self.rng.randrange(3) == 0, self.rng.randrange(200)))
            at += size


def ubx(payload: bytes) -> bytes:
    """A u-blox frame (u-blox M8 §32.2)."""
    body = b"\x01\x07" + len(payload).to_bytes(2, "little") + payload
    a = c = 0
    for x in body:
        a = (a + x) & 255
        c = (c + a) & 255
    return b"\xb5\x62" + body + bytes((a, c))


def casic(payload: bytes) -> bytes:
    """A CASIC frame; its payload is whole words."""
    body = len(payload).to_bytes(2, "little") + b"\x01\x03" + payload
    c = sum(int.from_bytes(body[i : i + 4], "little") for i in range(0, len(body), 4))
    return b"\xba\xce" + body + (c & 0xFFFFFFFF).to_bytes(4, "little")


def write(said: Said, path: Path) -> None:
    """The pieces into a file for the VM: length and flag, ms, bytes."""
    with path.open("wb") as file:
        for piece, quiet, ms in said.pieces:
            file.write((len(piece) | quiet << 15).to_bytes(2, "little"))
            file.write(ms.to_bytes(2, "little") + piece)


def fixes(path: Path) -> Iterator[Fix]:
    """What the VM wrote."""
    with path.open() as file:
        for line in file:
            yield Fix(*json.loads(line))

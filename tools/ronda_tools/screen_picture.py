"""A handheld's pixels for people: lines for a terminal at true proportions, and PNG files."""

import struct
import zlib
from collections.abc import Iterator, Sequence

from ronda_tools.handset import Pixels

# Paper, ink, accent, alert, as red, green and blue; a mono screen has the first two.
COLOURS = ((12, 16, 20), (232, 238, 242), (255, 196, 64), (255, 96, 80))


def png(pixels: Pixels, scale: int = 4) -> bytes:
    """The picture as a PNG file, `scale` pixels a pixel. Palette, no library needed: 1 IDAT."""
    wide, high = len(pixels[0]) * scale, len(pixels) * scale
    rows = bytearray()
    for row in pixels:
        line = bytes(ink for ink in row for _ in range(scale))
        rows += (b"\0" + line) * scale
    palette = b"".join(bytes(colour) for colour in COLOURS)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)),
            (b"PLTE", palette),
            (b"IDAT", zlib.compress(bytes(rows), 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def svg(pixels: Pixels, scale: int = 3) -> str:
    """The picture as an SVG file: a path of horizontal runs for each ink."""
    wide, high = len(pixels[0]), len(pixels)
    paths: dict[int, list[str]] = {}
    for y, row in enumerate(pixels):
        for ink, first, last in _runs(row):
            paths.setdefault(ink, []).append(f"M{first} {y}h{last - first}v1H{first}z")
    body = "".join(
        f'<path fill="#{bytes(COLOURS[ink]).hex()}" d="{"".join(parts)}"/>\n'
        for ink, parts in sorted(paths.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        f'width="{wide * scale}" height="{high * scale}" shape-rendering="crispEdges">\n'
        f'<rect width="{wide}" height="{high}" fill="#{bytes(COLOURS[0]).hex()}"/>\n{body}</svg>\n'
    )


def _runs(row: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(ink, first, after the last) of each run of one ink that is not paper."""
    first = 0
    for x in range(1, len(row) + 1):
        if x == len(row) or row[x] != row[first]:
            if row[first]:
                yield row[first], first, x
            first = x


def ansi(pixels: Pixels, columns: int, lines: int) -> list[str]:
    """Lines for a terminal of that size, at the screen's true proportions: two rows of pixels a
    line, or eight pixels a letter (Braille), or those of every second pixel where it is small."""
    wide, high = len(pixels[0]), len(pixels)
    if wide <= columns and high <= 2 * lines:
        halves = ("".join(_half(a, b) for a, b in zip(*p, strict=True)) for p in _pairs(pixels))
        return [line + _PLAIN for line in halves]
    if wide > 2 * columns or high > 4 * lines:
        pixels = [
            [max(pixels[y][x : x + 2] + pixels[y + 1][x : x + 2]) for x in range(0, wide, 2)]
            for y in range(0, high, 2)
        ]
    return [line + _PLAIN for line in _braille(pixels)]


_PLAIN = "\x1b[0m"
# Bits of a Braille letter by row and column (Unicode, block 2800).
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def _braille(pixels: Pixels) -> Iterator[str]:
    paper = ";".join(str(part) for part in COLOURS[0])
    for y in range(0, len(pixels), 4):
        line = f"\x1b[48;2;{paper}m"
        for x in range(0, len(pixels[0]), 2):
            cell = [row[x : x + 2] for row in pixels[y : y + 4]]
            dots = sum(
                _DOTS[i][j] for i, row in enumerate(cell) for j, ink in enumerate(row) if ink
            )
            ink = max(max(row) for row in cell) or 1
            line += (
                f"\x1b[38;2;{';'.join(str(part) for part in COLOURS[ink])}m{chr(0x2800 + dots)}"
            )
        yield line


def _half(above: int, below: int) -> str:
    ink, paper = (";".join(str(part) for part in COLOURS[i]) for i in (above, below))
    return f"\x1b[38;2;{ink};48;2;{paper}m▀"


def plain(pixels: Pixels) -> str:
    """The picture in half blocks without colours: what a failing test prints."""
    marks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    return "\n".join(
        "".join(marks[bool(a), bool(b)] for a, b in zip(*pair, strict=True)).rstrip()
        for pair in _pairs(pixels)
    )


def _pairs(pixels: Pixels) -> Sequence[tuple[list[int], list[int]]]:
    padded = pixels if len(pixels) % 2 == 0 else [*pixels, [0] * len(pixels[0])]
    return list(zip(padded[::2], padded[1::2], strict=True))

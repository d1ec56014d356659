"""Draws letters, bars and arrows into a frame buffer: a screen, or a strip of a larger one.

Knows inks, not colours: a display maps them. Measures text as it draws it. Lays nothing out.
"""

import framebuf
from micropython import const

from handheld import glyphs

PAPER, INK, ACCENT, ALERT = 0, 1, 2, 3
ROWS = const(8)  # a letter's height, the row below the line counted
_GAP = const(1)
_SPACE = const(4)  # between two words: a gap, two columns, a gap
# Four pixels of a column, each twice: a nibble as a byte.
_TWICE = b"\x00\x03\x0c\x0f\x30\x33\x3c\x3f\xc0\xc3\xcc\xcf\xf0\xf3\xfc\xff"


def _letter(c):
    """(first, end) of a letter's columns; a letter that was never drawn is a question mark."""
    at = ord(c) - 32
    if not 0 <= at < 95:
        at = glyphs.OTHERS.find(c)
        at = 31 if at < 0 else 95 + at
    starts = glyphs.STARTS
    at *= 2
    return starts[at] << 8 | starts[at + 1], starts[at + 2] << 8 | starts[at + 3]


def width(text):
    """Pixels that a line of text takes at scale 1."""
    total = 0
    for c in text:
        start, end = _letter(c)
        total += end - start + _GAP
    return max(0, total - _GAP)


def wrap(text, room):
    """The lines of at most `room` pixels that a text makes; a word longer than that is cut."""
    lines, line, used = [], "", 0
    for word in text.split(" "):
        wide = width(word)
        if line and used + _SPACE + wide > room:
            lines.append(line)
            line, used = "", 0
        while wide > room:
            fits = len(word) - 1
            while fits > 1 and width(word[:fits]) > room:
                fits -= 1
            lines.append(word[:fits])
            word = word[fits:]
            wide = width(word)
        line = line + " " + word if line else word
        used += wide + (_SPACE if used else 0)
    lines.append(line)
    return lines


class Canvas:
    """A strip of a screen: rows `top` to `top + rows` of `wide` x `high` pixels.

    `mono`: two inks instead of four. Coordinates are the screen's; what lies outside is cut off.
    """

    def __init__(self, buffer, wide, high, rows, mono):
        self.wide, self.high, self.rows, self.top = wide, high, rows, 0
        self.mono = mono
        form = framebuf.MONO_VLSB if mono else framebuf.GS2_HMSB
        self._fb = framebuf.FrameBuffer(buffer, wide, rows, form)
        self._glyph = bytearray(32)
        self._one = framebuf.FrameBuffer(self._glyph, 16, 16, framebuf.MONO_VLSB)
        self._inks = framebuf.FrameBuffer(bytearray(2), 2, 1, framebuf.GS8)

    def clear(self, ink=PAPER):
        """Fill the strip."""
        self._fb.fill(self._ink(ink))

    def _ink(self, ink):
        return min(ink, 1) if self.mono else ink

    def box(self, x, y, wide, high, ink=INK, full=True):  # noqa: PLR0917
        """A rectangle, filled or its frame."""
        self._fb.rect(x, y - self.top, wide, high, self._ink(ink), full)

    def line(self, x, y, to_x, to_y, ink=INK):
        """A line one pixel wide."""
        self._fb.line(x, y - self.top, to_x, to_y - self.top, self._ink(ink))

    def text(self, x, y, text, scale=1, ink=INK, paper=PAPER):  # noqa: PLR0917
        """Draw one line of text from its top left corner; the x after it."""
        y -= self.top
        drawn = y < self.rows and y + ROWS * scale > 0
        ink, paper = self._ink(ink), self._ink(paper)
        if drawn:
            self._inks.pixel(0, 0, paper)
            self._inks.pixel(1, 0, ink)
        for c in text:
            start, end = _letter(c)
            if drawn and scale < 3:
                self._put(start, end, x, y, scale, paper)
            elif drawn:
                self._blocks(start, end, x, y, scale, ink)
            x += (end - start + _GAP) * scale
        return x

    def _put(self, start, end, x, y, scale, paper):  # noqa: PLR0917
        """A letter of at most eight columns through the little buffer, once or twice as large."""
        glyph, columns, at = self._glyph, glyphs.COLUMNS, 0
        for i in range(32):
            glyph[i] = 0
        for i in range(start, end):
            c = columns[i]
            if scale == 1:
                glyph[at] = c
            else:
                glyph[at] = glyph[at + 1] = _TWICE[c & 15]
                glyph[at + 16] = glyph[at + 17] = _TWICE[c >> 4]
            at += scale
        self._fb.blit(self._one, x, y, paper, self._inks)

    def _blocks(self, start, end, x, y, scale, ink):  # noqa: PLR0917
        for i in range(start, end):
            c = glyphs.COLUMNS[i]
            for row in range(ROWS):
                if c >> row & 1:
                    self._fb.fill_rect(x, y + row * scale, scale, scale, ink)
            x += scale

    def arrow(self, x, y, size, octant, ink=INK):
        """An arrow in a square of `size`, pointing to one of eight: 0 up, 2 right, 4 down."""
        half = size // 2
        dx = (0, 1, 1, 1, 0, -1, -1, -1)[octant]
        dy = (-1, -1, 0, 1, 1, 1, 0, -1)[octant]
        reach = half if not dx or not dy else half * 3 // 4
        x += half
        y += half
        tip_x, tip_y = x + dx * reach, y + dy * reach
        for side in (-1, 0, 1):  # three pixels wide
            shift_x, shift_y = (side, 0) if dy else (0, side)
            self.line(x - dx * reach + shift_x, y - dy * reach + shift_y, tip_x, tip_y, ink)
        for turn in (3, 5):
            wing = octant + turn & 7
            wing_x = (0, 1, 1, 1, 0, -1, -1, -1)[wing]
            wing_y = (-1, -1, 0, 1, 1, 1, 0, -1)[wing]
            self.line(
                tip_x, tip_y, tip_x + wing_x * half * 2 // 3, tip_y + wing_y * half * 2 // 3, ink
            )
            self.line(
                tip_x,
                tip_y + 1,
                tip_x + wing_x * half * 2 // 3,
                tip_y + 1 + wing_y * half * 2 // 3,
                ink,
            )

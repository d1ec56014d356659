"""The screen and the keys: one page at a time, its choices, the line of states above it.

A page is a module of handheld.pages, loaded for its moment, with a class Page (see pages). It says
what is there, as rows; where that stands on which screen is decided here. What a choice does goes
through the same intents as a script's.
"""

import asyncio

from micropython import const

from handheld import canvas, forget
from handheld.texts import Texts

# Rows of a page, by their first item:
TITLE = "title"  # text: one line in reverse
TEXT = "text"  # text: as many lines as it takes
BIG = "big"  # text: one line, twice as high
CHOICE = "choice"  # text, action, hold: may be chosen; `hold` asks for a key held down
WAY = "way"  # octant or None, text: an arrow and a big line
PART = "part"  # part, whole: a bar

TAP, HOLD, LONG = const(0), const(1), const(2)  # how a key was pressed; LONG is 3 s, SOS
_SHOWN_MS = const(2500)  # how long a hint stands at the foot of the screen


class Ui:
    """`t` gives words; what a page wishes for is done once it has left the heap (see pages)."""

    def __init__(self, app):
        self.app = app
        self.board = board = app.board
        self.texts = Texts((board.nv.get("lang") or b"es").decode())
        screen = board.display
        self._screen = screen
        self._canvas = canvas.Canvas(
            screen.buffer, screen.wide, screen.high, screen.rows, screen.mono
        )
        self._scale = screen.scale
        self._page = self._name = None
        self._args = ()
        self._rows = []
        self._picked = 0
        self._hint, self._hint_ms = None, 0
        self._drawn = None
        self._lock = asyncio.Lock()

    # --- for pages ---

    def t(self, code, *values):
        """The words of a code in the language of this handheld."""
        return self.texts.get(code, *values)

    def go(self, name, *args, came=None):
        """Show a page; the one that was there leaves the heap. `came`: the answer it came with."""
        self._leave()
        self._name, self._args, self._picked = name, args, 0
        module = __import__("handheld.pages." + name, None, None, ("Page",))
        self._page = module.Page(self, came, *args)
        self.draw()

    def _leave(self):
        """Take the page out of the heap: there is not room for a page and what an intent needs."""
        if self._name:
            self._page = self._drawn = None
            self._rows = []
            forget("handheld.pages." + self._name)
            if not self.app.visits.stay:  # it holds on to them: they would come twice
                forget("ronda_protocol.fence", "ronda_protocol.polygon")

    async def _obey(self, wish):
        """Do what a page wished for: (page, args…), or (page, args…) once an intent is done.

        ("go", page, args) or ("do", intent, its args, page, args). An intent that is refused
        shows the page it came from again, which is told the answer.
        """
        if wish[0] == "go":
            self.go(wish[1], *wish[2])
            return
        name, args = self._name, self._args
        self._leave()
        answer = await self.app.intent(wish[1], wish[2])
        if answer["ok"]:
            name, args = wish[3], wish[4]
        self.go(name, *args, came=answer)

    def hint(self, code, *values):
        """Say something at the foot of the screen for a moment."""
        self._hint, self._hint_ms = self.t(code, *values), self.app.clock.ms()
        self.draw()

    def pick(self, index):
        """Put the mark on that choice."""
        self._picked = index

    # --- tasks ---

    async def run(self):
        """Keep the screen true, once a second."""
        while True:
            if self._page is None:
                self.go("start")
            tick = getattr(self._page, "tick", None)
            wish = tick and not self._lock.locked() and tick()
            tick = None
            if wish:
                async with self._lock:
                    await self._obey(wish)
            self.draw()
            await self.board.sleep_ms(1000)

    async def keys(self):
        """One key after another."""
        while True:
            name, how = await self.board.keys.next()
            if self._page is None:
                continue
            async with self._lock:
                wish = self._pressed(name, how)
                if wish:
                    await self._obey(wish)
            self.draw()

    def _pressed(self, name, how):
        """What the page wishes after a key, or None."""
        self._hint = None
        own = getattr(self._page, "key", None)
        if own and own(name, how):
            return None
        choices = [row for row in self._rows if row[0] == CHOICE]
        alone = len(self.board.keys.names) == 1
        if name == "down" or alone and how == TAP:
            self._picked = (self._picked + 1) % max(1, len(choices))
        elif name == "up":
            self._picked = (self._picked - 1) % max(1, len(choices))
        elif name == "left":
            back = getattr(self._page, "back", None)
            return back and back()
        elif name == "ok" and choices:
            _, _, action, hold = choices[self._picked]
            if not hold or how != TAP:
                return self._page.act(action)
            self.hint("key.hold")
        return None

    # --- drawing ---

    def draw(self):
        """Put the page on the screen, if it is not there already."""
        if self._page is None:
            return
        if self._hint and self.app.clock.ms() - self._hint_ms > _SHOWN_MS:
            self._hint = None
        self._rows = self._page.rows()
        choices = len([row for row in self._rows if row[0] == CHOICE])
        self._picked = min(self._picked, max(0, choices - 1))
        wanted = (self._status(), self._rows, self._picked, self._hint)
        if wanted == self._drawn:
            return
        self._drawn = wanted
        placed, mark = self._place()
        surface = self._canvas
        room = surface.high - self._head() - (self._line() if self._hint else 0)
        total = placed[-1][0] + placed[-1][1] if placed else 0
        shift = max(0, min(mark - room // 2, total - room))
        shift = min([row[0] for row in placed if row[0] >= shift] or [0])  # no row cut in two
        for top in range(0, surface.high, surface.rows):
            surface.top = top
            surface.clear()
            for y, high, row, picked in placed:
                if not 0 <= y - shift <= room - high:
                    continue
                y += self._head() - shift
                if y + high > top and y < top + surface.rows:
                    self._paint(surface, y, row, picked)
            self._paint_head(surface, wanted[0], shift > 0, total - shift > room)
            self._screen.send(top)

    def _line(self):
        return 9 * self._scale

    def _head(self):
        return 10 * self._scale

    def _status(self):
        """(GPS, unsent, battery, clock) as the line above every page says them."""
        app = self.app
        gnss, power = app.gnss, self.board.power
        last = gnss.last
        gps = "GPS %d" % last[6] if last and gnss.has_fix else "GPS --"
        unsent = app.log.unsent()
        percent = power.read()[1] if power else None
        utc = app.clock.utc()
        now = "--:--"
        if utc is not None:
            minutes = (utc // 60 + app.offset_min) % 1440
            now = "%02d:%02d" % (minutes // 60, minutes % 60)
        return (
            gps,
            "↑%d" % unsent if unsent else "✓",
            "--%" if percent is None else "%d%%" % percent,
            now,
        )

    def _paint_head(self, surface, status, above, below):
        scale, wide = self._scale, surface.wide
        surface.box(0, 0, wide, 9 * scale, canvas.INK)
        gps, unsent, battery, now = status
        surface.text(scale, scale, gps, scale, canvas.PAPER, canvas.INK)
        surface.text(44 * scale, scale, unsent, scale, canvas.PAPER, canvas.INK)
        surface.text(70 * scale, scale, battery, scale, canvas.PAPER, canvas.INK)
        surface.text(
            wide - (canvas.width(now) + 1) * scale, scale, now, scale, canvas.PAPER, canvas.INK
        )
        if above:
            surface.text(wide - 6 * scale, self._head(), "↑", scale)
        foot = surface.high - self._line()
        if self._hint:
            surface.box(0, foot, wide, self._line(), canvas.ACCENT)
            surface.text(scale, foot + scale, self._hint, scale, canvas.PAPER, canvas.ACCENT)
        elif below:
            surface.text(wide - 6 * scale, foot, "↓", scale)

    def _place(self):
        """([(y, height, row, picked)], y of the choice picked): rows cut into lines, from 0."""
        scale, wide = self._scale, self._canvas.wide
        placed, y, mark, index = [], 0, 0, 0
        for row in self._rows:
            kind = row[0]
            if kind == TEXT:
                for text in canvas.wrap(row[1], wide // scale - 2):
                    placed.append((y, self._line(), (TEXT, text), False))
                    y += self._line()
                continue
            high = self._line()
            if kind in (BIG, WAY):
                high = 18 * scale
            elif kind == TITLE:
                high += scale
            picked = False
            if kind == CHOICE:
                picked = index == self._picked
                if picked:
                    mark = y
                index += 1
            placed.append((y, high, row, picked))
            y += high
        return placed, mark

    def _paint(self, surface, y, row, picked):
        scale, wide, kind = self._scale, surface.wide, row[0]
        if kind == TITLE:
            surface.text(scale, y + scale, row[1], scale, canvas.ACCENT)
            surface.box(0, y + 9 * scale, wide, scale, canvas.ACCENT)
        elif kind == TEXT:
            surface.text(scale, y + scale, row[1], scale)
        elif kind == BIG:
            surface.text(scale, y + scale, row[1], 2 * scale)
        elif kind == WAY:
            x = scale
            if row[1] is not None:
                surface.arrow(x, y + scale, 16 * scale, row[1], canvas.ACCENT)
                x += 20 * scale
            surface.text(x, y + scale, row[2], 2 * scale)
        elif kind == PART:
            surface.box(scale, y + 2 * scale, wide - 2 * scale, 5 * scale, canvas.INK, False)
            part = (wide - 4 * scale) * row[1] // max(1, row[2])
            surface.box(2 * scale, y + 3 * scale, part, 3 * scale, canvas.INK)
        elif picked:
            surface.box(0, y, wide, self._line(), canvas.INK)
            surface.text(scale, y + scale, "▸", scale, canvas.PAPER, canvas.INK)
            surface.text(5 * scale, y + scale, row[1], scale, canvas.PAPER, canvas.INK)
        else:
            surface.text(5 * scale, y + scale, row[1], scale)

"""The simulated screen and keys: frames to a file that the host looks at, keys from its lines.

RONDA_SIM_SCREEN: mono (128x64, two inks) or colour (320x240, four inks, in strips of 48 rows);
RONDA_SIM_KEYS: names of the keys, comma between, `text` for a keyboard. See board.md.
"""

import asyncio
import os

_MONO = (128, 64, 64, True, 1)
_COLOUR = (320, 240, 48, False, 2)


class Screen:
    """See the Board contract: `wide`, `high`, `rows` of a strip, `mono`, `scale`, `buffer`."""

    def __init__(self, kind, path, say):
        self.wide, self.high, self.rows, self.mono, self.scale = (
            _MONO if kind == "mono" else _COLOUR
        )
        self.buffer = bytearray(self.wide * self.rows // (8 if self.mono else 4))
        self._path = path
        self._say = say
        self._frame = 0

    def send(self, top):
        """Show the buffer as the rows from `top` on; the last strip makes the frame whole."""
        with open(self._path, "r+b" if top else "wb") as f:
            f.seek(top * self.wide // (8 if self.mono else 4))
            f.write(self.buffer)
        if top + self.rows >= self.high:
            self._frame += 1
            self._say("S", self._frame)


class Keys:
    """The host's keys; `next` gives (name, how): 0 tapped, 1 held, 2 held for three seconds."""

    def __init__(self, names):
        self.names = names
        self._queue = []
        self._some = asyncio.Event()

    async def next(self):
        """Wait for a key."""
        while not self._queue:
            self._some.clear()
            await self._some.wait()
        return self._queue.pop(0)

    def put(self, name, how):
        """A key from the host; more than eight unread are dropped, as a person would expect."""
        if len(self._queue) < 8:
            self._queue.append((name, how))
        self._some.set()


def make(folder, say):
    """(screen, keys), each None where the environment names none."""
    kind, names = os.getenv("RONDA_SIM_SCREEN"), os.getenv("RONDA_SIM_KEYS")
    screen = Screen(kind, folder + "/screen.bin", say) if kind else None
    return screen, Keys(tuple(names.split(","))) if names else None

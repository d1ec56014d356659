"""In the VM: the firmware as boards/sim runs it, with link time that passes faster.

RONDA_LINK_SPEED says how much: back-off and time-outs of minutes, on real sockets, take seconds
of the machine; device time then does not wait for the network as a conductor's handheld does.
Tells the live heap whenever a link came up and in each answer. Everything else is the board's own.
"""

import gc

gc.threshold(8192)  # as firmware/main.py

import asyncio
import os
import time

import board
from handheld import app

SPEED = int(os.getenv("RONDA_LINK_SPEED") or 1)


class Intents(board.Intents):
    """The host's script, which is told the live heap too."""

    def answer(self, result):
        gc.collect()
        result["heap"] = gc.mem_alloc()
        super().answer(result)


class Board(board.Board):
    """The simulator's board in a hurry."""

    def link_ms(self):
        return time.ticks_ms() * SPEED & 0x3FFFFFFF

    async def link_sleep_ms(self, ms):
        await asyncio.sleep_ms((ms + SPEED - 1) // SPEED)

    def link_outstanding(self, n):
        super().link_outstanding(0 if SPEED > 1 else n)

    def tell(self, name, fields):
        told = dict(fields)
        if name == "link":
            told["link_ms"] = time.ticks_ms() * SPEED
            if fields["up"]:
                gc.collect()
                told["heap"] = gc.mem_alloc()
        super().tell(name, told)


board.Board, board.Intents = Board, Intents
app.run(board.make())

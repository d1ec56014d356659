"""Feed paced epochs of a receiver's log to the receiver's task in the VM; print its fixes as JSON.

Arguments: a file of epochs (ms and length, four bytes each, low first; then the bytes) and
time_floor. Each fix is [time, detector flags, C/N0 mean, low, spread]; `events` are [code, data].
"""

import json
import struct
import sys

from handheld.clock import Clock
from handheld.dates import iso
from handheld.gnss import Gnss


class Board:
    """Device time that the program moves."""

    rtc = None
    now = 0

    class ident:
        time_floor = int(sys.argv[2])

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, a, b):
        return a - b

    def tell(self, name, fields):
        pass


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.entries = []
        self.events = []

    def fix(self, entry):
        self.entries.append(entry)

    def event(self, code, data=None):
        self.events.append([code, data])


board = Board()
log = Log()
gnss = Gnss(board, Clock(board, 1), log)
fixes = []
told = gnss._fix


def keep(parser):
    """Keep what the task made of an epoch."""
    told(parser)
    fix = gnss.last
    fixes.append([iso(parser.day, parser.ms), fix[8][6]] + fix[8][3:6])


gnss._fix = keep
buffer = bytearray(512)
with open(sys.argv[1], "rb") as f:
    while True:
        head = f.read(8)
        if not head:
            break
        board.now, left = struct.unpack("<II", head)
        while left >= 0:
            n = f.readinto(memoryview(buffer)[: min(left, 512)]) if left else 0
            gnss.take(buffer, n)
            left = left - n if n == 512 else -1
print(json.dumps({"fixes": fixes, "entries": log.entries, "events": log.events}))

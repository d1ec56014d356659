"""D15 in the VM: a spoilt line from a file through the receiver's task, its fixes into another.

Arguments: file of pieces (length u16 with bit 15 = the line is quiet afterwards, ms u16, both low
byte first, bytes), file of fixes (one JSON list each: day, ms, lat, lon, hdop, satellites). The
last line of stdout is JSON: what was counted. Each sampled entry must be one that the log can
seal; each step of the clock must be a time that three fixes told.
"""

import gc

gc.threshold(8192)  # as firmware/main.py does

import json
import sys

from handheld.clock import Clock
from handheld.gnss import Gnss
from ronda_protocol import track
from ronda_protocol.bounds import is_stamp


class Board:
    """Device time that the file moves."""

    rtc = None
    now = 1073741824 - 5000

    class ident:
        time_floor = 1072915200  # 2004: the logs' receivers are older than any board

    def ticks_ms(self):
        return self.now

    def ticks_diff(self, a, b):
        return (a - b + 536870912) % 1073741824 - 536870912

    def tell(self, name, fields):
        pass


class Log:
    """Takes what the log would take."""

    def __init__(self):
        self.entries = 0
        self.events = {}
        self.times = []

    def fix(self, entry):
        track.check_fix(entry)
        self.entries += 1

    def event(self, code, data=None):
        track.check_row(track.EVENT, [code, data])
        self.events[code] = self.events.get(code, 0) + 1
        if code in (track.TIME_SET, track.TIME_STEP):
            self.times.append(data[0] if code == track.TIME_SET else data[1])


board, log = Board(), Log()
clock = Clock(board, 1)
gnss = Gnss(board, clock, log, 1)
heap = 0
with open(sys.argv[2], "w") as fixes:

    def keep(parser):
        """Every fix, sampled or not."""
        fixes.write(
            "[%d,%d,%d,%d,%d,%d]\n"
            % (parser.day, parser.ms, parser.lat, parser.lon, parser.hdop, parser.satellites)
        )

    def epoch(parser):
        if parser.fixed:
            keep(parser)
        inner(parser)

    inner = gnss.parser.on_epoch
    gnss.parser.on_epoch = epoch
    head = bytearray(4)
    whole, pieces = bytearray(512), 0
    with open(sys.argv[1], "rb") as line:
        while line.readinto(head) == 4:
            n = head[0] | (head[1] & 127) << 8
            board.now = (board.now + (head[2] | head[3] << 8)) % 1073741824
            if head[1] & 128:
                line.readinto(memoryview(whole)[:n])
                gnss.take(whole, n)
            else:
                gnss.take(line.read(n), n)
            pieces += 1
            if pieces == 500:
                gc.collect()
                heap = gc.mem_alloc()
            if pieces % 1000 == 0 and not is_stamp(clock.stamp()):
                raise ValueError("a stamp that nobody can write")
    gc.collect()
parser = gnss.parser
print(
    json.dumps(
        {
            "sentences": parser.sentences,
            "checksum_errors": parser.checksum_errors,
            "bad_fields": parser.bad_fields,
            "fixes": parser.fixes,
            "losses": parser.losses,
            "repeated": parser.repeated,
            "frames": parser.frames,
            "entries": log.entries,
            "events": log.events,
            "times": log.times[:2000],
            "settled": heap,
            "end": gc.mem_alloc(),
        }
    )
)

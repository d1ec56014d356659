"""The simulated handheld: the Board contract in MicroPython's unix port, under a host's conductor.

Real: the VM, littlefs (on an image file), sockets, the entropy. Simulated: device time, which
moves only when the host grants it, the UART's bytes, the battery, whether there is a network.
The line protocol is in board.md; screen and keys are panel's.
"""

import asyncio
import gc
import json
import os
import sys
import time
from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]

import vfs
from hostnet import Net, parked
from image import Nv, mount
from micropython import const

_TICKS_MASK = const(0x3FFFFFFF)
_TICKS_HALF = const(0x20000000)
# Ticks begin 5 s before they wrap, so that every run crosses the wrap (style.md).
_TICKS_START = const(0x40000000 - 5000)
_LINE = const(64)
_RX = const(1024)
_HEAP_EVERY = const(64)  # grants between two looks at the live heap
_TIME_FLOOR = const(1767225600)  # 2026-01-01, as in board.toml
_UERE_DM = const(50)


class Gps:
    """The receiver's UART: one grant's bytes at a time, the last read of a grant always short."""

    def __init__(self):
        self.sentinel = False
        self._waiter = core.TaskQueue()
        self._rx = memoryview(bytearray(_RX))
        self._start = self._end = self._left = 0

    def begin(self, count):
        """A grant with `count` bytes begins."""
        self._left = count

    def fill(self, stdin):
        """Read the grant's next bytes from the host; True if there were any left to read."""
        count = min(self._left, _RX)
        if not count:
            return False
        got = stdin.readinto(self._rx[:count])
        if got != count:
            raise SystemExit(1)
        self._start, self._end = 0, count
        self._left -= count
        return True

    def wake(self):
        """Let the reader run, if it waits. False when nobody reads."""
        if self._waiter.peek() is None:
            return False
        core._task_queue.push(self._waiter.pop())
        return True

    def drop(self):
        """Forget what nobody read, as a UART does when its buffer overruns."""
        lost = self._end - self._start
        self._start = self._end = 0
        return lost

    async def readinto(self, buf):
        """Wait for bytes; n < len(buf) says that the UART is drained."""
        size = len(buf)
        filled = 0
        while True:
            take = min(self._end - self._start, size - filled)
            if take:
                buf[filled : filled + take] = self._rx[self._start : self._start + take]
                self._start += take
                filled += take
            if self._start == self._end and not self._left:
                if filled == size:  # exactly full: the drained sign comes with the next read
                    self.sentinel = True
                    return filled
                if self.sentinel:
                    self.sentinel = False
                    buf[filled] = 10
                    filled += 1
                if filled:
                    return filled
            elif filled == size:
                return filled
            core.cur_task.data = self._waiter
            self._waiter.push(core.cur_task)
            await parked()


class Power:
    """A cell without a gauge: the host says its voltage."""

    def __init__(self):
        self.mv = 3900

    def read(self):
        """(mV, percent, source 1 = battery): percent along a LiPo cell's resting curve."""
        curve = (3300, 0, 3600, 10, 3700, 30, 3800, 55, 3950, 75, 4150, 100)
        mv = self.mv
        percent = 0
        for i in range(0, 10, 2):
            low, high = curve[i], curve[i + 2]
            if mv >= low:
                part = min(mv, high) - low
                percent = curve[i + 1] + part * (curve[i + 3] - curve[i + 1]) // (high - low)
        return mv, percent, 1


class Intents:
    """The host's script in place of keys."""

    def __init__(self, say):
        self._say = say
        self._queue = []
        self._some = asyncio.Event()

    async def next(self):
        """(name, arguments) of the next intent."""
        while not self._queue:
            self._some.clear()
            await self._some.wait()
        return self._queue.pop(0)

    def answer(self, result):
        """The outcome of the intent last taken."""
        self._say("A", result)

    def put(self, name, args):
        """An intent from the host."""
        self._queue.append((name, args))
        self._some.set()


class Ident:
    """Who this board is."""

    board_id = "sim"
    profile = "sim"
    uere_dm = _UERE_DM

    def __init__(self, device_id):
        self.device_id = device_id
        self.time_floor = int(os.getenv("RONDA_SIM_TIME_FLOOR") or _TIME_FLOOR)


class Board:
    """What handheld.app is handed; see docs/architecture.md for the contract."""

    rtc = wdt = None
    storage = "/flash"

    def __init__(self, folder):
        self.ms = 0
        self._sleepers = core.TaskQueue()
        self._outstanding = 0
        self._settled = asyncio.Event()
        self._end = asyncio.Event()
        self._folder = folder
        self._journal = self._log = None
        self._grants = self._peak = self._overrun = 0
        self._flash = mount(folder)
        measured = os.getenv("RONDA_SIM_MEASURE")
        self.nv = Nv(folder)
        device = self.nv.get("dev")
        self.ident = Ident(device.decode() if device else None)
        self.gps = Gps()
        self.net = Net()
        self.power = Power()
        self.intents = Intents(self._say)
        self.display = self.keys = None
        if os.getenv("RONDA_SIM_SCREEN"):
            import panel

            self.display, self.keys = panel.make(folder, self._say)
        self._signer = self._measure = None
        if measured:
            from measure import Measure

            self._measure = Measure(self)

    @property
    def signer(self):
        """The device's log key, in software; None before provisioning."""
        if self._signer is None and self.nv.get("key"):
            from handheld.signer import Signer

            self._signer = Signer(self.nv.get("key"))
        return self._signer

    # --- time -------------------------------------------------------------------------------

    def ticks_ms(self):
        """Device milliseconds, wrapping at 2^30."""
        return (_TICKS_START + self.ms) & _TICKS_MASK

    def ticks_diff(self, new, old):
        """new - old across the wrap."""
        return ((new - old + _TICKS_HALF) & _TICKS_MASK) - _TICKS_HALF

    async def sleep_ms(self, ms):
        """Sleep device time: until the host has granted it."""
        if ms <= 0:
            await asyncio.sleep_ms(0)
            return
        core.cur_task.data = self._sleepers
        self._sleepers.push(core.cur_task, self.ms + ms)
        await parked()

    def link_ms(self):
        """Wall milliseconds, for the network's time-outs."""
        return time.ticks_ms() & _TICKS_MASK  # pyright: ignore[reportOperatorIssue]

    async def link_sleep_ms(self, ms):
        """Sleep wall time."""
        await asyncio.sleep_ms(ms)

    # --- the rest of the contract -------------------------------------------------------------

    def entropy(self, n):
        """n random bytes of the host."""
        return os.urandom(n)

    def saved(self, kind, number, digest):
        """An entry became durable: the host's journal, which knows nothing of log or gateway."""
        if self._journal is None:
            self._journal = open(self._folder + "/journal.jsonl", "a")
        log = self.nv.get("log") or b""
        self._journal.write(
            '{"kind":%s,"number":%d,"digest":"%s","log":"%s"}\n'
            % (json.dumps(kind), number, bytes(digest).hex(), log.hex())
        )
        self._journal.flush()

    def link_outstanding(self, n):
        """n network operations are awaited; 0 lets simulated time go on."""
        self._outstanding = n
        if not n:
            self._settled.set()

    def tell(self, name, fields):
        """A line for whoever watches."""
        told = dict(fields)
        told["t"] = name
        told["ms"] = self.ms
        self._say("T", told)

    async def finished(self):
        """Return when the host ends the run."""
        await self._end.wait()

    def done(self, report):
        """The app's last word; ends the process."""
        self._look_at_heap()
        report["heap"] = {"peak": self._peak, "total": gc.mem_alloc() + gc.mem_free()}
        report["flash"] = {"erases": self._flash.erases, "programmed": self._flash.programmed}
        if self._measure:
            self._measure.report(report)
        report["uart_overrun"] = self._overrun
        report["ms"] = self.ms
        vfs.umount("/flash")
        self._say("R", report)
        sys.exit(0)

    # --- the host's side -----------------------------------------------------------------------

    def _say(self, letter, value):
        sys.stdout.write("@" + letter + " " + json.dumps(value) + "\n")

    def _look_at_heap(self):
        gc.collect()
        self._peak = max(self._peak, gc.mem_alloc())

    async def _quiet(self):
        """Return when no task is ready and no network operation is awaited under a live link.

        asyncio's queue holds ready tasks (due now or earlier), and wall-time sleepers (due
        later), which belong to the link's time-outs and hold nothing up. Tasks that wait for an
        event or a device-time sleep are in other queues.
        """
        queue = core._task_queue
        while True:
            head = queue.peek()
            if head is not None and time.ticks_diff(head.ph_key, time.ticks_ms()) <= 0:
                await asyncio.sleep_ms(0)
            elif self._outstanding and self.net._up:
                self._settled.clear()
                await self._settled.wait()
            else:
                return

    async def _grant(self, ms, stdin, count):
        """Let device time reach `ms`, one due time at a time, then deliver the UART's bytes."""
        sleepers = self._sleepers
        while True:
            head = sleepers.peek()
            if head is None or head.ph_key > ms:
                break
            self.ms = head.ph_key
            core._task_queue.push(sleepers.pop())
            await self._quiet()
        self.ms = ms
        gps = self.gps
        gps.begin(count)
        while gps.fill(stdin):
            if gps.wake():
                await self._quiet()
            self._overrun += gps.drop()
        if gps.sentinel and gps.wake():
            await self._quiet()

    async def _serve(self):
        """Obey the host until it ends the run or is gone."""
        stdin = sys.stdin.buffer
        while True:
            core._io_queue.queue_read(stdin)
            await parked()
            # Piece by piece: readline(n) would take n bytes of the heap for every short line.
            line = stdin.readline(_LINE)
            while line and line[-1] != 10:
                more = stdin.readline(_LINE)
                line = line + more if more else b""
            if not line:  # the host died
                raise SystemExit(1)
            kind = line[0]
            if kind == 71:  # G <ms> <link> <mv> <n>
                _, ms, link, mv, count = line.split()
                await self._quiet()  # what an intent began ends before time moves
                self.power.mv = int(mv)
                self.net.put(link == b"1")
                await self._quiet()
                await self._grant(int(ms), stdin, int(count))
                self._grants += 1
                if self._grants % _HEAP_EVERY == 1:
                    self._look_at_heap()
                sys.stdout.write("@D %d\n" % self.ms)
            elif kind == 73:  # I <json>
                intent = json.loads(line[2:])
                self.intents.put(intent["intent"], intent.get("args") or {})
            elif kind == 75:  # K <name> <how>
                _, name, how = line.split()
                if self.keys:
                    self.keys.put(name.decode(), int(how))
            elif kind == 81:  # Q
                await self._quiet()
                self._end.set()
                return  # the rest is the app's; whether the host still lives is not asked again
            else:
                raise ValueError("unknown line from the host")


def _fail(_loop, context):
    """A task died of an exception nobody caught: a bug, so the run ends with its traceback."""
    sys.print_exception(context["exception"], sys.stderr)
    sys.exit(1)


def make():
    """The board, with its image mounted and its task for the host's lines started."""
    folder = os.getenv("RONDA_SIM_DIR")
    if not folder:
        raise OSError("RONDA_SIM_DIR must name the storage folder")
    board = Board(folder)
    asyncio.get_event_loop().set_exception_handler(_fail)
    asyncio.create_task(board._serve())
    return board

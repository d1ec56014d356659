"""The laboratory's handheld as it really runs: the app's own tasks in asyncio, and a heap that
runs out.

`app.main` is started as main.py does it; intents and fixes come through queues, device time moves
with the loop. The heap is locked, or filled up, at the k-th point where the firmware calls its
board (flash, nv, ticks, chance, a record saved or told) and stays so for some points more. The
board's own code never lacks heap: on an ESP32 the flash driver is C and needs none.
"""

import asyncio
import gc
from asyncio import core

import lab_board
import lab_device
import micropython
from handheld import app
from lab_device import Gnss, json

_START = lab_device._START
_CYCLES = 600


class Trouble:
    """At point `at` the heap is gone for `points` points: locked, or full but for `leave`."""

    def __init__(self):
        self.count = self.at = self.left = self.leave = 0
        self.on = self.happened = False
        self.inside = 1  # calls of the laboratory's own code, which has its heap
        self.ballast = None

    def arm(self, at, points, leave):
        self.count, self.at, self.left, self.leave = 0, at, points, leave
        self.on = self.happened = False

    def enter(self):
        """The laboratory's own code begins."""
        self.inside += 1
        if self.on and self.inside == 1:
            self._give()

    def out(self, counts=True):
        """It ends: a point."""
        self.inside -= 1
        if self.inside:
            return
        if counts:
            self.count += 1
            if self.on:
                self.left -= 1
                self.on = self.left > 0
            elif self.at and self.count >= self.at:
                self.on = self.happened = True
                self.at = 0
        if self.on:
            self._take()

    def over(self):
        """The heap is there again."""
        if self.on and not self.inside:
            self._give()
        self.on = False

    def _take(self):
        if not self.leave:
            micropython.heap_lock()
            return
        gc.collect()
        taken = None
        n = 16384
        while n >= self.leave:
            try:
                taken = [bytearray(n), taken]
            except MemoryError:
                n //= 2
        self.ballast = taken

    def _give(self):
        if self.leave:
            self.ballast = None
            gc.collect()
        else:
            micropython.heap_unlock()


trouble = Trouble()


class Flash(lab_board.Flash):
    def readblocks(self, block, buf, offset=0):
        trouble.enter()
        n = lab_board.Flash.readblocks(self, block, buf, offset)
        trouble.out()
        return n

    def writeblocks(self, block, buf, offset=0):
        trouble.enter()
        n = lab_board.Flash.writeblocks(self, block, buf, offset)
        trouble.out()
        return n

    def ioctl(self, request, argument):
        trouble.enter()
        n = lab_board.Flash.ioctl(self, request, argument)
        trouble.out()
        return n


class Nv(lab_board.Nv):
    def set(self, name, value):
        trouble.enter()
        lab_board.Nv.set(self, name, value)
        trouble.out()


class Intents:
    """One intent at a time, from a step of the host."""

    def __init__(self):
        self.wanted = self.result = None
        self.some = asyncio.Event()

    async def next(self):
        while self.wanted is None:
            self.some.clear()
            await self.some.wait()
        wanted, self.wanted = self.wanted, None
        return wanted

    def answer(self, result):
        self.result = result


class Board(lab_board.Board):
    def __init__(self, folder, blocks, power, facts):
        lab_board.Board.__init__(self, folder, blocks, power, facts)
        self.flash.close()
        self.flash = Flash(folder + "/flash.img", blocks, power)
        self.nv = Nv(folder + "/nv", power)
        self.ident.profile = "field"
        self.intents = Intents()
        self.deaths = 0
        self.busy = True
        self.over = None

    def ticks_ms(self):
        trouble.enter()
        ms = lab_board.Board.ticks_ms(self)
        trouble.out(self.busy)  # while nothing is asked of it, it only looks at the clock
        return ms

    def entropy(self, n):
        trouble.enter()
        out = lab_board.Board.entropy(self, n)
        trouble.out()
        return out

    def saved(self, kind, number, digest):
        trouble.enter()
        lab_board.Board.saved(self, kind, number, digest)
        trouble.out()

    def tell(self, name, fields):
        trouble.enter()
        self.deaths += name == "died"
        lab_board.Board.tell(self, name, fields)
        trouble.out()

    async def sleep_ms(self, ms):
        due = self.ms + ms
        while self.ms < due:
            await asyncio.sleep_ms(0)

    link_sleep_ms = sleep_ms

    async def finished(self):
        await asyncio.Event().wait()

    def done(self, report):
        trouble.over()
        self.over = report["ended"]


class TaskDevice(lab_device.Device):
    """Steps that run the loop until what they began is over."""

    def make(self, folder, blocks, facts):
        return Board(folder, blocks, self.power, facts)

    def do_arm(self, at, points, leave):
        """The heap will run out at the `at`-th point from here (0: never)."""
        trouble.arm(at, points, leave)

    def do_points(self):
        return trouble.count

    def do_main(self, late_s):
        """Power is on: start the app as main.py does."""
        core._task_queue = core.TaskQueue()
        self.app = None
        self.fixes = 0
        gc.collect()
        board = self.board
        board.over = None
        board.facts.put(b"!")
        asyncio.get_event_loop().set_exception_handler(None)
        device = self

        class Started(app_class):
            def __init__(self, board):
                app_class.__init__(self, board)
                board.log = self.log
                self.clock.on_gateway(_START + late_s)
                self.visits.gnss = Gnss(self.clock)
                device.app = self

            def tasks(self):
                found = app_class.tasks(self)
                return [task for task in found if task[0] != "gnss"] + [("gnss", device._fix)]

        app.App = Started
        board.ms += 20000
        self.running = asyncio.create_task(self._main())
        self._run(20)
        board.busy = False
        board.ms += 20000
        return self.do_alive()

    async def _main(self):
        try:
            await app.main(self.board)
        except Exception as error:  # main.py ends with it, and the board starts again
            trouble.over()
            self.board.over = "main " + type(error).__name__

    async def _fix(self):
        """The receiver's task: a fix whenever a step asks for one."""
        while True:
            if not self.fixes:
                await asyncio.sleep_ms(0)
                continue
            self.fixes -= 1
            i = self.board.ms // 15000
            lat, lon = lab_device._DOOR
            self.app.log.fix(
                [lab_device.track.FIX, 0, self.app.clock.ms(), lat + i * 31, lon, 9, 11, 3, None]
            )

    def _run(self, cycles, until=None):
        """Let the loop run; device time moves by 100 ms each tenth cycle."""

        async def turn():
            try:
                for i in range(cycles):
                    if self.board.over or (until and until()):
                        break
                    if i % 10 == 9:
                        self.board.ms += 100
                    await asyncio.sleep_ms(0)
            except MemoryError:  # the laboratory's own loop ran out of it
                trouble.over()

        task = asyncio.create_task(turn())
        trouble.out(False)
        try:
            core.run_until_complete(task)
        except MemoryError as error:  # asyncio itself: main.py ends, the watchdog is not fed
            trouble.over()
            self.board.over = "loop " + type(error).__name__
        trouble.enter()

    def do_alive(self):
        """Whether the app still runs, how often tasks died, how often the watchdog was fed."""
        board = self.board
        return [board.over, board.deaths, board.wdt.fed, trouble.count, trouble.happened]

    def do_act(self, name, args, door=0, metres=0):
        """An intent as keys would give it; its answer, or None when nobody answers."""
        board = self.board
        intents = board.intents
        gnss = self.app.visits.gnss
        gnss.door, gnss.metres = door, metres
        board.facts.put(b"i", json.dumps([name, args]))
        intents.result = None
        intents.wanted = (name, args)
        intents.some.set()
        board.busy = True
        self._run(_CYCLES, lambda: intents.result is not None)
        trouble.over()
        board.busy = False
        result, intents.wanted = intents.result, None
        if result and result["ok"]:
            told = [name, args]
            if name == "check_in":
                stamp = self.app.visits.fields["check_in"]
                told += [stamp[0], stamp[1]]
            board.facts.put(b"a", json.dumps(told))
        return result and [result["ok"], result["code"]]

    def do_fixes(self, count):
        """So many fixes, 15 s apart."""

        def taken():
            return not self.fixes

        for _ in range(count):
            self.board.ms += 15000
            self.fixes += 1
            self._run(20, taken)
        trouble.over()
        return self.fixes

    def do_wait(self, ms):
        """Device time goes by, a second at a time."""
        for _ in range(ms // 1000):
            self.board.ms += 1000
            self._run(6)
        trouble.over()
        return self.do_alive()


app_class = app.App


def main():
    lab_device.main(TaskDevice())

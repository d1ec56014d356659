"""Battery readings in the VM: every 15 minutes, at once when asked, and none without a gauge."""

import asyncio

from handheld.battery import Battery
from ronda_protocol import track

HEAP = "192k"


class Power:
    def __init__(self):
        self.mv = 4000

    def read(self):
        self.mv -= 10
        return self.mv, 80, 1


class Board:
    """`naps` are the sleeps asked for; the fourth never ends."""

    def __init__(self, power):
        self.power = power
        self.naps = []

    async def sleep_ms(self, ms):
        self.naps.append(ms)
        if len(self.naps) == 4:
            await asyncio.Event().wait()
        await asyncio.sleep_ms(0)


class Log:
    def __init__(self):
        self.readings = []
        self.events = []

    def battery(self, mv, percent, source):
        self.readings.append([mv, percent, source])

    def event(self, code, data=None):
        self.events.append([code, data])


async def run_a_while(board, log, *minutes):
    task = asyncio.create_task(Battery(board, log, *minutes).run())
    for _ in range(20):
        await asyncio.sleep_ms(0)
    task.cancel()


async def test_every_quarter_of_an_hour():
    board, log = Board(Power()), Log()
    await run_a_while(board, log)
    assert log.readings == [[3990, 80, 1], [3980, 80, 1], [3970, 80, 1], [3960, 80, 1]]
    assert board.naps == [900000] * 4 and log.events == []


async def test_another_interval():
    board, log = Board(Power()), Log()
    await run_a_while(board, log, 5)
    assert board.naps == [300000] * 4


async def test_without_a_gauge():
    board, log = Board(None), Log()
    await run_a_while(board, log)
    assert log.readings == [] and log.events == [[track.PART_MISSING, ["power"]]]
    battery = Battery(board, log)
    battery.note()
    assert battery.read() is None and log.readings == []


def test_at_once():
    log = Log()
    battery = Battery(Board(Power()), log)
    assert battery.last is None
    battery.note()
    assert battery.last == [3990, 80, 1] and log.readings == [[3990, 80, 1]]
    # Reading is not logging.
    assert battery.read() == [3980, 80, 1] and len(log.readings) == 1

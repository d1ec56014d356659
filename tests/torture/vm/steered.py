"""D18 and D19 in the VM: the firmware's App on a flash in RAM, steered line by line from the host.

stdin: JSON lists [command, arguments…]; each is answered by a line `@["ok", value]`. While one is
worked on, `@["up", hex]` is a segment that the handheld publishes: the next line is then a list of
what comes down for it, in hex. Time is virtual: it passes in `run` alone.
"""

import gc

gc.threshold(8192)

import asyncio
import json
import sys

from handheld import app, provision
from handheld.dates import civil_from_days
from handheld_board import FakeBoard, Ident, Signer
from script_broker import Broker, LinkTime, publish


def say(*words):
    print("@" + json.dumps(words))


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


class Bridge(Broker):
    """A broker in memory, behind it the host's gateway."""

    def __init__(self, device):
        Broker.__init__(self)
        self.answers[3] = self.receive
        self.down = b"ronda/lima/down/" + device.encode()
        self.pid = 0

    def receive(self, flags, body):
        end = 2 + int.from_bytes(body[:2], "big")
        if b"/up/" in body[2:end]:
            say("up", body[end + 2 :].hex())
            for message in hear():
                self.send(bytes.fromhex(message))
        return b"\x40\x02" + body[end : end + 2] if flags & 6 else None

    def send(self, message):
        self.pid = self.pid % 60000 + 1
        self.stream.feed(publish(self.down, message, self.pid))


class Receiver:
    """Says what time it is: `base` unix seconds at device time 0. `mode`: fix, void, silent."""

    def __init__(self, board):
        self.board = board
        self.base, self.mode = 1789477200, "fix"

    async def readinto(self, buf):
        while True:
            await self.board.sleep_ms(1000)
            if self.mode != "silent":
                break
        data = self.epoch(self.base + self.board.now // 1000)
        buf[: len(data)] = data
        return len(data)

    def epoch(self, utc):
        year, month, day = civil_from_days(utc // 86400)
        second = utc % 86400
        clock = "%02d%02d%02d.00" % (second // 3600, second // 60 % 60, second % 60)
        date = "%02d%02d%02d" % (day, month, year % 100)
        wander = utc % 7
        lat, lon = "1207.%05d,S" % (14856 + wander), "07702.%05d,W" % (9428 + wander)
        if self.mode == "void":
            return said("GNRMC,%s,V,,,,,,,%s,,,N" % (clock, date)) + said(
                "GNGGA,%s,,,,,0,00,,,M,,M,," % clock
            )
        return said("GNRMC,%s,A,%s,%s,0.%d,0.0,%s,,,A" % (clock, lat, lon, wander, date)) + said(
            "GNGGA,%s,%s,%s,1,09,0.9,%d.0,M,0.0,M,," % (clock, lat, lon, 79 + wander % 3)
        )


def said(body):
    c = 0
    for x in body.encode():
        c ^= x
    return ("$%s*%02X\r\n" % (body, c)).encode()


class Rtc:
    """A clock with a battery, which may say anything."""

    def __init__(self, board, utc):
        self.board, self.base = board, utc - board.now // 1000

    def unix(self):
        return self.base + self.board.now // 1000


class Board(LinkTime, FakeBoard):
    """Device time is link time; it does not end at a reboot."""

    def __init__(self, device, private):
        LinkTime.__init__(self)
        self.ident = Ident()
        FakeBoard.__init__(self, count=128, signer=Signer(private))
        self.ident = Ident()
        self.ident.device_id, self.ident.profile = device, "release"
        self.gps, self.net = Receiver(self), Bridge(device)
        self.died, self.outcomes, self.reports = [], [], []
        self.waiting = asyncio.Event()
        self.todo = []
        self.intents = self
        self.end = asyncio.Event()

    ticks_ms = LinkTime.link_ms
    sleep_ms = LinkTime.link_sleep_ms

    def tell(self, name, fields):
        if name == "died":
            self.died.append([fields["task"], fields["why"]])

    async def finished(self):
        await self.end.wait()

    def done(self, report):
        self.reports.append(report)

    # --- intents ---
    async def next(self):
        while not self.todo:
            self.waiting.clear()
            await self.waiting.wait()
        return self.todo.pop(0)

    def answer(self, result):
        self.outcomes.append(result)


class Steer:
    """The commands."""

    def __init__(self):
        self.board = self.app = None
        self.tasks, self.images = [], {}

    async def make(self, device, private, trust, cases, config):
        """A bare handheld made one of the site's."""
        board = self.board = Board(device, bytes.fromhex(private))
        board.nv.set("dev", device.encode())
        board.nv.set("root", bytes.fromhex(config.pop("root")))
        provision.configure(board, {1: "h", 2: 1883, 3: "ronda/lima", 4: 5})
        provision.install(board, device, bytes.fromhex(trust), bytes.fromhex(cases))
        return board.signer.public.hex()

    async def boot(self, rtc=None):
        """Power comes; `rtc` is what the clock chip says, None without one."""
        board = self.board
        board.reboot()
        board.rtc = Rtc(board, rtc) if rtc is not None else None
        board.end.clear()
        board.died.clear()
        self.app = app.App(board)
        self.tasks = [
            asyncio.create_task(self.app.keep(name, task)) for name, task in self.app.tasks()
        ]
        return await self.state()

    async def off(self):
        """Power goes, at once."""
        for task in self.tasks:
            task.cancel()
        for _ in range(50):
            await asyncio.sleep_ms(0)
        self.board._sleepers.clear()
        self.tasks, self.app = [], None
        gc.collect()

    async def run(self, seconds):
        """Time passes."""
        await self.board.sleep_ms(1000 * seconds)
        return await self.state()

    async def gnss(self, mode, utc=None):
        """What the receiver says from now on."""
        gps = self.board.gps
        gps.mode = mode
        if utc is not None:
            gps.base = utc - self.board.now // 1000

    async def link(self, up):
        self.board.net.set_up(up)
        if not up and self.board.net.streams:
            self.board.net.stream.end()

    async def down(self, message):
        """A message on the downlink."""
        self.board.net.send(bytes.fromhex(message))

    async def intent(self, name, arguments):
        board = self.board
        before = len(board.outcomes)
        board.todo.append((name, arguments))
        board.waiting.set()
        while len(board.outcomes) == before:
            await board.sleep_ms(100)
        return board.outcomes[-1]

    async def state(self):
        """Where it stands."""
        handheld = self.app
        sync = handheld.sync
        return {
            "stamp": handheld.clock.stamp(),
            "died": self.board.died + ([["end", handheld.ended]] if handheld.ended else []),
            "head": handheld.log.head,
            "log": handheld.log.log_id.hex(),
            "released": handheld.log.released,
            "unsent": handheld.log.unsent(),
            "dropped": handheld.log.dropped,
            "refused": sync.refused if sync else {},
            "receipts": sync.receipts if sync else 0,
        }

    async def journal(self):
        """What was saved since it was last asked: [kind, number, digest]."""
        found = [[kind, n, digest.hex()] for kind, n, digest in self.board.saved_entries]
        self.board.saved_entries.clear()
        return found

    async def head(self):
        """nv's word on the log, in hex."""
        return (self.board.nv.get("head") or b"").hex()

    # --- images ---
    async def keep(self, name):
        """Remember flash and nv as they are."""
        blocks = self.board.blocks.data
        flash = {number: bytes(blocks[number]) for number in blocks}
        self.images[name] = flash, dict(self.board.nv.values)

    async def restore(self, name, what):
        """Put back the flash, the nv, or both; power must be off."""
        flash, nv = self.images[name]
        if what != "nv":
            self.board.blocks.data.clear()
            for number in flash:
                self.board.blocks.data[number] = bytearray(flash[number])
        if what != "flash":
            self.board.nv.values.clear()
            self.board.nv.values.update(nv)

    async def save(self, path):
        """A copy of the device for another VM: flash and nv into a file."""
        blocks = self.board.blocks.data
        with open(path, "w") as f:
            for number in blocks:
                f.write("%d %s\n" % (number, bytes(blocks[number]).hex()))
        nv = self.board.nv.values
        return {name: nv[name].hex() for name in nv}

    async def load(self, path, nv):
        """Become that copy."""
        self.board.blocks.data.clear()
        with open(path) as f:
            for line in f:
                number, data = line.split()
                self.board.blocks.data[int(number)] = bytearray(bytes.fromhex(data))
        self.board.nv.values.clear()
        for name in nv:
            self.board.nv.values[name] = bytes.fromhex(nv[name])


async def main():
    steer = Steer()
    while True:
        words = hear()
        if words is None:
            return
        say("ok", await getattr(steer, words[0])(*words[1:]))
        gc.collect()


asyncio.run(main())

"""A month without a network: the real app on the simulator's image, fed as fast as it goes.

Obeys JSON lines as boards/sim/seed.py does; started by suite_d10_month.py of the host. Time is
the host's: a day's entries go in one after another. There is no link and no receiver: fixes,
readings and a gestor's intents are handed to log and visits, which do what they always do. The
form is one of twelve questions instead of the built-in one.
"""

import gc

gc.threshold(8192)

import hashlib
import json
import os
import sys
import time

import handheld
import vfs
from image import Flash, Nv
from micropython import const
from ronda_protocol import track

_WRAP = const(1 << 30)
_FIX_MS = const(15000)
_BATTERY_MS = const(900000)
_DAY_MS = const(86400000)
_START_MS = const(28800000)  # the shift begins at eight
_ANSWERS = (
    ("quien", ("titular", "codeudor", "garante")),
    ("tipologia", ("quiere_puede", "quiere_no_puede", "puede_no_quiere")),
    ("vive_aqui", ("si", "no", "a_veces")),
    ("trabaja_en", ("comercio", "construccion", "transporte")),
    ("ingreso_es", ("diario", "quincenal", "mensual")),
    ("motivo", ("desempleo", "enfermedad", "viaje", "olvido")),
    ("paga_por", ("agente", "banca_movil", "ventanilla")),
    ("hogar_personas", (2, 3, 5, 7)),
    ("capacidad_pen", (15000, 30000, 120000)),
    ("otras_deudas", ("si", "no")),
    ("volver_el", (20261001, 20261012)),
    ("mejor_hora", ("manana", "tarde")),
)


class _Form:
    """In the place of handheld.questionnaire: any answer is right."""

    @staticmethod
    def form():
        return ["encuesta-12", bytes(range(8))]

    @staticmethod
    def problem(_name, _value):
        return None

    @staticmethod
    def validate(_answers, _outcome, _promise):
        return []


_forget = handheld.forget


def _kept(*names):
    _forget(*[name for name in names if name != "handheld.questionnaire"])


handheld.forget = _kept
handheld.questionnaire = _Form
sys.modules["handheld.questionnaire"] = _Form

from handheld import app


class Chip(Flash):
    """Counts reads and programs too."""

    def __init__(self, path):
        super().__init__(path)
        self.reads = self.read = self.programs = 0

    def readblocks(self, block, buf, offset=0):
        self.reads += 1
        self.read += len(buf)
        super().readblocks(block, buf, offset)

    def writeblocks(self, block, buf, offset=None):
        self.programs += 1
        super().writeblocks(block, buf, offset)


class _Ident:
    board_id = profile = "sim"
    uere_dm = 50
    time_floor = 1767225600

    def __init__(self, device_id):
        self.device_id = device_id


class _Cell:
    mv = 4100

    def read(self):
        return self.mv, 77, 1


class _Board:
    rtc = wdt = display = keys = net = gps = intents = None
    storage = "/flash"

    def __init__(self, folder):
        self.folder = folder
        self.ms = 0
        self.nv = Nv(folder)
        self.ident = _Ident(self.nv.get("dev").decode())
        self.power = _Cell()
        from handheld.signer import Signer

        self.signer = Signer(self.nv.get("key"))
        self.journal = open(folder + "/journal.jsonl", "a")

    def ticks_ms(self):
        return (_WRAP - 5000 + self.ms) % _WRAP

    def ticks_diff(self, new, old):
        return (new - old + _WRAP // 2) % _WRAP - _WRAP // 2

    async def sleep_ms(self, ms):
        self.ms += ms

    link_ms = ticks_ms
    link_sleep_ms = sleep_ms

    def entropy(self, n):
        return os.urandom(n)

    def saved(self, kind, number, digest):
        log = self.nv.get("log") or b""
        self.journal.write(
            '{"kind":"%s","number":%d,"digest":"%s","log":"%s"}\n'
            % (kind, number, bytes(digest).hex(), log.hex())
        )

    def link_outstanding(self, n):
        pass

    def tell(self, name, fields):
        pass


class _Gnss:
    """The last eight fixes, at a door or on the way."""

    def __init__(self, clock):
        self.clock = clock
        self.at = (0, 0)
        self.watch = None

    def window(self):
        ms = self.clock.ms() - 7000
        lat, lon = self.at
        return [
            [track.FIX, 0, ms + i * 1000, lat + 7 * i % 11, lon - 5 * i % 13, 9, 11, 3, None]
            for i in range(8)
        ]


def _intent(visits, name, **args):
    running = visits.intent(name, args)
    try:
        while True:
            running.send(None)
    except StopIteration as done:
        if not done.value["ok"]:
            raise ValueError("%s: %s" % (name, done.value))
        return done.value


class Month:
    """One power-on: a boot, and any number of days."""

    def __init__(self, folder):
        self.chip = Chip(folder + "/flash.img")
        size = int(os.getenv("RONDA_MONTH_PROGSIZE") or 32)
        vfs.mount(vfs.VfsLfs2(self.chip, progsize=size), "/flash")
        self.at_doors = [0, 0, 0]  # programs, bytes programmed, erases of visits
        self.board = _Board(folder)
        self.app = self.chain = None
        self.peak = self.before = 0
        self.chance = 1

    def random(self, n):
        self.chance = (self.chance * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.chance >> 8) % n

    def look(self):
        gc.collect()
        self.peak = max(self.peak, gc.mem_alloc())

    def do_boot(self, utc):
        """Start the firmware; what that took."""
        reads, read = self.chip.reads, self.chip.read
        began = time.ticks_ms()
        self.app = started = app.App(self.board)
        took = time.ticks_diff(time.ticks_ms(), began)
        self.look()
        started.visits.gnss = _Gnss(started.clock)
        for _ in range(3):
            started.clock.on_gnss(utc, started.clock.ms())
        self.chance = utc
        return {"ms": took, "reads": self.chip.reads - reads, "read": self.chip.read - read}

    def do_ballast(self, blocks):
        """Take blocks away from the file system."""
        free = self.free()
        with open("/flash/ballast", "wb") as f:
            blank = bytes(1024)
            while free - self.free() < blocks:
                f.write(blank)
                f.flush()
        return free - self.free()

    def free(self):
        return os.statvfs("/flash")[3]

    def do_day(self, visits, fixes, batteries, doors, hurried=False):
        """The day after the boot, from midnight to midnight; doors: [case id, lat, lon]. Hurried,
        nine visits of ten give their answers at the close: the segments are the same."""
        self.hurried = hurried
        board, found = self.board, self.app.log
        zero, self.before = board.ms, found.head
        every = fixes // visits
        lat, lon = doors[0][1:]
        readings = at_fix = 0
        for step in range(_DAY_MS // _FIX_MS):
            board.ms = zero + step * _FIX_MS
            if step * _FIX_MS >= readings * (_DAY_MS // batteries) and readings < batteries:
                readings += 1
                board.power.mv = 4150 - readings * 3
                self.need(found.battery(*board.power.read()))
            shift = step * _FIX_MS - _START_MS
            if shift >= 0 and at_fix < fixes:
                if not self.app.visits.in_shift:  # its end would wipe the cases, and none can come
                    _intent(self.app.visits, "shift_start", gestor="g-017")
                at_fix += 1
                lat += self.random(3600) - 1700
                lon += self.random(3600) - 1800
                quality = [12, self.random(360), 110 + self.random(9), 38, 30, 9, 0]
                entry = [track.FIX, 0, self.app.clock.ms(), lat, lon, 9 + self.random(4), 11, 3]
                self.need(found.fix(entry + [quality if at_fix % 4 == 0 else None]))
                if at_fix % every == 0 and at_fix // every <= visits:
                    lat, lon = self.visit(at_fix // every - 1, doors)
            self.app.visits.tick()
        self.look()
        return self.do_state()

    def need(self, number):
        if number is None:
            raise ValueError("not saved")

    def visit(self, n, doors):
        """Twelve answers at a door, and every third time a promise of two payments."""
        visits, board, chip = self.app.visits, self.board, self.chip
        before = chip.programs, chip.programmed, chip.erases
        case_id, lat, lon = doors[n % len(doors)]
        visits.gnss.at = lat, lon
        _intent(visits, "check_in", case_id=case_id)
        said = {}
        for name, values in _ANSWERS:
            board.ms += 900
            value = said[name] = values[self.random(len(values))]
            if not self.hurried or n % 10 == 0:
                _intent(visits, "answer", id=name, value=value)
        board.ms += 500
        closing = {"outcome": "sin_acuerdo", "ask_fix": True}
        if n % 3 == 0:
            pairs = [[15000, 20260930], [15000, 20261030]]
            promise = {"currency": "PEN", "kind": 2, "pairs": pairs, "who": "titular"}
            promise["limits"] = 1
            closing = {"outcome": "promesa", "ask_fix": True, "promise": promise}
        if self.hurried:
            closing["answers"] = said
        _intent(visits, "close", **closing)
        after = chip.programs, chip.programmed, chip.erases
        for i in range(3):
            self.at_doors[i] += after[i] - before[i]
        if n % 10 == 0:
            self.look()
        return lat, lon

    def do_state(self):
        """Where log and flash stand."""
        found, chip = self.app.log, self.chip
        return {
            "head": found.head,
            "sealed": found.head - self.before,
            "number": found.number,
            "unsent": found.unsent(),
            "dropped": found.dropped,
            "full": found.full,
            "free": self.free(),
            "programs": chip.programs,
            "programmed": chip.programmed,
            "erases": chip.erases,
            "at_doors": self.at_doors,
            "peak": self.peak,
            "heap": gc.mem_alloc() + gc.mem_free(),
            "counts": found.counts,
        }

    def do_files(self):
        """Every file and its size."""
        return _files("/flash")

    def do_sealed(self, first, last):
        """SHA-256 in hex of sealed segments of the current log, None for what is not there;
        without a boot."""
        if self.chain is None:
            from handheld import recovery
            from handheld.volumes import Chain

            log_id = self.board.nv.get("log")
            self.chain = Chain("/flash/log/" + log_id.hex(), log_id, None, self.board)
            recovery.scan(self.chain)
        out = [self.chain.head]
        for seq in range(first, min(last, self.chain.head) + 1):
            data = self.chain.read(seq)
            out.append(data and hashlib.sha256(data).digest().hex())
        return out

    def do_off(self):
        """The end: as the power's, but that the journal is whole."""
        self.board.journal.close()
        vfs.umount("/flash")
        self.chip.close()
        return True


def _files(path):
    found = []
    for name, kind, _inode, *size in os.ilistdir(path):
        full = path + "/" + name
        found += _files(full) if kind == 0x4000 else [[full, size[0] if size else 0]]
    return found


def main():
    month = Month(os.getenv("RONDA_SIM_DIR"))
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        name, *args = json.loads(line)
        answer = getattr(month, "do_" + name)(*args)
        sys.stdout.write("@P " + json.dumps(answer) + "\n")


main()

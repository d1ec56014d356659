"""The board of the fault laboratory: littlefs and nv in files of the host, cut at any operation.

Every program, erase, sync and nv write counts, and is told to the host when it is to be traced;
the one at which the power goes is done not at all, wholly, by half or as noise. What the handheld
acknowledges (`board.saved`) goes to the host's file of facts in the same stream. Time stands
still unless a step moves it; chance is SHA-256 of a counter. No link and no receiver.
"""

import hashlib
import os
from struct import pack, unpack_from

import vfs
from micropython import const

CLEAN, FULL, TORN, NOISE = 0, 1, 2, 3
_BLOCK = const(4096)
_WRAP = const(1 << 30)


class PowerCut(BaseException):
    """The power went. Not an Exception: nothing in the firmware may catch it."""


_CUT = PowerCut()  # raised again and again: a file that the collector closes has no heap for one


class Facts:
    """Records for the host: letter, u32 length, payload."""

    def __init__(self, path):
        self._file = open(path, "ab")
        self.closed = False

    def put(self, letter, *payloads):
        n = sum([len(p) for p in payloads])
        self._file.write(letter + pack(">I", n))
        for payload in payloads:
            self._file.write(payload)


class Power:
    """Counts operations and goes away at the one asked for."""

    def __init__(self, facts, cut_at, mode, hold):
        self.facts, self.cut_at, self.mode, self.hold = facts, cut_at, mode, hold
        self.count = self.noise = 0
        self.tracing = self.gone = self.over = False
        self.quiet = False  # not the handheld's own operations: no cut is tried at them
        self.watch = None  # called at each operation: faults other than the power's

    def operation(self):
        """How the next operation is to be done: None as it should, or a mode, and then off()."""
        if self.gone:
            if self.over:
                return CLEAN
            raise _CUT
        self.count += 1
        if self.watch:
            self.watch()
        return self.mode if self.cut_at and self.count == self.cut_at else None

    def off(self):
        """It is gone."""
        if self.over:
            raise OSError(5)
        self.gone = True
        if self.hold:
            self.hold()
        raise _CUT

    def random(self, n):
        """n bytes of noise."""
        out = b""
        while len(out) < n:
            self.noise += 1
            out += hashlib.sha256(b"noise%d" % (self.noise + self.cut_at * 1000)).digest()
        return out[:n]


class Flash:
    """A NOR flash in a file; see Power. Reads 0xff where erased."""

    def __init__(self, path, blocks, power):
        self._file = open(path, "r+b")
        self._blocks = blocks
        self._power = power
        self.erases = self.programmed = 0

    def readblocks(self, block, buf, offset=0):
        if self._power.gone:
            self._power.operation()
            return -5
        self._file.seek(block * _BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        power = self._power
        how = power.operation()
        if power.over:
            return -5
        if power.tracing:
            power.facts.put(b"p" if power.quiet else b"P", pack(">IH", block, offset), buf)
        self._file.seek(block * _BLOCK + offset)
        if how is None or how == FULL:
            self._file.write(buf)
            self.programmed += len(buf)
        elif how == TORN:
            self._file.write(memoryview(buf)[: len(buf) // 2])
        elif how == NOISE:
            self._file.write(power.random(len(buf)))
        if how is not None:
            power.off()

    def ioctl(self, request, argument):
        if request == 4:
            return self._blocks
        if request == 5:
            return _BLOCK
        if request == 6:
            return self._erase(argument)
        if request == 3 and self._power.tracing and not self._power.gone:
            self._power.facts.put(b"S")
        return 0

    def _erase(self, block):
        power = self._power
        how = power.operation()
        if power.over:
            return -5
        if power.tracing:
            power.facts.put(b"e" if power.quiet else b"E", pack(">I", block))
        self._file.seek(block * _BLOCK)
        blank = b"\xff" * 1024
        if how is None or how == FULL:
            for _ in range(4):
                self._file.write(blank)
            self.erases += 1
        elif how == TORN:
            for _ in range(2):
                self._file.write(blank)
        elif how == NOISE:
            for _ in range(16):
                self._file.write(power.random(256))
        if how is not None:
            power.off()
        return 0

    def close(self):
        self._file.close()


class Nv:
    """Small values in one file, atomic each, as an ESP32's NVS keeps them."""

    def __init__(self, path, power):
        self._path, self._power = path, power
        self._values = {}
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError:
            return
        at = 0
        while at < len(data):
            n, m = unpack_from(">HH", data, at)
            at += 4
            self._values[data[at : at + n].decode()] = data[at + n : at + n + m]
            at += n + m

    def get(self, name):
        """The value, or None."""
        return self._values.get(name)

    def set(self, name, value):
        """Durable and atomic: at a cut it is the old or the new one."""
        power = self._power
        how = power.operation()
        if power.tracing:
            word = name.encode()
            power.facts.put(b"N", pack(">H", len(word)), word, value)
        if how is None or how in (FULL, NOISE):
            self._values[name] = bytes(value)
            self._keep()
        if how is not None:
            power.off()

    def _keep(self):
        with open(self._path + ".new", "wb") as f:
            for name in sorted(self._values):
                word, value = name.encode(), self._values[name]
                f.write(pack(">HH", len(word), len(value)))
                f.write(word)
                f.write(value)
        os.rename(self._path + ".new", self._path)


class Ident:
    """Who this board is; the key's owner is in nv."""

    board_id = "sim"
    profile = "sim"
    uere_dm = 50
    time_floor = 1767225600

    def __init__(self, device_id):
        self.device_id = device_id


class Cell:
    """A battery that always says the same."""

    def read(self):
        return 3912, 77, 1


class Watchdog:
    """Counts how often it was fed."""

    fed = 0

    def feed(self):
        self.fed += 1


class Board:
    """What handheld.app is handed. `flash.img` and `nv` lie in the folder."""

    rtc = display = keys = net = gps = intents = None
    storage = "/flash"

    def __init__(self, folder, blocks, power, facts):
        self.trial = power
        self.facts = facts
        self.ms = 0
        self.nv = Nv(folder + "/nv", power)
        self.flash = Flash(folder + "/flash.img", blocks, power)
        device = self.nv.get("dev")
        self.ident = Ident(device.decode() if device else None)
        self.power = Cell()
        self.wdt = Watchdog()
        self._signer = None
        self._drawn = 0
        self.log = None
        self.refuses = False

    @property
    def signer(self):
        """The device's log key; kept over boots, its public point costs 4 ms."""
        if self._signer is None and self.nv.get("key"):
            from handheld.signer import Signer

            self._signer = _signer(Signer, self.nv.get("key"))
        return self._signer

    # --- time ---
    def ticks_ms(self):
        return (_WRAP - 5000 + self.ms) % _WRAP

    def ticks_diff(self, new, old):
        return (new - old + _WRAP // 2) % _WRAP - _WRAP // 2

    async def sleep_ms(self, ms):
        self.ms += ms

    link_ms = ticks_ms
    link_sleep_ms = sleep_ms

    # --- the rest of the contract ---
    def entropy(self, n):
        out = b""
        while len(out) < n:
            self._drawn += 1
            boot = self.nv.get("boot") or b""
            out += hashlib.sha256(boot + b"%d/%d" % (self._drawn, self.trial.count)).digest()
        return out[:n]

    def saved(self, kind, number, digest):
        """The handheld's word: from here on the record may not be lost."""
        if not self.trial.gone:
            self.facts.put(b"A", pack(">I", number), self.nv.get("log") or bytes(8), digest)

    def link_outstanding(self, n):
        pass

    def tell(self, name, fields):
        """A sealed segment may be published from here on: its content is fixed."""
        if name == "sealed" and self.log and not self.trial.gone:
            self.facts.put(b"L", pack(">I", self.log.head), self.log.log_id, self.log.head_hash)

    async def finished(self):
        return None

    def done(self, report):
        pass


_signers = {}


def _signer(make, key):
    if key not in _signers:
        _signers.clear()
        _signers[key] = make(key)
    return _signers[key]


def umount():
    """Forget the file system as a power cut does: nothing more reaches the flash."""
    try:
        vfs.umount("/flash")
    except (OSError, PowerCut):
        pass

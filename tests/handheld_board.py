"""A plain Board for tests inside the VM: littlefs on a block device in RAM, nv as a dict, settable
time, a software key. It has no link, no receiver and no intents: a test hands those in itself.

`RamFlash` counts programs and erases and can cut the power at the k-th of them: the operation that
would be one too many raises PowerCut (not an OSError, so that no code under test may catch it),
and so does every later one. `FakeBoard.reboot()` then mounts the same blocks again, as a board
does when power returns.
"""

import os

import vfs
from ronda_protocol import cose, p256

_KEY = bytes(range(1, 33))
_WRAP = 1 << 30
_MOUNTED = {}  # mount point: the flash of the board that was made last


class PowerCut(BaseException):
    """The power went away at a program or an erase."""


class Blocks:
    """What survives a power cut: the blocks themselves, absent = erased."""

    def __init__(self, count, size):
        self.count, self.size = count, size
        self.data = {}
        self.programs = self.erases = self.programmed = 0


class RamFlash:
    """One power-on life of a block device over Blocks: dies at operation `cut_at` (1, 2, ...).

    `torn` programs the first half of the buffer of the operation that dies."""

    def __init__(self, blocks, cut_at=0, torn=False):
        self.blocks, self.cut_at, self.torn = blocks, cut_at, torn
        self.operations = 0
        self.fail = 0  # a negative errno returned by every program and erase: a worn chip
        self.gone = False  # this life is over: files that the collector closes late reach nothing

    def _operation(self):
        self.operations += 1
        if self.cut_at and self.operations >= self.cut_at:
            raise PowerCut

    def readblocks(self, block, buf, offset=0):
        if self.gone:
            return -5
        if self.cut_at and self.operations >= self.cut_at:
            raise PowerCut
        data = self.blocks.data.get(block)
        if data is None:
            for i in range(len(buf)):
                buf[i] = 255
        else:
            buf[:] = memoryview(data)[offset : offset + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        if self.fail or self.gone:
            return self.fail or -5
        if self.cut_at and self.operations >= self.cut_at:
            raise PowerCut
        data = self.blocks.data.get(block)
        if data is None:
            data = self.blocks.data[block] = bytearray(b"\xff" * self.blocks.size)
        if self.torn and self.operations + 1 == self.cut_at:
            half = len(buf) // 2
            data[offset : offset + half] = memoryview(buf)[:half]
        self._operation()
        self.blocks.programs += 1
        self.blocks.programmed += len(buf)
        data[offset : offset + len(buf)] = buf

    def ioctl(self, request, argument):
        if request == 4:
            return self.blocks.count
        if request == 5:
            return self.blocks.size
        if request == 6:
            if self.fail or self.gone:
                return self.fail or -5
            self._operation()
            self.blocks.erases += 1
            self.blocks.data.pop(argument, None)
        return 0


class Nv:
    """Durable and atomic by construction."""

    def __init__(self):
        self.values = {}

    def get(self, name):
        return self.values.get(name)

    def set(self, name, value):
        self.values[name] = bytes(value)


class Signer:
    """The device's log key in software; `private` is 32 bytes."""

    def __init__(self, private=_KEY):
        self._private = private
        self.public = p256.public_key(private)
        self.kid = cose.kid(self.public)

    def sign(self, digest):
        return p256.sign(self._private, digest)


class Ident:
    device_id = "prueba-01"
    board_id = "test"
    profile = "sim"
    time_floor = 1767225600  # 2026-01-01
    uere_dm = 50


class FakeBoard:
    """`saved_entries` is its journal: (kind, number, digest) in the order of saving."""

    def __init__(self, blocks=None, mount="/flash", count=512, signer=None):
        self.ident = Ident()
        self.storage = mount
        self.nv = Nv()
        self.signer = signer or Signer()
        self.gps = self.net = self.rtc = self.power = self.wdt = None
        self.display = self.keys = self.intents = None
        self.saved_entries = []
        self.keep_saved = True
        self.told = []
        self._ticks = _WRAP - 5000
        self._entropy = 0
        self.blocks = blocks or Blocks(count, 4096)
        self.flash = None
        if not self.blocks.data:
            vfs.VfsLfs2.mkfs(RamFlash(self.blocks))
        self.reboot()

    def reboot(self, cut_at=0, torn=False):
        """Power returns: the same blocks are mounted again; ticks start anew."""
        old = _MOUNTED.get(self.storage)
        if old:
            old.gone = True
            try:  # noqa: SIM105 (no contextlib here)
                vfs.umount(self.storage)
            except (OSError, PowerCut):
                pass
        self.flash = RamFlash(self.blocks)
        vfs.mount(vfs.VfsLfs2(self.flash), self.storage)
        _MOUNTED[self.storage] = self.flash
        self.flash.operations, self.flash.cut_at, self.flash.torn = 0, cut_at, torn
        self._ticks = _WRAP - 5000

    # --- time: set by the test ---
    def advance(self, ms):
        self._ticks = (self._ticks + ms) % _WRAP

    def ticks_ms(self):
        return self._ticks

    def ticks_diff(self, a, b):
        return (a - b + _WRAP // 2) % _WRAP - _WRAP // 2

    async def sleep_ms(self, ms):
        self.advance(ms)

    link_ms = ticks_ms

    async def link_sleep_ms(self, ms):
        self.advance(ms)

    # --- the rest of the contract ---
    def entropy(self, n):
        self._entropy += 1
        return bytes((self._entropy * 7 + i * 13) % 256 for i in range(n))

    def saved(self, kind, number, digest):
        if self.keep_saved:
            self.saved_entries.append((kind, number, bytes(digest)))

    def link_outstanding(self, n):
        pass

    def tell(self, name, fields):
        if len(self.told) < 500:
            self.told.append((name, fields))


class FakeClock:
    """Milliseconds since boot and UTC as the test sets them."""

    def __init__(self, boot=1, utc=1789473600):
        self.boot, self.now, self._utc = boot, 1000, utc

    def ms(self):
        return self.now - self.now % 100

    def utc(self):
        return None if self._utc is None else self._utc + self.now // 1000

    def trusted(self):
        return self._utc is not None

    def stamp(self):
        utc = self.utc()
        return [self.boot, self.ms(), utc, 0 if utc is None else 1, 0 if utc is None else 1]


def files(path):
    """Every file under a folder with its size, sorted."""
    found = []
    for name, kind, _inode, *size in os.ilistdir(path):
        full = path + "/" + name
        if kind == 0x4000:
            found += files(full)
        else:
            found.append((full, size[0] if size else 0))
    return sorted(found)

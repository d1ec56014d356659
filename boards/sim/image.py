"""The simulated handheld's durable parts on the host: littlefs's block device, and `nv`.

An image file of 2 MiB stands for the flash chip, a folder of small files for the ESP32's NVS.
"""

import errno
import os

import vfs
from micropython import const

_BLOCK = const(4096)
_BLOCKS = const(512)


class Flash:
    """A block device over the host's file, with NOR's habit of reading 0xff where erased."""

    def __init__(self, path):
        self.erases = self.programmed = 0
        self.looks = []  # called at each read, when the heap is being measured
        self._file = open(path, "r+b")

    @staticmethod
    def create(path):
        """Write an erased image."""
        blank = b"\xff" * 1024
        with open(path, "wb") as out:
            for _ in range(_BLOCKS * (_BLOCK // 1024)):
                out.write(blank)

    def readblocks(self, block, buf, offset=0):
        for look in self.looks:
            look()
        self._file.seek(block * _BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.programmed += len(buf)
        self._file.seek(block * _BLOCK + offset)
        self._file.write(buf)

    def ioctl(self, op, arg):
        if op == 4:
            return _BLOCKS
        if op == 5:
            return _BLOCK
        if op == 6:
            self.erases += 1
            blank = b"\xff" * 1024
            self._file.seek(arg * _BLOCK)
            for _ in range(_BLOCK // 1024):
                self._file.write(blank)
        return 0

    def close(self):
        self._file.close()


def mount(folder):
    """Mount the image at /flash; make and format it only where there is none.

    An image that does not mount is an OSError, never a format: what was saved stays for whoever
    looks into it.
    """
    path = folder + "/flash.img"
    try:
        os.stat(path)
    except OSError:
        fresh = path + ".new"
        Flash.create(fresh)
        flash = Flash(fresh)
        vfs.VfsLfs2.mkfs(flash)
        flash.close()
        os.rename(fresh, path)
    flash = Flash(path)
    vfs.mount(vfs.VfsLfs2(flash), "/flash")
    return flash


class Nv:
    """Small durable values, a file each, outside the log's file system (ESP32: NVS)."""

    def __init__(self, folder):
        self._folder = folder + "/nv"
        try:
            os.mkdir(self._folder)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def get(self, name):
        """The value, or None."""
        try:
            with open(self._folder + "/" + name, "rb") as file:
                return file.read()
        except OSError:
            return None

    def set(self, name, value):
        """Durable and atomic."""
        path = self._folder + "/" + name
        with open(path + ".new", "wb") as file:
            file.write(value)
        os.rename(path + ".new", path)

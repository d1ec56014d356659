"""Disks that are full, read-only or failing, under a process that knows nothing of it.

A small library, built here with the machine's C compiler, is loaded into the process before
(LD_PRELOAD) and asks a file of one word what the disk does to files under one folder:

* `full`: writes that would make a file grow end with ENOSPC;
* `readonly`: every write, and every opening for writing, ends with EROFS;
* `sync`: fsync and fdatasync end with EIO, whatever was written;
* `write`: every second write ends with EIO;
* `torn`: a write puts down its first half and ends with ENOSPC.

Linux, and a compiler: without them `Absent`, and the suite is skipped with a message.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab import RESULTS, Absent

MODES = ("full", "readonly", "sync", "write", "torn")

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char kinds[65536];          /* by descriptor: 1 is ours */
static unsigned count;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off64_t);

#define REAL(name, symbol) if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, symbol)

static char mode(void)
{
    const char *path = getenv("LAB_DISK");
    char word[2] = "-";
    REAL(open, "open64");
    REAL(close, "close");
    int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, word, 1) != 1) word[0] = '-';
        real_close(fd);
    }
    return word[0];
}

static int ours(const char *path)
{
    const char *folder = getenv("LAB_FOLDER");
    return folder && path && !strncmp(path, folder, strlen(folder));
}

static int opened(const char *path, int flags, mode_t how)
{
    REAL(open, "open64");
    int mine = ours(path);
    if (mine && (flags & O_ACCMODE) != O_RDONLY && mode() == 'r') { errno = EROFS; return -1; }
    int fd = real_open(path, flags, how);
    if (fd >= 0 && fd < (int)sizeof kinds) kinds[fd] = mine;
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list more; va_start(more, flags);
    mode_t how = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, how);
}

int open64(const char *path, int flags, ...)
{
    va_list more; va_start(more, flags);
    mode_t how = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, flags, how);
}

int close(int fd)
{
    REAL(close, "close");
    if (fd >= 0 && fd < (int)sizeof kinds) kinds[fd] = 0;
    return real_close(fd);
}

/* How many of n bytes at `at` may be written; -1: none, errno set. */
static ssize_t room(int fd, size_t n, off64_t at)
{
    if (fd < 0 || fd >= (int)sizeof kinds || !kinds[fd]) return (ssize_t)n;
    struct stat64 now;
    switch (mode()) {
    case 'r': errno = EROFS; return -1;
    case 'w': if (count++ & 1) { errno = EIO; return -1; } return (ssize_t)n;
    case 't': if (n > 1) return (ssize_t)(n / 2); errno = ENOSPC; return -1;
    case 'f':
        if (!fstat64(fd, &now) && at + (off64_t)n <= now.st_size) return (ssize_t)n;
        errno = ENOSPC; return -1;
    }
    return (ssize_t)n;
}

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(write, "write");
    ssize_t some = room(fd, n, lseek64(fd, 0, SEEK_CUR));
    if (some < 0) return -1;
    ssize_t done = real_write(fd, data, (size_t)some);
    if (done >= 0 && (size_t)some < n) { errno = ENOSPC; return -1; }
    return done;
}

static ssize_t written(int fd, const void *data, size_t n, off64_t at)
{
    REAL(pwrite, "pwrite64");
    ssize_t some = room(fd, n, at);
    if (some < 0) return -1;
    ssize_t done = real_pwrite(fd, data, (size_t)some, at);
    if (done >= 0 && (size_t)some < n) { errno = ENOSPC; return -1; }
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return written(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return written(fd, data, n, at);
}

static int syncs(int fd)
{
    if (fd >= 0 && fd < (int)sizeof kinds && kinds[fd] && mode() == 's') { errno = EIO; return 0; }
    return 1;
}

int fsync(int fd) { REAL(fsync, "fsync"); return syncs(fd) ? real_fsync(fd) : -1; }
int fdatasync(int fd) { REAL(fdatasync, "fdatasync"); return syncs(fd) ? real_fdatasync(fd) : -1; }

static int resized(int fd, off64_t size)
{
    REAL(ftruncate, "ftruncate64");
    struct stat64 now;
    if (fd >= 0 && fd < (int)sizeof kinds && kinds[fd]) {
        char how = mode();
        if (how == 'r') { errno = EROFS; return -1; }
        if (how == 'f' && !fstat64(fd, &now) && size > now.st_size) { errno = ENOSPC; return -1; }
    }
    return real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size) { return resized(fd, size); }
int ftruncate64(int fd, off64_t size) { return resized(fd, size); }
"""


class Disk:
    """What the disk under `folder` does to a process that is started with `env`."""

    def __init__(self, folder: Path, control: Path) -> None:
        self.folder, self._control = folder, control
        self.env = {
            "LD_PRELOAD": str(library()),
            "LAB_FOLDER": str(folder.absolute()),
            "LAB_DISK": str(control.absolute()),
        }
        self.mend()

    def become(self, mode: str) -> None:
        """From now on: one of MODES."""
        assert mode in MODES, mode
        self._say(mode)

    def mend(self) -> None:
        """From now on it is a sound disk."""
        self._say("-")

    def _say(self, word: str) -> None:
        fresh = self._control.with_name(self._control.name + ".new")
        fresh.write_text(word)
        fresh.replace(self._control)


def library() -> Path:
    """The built library; Absent when this machine cannot build or load one."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        raise Absent("failing disks need Linux and a C compiler (cc)")
    name = hashlib.sha256(_SOURCE.encode()).hexdigest()[:12]
    built = RESULTS / f"disk-{name}.so"
    if built.exists():
        return built
    RESULTS.mkdir(parents=True, exist_ok=True)
    source = RESULTS / f"disk-{name}-{os.getpid()}.c"
    fresh = source.with_suffix(".so")
    source.write_text(_SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(fresh), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    source.unlink()
    if done.returncode:
        raise Absent(f"{compiler} does not build the failing disk: {done.stderr[:200]}")
    fresh.replace(built)
    return built

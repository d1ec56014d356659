"""In the VM: NMEA sentences a second, bytes allocated. Arguments: a log, how often to read it."""

import gc
import json
import sys
import time

from handheld.nmea import Parser

_CHUNK = 256

epochs = [0]


def heard(_parser):
    epochs[0] += 1


parser = Parser(heard)
buffer = bytearray(_CHUNK)
with open(sys.argv[1], "rb") as file:
    data = file.read()
times = int(sys.argv[2])


def feed_all():
    at = 0
    size = len(data)
    while at < size:
        n = min(_CHUNK, size - at)
        buffer[:n] = data[at : at + n]
        parser.feed(buffer, n)
        at += n


def copy_all():
    at = 0
    size = len(data)
    while at < size:
        n = min(_CHUNK, size - at)
        buffer[:n] = data[at : at + n]
        at += n


def timed(work):
    best = 1 << 60
    for _ in range(times):
        gc.collect()
        start = time.ticks_us()
        work()
        best = min(best, time.ticks_diff(time.ticks_us(), start))
    return best


def allocated(work):
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    work()
    used = gc.mem_alloc() - before
    gc.enable()
    return used


feed_all()
sentences = parser.sentences
us = timed(feed_all) - timed(copy_all)
found = parser.sentences
before = epochs[0]
feed_bytes = allocated(feed_all) - allocated(copy_all)
per_pass = parser.sentences - found
print(
    json.dumps(
        {
            "sentences": sentences,
            "bytes": len(data),
            "per_second": per_pass * 1000000 // max(us, 1),
            "allocated_per_epoch": feed_bytes / max(1, epochs[0] - before),
        }
    )
)

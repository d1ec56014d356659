"""D14 in the VM: read inputs from a file through decode_table, write what became of each.

Arguments: file of inputs (kind's index u8, length u32 low first, bytes), file of results. A result
is a line "code check" or "!! what". The last line of stdout is JSON: inputs, how many took
more than 100 ms every time of three, the slowest in ms, heap in use after the first inputs and at
the end, the number of the input in hand when it grew most.
"""

import gc

gc.threshold(8192)  # as firmware/main.py does

import json
import sys
import time

from decode_table import KINDS, decode

_SLOW_MS = 100
_SETTLED = 200  # every module that is going to be loaded is


def run(inputs, results):
    seen = {"inputs": 0, "slow": 0, "slowest_ms": 0, "settled": 0, "end": 0}
    buffer = bytearray(5)
    while inputs.readinto(buffer) == 5:
        kind = KINDS[buffer[0]]
        data = inputs.read(int.from_bytes(buffer[1:], "little"))
        took = _SLOW_MS
        for _ in range(3):  # another program had the processor, or it is really slow
            began = time.ticks_us()
            line = told(kind, data)
            took = min(took, time.ticks_diff(time.ticks_us(), began) // 1000)
            if took < _SLOW_MS:
                break
        else:
            seen["slow"] += 1
        seen["slowest_ms"] = max(seen["slowest_ms"], took)
        results.write(line + "\n")
        data = line = None
        seen["inputs"] += 1
        if seen["inputs"] == _SETTLED:
            gc.collect()
            seen["settled"] = gc.mem_alloc()
    gc.collect()
    seen["end"] = gc.mem_alloc()
    return seen


def told(kind, data):
    """What became of one input, in words."""
    try:
        return "%s %d" % decode(kind, data)
    except Exception as error:
        return "!! %s %s" % (type(error).__name__, str(error)[:80])


with open(sys.argv[1], "rb") as inputs, open(sys.argv[2], "w") as results:
    print(json.dumps(run(inputs, results)))

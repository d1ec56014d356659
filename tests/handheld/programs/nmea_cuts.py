"""Real logs cut at a byte and joined to another, or with that byte changed: the parser in the VM.

Arguments: a JSON file and a seed. The file has `logs`: for each its path, [start, end] of every
whole sentence in it, and how many bytes to go on from one case to the next. Prints one line of
JSON: cases, fixes, and what went wrong [log, byte, what].
"""

import json
import sys

from handheld.nmea import Parser

_BEFORE = 200
_AFTER = 300

state = [int(sys.argv[2])]
truth = set()
wrong = []
seen = {"cases": 0, "fixes": 0, "sentences": 0}


def random(n):
    """0 to n - 1."""
    state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state[0] >> 33) % n


def collect(p):
    """A fix that is true."""
    if p.fixed:
        truth.add((p.lat, p.lon, p.day, p.ms))


def whole(ends, start, end):
    """Index of the first sentence that begins at `start` or later, and of the first not before."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if ends[middle][0] < start:
            low = middle + 1
        else:
            high = middle
    last = low
    while last < len(ends) and ends[last][1] <= end:
        last += 1
    return low, last


def count(ends, start, end, without=-1):
    """How many sentences lie in data[start:end] and do not hold byte `without`."""
    first, last = whole(ends, start, end)
    return sum([not ends[i][0] <= without < ends[i][1] for i in range(first, last)])


def run(name, at, data, least):
    """A stream in pieces of any length: at least so many sentences, and no fix of nobody's."""
    false = []

    def check(p):
        if p.fixed:
            seen["fixes"] += 1
            if (p.lat, p.lon, p.day, p.ms) not in truth:
                false.append([p.lat, p.lon, p.day, p.ms])

    parser = Parser(check)
    cut = random(len(data))
    parser.feed(data[:cut], cut)
    parser.feed(data[cut:], len(data) - cut)
    parser.idle()
    seen["cases"] += 1
    seen["sentences"] += parser.sentences
    if false:
        wrong.append([name, at, "false fix", false])
    if parser.sentences < least:
        wrong.append([name, at, "%d sentences of %d" % (parser.sentences, least)])


with open(sys.argv[1]) as f:
    logs = json.load(f)["logs"]
for log in logs:
    with open(log["path"], "rb") as f:
        log["data"] = f.read()
    parser = Parser(collect)
    parser.feed(log["data"], len(log["data"]))
    parser.idle()
for log in logs:
    name, data, ends = log["path"], log["data"], log["sentences"]
    for at in range(random(log["step"]), len(data), log["step"]):
        start, end = max(0, at - _BEFORE), min(len(data), at + _AFTER)
        other = logs[random(len(logs))]
        begin = random(len(other["data"]))
        joined = data[start:at] + other["data"][begin : begin + _AFTER]
        least = count(ends, start, at) + count(other["sentences"], begin, begin + _AFTER)
        run(name, at, joined, least)
        changed = bytearray(data[start:end])
        changed[at - start] = random(256)
        run(name, at, changed, count(ends, start, end, at))
seen["wrong"] = wrong[:5]
print(json.dumps(seen))

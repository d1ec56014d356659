"""Real logs cut at any byte, joined to any other, with bytes changed: the parser in the VM.

Arguments: seed, rounds, files. Prints one line of JSON: how many sentences and fixes it saw, and
for what went wrong [round, what]. A false fix is one whose position no log has.
"""

import json
import sys

from handheld.nmea import Parser

state = [int(sys.argv[1])]
rounds = int(sys.argv[2])
places = set()
wrong = []
seen = {"sentences": 0, "fixes": 0, "damaged": 0}
now = 0


def random(n):
    """0 to n - 1."""
    state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state[0] >> 33) % n


def collect(p):
    """A position that is true."""
    if p.fixed:
        places.add((p.lat, p.lon))


def check(p):
    """A position that must be true."""
    if p.fixed and (p.lat, p.lon) not in places:
        wrong.append([now, "false fix %d %d" % (p.lat, p.lon)])


def run(data, on_epoch):
    """The sentences of a stream, fed in random pieces; sometimes the line goes quiet."""
    parser = Parser(on_epoch)
    at = 0
    while at < len(data):
        piece = data[at : at + 1 + random(700)]
        parser.feed(piece, len(piece))
        if random(4) == 0:
            parser.idle()
        at += len(piece)
    parser.idle()
    seen["sentences"] += parser.sentences
    seen["fixes"] += parser.fixes
    seen["damaged"] += parser.checksum_errors + parser.bad_fields
    return parser.sentences


def window(data):
    """Some of a log, from any byte to any other."""
    start = random(len(data))
    return data[start : start + random(5000)]


logs = []
for name in sys.argv[3:]:
    with open(name, "rb") as f:
        logs.append(f.read())
for data in logs:
    run(data, collect)
for now in range(rounds):
    whole = window(logs[random(len(logs))])
    count = run(whole, check)
    # One byte changed costs one sentence at most: the next is in step again.
    if whole:
        changed = bytearray(whole)
        changed[random(len(whole))] = random(256)
        if run(changed, check) < count - 1:
            wrong.append([now, "one byte cost more than one sentence"])
    # Cut and joined, in pieces, with bytes lost, repeated and put in.
    parts = bytearray()
    for _ in range(1 + random(6)):
        part = bytearray(window(logs[random(len(logs))] if random(2) else whole or b"$"))
        for _ in range(random(4)):
            if part:
                i = random(len(part))
                part[i] = random(256)
                if random(3) == 0:
                    part = part[:i] + part[i + random(80) :]
        parts += part
    run(parts, check)
    # Cut out of the middle: the same receiver, some bytes later, as when a UART overruns.
    if len(whole) > 200:
        i = random(len(whole) - 150)
        run(whole[:i] + whole[i + random(150) :], check)
seen["wrong"] = wrong[:5]
print(json.dumps(seen))

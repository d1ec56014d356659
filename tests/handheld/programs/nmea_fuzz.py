"""Long pieces of real logs, cut, joined, changed, with binary frames put in: the parser in the VM.

Arguments: seed, rounds, files. Prints one line of JSON: how many sentences, fixes and frames it
saw, and for what went wrong [round, what]. A false fix is one whose time or position no log has.
"""

import json
import sys

from handheld.nmea import Parser

state = [int(sys.argv[1])]
rounds = int(sys.argv[2])
places = set()
wrong = []
seen = {"sentences": 0, "fixes": 0, "damaged": 0, "frames": 0}
now = 0


def random(n):
    """0 to n - 1."""
    state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state[0] >> 33) % n


def collect(p):
    """A fix that is true."""
    if p.fixed:
        places.add((p.lat, p.lon, p.day, p.ms))


def check(p):
    """A fix that must be true."""
    if p.fixed and (p.lat, p.lon, p.day, p.ms) not in places:
        wrong.append([now, "false fix %d %d %d %d" % (p.lat, p.lon, p.day, p.ms)])


def feed(parser, data, quiet):
    """A stream in random pieces; sometimes the line goes quiet."""
    at = 0
    while at < len(data):
        piece = data[at : at + 1 + random(700)]
        parser.feed(piece, len(piece))
        if quiet and random(4) == 0:
            parser.idle()
        at += len(piece)
    parser.idle()


def ubx(payload):
    """A u-blox frame."""
    body = b"\x01\x07" + bytes((len(payload) & 255, len(payload) >> 8)) + payload
    a = c = 0
    for x in body:
        a += x
        c += a
    return b"\xb5\x62" + body + bytes((a & 255, c & 255))


def casic(payload):
    """A CASIC frame; its payload is whole words."""
    body = bytes((len(payload) & 255, len(payload) >> 8)) + b"\x01\x03" + payload
    c = 0
    for i in range(0, len(body), 4):
        c += int.from_bytes(body[i : i + 4], "little")
    return b"\xba\xce" + body + (c & 0xFFFFFFFF).to_bytes(4, "little")


def with_frames(data):
    """The same with frames put in anywhere, most of them full of sentences."""
    out, at = bytearray(), 0
    while at < len(data):
        more = random(900)
        out += data[at : at + more]
        at += more
        inside = window(logs[random(len(logs))])[: 4 * random(126)]
        out += casic(inside[: len(inside) & ~3]) if random(3) == 0 else ubx(inside)
    return out


def numbers(p):
    """What a parser has counted, and where it is."""
    at = (p.lat, p.lon, p.day, p.ms, p.sky.count, p.sky.mark)
    return (p.sentences, p.checksum_errors, p.bad_fields, p.fixes, p.losses) + at


def run(data, on_epoch):
    """The sentences of a stream."""
    parser = Parser(on_epoch)
    feed(parser, data, True)
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
    # Frames in between change nothing.
    plain, framed = Parser(check), Parser(check)
    feed(plain, whole, False)
    feed(framed, with_frames(whole), False)
    seen["frames"] += framed.frames
    if numbers(plain) != numbers(framed):
        wrong.append([now, "frames change %s to %s" % (numbers(plain), numbers(framed))])
    # One that is cut short swallows nothing of what follows it.
    cut = ubx(bytes(random(500)))[: 1 + random(500)]
    cut = Parser(check), cut
    feed(cut[0], cut[1] + whole + b"\r\n", False)
    if cut[0].sentences < plain.sentences:
        wrong.append([now, "half a frame swallowed %d" % (plain.sentences - cut[0].sentences)])
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

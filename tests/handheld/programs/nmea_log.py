"""Feed a receiver's log to the parser in the VM and print what it told, as one line of JSON.

Arguments: the file, bytes a feed. Each fix is [time, lat_e7, lon_e7, hdop, satellites, quality,
kind, altitude, speed, course, sky, zda] as nmea.Parser has them; sky is [count, mean, low, spread]
of the satellites that its epoch told, or null.
"""

import json
import sys

from handheld.dates import iso
from handheld.nmea import Parser

fixes = []


def epoch(p):
    """Keep what an epoch tells."""
    if p.fixed:
        s = p.sky
        sky = [s.count, s.mean, s.low, s.spread] if s.fresh and s.count else None
        fix = [iso(p.day, p.ms), p.lat, p.lon, p.hdop, p.satellites, p.quality, p.kind]
        fixes.append(fix + [p.altitude, p.speed, p.course, sky, p.zda])


parser = Parser(epoch)
buffer = bytearray(int(sys.argv[2]))
with open(sys.argv[1], "rb") as log:
    while True:
        n = log.readinto(buffer)
        if not n:
            break
        parser.feed(buffer, n)
parser.idle()
names = ("sentences", "checksum_errors", "bad_fields", "losses", "repeated", "frames")
told = {name: getattr(parser, name) for name in names}
told["count"] = parser.fixes
told["odd"] = parser.sky.odd
told["fixes"] = fixes
print(json.dumps(told))

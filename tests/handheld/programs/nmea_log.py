"""Feed a receiver's log to the parser in the VM and print what it told, as one line of JSON.

Arguments: the file, bytes a feed. Each fix is [time, lat_e7, lon_e7, hdop, satellites, quality,
kind, altitude, speed, course] as nmea.Parser has them.
"""

import json
import sys

from handheld.dates import iso
from handheld.nmea import Parser

fixes = []


def epoch(p):
    """Keep what an epoch tells."""
    if p.fixed:
        fix = [iso(p.day, p.ms), p.lat, p.lon, p.hdop, p.satellites, p.quality, p.kind]
        fixes.append(fix + [p.altitude, p.speed, p.course])


parser = Parser(epoch)
buffer = bytearray(int(sys.argv[2]))
with open(sys.argv[1], "rb") as log:
    while True:
        n = log.readinto(buffer)
        if not n:
            break
        parser.feed(buffer, n)
parser.idle()
names = ("sentences", "checksum_errors", "bad_fields", "losses")
told = {name: getattr(parser, name) for name in names}
told["count"] = parser.fixes
told["fixes"] = fixes
print(json.dumps(told))

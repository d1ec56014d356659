"""What the vectors of segments, visits, receipts, packs and fences are computed with.

Written from protocol/WIRE.md with cbor2, cryptography and plain Python; imports nothing of
ronda_protocol, so that the two can be compared.
"""

import hashlib
import math
from fractions import Fraction
from typing import Any

import cbor2
import p256_cases
from cose_cases import key_of, kid_of, protected_of

Fix = list[Any]


def sha256(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def dumps(value: Any) -> bytes:
    """Deterministic CBOR (RFC 8949 §4.2.1): map keys in the order of their encodings."""
    return cbor2.dumps(order(value))


def order(value: Any) -> Any:
    """The same value with map keys in the order of their encodings."""
    if isinstance(value, list | tuple):
        return [order(item) for item in value]
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: cbor2.dumps(pair[0]))
        return {key: order(item) for key, item in pairs}
    return value


class Key:
    """A fixed private key and what follows from it."""

    def __init__(self, name: str, private: int) -> None:
        self.name = name
        self.private = private
        self.public = p256_cases.public_of(private)
        self.cose_key = key_of(self.public)
        self.kid = kid_of(self.public)
        self.protected = protected_of(self.public)

    def as_json(self) -> dict[str, str]:
        """For a vector file."""
        return {
            "name": self.name,
            "private": self.private.to_bytes(32, "big").hex(),
            "public": self.public.hex(),
            "kid": self.kid.hex(),
        }

    def sign1(self, payload: bytes) -> bytes:
        """The COSE_Sign1 over a payload, RFC 6979 and low s."""
        digest = sha256(cbor2.dumps(["Signature1", self.protected, b"", payload]))
        r, s = p256_cases.raw_signature(self.private, digest)
        s = min(s, p256_cases.N - s)
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return cbor2.dumps(cbor2.CBORTag(18, [self.protected, {}, payload, signature]))

    def chain_hash(self, payload: bytes) -> bytes:
        """SHA-256 of [protected, payload]."""
        return sha256(cbor2.dumps([self.protected, payload]))


DEVICE = Key("device rh-0001", 0x1111111111111111)
GATEWAY = Key("gateway", 0x2222222222222222)
ROOT = Key("root", 0x3333333333333333)


def varint(value: int) -> bytes:
    """Unsigned LEB128, from the value's groups of seven bits."""
    groups = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([group | 128 for group in groups[:-1]] + groups[-1:])


def zigzag(value: int) -> int:
    """0, -1, 1, -2… as 0, 1, 2, 3…"""
    return 2 * value if value >= 0 else -2 * value - 1


def alternate(a: int, b: int) -> int:
    """The number whose even bits are a's and odd bits b's, by way of binary text."""
    width = max(a.bit_length(), b.bit_length(), 1)
    pairs = zip(f"{b:0{width}b}", f"{a:0{width}b}", strict=True)
    return int("".join(high + low for high, low in pairs), 2)


def fix_records(fixes: list[Fix], base_ms: int) -> list[bytes]:
    """The packed record of each fix."""
    records: list[bytes] = []
    for i, fix in enumerate(fixes):
        _, _, _ms, lat, lon, hdop, sats, kind, quality = fix
        before = fixes[i - 1] if i else None
        times = [base_ms, base_ms] + [f[2] for f in fixes[: i + 1]]
        step, step_before = times[-1] - times[-2], times[-2] - times[-3]
        moved = [f[3:5] for f in fixes[:i]]
        expected = [0, 0] if not moved else list(moved[-1])
        if len(moved) > 1:
            expected = [2 * moved[-1][k] - moved[-2][k] for k in (0, 1)]
        head = 0x40 * (step != step_before) + 0x80 * (quality is not None)
        short = (
            before is not None
            and before[7] == kind
            and sats - before[6] in (-1, 0, 1)
            and hdop - before[5] in (-1, 0, 1)
        )
        if short:
            assert before is not None
            record = bytes([head + 16 + (sats - before[6] + 1) + 4 * (hdop - before[5] + 1)])
        else:
            record = bytes([head + 16 * (0 if kind == 1 else kind) + sats, hdop])
        if step != step_before:
            record += varint(zigzag((step - step_before) // 100))
        record += varint(alternate(zigzag(lat - expected[0]), zigzag(lon - expected[1])))
        if quality is not None:
            heights = [f[8][2] for f in fixes[:i] if f[8] and f[8][2] is not None]
            record += quality_block(quality, heights[-1] if heights else 0)
        records.append(record)
    return records


def quality_block(quality: list[Any], height: int) -> bytes:
    """Motion, C/N0 and detector flags."""
    motion, signal = quality[0] is not None, quality[3] is not None
    block = varint(signal + 2 * motion + 4 * quality[6])
    if motion:
        block += varint(quality[0]) + varint(quality[1]) + varint(zigzag(quality[2] - height))
    return block + (bytes(quality[3:6]) if signal else b"")


def fixes_string(fixes: list[Fix], base_ms: int) -> bytes:
    """The packed string."""
    return b"".join(fix_records(fixes, base_ms))


def track_part(entries: list[Fix], base_ms: int) -> bytes:
    """Part 1."""
    part: dict[int, Any] = {}
    fixes = [entry for entry in entries if entry[0] == 1]
    if fixes:
        part[1] = fixes_string(fixes, base_ms)
    for kind in (2, 3):
        rows = [[e[1], (e[2] - base_ms) // 100, *e[3:]] for e in entries if e[0] == kind]
        if rows:
            part[kind] = rows
    return dumps(part)


def flat(numbers: list[int]) -> list[int]:
    """Ranges [first, count…] of ascending numbers."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return [x for a, b in zip(starts, ends, strict=True) for x in (a, b - a + 1)]


def header_map(**fields: Any) -> dict[int, Any]:
    """The header of a segment of the vectors' device; fields replace the defaults by name."""
    names = [
        "message",
        "version",
        "device",
        "fw_version",
        "fw_hash",
        "log_id",
        "seq",
        "prev",
        "stamp",
        "numbers",
        "body",
        "parts",
        "previous_log",
    ]
    values = {
        "message": 1,
        "version": 1,
        "device": "rh-0001",
        "fw_version": "0.1.0",
        "fw_hash": bytes(range(16)),
        "log_id": bytes.fromhex("a1b2c3d4e5f60718"),
        "seq": 1,
        "prev": bytes(32),
        "stamp": [3, 60000, 1789477200, 1, 1],
        "numbers": [1, 1],
        "body": 1,
        "parts": {1: bytes(32)},
        **fields,
    }
    return {names.index(name): value for name, value in values.items() if value != "absent"}


def sealed(header: dict[int, Any], parts: dict[int, bytes], key: Key = DEVICE) -> bytes:
    """A sealed segment whose header holds the hashes of `parts`."""
    header = {**header, 11: {number: sha256(parts[number]) for number in parts}}
    return key.sign1(dumps(header)) + b"".join(dumps([n, parts[n]]) for n in sorted(parts))


# --- fence ---

COSINES = [round(65535 * math.cos(math.radians(degree))) for degree in range(91)]


def cosine(angle: int) -> int:
    """65535 cos of an angle in 1e-4 degrees: linear between whole degrees, folded by symmetry."""
    angle = abs(angle) % 3600000
    angle = min(angle, 3600000 - angle)
    if angle > 900000:
        return -cosine(1800000 - angle)
    degree, rest = divmod(angle, 10000)
    if not rest:
        return COSINES[degree]
    return COSINES[degree] - (COSINES[degree] - COSINES[degree + 1]) * rest // 10000


def scale(lat: int) -> tuple[int, int]:
    """Millimetres per degree, north and east."""
    a = abs(lat) // 1000
    north = 111132953 - (559850 * cosine(2 * a) - 1175 * cosine(4 * a)) // 65535
    east = (111412878 * cosine(a) - 93504 * cosine(3 * a) + 118 * cosine(5 * a)) // 65535
    return north, east


def median(values: list[int]) -> int:
    """Floor of the mean of the two middle values of an even count."""
    values = sorted(values)
    n = len(values)
    return (values[(n - 1) // 2] + values[n // 2]) // 2


def short_way(lon: int) -> int:
    """A difference of longitudes within half a turn."""
    return (lon + 1800000000) % 3600000000 - 1800000000


def walk(corners: list[int]) -> list[tuple[int, int]]:
    """A polygon's corners as differences from its first one."""
    sums = [(0, 0)]
    for i in range(2, len(corners), 2):
        sums.append((sums[-1][0] + corners[i], sums[-1][1] + corners[i + 1]))
    return sums


def middle(corners: list[int]) -> tuple[int, int]:
    """A polygon's centre: the floor of the middle of its bounds."""
    sums = walk(corners)
    lat = corners[0] + (min(y for y, _ in sums) + max(y for y, _ in sums)) // 2
    lon = corners[1] + (min(x for _, x in sums) + max(x for _, x in sums)) // 2
    return lat, short_way(lon)


Point = tuple[Fraction, Fraction]


def in_plane(corners: list[int]) -> list[Point]:
    """A polygon's corners in decimetres north and east of its centre."""
    center = middle(corners)
    north, east = scale(center[0])
    first = corners[0] - center[0], short_way(corners[1] - center[1])
    return [
        (Fraction((first[0] + y) * north, 10**9), Fraction((first[1] + x) * east, 10**9))
        for y, x in walk(corners)
    ]


def polygon_dm(corners: list[int], dlat: int, dlon: int) -> int:
    """Signed distance of a position to a polygon's edge, by fractions and the winding number."""
    north, east = scale(middle(corners)[0])
    at = Fraction(dlat * north, 10**9), Fraction(dlon * east, 10**9)
    points = in_plane(corners)
    turns, squares = 0, []
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        edge = b[0] - a[0], b[1] - a[1]
        to = at[0] - a[0], at[1] - a[1]
        along = (to[0] * edge[0] + to[1] * edge[1]) / (edge[0] ** 2 + edge[1] ** 2)
        along = min(max(along, Fraction(0)), Fraction(1))
        squares.append((to[0] - along * edge[0]) ** 2 + (to[1] - along * edge[1]) ** 2)
        left = edge[1] * to[0] - edge[0] * to[1]
        if a[0] <= at[0] < b[0] and left > 0:
            turns += 1
        if b[0] <= at[0] < a[0] and left < 0:
            turns -= 1
    square = min(squares)
    if turns:
        return -math.isqrt(math.floor(square))
    up = math.ceil(square)
    return math.isqrt(up - 1) + 1 if up else 0


def circle_dm(fence: list[int], dlat: int, dlon: int) -> tuple[list[int], int]:
    """Millimetres north and east of a circle's centre, and the signed distance to its edge."""
    north, east = scale(fence[1])
    north_mm = (abs(dlat) * north + 9999999) // 10**7
    east_mm = (abs(dlon) * east + 9999999) // 10**7
    square = north_mm**2 + east_mm**2
    root = math.isqrt(square)
    away = ((root + (root * root < square)) + 99) // 100
    return [north_mm, east_mm], away - fence[3]


def fence_case(name: str, fence: list[Any], fixes: list[list[int]], uere: int = 50) -> dict:
    """A verdict with its intermediates."""
    usable = [fix for fix in fixes if not fix[3] & 1][-8:]
    case: dict[str, Any] = {"name": name, "fence": fence, "fixes": fixes, "uere_dm": uere}
    if not usable:
        return {**case, "verdict": [3, None, None, 0, 2 if fixes else 1]}
    center = middle(fence[1]) if fence[0] else (fence[1], fence[2])
    dlat = median([fix[0] - center[0] for fix in usable])
    dlon = median([short_way(fix[1] - center[1]) for fix in usable])
    case["center"] = list(center)
    case["mm_per_degree"] = list(scale(center[0]))
    case["median"] = [dlat, dlon]
    if fence[0]:
        d = polygon_dm(fence[1], dlat, dlon)
    else:
        case["plane_mm"], d = circle_dm(fence, dlat, dlon)
    hdop = max(fix[2] for fix in usable)
    if hdop == 255:
        return {**case, "verdict": [3, d, None, len(usable), 3]}
    r = max(50, (hdop * uere + 9) // 10) * (1 if len(usable) >= 3 else 2)
    found = 1 if d + r <= 0 else 2 if d - r > 0 else 3
    return {**case, "verdict": [found, d, r, len(usable), 0]}


def dwell_case(name: str, fence: list[Any], fixes: list[list[int]], asked_ms: int) -> dict:
    """How long a row of fixes [ms, lat, lon, hdop, flags] stays inside: all rows, then the last.

    A fix counts once, in the order of time.
    """
    rows: list[list[int]] = [[]]
    seen = -1
    for ms, lat, lon, hdop, flags in fixes:
        if ms <= seen or hdop == 255 or flags & 1:
            continue
        seen = ms
        away = fence_case("", fence, [[lat, lon, 9, 0]])["verdict"][1]
        if rows[-1] and ms - rows[-1][-1] > 10000:
            rows.append([])
        if away <= 0:
            rows[-1].append(ms)
        else:
            rows.append([])
    lengths = [row[-1] - row[0] for row in rows if row]
    going_on = rows[-1] and asked_ms - rows[-1][-1] <= 10000
    return {
        "name": name,
        "fence": fence,
        "fixes": fixes,
        "asked_ms": asked_ms,
        "going_on_s": lengths[-1] // 1000 if going_on else 0,
        "longest_s": max([0, *lengths]) // 1000,
    }

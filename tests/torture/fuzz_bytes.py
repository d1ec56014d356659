"""Inputs for D14: the vectors changed byte by byte, changed value by value, and what is made up.

One input has one number: `Maker(space).make(i)` is (kind, bytes) and depends on nothing else, so
that a failing input is made again by its number. Kinds are those of `decode_table`. Leaves out
decoding and judging.

Three ways, drawn for each input: bytes of a vector changed (mutation); a vector decoded, one of
its values changed and encoded again, seldom as the rules say (grammar); and values of nobody's.
What is signed is often signed again with a key that the gateway knows, its hashes made right:
otherwise nothing behind the signature would ever be reached.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import decode_table
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from ronda_gateway import keys
from ronda_protocol import cbor, cose, reading, segment

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
PRIVATE = int("1111111111111111", 16)
"""The device key of the vectors."""

DEVICE = "rh-0001"

# Where in the vector files the bytes of each kind lie: (file, list, field).
_PLACES: dict[str, list[tuple[str, str, str]]] = {
    "cbor": [("cbor", "values", "hex"), ("cbor", "refused", "hex"), ("cbor", "sequences", "hex")],
    "cose": [
        ("cose", "messages", "message"),
        ("cose", "refused", "message"),
        ("cose", "unverified", "message"),
    ],
    "key": [("cose", "keys", "cose_key"), ("cose", "refused_keys", "cose_key")],
    "receipt": [("receipt", "receipts", "payload"), ("receipt", "refused_receipts", "payload")],
    "resend": [("receipt", "resends", "payload"), ("receipt", "refused_resends", "payload")],
    "chunk": [
        ("chunk", "chunks", "message"),
        ("chunk", "good", "message"),
        ("chunk", "refused", "hex"),
    ],
    "manifest": [("pack", "packs", "payload"), ("pack", "refused_manifests", "payload")],
    "pack": [("pack", "packs", "file"), ("pack", "packs", "hex"), ("pack", "refused", "hex")],
    "trust": [("pack", "trust", "hex"), ("pack", "trust", "body"), ("pack", "refused", "hex")],
    "config": [("pack", "config", "hex")],
    "cases": [("pack", "cases", "hex"), ("pack", "cases", "body")],
    "header": [
        ("segment", "segments", "payload"),
        ("segment", "refused_headers", "payload"),
        ("segment", "later_version", "payload"),
        ("correction", "refused_headers", "payload"),
    ],
    "segment": [
        ("segment", "segments", "sealed"),
        ("segment", "refused", "hex"),
        ("segment", "fork", "sealed"),
        ("correction", "segment", "sealed"),
    ],
    "track": [("track", "tracks", "hex"), ("track", "refused_tracks", "hex")],
    "fixes": [("track", "fixes", "hex"), ("track", "refused_fixes", "hex")],
    "evidence": [("visit", "evidence", "hex"), ("visit", "refused_evidence", "hex")],
    "answers": [("visit", "answers", "hex")],
    "promise": [("visit", "promises", "hex")],
    "correction": [("correction", "good", "hex"), ("correction", "refused", "hex")],
}
# Kinds that are read from bytes of another kind too.
_ALSO = {
    "sequence": ("segment", "pack", "cbor"),
    "message": ("receipt", "manifest", "header"),
    "outline": ("header",),
}
_SALTED = ("answers", "promise", "correction")
_PLAIN = ("cbor", "receipt", "resend", "chunk", "manifest", "trust", "config", "cases", "header")
_PLAIN += ("track", "evidence", "message", "outline", "key")

_INTEGERS = [0, 1, 2, 3, 10, 23, 24, 25, 99, 100, 255, 256, 1023, 1024, 1025, 4095, 4096, 20260230]
_INTEGERS += [2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**34, 2**53 - 100]
_INTEGERS += [2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 900000000, 900000001, 1800000001]
_INTEGERS += [1789477200, 1789473600]
_TEXTS = [
    "",
    "a",
    "site",
    "rh-0001",
    "RH-0001",
    "ñandú",
    "x" * 24,
    "x" * 25,
    "x" * 33,
    "\x00",
    "\n",
]
_TEXTS += [
    "\x7f",
    "\u0085",
    "banco-a",
    "answers.q",
    "answers.",
    "outcome",
    "promise",
    "PEN",
    "'--",
]
_TEXTS += ["=1+1", "<b>", "\U0001f6b6", "x" * 300]


def _hexes(found: Any, field: str) -> list[bytes]:
    """Every hex string under a name, at any depth of a vector file's list."""
    if isinstance(found, list):
        return [one for item in found for one in _hexes(item, field)]
    if isinstance(found, dict):
        here = [bytes.fromhex(v) for k, v in found.items() if k == field and isinstance(v, str)]
        return here + [one for v in found.values() for one in _hexes(v, field)]
    return []


def corpus() -> dict[str, list[bytes]]:
    """The vectors' bytes by kind, distinct, in the order of the files."""
    files = {path.stem: json.loads(path.read_text()) for path in VECTORS.glob("*.json")}
    found: dict[str, list[bytes]] = {}
    for kind, places in _PLACES.items():
        every = [one for file, name, field in places for one in _hexes(files[file][name], field)]
        found[kind] = list(dict.fromkeys(every))
    for kind, others in _ALSO.items():
        found[kind] = [one for other in others for one in found[other]]
    missing = [kind for kind in decode_table.KINDS if not found.get(kind)]
    if missing:
        raise ValueError(f"no vectors for {', '.join(missing)}")
    return found


def _accepted(kind: str, found: list[bytes]) -> list[bytes]:
    return [one for one in found if decode_table.decode(kind, one)[0] == "ok"] or found


class Deterministic(keys.Signer):
    """A signer that signs one digest one way (RFC 6979): an input is the same bytes every time."""

    def sign(self, digest: bytes) -> bytes:
        how = ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True)
        r, s = utils.decode_dss_signature(self._private.sign(digest, how))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Sloppy:
    """Encodes values, as the rules say or not: `wrong` in 1000 items are written in a form that
    must be refused, or hold what no value of ours holds."""

    def __init__(self, rng: random.Random, wrong: int) -> None:
        self.rng, self.wrong = rng, wrong

    def encode(self, value: Any) -> bytes:
        out = bytearray()
        self._put(out, value)
        return bytes(out)

    def _head(self, out: bytearray, major: int, n: int) -> None:
        sizes = [s for s in (0, 1, 2, 4, 8) if n < (24 if s == 0 else 1 << 8 * s)]
        size = sizes[0]
        if self.rng.randrange(1000) < self.wrong:
            size = self.rng.choice(sizes)
            if self.rng.randrange(4) == 0:
                out.append(major << 5 | self.rng.choice((28, 29, 30, 31)))
                return
            if self.rng.randrange(4) == 0:  # a length that lies
                n = self.rng.choice((n + 1, max(0, n - 1), 2 ** (8 * (size or 1)) - 1)) & 2**64 - 1
                size = next(s for s in (0, 1, 2, 4, 8) if n < (24 if s == 0 else 1 << 8 * s))
        if not size:
            out.append(major << 5 | n)
        else:
            out.append(major << 5 | 23 + size.bit_length())
            out += n.to_bytes(size, "big")

    def _put(self, out: bytearray, value: Any) -> None:
        if self.rng.randrange(1000) < self.wrong:
            self._strange(out)
            return
        if value is None or isinstance(value, bool):
            out.append({None: 0xF6, True: 0xF5, False: 0xF4}[value])
        elif isinstance(value, int):
            self._head(out, int(value < 0), -1 - value if value < 0 else value)
        elif isinstance(value, bytes):
            self._head(out, 2, len(value))
            out += value
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")
            self._head(out, 3, len(raw))
            out += raw
        elif isinstance(value, list):
            self._head(out, 4, len(value))
            for item in value:
                self._put(out, item)
        elif isinstance(value, cbor.Tagged):
            self._head(out, 6, value.tag)
            self._put(out, value.value)
        else:
            self._map(out, value)

    def _map(self, out: bytearray, value: dict[Any, Any]) -> None:
        pairs = sorted(((cbor.encode(key), item) for key, item in value.items()), key=_first)
        if self.rng.randrange(1000) < self.wrong:
            self.rng.shuffle(pairs)
        if pairs and self.rng.randrange(1000) < self.wrong:
            pairs.insert(self.rng.randrange(len(pairs)), self.rng.choice(pairs))
        self._head(out, 5, len(pairs))
        for key, item in pairs:
            out += key
            self._put(out, item)

    def _strange(self, out: bytearray) -> None:
        out += self.rng.choice(
            (
                b"\xf7",  # undefined
                b"\xff",  # a break
                b"\xf8\x20",
                b"\xf9\x3c\x00",  # floats
                b"\xfb" + bytes(8),
                b"\xc1\x00",  # tags
                b"\xd8\x12\x00",
                b"\x9f\xff",  # indefinite
                b"\x62\xc3\x28",  # no UTF-8
                b"\x63\xed\xa0\x80",
                b"\x9b" + b"\xff" * 8,
                b"\x5b" + b"\x7f" * 8,
                b"\x81" * self.rng.choice((3, 8, 9, 64, 2000)),
                b"\xc3" * 9,
            )
        )


def _first(pair: tuple[bytes, Any]) -> bytes:
    return pair[0]


class Maker:
    """Inputs by number. `space` names the run; `kinds` bounds what is made, `longest` the bytes of
    one input, `bombs` the kinds of which thousands of values in one are made."""

    def __init__(
        self,
        space: str,
        kinds: list[str] = decode_table.KINDS,
        longest: int = 70_000,
        bombs: frozenset[str] = frozenset(decode_table.KINDS),
    ) -> None:
        self.space, self.kinds, self.longest, self.bombs = space, kinds, longest, bombs
        self.corpus = corpus()
        self._good = {kind: _accepted(kind, found) for kind, found in self.corpus.items()}
        self.rng = random.Random()
        self.signer = Deterministic(ec.derive_private_key(PRIVATE, ec.SECP256R1()))
        self._salt = int.from_bytes(hashlib.sha256(space.encode()).digest()[:4], "big")

    def make(self, number: int) -> tuple[str, bytes]:
        """The input of a number: its kind and bytes."""
        rng = self.rng
        rng.seed(self._salt << 32 | number)
        kind = rng.choice(self.kinds)
        way = rng.randrange(10)
        # Most refused vectors end where the mistake is: from good ones one gets farther.
        data = rng.choice(self._good[kind] if rng.randrange(3) else self.corpus[kind])
        if way < 5:
            data = self.damaged(data)
        elif way < 9:
            data = self.regrown(kind, data)
        else:
            data = self.invented(kind)
        return kind, data[: self.longest]

    def good(self, kind: str) -> list[bytes]:
        """The vectors of a kind that are accepted."""
        return self._good[kind]

    # ---- bytes -----------------------------------------------------------------------------

    def damaged(self, data: bytes) -> bytes:
        """One to six places changed: bits, bytes, lengths, ends, pieces moved, other vectors."""
        rng, out = self.rng, bytearray(data)
        for _ in range(1 + min(rng.randrange(6), rng.randrange(6))):
            at = rng.randrange(len(out) + 1)
            how = rng.randrange(12)
            if how < 3 and at < len(out):
                out[at] ^= 1 << rng.randrange(8)
            elif how < 5 and at < len(out):
                out[at] = rng.randrange(256)
            elif how == 5 and at < len(out):
                out[at] = (out[at] + rng.choice((1, 255))) & 255
            elif how == 6:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 9)))
            elif how == 7:
                del out[at : at + rng.choice((1, 2, 8, 40))]
            elif how == 8 and rng.randrange(4) == 0:
                del out[at:]
            elif how == 9:
                size = rng.choice((1, 4, 16, 64))
                out[at:at] = out[max(0, at - size) : at] * rng.choice((1, 1, 2, 30))
            elif how == 10:
                other = rng.choice(self.corpus[rng.choice(self.kinds)])
                start = rng.randrange(len(other) + 1)
                out[at:at] = other[start : start + rng.choice((1, 8, 64))]
            elif how == 11 and rng.randrange(8) == 0:
                out += rng.randbytes(rng.choice((1, 100)))
        return bytes(out)

    # ---- values ----------------------------------------------------------------------------

    def regrown(self, kind: str, data: bytes) -> bytes:
        """A vector's values changed and encoded again; signed messages signed again."""
        if kind in {"segment", "sequence"}:
            return self.resealed(data)
        if kind == "cose":
            return self.resigned(data)
        if kind == "pack":
            return self.repacked(data)
        salt, rest = (data[:16], data[16:]) if kind in _SALTED else (b"", data)
        if kind in _PLAIN or kind in _SALTED:
            try:
                value = cbor.decode(rest)
            except cbor.CborError:
                return self.damaged(data)
            return salt + self.sloppy().encode(self.changed(value))
        return self.damaged(data)

    def sloppy(self) -> Sloppy:
        """An encoder that is right three times in four."""
        return Sloppy(self.rng, self.rng.choice((0, 0, 0, 20)))

    def changed(self, value: Any) -> Any:
        """The value with one to three of its nodes replaced, removed, doubled, or added."""
        for _ in range(self.rng.choice((1, 1, 1, 2, 4))):
            value = self._changed(value, 0)
        return value

    def _changed(self, value: Any, depth: int) -> Any:
        rng = self.rng
        inside = isinstance(value, (list, dict, cbor.Tagged)) and depth < 8
        if not inside or rng.randrange(8) == 0:
            return self._other(value)
        if isinstance(value, cbor.Tagged):
            return cbor.Tagged(value.tag, self._changed(value.value, depth + 1))
        if isinstance(value, dict):
            return self._changed_map(dict(value), depth)
        value = list(value)
        at = rng.randrange(len(value) + 1)
        how = rng.randrange(10)
        if at == len(value) or how == 0:
            value.insert(at, self.anything(2))
        elif how == 1:
            del value[at]
        elif how == 2:
            value[at:at] = [value[at]] * rng.choice((1, 1, 5, 300))
        elif how == 3:
            rng.shuffle(value)
        else:
            value[at] = self._changed(value[at], depth + 1)
        return value

    def _changed_map(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        rng = self.rng
        how = rng.randrange(10)
        if not value or how == 0:
            key: Any = rng.choice((rng.randrange(30), -1, "x", rng.choice(_INTEGERS)))
            value[key] = self.anything(2)
            return value
        key = rng.choice(sorted(value, key=str))
        if how == 1:
            del value[key]
        elif how == 2:
            value[rng.randrange(30)] = value.pop(key)
        else:
            value[key] = self._changed(value[key], depth + 1)
        return value

    def _other(self, value: Any) -> Any:
        """Something near a value, or anything."""
        rng = self.rng
        if rng.randrange(3) == 0:
            return self.anything(3)
        if isinstance(value, bool) or value is None:
            return rng.choice((None, True, False, 0, 1))
        if isinstance(value, int):
            near = rng.choice((value + 1, value - 1, -value, value * 10, value ^ 1 << 31))
            return max(-(2**64), min(2**64 - 1, rng.choice((near, *rng.sample(_INTEGERS, 2)))))
        if isinstance(value, bytes):
            return self.damaged(value) if value else rng.randbytes(rng.choice((1, 8, 32)))
        if isinstance(value, str):
            return rng.choice((value + "x", value[1:], value * 2, value.upper(), *_TEXTS[:3]))
        return self.anything(3)

    def anything(self, depth: int) -> Any:
        """A value of nobody's, `depth` containers deep at most."""
        rng = self.rng
        kind = rng.randrange(8 if depth else 5)
        if kind == 0:
            return rng.choice(_INTEGERS) * rng.choice((1, 1, -1))
        if kind == 1:
            return rng.randbytes(rng.choice((0, 1, 8, 16, 32, 33)))
        if kind == 2:
            return rng.choice(_TEXTS)
        if kind == 3:
            return rng.choice((None, True, False))
        if kind == 4:
            return rng.randrange(1 << rng.choice((5, 9, 17, 33)))
        count = rng.choice((0, 1, 2, 3, 8))
        if kind == 5:
            return {rng.randrange(24): self.anything(depth - 1) for _ in range(count)}
        return [self.anything(depth - 1) for _ in range(count)]

    # ---- signed ----------------------------------------------------------------------------

    def resigned(self, data: bytes) -> bytes:
        """A COSE_Sign1 over a changed payload: signed again, or with the old signature."""
        try:
            sign1 = cose.parse(data)
            payload = self.sloppy().encode(self.changed(cbor.decode(sign1.payload)))
        except (ValueError, TypeError, KeyError):
            return self.damaged(data)
        if self.rng.randrange(2):
            return cose.sign(payload, self.signer)
        value = [sign1.protected, {}, payload, sign1.signature]
        return self.sloppy().encode(cbor.Tagged(18, value))

    def repacked(self, data: bytes) -> bytes:
        """A pack whose body is changed, with a manifest that fits it or not."""
        rng = self.rng
        try:
            sign1, at = cose.parse_first(data, 0)
            body, _ = cbor.decode_first(data, at)
            manifest = cbor.decode(sign1.payload)
            body = self.sloppy().encode(self.changed(cbor.decode(body)))
        except (ValueError, TypeError, KeyError):
            return self.damaged(data)
        if rng.randrange(4):
            manifest[8], manifest[9] = len(body), hashlib.sha256(body).digest()
        if rng.randrange(3) == 0:
            manifest = self.changed(manifest)
        payload = self.sloppy().encode(manifest)
        return self._signed(payload, sign1) + self.sloppy().encode(body)

    def resealed(self, data: bytes) -> bytes:
        """A segment with a changed part or header, its hashes and signature made right."""
        rng = self.rng
        try:
            found = reading.parse(data)
            header = cbor.decode(found.sign1.payload)
        except (ValueError, TypeError, KeyError):
            return self.damaged(data)
        parts = dict(found.parts)
        if parts and rng.randrange(4):
            number = rng.choice(sorted(parts))
            parts[number] = self.regrown_part(number, parts[number])
            header[11] = {n: hashlib.sha256(part).digest() for n, part in parts.items()}
        if rng.randrange(3) == 0:
            header = self.changed(header)
        signed = self._signed(self.sloppy().encode(header), found.sign1)
        shown = {n: part for n, part in parts.items() if rng.randrange(12)}
        return segment.assemble(signed, shown)

    def regrown_part(self, number: int, part: bytes) -> bytes:
        """A part of a segment, changed as its kind is."""
        kinds = {1: "track", 2: "evidence", 3: "answers", 4: "promise", 5: "correction"}
        return self.regrown(kinds.get(number, "cbor"), part)

    def _signed(self, payload: bytes, sign1: cose.Sign1) -> bytes:
        if self.rng.randrange(10):
            return cose.sign(payload, self.signer)
        value = [sign1.protected, {}, payload, sign1.signature]
        return cbor.encode(cbor.Tagged(18, value))

    # ---- made up ---------------------------------------------------------------------------

    def invented(self, kind: str) -> bytes:
        """Bytes or values that no vector leads to; now and then as large or deep as can be."""
        rng = self.rng
        how = rng.randrange(8)
        if how == 0:
            return rng.randbytes(rng.choice((0, 1, 2, 5, 40, 600)))
        if how == 1:
            count = rng.choice((9, 1000, 4096, 4097, 66_000) if kind in self.bombs else (9, 300))
            return bytes([rng.choice((0x80, 0xA0, 0x81, 0x00, 0x40, 0xF6, 0xD2))]) * count
        if how == 2:
            count = rng.choice((1000, 4095, 5000, 17_000) if kind in self.bombs else (10, 255))
            head = bytearray()
            cbor.put_head(head, 0x80, count)
            return bytes(head) + rng.choice((b"\x80", b"\xa0", b"\x00", b"\x60", b"\xf6")) * count
        if how == 3:
            return rng.choice((b"\x81", b"\xa1\x00", b"\xd2")) * rng.choice((8, 9, 3000)) + b"\x00"
        salt = rng.randbytes(16) if kind in _SALTED else b""
        return salt + self.sloppy().encode(self.anything(5))

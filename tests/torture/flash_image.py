"""A flash image on the host, rebuilt as a power cut leaves it at any operation of a recorded day.

The VM records its programs, erases, syncs and nv writes once (`vm/lab_board.py`); here the state
at operation k is made from the image before the day: every operation before k, and k itself not
at all (clean), wholly (full), by half (torn) or as noise; `ooo` puts blocks that were written
since the last sync back to what they held then, as a device that caches and reorders leaves them.
Leaves out what the handheld makes of it.
"""

from __future__ import annotations

import os
import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 4096
MODES = ("clean", "full", "torn", "noise", "ooo")
"""The first four have the numbers by which the VM knows them."""


@dataclass(frozen=True)
class Op:
    """One operation: erase ("E", block), program ("P", block, offset, data), nv ("N", name, data);
    `fact` is how many records the handheld had written when it began."""

    kind: str
    block: int = 0
    offset: int = 0
    data: bytes = b""
    name: str = ""
    fact: int = 0
    syncs: int = 0
    quiet: bool = False  # the laboratory's own: no point of a suite


@dataclass
class Trace:
    """Operations of a recorded run, and its other records (letter, payload) in their order."""

    ops: list[Op] = field(default_factory=list)
    facts: list[tuple[str, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, raw: bytes) -> Trace:
        trace, syncs = cls(), 0
        for letter, data in records(raw):
            told = len(trace.facts)
            quiet = letter.islower()
            if letter in "Ee":
                [block] = struct.unpack(">I", data)
                trace.ops.append(Op("E", block, fact=told, syncs=syncs, quiet=quiet))
            elif letter in "Pp":
                block, offset = struct.unpack_from(">IH", data)
                put = data[6:]
                trace.ops.append(Op("P", block, offset, put, fact=told, syncs=syncs, quiet=quiet))
            elif letter == "N":
                n = int.from_bytes(data[:2], "big")
                name = data[2 : 2 + n].decode()
                trace.ops.append(Op("N", data=data[2 + n :], name=name, fact=told, syncs=syncs))
            elif letter == "S":
                syncs += 1
            else:
                trace.facts.append((letter, data))
        return trace

    def before(self, k: int) -> list[tuple[str, bytes]]:
        """What the handheld had told when operation k (1, 2, …) began."""
        return self.facts[: self.ops[k - 1].fact]


def records(raw: bytes) -> list[tuple[str, bytes]]:
    """(letter, payload) of each record of a file of facts; a last one cut short is left out."""
    found: list[tuple[str, bytes]] = []
    at = 0
    while at + 5 <= len(raw):
        n = int.from_bytes(raw[at + 1 : at + 5], "big")
        if at + 5 + n > len(raw):
            break
        found.append((chr(raw[at]), raw[at + 5 : at + 5 + n]))
        at += 5 + n
    return found


@dataclass
class Image:
    """What survives the power: the blocks, and nv's values."""

    blocks: bytearray
    nv: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Image:
        raw = (folder / "nv").read_bytes()
        nv: dict[str, bytes] = {}
        at = 0
        while at < len(raw):
            n, m = struct.unpack_from(">HH", raw, at)
            at += 4
            nv[raw[at : at + n].decode()] = raw[at + n : at + n + m]
            at += n + m
        return cls(bytearray((folder / "flash.img").read_bytes()), nv)

    def write(self, folder: Path) -> None:
        """Put it where a VM mounts it; the facts of an earlier boot are forgotten."""
        target = os.open(folder / "flash.img", os.O_WRONLY | os.O_CREAT)
        try:
            os.pwrite(target, self.blocks, 0)
            os.ftruncate(target, len(self.blocks))
        finally:
            os.close(target)
        values = b"".join(
            struct.pack(">HH", len(name.encode()), len(value)) + name.encode() + value
            for name, value in sorted(self.nv.items())
        )
        (folder / "nv").write_bytes(values)
        (folder / "facts").write_bytes(b"")

    def copy(self) -> Image:
        return Image(bytearray(self.blocks), dict(self.nv))

    def apply(self, op: Op) -> None:
        """The operation, wholly."""
        at = op.block * BLOCK
        if op.kind == "E":
            self.blocks[at : at + BLOCK] = b"\xff" * BLOCK
        elif op.kind == "P":
            at += op.offset
            self.blocks[at : at + len(op.data)] = op.data
        else:
            self.nv[op.name] = op.data

    def damage(self, op: Op, mode: str, rng: random.Random) -> None:
        """The operation as a cut in the middle of it leaves it."""
        if op.kind == "N":  # NVS is atomic: the old or the new value
            if mode in ("full", "noise"):
                self.apply(op)
            return
        if mode == "full":
            self.apply(op)
        at = op.block * BLOCK + op.offset
        n = BLOCK if op.kind == "E" else len(op.data)
        if mode == "torn":
            half = b"\xff" * (n // 2) if op.kind == "E" else op.data[: n // 2]
            self.blocks[at : at + len(half)] = half
        elif mode == "noise":
            self.blocks[at : at + n] = rng.randbytes(n)


class Cuts:
    """Images at the operations of a trace, in any order, cheapest in a rising one."""

    def __init__(self, base: Image, trace: Trace) -> None:
        self.base, self.trace = base, trace
        self._at, self._now = 0, base.copy()

    def __len__(self) -> int:
        return len(self.trace.ops)

    def upto(self, k: int) -> Image:
        """The image after the first k operations; not to be changed."""
        if k < self._at:
            self._at, self._now = 0, self.base.copy()
        for op in self.trace.ops[self._at : k]:
            self._now.apply(op)
        self._at = k
        return self._now

    def at(self, k: int, mode: str, rng: random.Random) -> Image:
        """The image after a cut at operation k (1, 2, …) in a mode of MODES."""
        image = self.upto(k - 1).copy()
        if mode == "ooo":
            self._reorder(image, k, rng)
        else:
            image.damage(self.trace.ops[k - 1], mode, rng)
        return image

    def _reorder(self, image: Image, k: int, rng: random.Random) -> None:
        """Some of the blocks written since the last sync are as they were at it. Now and then
        just the first of them, which is littlefs' own choice."""
        ops = self.trace.ops
        first = k - 1
        while first > 0 and ops[first - 1].syncs == ops[k - 1].syncs:
            first -= 1
        written: list[int] = []
        for op in ops[first : k - 1]:
            if op.kind != "N" and op.block not in written:
                written.append(op.block)
        if not written:
            return
        back = written[:1] if rng.random() < 0.5 else [b for b in written if rng.random() < 0.5]
        old = Image(bytearray(self.base.blocks), {})
        for op in ops[:first]:
            if op.kind != "N" and op.block in back:
                old.apply(op)
        for block in back:
            image.blocks[block * BLOCK : (block + 1) * BLOCK] = old.blocks[
                block * BLOCK : (block + 1) * BLOCK
            ]

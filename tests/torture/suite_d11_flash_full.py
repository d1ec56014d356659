"""D11: the flash fills up while a visit is open, and around every block of the reserve.

`room` points leave so many free blocks before a visit, then let the day go on until fixes are
refused: a visit that was allowed to begin must close and be sealed, the next one must be refused
with `storage_full` and an event in the log, and a receipt must bring all back. `taken` points take
the reserve itself away at some step of the visit, down to nothing: what is then said to be saved
must be, and what is not must be refused, with the visit going on once there is room. `cut` points
cut the power at every operation of a day on the edge, in the modes of D1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cut_device
import flash_image
from flash_image import MODES, Cuts
from lab import Bench, Suite, Violation, batches, points
from ronda_protocol import cbor, reading, track
from suite_d01_every_cut import visit_steps

_BLOCKS = 64
_ROOMS = 28  # free blocks from 0 to here
_STEPS = 8  # steps of the visit before which the reserve is taken
_LEFT = 12  # blocks left then, from 0 to here
_CUT_OPS = 200
_EDGE = 17


class Day:
    """One handheld whose flash is filled; what it acknowledges is in its facts."""

    def __init__(self, bench: Bench, fresh: cut_device.Fresh, *, tracing: bool = False) -> None:
        self.fresh = fresh
        self.folder = bench.folder / "day"
        self.folder.mkdir(exist_ok=True)
        fresh.image.write(self.folder)
        self.device = cut_device.CutDevice()
        self.device.say("on", str(self.folder), _BLOCKS, 0, 0, tracing)
        self.device.say("boot", 0)

    def close(self) -> None:
        self.device.kill()

    def do(self, *step: Any) -> Any:
        return self.device.say(*step)

    def code(self, step: Sequence[Any]) -> str:
        """An intent's answer."""
        return self.do(*step)["code"]

    def facts(self) -> list[tuple[str, bytes]]:
        return flash_image.records((self.folder / "facts").read_bytes())

    def history(self) -> None:
        """Some receipted and some unsent past: two visits and an hour of fixes."""
        self.do("intent", "shift_start", {"gestor": "g-017"})
        for door in (0, 1):
            for i in range(8):
                self.do("fix", i)
            for step in visit_steps(door):
                self.do(*step)
        self.do("seal")

    def fixes(self, most: int = 2) -> bool:
        """Fixes until one is refused, while packs and logs take block after block; whether one
        was."""
        free = self.do("free")
        while True:
            for i in range(most):
                if self.do("fix", i) is None:
                    return True
            free = self.do("free") - 1
            if free < 1:
                return False
            self.do("ballast", free)
            self.do("room", 1)

    def judged(self, tester: cut_device.Tester, one: str) -> None:
        """The power goes now; after it everything acknowledged is there."""
        facts = self.facts()
        image = flash_image.Image.read(self.folder)
        self.do("off")
        tester.boots(image, facts, one, 7200)


def _events(facts: Sequence[tuple[str, bytes]]) -> set[int]:
    """Codes of every event that a dump could read, sealed or open."""
    found: set[int] = set()
    for letter, data in facts:
        entries: list[list[Any]] = []
        if letter == "R":
            entries = reading.parse(data[12:]).entries()
        elif letter == "O" and data:
            entries = [cbor.decode(data)]
        found |= {e[3] for e in entries if e[0] == track.EVENT}
    return found


def _need(ok: object, text: str, one: str, invariant: str = "I1") -> None:
    if not ok:
        raise Violation(invariant, text, one)


def _room(left: int, day: Day, one: str) -> dict[str, int]:
    """A visit begins, or not, with so many blocks free; the flash fills; it is closed."""
    day.history()
    day.do("ballast", left)
    steps = visit_steps(2)
    code = day.code(steps[0])
    counts = {"visits refused": 0, "visits closed when full": 0}
    if code == "storage_full":
        _need(day.do("state")["full"], "refused, and status does not say full", one, "I8")
        counts["visits refused"] = 1
    else:
        _need(code == "opened_inside", f"check-in with {left} blocks: {code}", one)
        _need(day.fixes(), "fixes are never refused", one)
        for step in steps[1:]:
            answer = day.do(*step)
            said = answer["code"] if isinstance(answer, dict) else ""
            _need(said in ("", "answered", "saved"), f"{step[1:3]}: {said}", one)
        counts["visits closed when full"] = 1
        code = day.code(visit_steps(3)[0])
        _need(code == "storage_full", f"a visit was begun on a full flash: {code}", one)
    day.do("dump", 0)
    told = track.STORAGE_FULL in _events(day.facts())
    _need(told or left == 0 or not day.do("free"), "no event says that the flash is full", one)
    return counts


def _taken(step: int, left: int, day: Day, one: str) -> dict[str, int]:
    """Blocks that were the visit's own are gone at a step of it; no step may lie or die."""
    day.history()
    refused, begun = 0, True
    for n, act in enumerate(visit_steps(2)):
        if n == step:
            day.do("ballast", left)
        answer = day.do(*act)
        if isinstance(answer, dict) and not answer["ok"]:
            code = answer["code"]
            begun = begun and act[1] != "check_in"
            right = code == "storage_full" or (code == "no_visit" and not begun)
            _need(right, f"{act[1:3]}: {code}", one)
            refused += code == "storage_full"
    for i in range(3):
        day.do("fix", i)
    day.do("battery")
    day.do("seal")
    return {"refused without the reserve": refused}


def _comes_back(day: Day, one: str) -> None:
    """A receipt and room, and the day goes on: the open visit closes, another one begins."""
    day.do("unballast")
    day.do("release", 0)
    day.do("room", 16)
    day.do("pass", 61000)
    code = day.code(visit_steps(2)[-1])
    if code == "invalid":
        code = day.code(["intent", "close", {"outcome": "ausente", "answers": {"quien": "nadie"}}])
    _need(code in ("saved", "no_visit"), f"the open visit does not close: {code}", one)
    code = day.code(visit_steps(4)[0])
    _need(code == "opened_inside", f"with room again a check-in says {code}", one, "I8")
    code = day.code(["intent", "close", {"outcome": "ausente", "answers": {"quien": "nadie"}}])
    _need(code == "saved", f"with room again a close says {code}", one, "I8")


# --- cuts on the edge ---


def made() -> Any:
    """The handheld before, and the cuts of a day on the edge with the facts before it."""
    return cut_device.once("d11", _record)


def _record() -> Any:
    import tempfile

    fresh = cut_device.fresh(_BLOCKS)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench("D11:record:0", Path(name))
        day = Day(bench, fresh, tracing=True)
        try:
            day.history()
            day.do("ballast", _EDGE)
            before = len(flash_image.Trace.of((day.folder / "facts").read_bytes()).ops)
            _edge(day)
            trace = flash_image.Trace.of((day.folder / "facts").read_bytes())
        finally:
            day.close()
    own = [k for k, op in enumerate(trace.ops, 1) if k > before and not op.quiet]
    return fresh, Cuts(fresh.image, trace), own


def _edge(day: Day) -> None:
    """Check-in with just enough, full, close, refused, a receipt, room, on again."""
    steps = visit_steps(2)
    day.do(*steps[0])
    day.fixes()
    for step in steps[1:]:
        day.do(*step)
    day.do(*visit_steps(3)[0])
    day.do("release", 0)
    day.do("unballast")
    day.do("room", 16)
    for step in visit_steps(4):
        day.do(*step)
    day.do("ballast", 9)
    for i in range(6):
        day.do("fix", i)
    day.do("battery")
    day.do("seal")
    day.do(*visit_steps(5)[0])
    day.do("intent", "shift_end", {})
    for chance in range(6):
        day.do("event", track.GPS_SILENT + chance % 2)
        day.do("battery")
    day.do("seal")
    day.do("release", 0)
    day.do("room", 16)
    day.do("boot", 3600)


def plan(size: str) -> list[str]:
    full = size == "full"
    found = batches("D11:room", _ROOMS, 7) if full else ["D11:room:0", "D11:room:15-17"]
    for step in range(_STEPS) if full else (0, 7):
        found += batches(f"D11:taken:{step}", _LEFT, 6) if full else [f"D11:taken:{step}:0"]
    for mode in MODES[:4]:
        if full:
            every = batches(f"D11:cut:{mode}", _CUT_OPS, 50)
            every[-1] = f"D11:cut:{mode}:{_CUT_OPS - 50}-99999"
            found += every
        else:
            found += [f"D11:cut:{mode}:{at}-{at + 1}" for at in (30,)]
    return found


def run(case: str, bench: Bench) -> dict[str, int]:
    words, asked = points(case)
    if words[0] == "cut":
        return _cuts(words[1], asked, bench)
    fresh = cut_device.fresh(_BLOCKS)
    tester = cut_device.Tester(bench, fresh)
    counts: dict[str, int] = {f"{words[0]} points": 0}
    try:
        for point in asked:
            one = ":".join(["D11", *words, str(point)])
            day = Day(bench, fresh)
            try:
                if words[0] == "room":
                    told = _room(point, day, one)
                else:
                    told = _taken(int(words[1]), point, day, one)
                _after(day, tester, one)
            except (cut_device.Raised, cut_device.Gone) as error:
                raise Violation("I8", f"the firmware died of it: {error}", one) from None
            finally:
                day.close()
            for name, value in told.items():
                counts[name] = counts.get(name, 0) + value
            counts[f"{words[0]} points"] += 1
    finally:
        tester.close()
    return counts


def _after(day: Day, tester: cut_device.Tester, one: str) -> None:
    """The power goes while it is full, on a copy; then it goes on, and goes again."""
    tester.writing = [("unballast",), ("release", 0), ("room", 16), ("write",), ("dump", 0)]
    facts, image = day.facts(), flash_image.Image.read(day.folder)
    ballast = day.do("free") < _BLOCKS // 2
    if not ballast:
        tester.writing = tester.writing[1:]
    tester.boots(image, facts, one, 7200)
    _comes_back(day, one)
    tester.writing = [("write",), ("dump", 0)]
    day.judged(tester, one)


def _cuts(mode: str, asked: range, bench: Bench) -> dict[str, int]:
    fresh, cuts, own = made()
    tester = cut_device.Tester(bench, fresh)
    tester.writing = [("release", 0), ("room", 16), ("write",), ("dump", 0)]
    tried = 0
    try:
        for point in asked:
            if point >= len(own):
                break
            k = own[point]
            one = f"D11:cut:{mode}:{point}"
            image = cuts.at(k, mode, random.Random(one))
            tester.boots(image, cuts.trace.before(k), one, 7200)
            tried += 1
    finally:
        tester.close()
    return {"cuts when full": tried, "VM restarts": tester.restarts}


SUITE = Suite(
    "D11",
    "Flash full: around every block of the reserve, the reserve taken, and power cuts",
    plan,
    run,
)

"""D15: a receiver's line with every kind of noise, through the receiver's task in the VM.

Holds: nothing is raised; every whole sentence that nothing touched is read, wherever it stands
(so the parser is in step again at the first of them); every fix is explained by an RMC and a GGA
whose checksums were right on the line, and lies where a sentence as the receiver said it puts it
(I4). A checksum of NMEA has eight bits: sentences that were changed and pass it are counted, and
may change a field of a fix, never where it is. Leaves out what a coherent simulator says.
"""

from __future__ import annotations

import functools
import random
from collections import Counter

import noise_nmea
import vm_program
from lab import ROOT, Bench, Suite, Violation, batches, points

_SENTENCES = 20_000
_DRIFT = 2_048
_LOGS = ROOT.parent / "shared" / "data" / "nmea"


def plan(size: str) -> list[str]:
    """1,000,000 sentences in lines of 20,000."""
    return batches("D15:line", 50, 1, 25 if size == "short" else 1)


@functools.cache
def _sources() -> dict[str, list[bytes]]:
    return noise_nmea.sources(_LOGS)


@functools.cache
def _truth() -> noise_nmea.Truth:
    every = [line for lines in _sources().values() for line in lines]
    return noise_nmea.Truth().read(every)


def run(case: str, bench: Bench) -> dict[str, int]:
    if not _LOGS.is_dir():
        bench.say(f"no {_LOGS} here: walks alone, no real receiver's log")
    counts: Counter[str] = Counter()
    for number in points(case)[1]:
        counts.update(_line(number, bench))
    return dict(counts)


def _line(number: int, bench: Bench) -> Counter[str]:
    said = noise_nmea.Line(random.Random(f"D15:line:{number}")).make(_sources(), _SENTENCES)
    line, told = bench.folder / "line", bench.folder / "fixes"
    noise_nmea.write(said, line)
    seen = vm_program.run("noise_line", line, told, heap="192k")
    counts: Counter[str] = Counter(
        {name: seen[name] for name in ("checksum_errors", "bad_fields", "fixes", "frames")}
    )
    _in_step(number, said, seen["sentences"], seen["frames"])
    if seen["end"] > seen["settled"] + _DRIFT:
        text = f"heap {seen['settled']} and at the end {seen['end']}"
        raise Violation("I7", text, f"D15:line:{number}")
    counts["sentences"] = said.sentences
    counts["frames behind half a frame"] = max(0, said.frames - seen["frames"])
    counts["untouched"] = said.untouched
    counts["damages"] = sum(said.damage.values())
    counts["sampled"] = seen["entries"]
    counts += _fixes(number, said, told)
    _times(number, seen["times"])
    counts["clock set or stepped"] = len(seen["times"])
    return counts


def _in_step(number: int, said: noise_nmea.Said, sentences: int, frames: int) -> None:
    """Every sentence of the line whose checksum is right was read, and nothing else.

    A whole frame in what looked like the rest of a half one is read as text (nmea.Parser.feed):
    each such may break one sentence, and bring those that were inside it.
    """
    right = sum(map(noise_nmea.holds, (m[0] for m in noise_nmea.FRAMED.finditer(said.plain))))
    missed = abs(said.frames - frames)
    if right < said.untouched:
        raise ValueError("the oracle itself lost a sentence")
    if missed > 3 + said.frames // 10:
        raise Violation("I8", f"{said.frames} frames, {frames} passed over", f"D15:line:{number}")
    if sentences < right - 2 * missed or (not missed and sentences != right):
        text = f"{right} sentences with a right checksum, {sentences} read"
        raise Violation("I8", text, f"D15:line:{number}")


def _fixes(number: int, said: noise_nmea.Said, told: object) -> Counter[str]:
    """Every fix against what was said, undamaged first, then against the line as it was heard."""
    counts: Counter[str] = Counter()
    heard: noise_nmea.Truth | None = None
    for fix in noise_nmea.fixes(told):
        if _truth().explains(fix):
            counts["true fixes"] += 1
            continue
        if heard is None:
            found = noise_nmea.FRAMED.finditer(bytes(said.plain))
            heard = noise_nmea.Truth().read(match[0] for match in found)
        if not heard.explains(fix):
            raise Violation("I4", f"nobody said {fix}", f"D15:line:{number}")
        if not _truth().near(fix):
            raise Violation("I4", f"no receiver was at {fix}", f"D15:line:{number}")
        counts["fields changed past a checksum"] += 1
    return counts


def _times(number: int, times: list[int]) -> None:
    """The clock was only ever set to a second that a receiver told."""
    known = {day * 86400 + ms // 1000 for ms, days in _truth().rmc.items() for day, _, _ in days}
    for utc in times:
        if utc not in known:
            raise Violation("I4", f"the clock was set to {utc}", f"D15:line:{number}")


SUITE = Suite("D15", "a receiver's line with every kind of noise", plan, run)

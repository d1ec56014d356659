"""D12: the gateway's disk is full, read-only or failing for a while, again and again.

50 handhelds seal all the time. Each point lets the disk under the database fail in one way for 1
to 4 s, and until the gateway met that twice, and mends it; every third one also kills the gateway
(-9) while the disk fails, and looks: whatever had a receipt by then must be in the database. What
is not committed gets neither PUBACK nor receipt, so that it all arrives once the disk is sound
again, with nobody's help; an alert says how long it lasted. `rlimit` points do it without a
compiler: the process may write no file beyond a size (RLIMIT_FSIZE), which is then lifted.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping

from crew import crew_of
from disks import MODES, Disk
from history import check
from lab import Absent, Bench, Suite, Violation, batches, points
from rig import Rig

HANDHELDS = 50
RATE = 100.0
_LONGEST_S = 120.0
_MEMORY_MB = 256
# A busy machine is not to be asked for more than it can do once the disk is sound again.
_MOST_UNSENT = 500


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D12:shim:0-2", "D12:rlimit:0"]
    return batches("D12:shim", 40, 5) + batches("D12:rlimit", 10, 5)


def run(case: str, bench: Bench) -> Mapping[str, int]:
    (how,), which = points(case)
    counts = {"cycles": 0, "kills": 0, "failed commits": 0, "max recovery s": 0}
    disk = _Limited() if how == "rlimit" else Disk(bench.folder / "site", bench.folder / "disk")
    with Rig(bench.folder, bench.history, env=disk.env) as rig:
        crew = rig.man(crew_of(HANDHELDS, bench.history), RATE)
        crew.most_unsent = _MOST_UNSENT
        rig.gateway.start()
        rig.gateway.ready()
        if isinstance(disk, _Limited):
            disk.rig = rig
        crew.work()
        for point in which:
            rig.gateway.pass_time(bench.rng.uniform(0.3, 1.0))
            mode = MODES[point % len(MODES)]
            before = _failures(rig)
            disk.become(mode)
            time.sleep(bench.rng.uniform(1.0, 4.0))
            counts["failed commits"] += _fails_twice(rig, before, case)
            if point % 3 == 2:
                _kill(rig, case)
                counts["kills"] += 1
            disk.mend()
            op = bench.history.invoke("recover", f"after a disk that was {mode}")
            if not rig.gateway.alive():
                rig.gateway.start()
                rig.gateway.ready()
            took = _caught_up(rig, case)
            op.ok(took=round(took, 2), limit=_LONGEST_S)
            counts["cycles"] += 1
            counts["max recovery s"] = max(counts["max recovery s"], round(took))
            bench.say(f"{mode}: back after {took:.1f} s, {crew.sealed()} sealed")
        crew.rest()
        rig.settle(_LONGEST_S)
        memory = rig.gateway.memory() / 1e6
        rig.gateway.stop()
        state = rig.final_state(bounds={"gateway, MB": (memory, _MEMORY_MB)})
        must = ("I1", "I2", "I3", "I4", "I5", "I7", "I8")
        check(bench.history, state, must=must, case=case)
        kinds = [alert["kind"] for alert in rig.sink.alerts]
        if counts["kills"] < len(which) and "store_recovered" not in kinds:
            raise Violation("I8", f"no alert said that the disk failed: {set(kinds)}", case)
        counts["segments"] = crew.sealed()
        counts["alerts while it lasted"] = kinds.count("store_failed")
        counts["alerts afterwards"] = kinds.count("store_recovered")
        return counts


def _failures(rig: Rig) -> int:
    return sum(line["event"] == "commit_failed" for line in rig.gateway.lines)


def _fails_twice(rig: Rig, before: int, case: str) -> int:
    """Wait until the gateway has met the disk's trouble twice; how often it has. A case in which
    the disk never failed would have tried nothing."""
    began = time.monotonic()
    while _failures(rig) < before + 2:
        if time.monotonic() - began > _LONGEST_S:
            raise AssertionError(f"{case}: the disk does not fail")
        rig.gateway.pass_time(0.1)
    return _failures(rig) - before


def _kill(rig: Rig, case: str) -> None:
    """kill -9 while the disk fails: every receipt given so far stands for a committed row."""
    rig.gateway.kill()
    receipted = rig.crew.do(lambda: {(h.log, h.released) for h in rig.crew.handhelds})
    rows = rig.rows(
        "SELECT l.device || '/' || lower(hex(l.log_id)), max(s.seq), count(*) "
        "FROM segments s JOIN logs l ON l.id = s.log GROUP BY s.log"
    )
    stored = {str(log): (int(top), int(count)) for log, top, count in rows}
    for log, upto in receipted:
        top, count = stored.get(log, (0, 0))
        if min(top, count) < upto:
            text = f"{log} has receipts up to {upto}, and the database {count} segments to {top}"
            raise Violation("I1", text, case)


def _caught_up(rig: Rig, case: str) -> float:
    """Wait until everything sealed before now has its receipt; the seconds that took."""
    began = time.monotonic()
    wanted = rig.crew.do(lambda: [(h, h.head) for h in rig.crew.handhelds])
    while late := [h.name for h, head in wanted if h.released < head]:
        if time.monotonic() - began > _LONGEST_S:
            raise Violation("I8", f"{len(late)} handhelds without receipts, as {late[0]}", case)
        rig.gateway.pass_time(0.1)
    return time.monotonic() - began


class _Limited:
    """A disk that takes no byte beyond where files end now: RLIMIT_FSIZE of a process at work."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise Absent("a limit for another process needs Linux")
        self.rig: Rig | None = None
        self.env: dict[str, str] = {}

    def become(self, _mode: str) -> None:
        """Nothing of the gateway's may grow beyond 4 KiB; a pipe and a socket are no files."""
        assert self.rig is not None
        self._limit(4096)

    def mend(self) -> None:
        assert self.rig is not None
        if self.rig.gateway.alive():
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        assert self.rig is not None
        _, most = resource.prlimit(self.rig.gateway.pid, resource.RLIMIT_FSIZE)
        soft = most if size == resource.RLIM_INFINITY else size
        resource.prlimit(self.rig.gateway.pid, resource.RLIMIT_FSIZE, (soft, most))


SUITE = Suite(
    id="D12",
    title="The gateway's disk is full, read-only or failing",
    plan=plan,
    run=run,
    limit_s=420,
)

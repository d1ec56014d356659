"""D25: a backup is made under load, the gateway goes on for a while, then its database is lost.

Each point is a site of its own. `ronda gateway backup` runs while 20 handhelds seal; more is
stored and receipted; the gateway is killed and its database ruined, lost or merely old; `ronda
gateway restore` puts the backup back. What the handhelds hold receipts for must then be asked for
again by the gateway itself: `busy` points go on sealing, `quiet` ones never send anything new, so
that the handhelds' own word on state/<device> has to do; `gone` ones evicted a part of it from
grace, which must be declared lost and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from crew import Handheld, crew_of
from history import FinalState, check
from lab import Bench, Suite, Violation, points
from rig import Rig, audited, ronda

HANDHELDS = 20
RATE = 60.0
# A handheld answers one request a minute; a second one for what came in between has to wait.
_LONGEST_S = 400.0
_KINDS = ("busy", "quiet", "gone")
_RUINS = ("ruined", "lost", "old")


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D25:quiet:0", "D25:gone:1"]
    return [f"D25:{_KINDS[n % 3]}:{n}" for n in range(20)]


def run(case: str, bench: Bench) -> Mapping[str, int]:
    (kind,), which = points(case)
    ruin = _RUINS[which[0] // 3 % 3]
    env = {"RONDA_RESEND__AFTER_S": "1"}
    with Rig(bench.folder, bench.history, env=env, stable_sink=True) as rig:
        crew = rig.man(crew_of(HANDHELDS, bench.history), RATE)
        crew.most_unsent = 400
        rig.gateway.start()
        rig.gateway.ready()
        crew.work()
        rig.gateway.pass_time(bench.rng.uniform(1.0, 3.0))
        backup = bench.folder / "copies" / "backup.db"
        backup.parent.mkdir()
        made = json.loads(ronda("backup", backup, "--json", config=rig.site.config))
        rig.gateway.pass_time(bench.rng.uniform(2.0, 5.0))
        if kind != "busy":
            crew.rest()
            rig.settle()
        rig.gateway.kill()
        before = _stored(rig)
        _ruin(rig.database, ruin)
        told = json.loads(ronda("restore", backup, "--json", config=rig.site.config))
        after = _stored(rig)
        bench.say(f"backup of {made['segments']}, {before} stored, {ruin}; back to {after}")
        if not after == told["segments"] == made["segments"] <= before:
            raise Violation("I5", f"{made['segments']} copied, {after} restored", case)
        _check_copy(rig, backup)
        evicted = _evict(rig.crew.handhelds, rig) if kind == "gone" else 0
        rig.gateway.start()
        rig.gateway.ready()
        if kind == "busy":
            rig.gateway.pass_time(2.0)
            crew.rest()
        began = time.monotonic()
        op = bench.history.invoke("recover", "the gap is filled")
        _wait_for_all(rig, case)
        took = time.monotonic() - began
        op.ok(took=round(took, 1), limit=_LONGEST_S)
        rig.settle()
        rig.gateway.stop()
        state = rig.final_state()
        _judge(rig, bench, state, case)
        return {
            "restores": 1,
            "segments": crew.sealed(),
            "sent again": before - after,
            "declared lost": evicted,
            "max gap s": round(took),
        }


def _stored(rig: Rig) -> int:
    if not rig.database.exists():
        return 0
    return int(rig.rows("SELECT count(*) FROM segments")[0][0])


def _ruin(database: Path, how: str) -> None:
    beside = [database.with_name(database.name + end) for end in ("-wal", "-shm")]
    if how == "ruined":
        raw = bytearray(database.read_bytes())
        raw[4096 : len(raw) // 2] = bytes(len(raw) // 2 - 4096)
        database.write_bytes(raw)
    if how == "lost":
        for path in (database, *beside):
            path.unlink(missing_ok=True)


def _check_copy(rig: Rig, backup: Path) -> None:
    for name, said in audited(backup, rig.site.settings.fence).items():
        if said != "ok":
            raise Violation("I5", f"the backup: {name}: {said}")


def _evict(handhelds: list[Handheld], rig: Rig) -> int:
    """Let every fourth handheld have lost the oldest of what the restored database lacks."""
    count = 0
    known = {
        (str(device), bytes(log)): int(top)
        for device, log, top in rig.rows("SELECT device, log_id, max_seq FROM logs")
    }
    for handheld in handhelds[::4]:
        top = known.get((handheld.name, handheld.desk.log_id), 0)
        lacking = [seq for seq in handheld.kept if top < seq <= handheld.released]
        for seq in sorted(lacking)[: len(lacking) // 2]:
            rig.crew.do(lambda h=handheld, s=seq: h.evict(s))
            count += 1
    return count


def _lacking(rig: Rig) -> set[str]:
    """Record ids that handhelds have and the database has not."""
    rows = rig.rows(
        "SELECT l.device || '/' || lower(hex(l.log_id)) || '/' || s.seq "
        "FROM segments s JOIN logs l ON l.id = s.log"
    )
    here = {str(row[0]) for row in rows}
    return {h.key(seq) for h in rig.crew.handhelds for seq in list(h.kept)} - here


def _wait_for_all(rig: Rig, case: str) -> None:
    until = time.monotonic() + _LONGEST_S
    while lacking := _lacking(rig):
        if time.monotonic() > until:
            some = sorted(lacking)[:3]
            text = f"{len(lacking)} never came again, as {', '.join(some)}"
            raise Violation("I1", text, case)
        rig.gateway.pass_time(0.25)


def _judge(rig: Rig, bench: Bench, state: FinalState, case: str) -> None:
    """Everything that was evicted is declared lost, nothing else; the rest is the history's."""
    lost = rig.rows(
        "SELECT l.device || '/' || lower(hex(l.log_id)), x.first, x.last "
        "FROM lost x JOIN logs l ON l.id = x.log"
    )
    ids = {f"{log}/{seq}" for log, first, last in lost for seq in range(first, last + 1)}
    evicted = {h.key(seq) for h in rig.crew.handhelds for seq in h.gone}
    if ids != evicted:
        raise Violation("I1", f"{len(ids)} declared lost, {len(evicted)} were", case)
    state.declared = state.destroyed = frozenset(evicted)
    state.gaps = frozenset((key.rsplit("/", 1)[0], int(key.rsplit("/", 1)[1])) for key in evicted)
    # Numbers of outbox rows begin again where the backup ended.
    state.arrivals = None
    check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I8"), case=case)


SUITE = Suite(
    id="D25",
    title="Backup under load, the database lost, restore; the handhelds fill the gap",
    plan=plan,
    run=run,
    limit_s=900,
)

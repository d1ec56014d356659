"""D6: the gateway is killed (-9) at a random moment, again and again, under load.

50 handhelds seal 200 segments a second and never pause. Each point starts the gateway, waits until
it is connected, and kills it 0 to 3 s later. `own` points let it run the embedded broker itself,
which dies with it and forgets everything. At the end of a batch everything must have arrived.

How long a start took is counted: `max start ms` by the clock (the aim is 2,000 on a machine that
does nothing else), `max start cpu ms` of processor time. What breaks a case is one of more than
a minute by the clock, since a laboratory's machine may be busy.
"""

from __future__ import annotations

from collections.abc import Mapping

from crew import crew_of
from history import check
from lab import Bench, Suite, batches, points
from rig import Rig

HANDHELDS = 50
RATE = 200.0
_LONGEST_START_S = 60.0
_LONGEST_SETTLING_S = 240.0
_MEMORY_MB = 256
# What a busy machine cannot do is not piled up.
_MOST_UNSENT = 600


def plan(size: str) -> list[str]:
    if size == "short":
        return ["D6:kill:0-2", "D6:own:0"]
    return batches("D6:kill", 80, 10) + batches("D6:own", 20, 10)


def run(case: str, bench: Bench) -> Mapping[str, int]:
    (how,), which = points(case)
    env = {"RONDA_BROKER__EMBEDDED": "true"} if how == "own" else {}
    broker = _Nobody() if how == "own" else None
    starts: list[float] = []
    work: list[float] = []
    with Rig(bench.folder, bench.history, broker=broker, env=env) as rig:
        crew = rig.man(crew_of(HANDHELDS, bench.history), RATE)
        crew.most_unsent = _MOST_UNSENT
        crew.work()
        for _ in which:
            starts.append(_start(rig, bench))
            work.append(rig.gateway.processor())
            pause = bench.rng.uniform(0.0, 3.0)
            rig.gateway.pass_time(pause)
            rig.gateway.kill()
            bench.say(f"killed {pause:.2f} s after a start of {starts[-1]:.2f} s")
        starts.append(_start(rig, bench))
        rig.gateway.pass_time(1.0)
        crew.rest()
        op = bench.history.invoke("recover", "everything arrives")
        op.ok(took=rig.settle(_LONGEST_SETTLING_S, sink=how != "own"), limit=_LONGEST_SETTLING_S)
        memory = rig.gateway.memory() / 1e6
        rig.gateway.stop()
        state = rig.final_state(bounds={"gateway, MB": (memory, _MEMORY_MB)})
        if how == "own":
            # Its broker forgets what it has acknowledged to the gateway: a PUBACK is no promise
            # (feed.confirm is for that, D9), so the sink cannot be held to it.
            state.confirmed = None
        check(bench.history, state, must=("I1", "I2", "I3", "I4", "I5", "I7", "I8"), case=case)
        return {
            "kills": len(which),
            "segments": crew.sealed(),
            "events": len(rig.sink.events),
            "max start ms": round(max(starts) * 1000),
            "max start cpu ms": round(max(work) * 1000),
            "max MB": round(memory),
        }


def _start(rig: Rig, bench: Bench) -> float:
    op = bench.history.invoke("recover", "gateway ready")
    rig.gateway.start()
    took = rig.gateway.ready(_LONGEST_START_S)
    op.ok(took=round(took, 3), limit=_LONGEST_START_S)
    return took


class _Nobody:
    """The address at which the gateway's own broker will listen."""

    def __init__(self) -> None:
        from ronda_tools.broker import HOST, free_port

        self.host, self.port = HOST, free_port()


SUITE = Suite(
    id="D6",
    title="The gateway is killed at any moment under load",
    plan=plan,
    run=run,
    limit_s=900,
)

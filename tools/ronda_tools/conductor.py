"""The conductor: owns simulated time for a number of simulated handhelds, in lock-step.

It grants time step by step and goes on only when every handheld has consumed the last step and
awaits nothing from the network (protocol.md, Time), so that a slow machine takes longer and
changes no result. Within a step every handheld is sent all that happens to it before any is
waited for, so that their VMs run side by side. It knows nothing of visits: scripts say what a
gestor does, sources say what a receiver hears, schedules say when there is a network.
"""

import json
import selectors
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from ronda_tools.vm import Vm, VmDied

WALL_LIMIT_S = 60.0
STEP_MS = 1000
_SKIP_MS = 60_000
_BATTERY_MV = 3950
_DRAIN_PAUSE_S = 0.05
# Of grants that are written at once: well within a pipe, so that a VM that hangs blocks nobody.
_AHEAD_BYTES = 16384

Answer = dict[str, Any]
"""What the handheld answered to an intent; `ok` and `code` are always there."""

Script = Generator[int | tuple[str, Mapping[str, Any]], Any, None]
"""What a gestor does. `yield ms` waits until that simulated time and gives back the time;
`yield (intent, args)` does it and gives back the Answer."""


class ConductorError(Exception):
    """A step or the final drain did not end within the wall-time limit."""


class Stuck(ConductorError):
    """A handheld did not finish a step in time: it, the broker or the gateway hangs."""


class NotDrained(ConductorError):
    """The day ended and a handheld still holds segments without a receipt."""

    def __init__(self, unsent: Mapping[str, int]) -> None:
        super().__init__(", ".join(f"{name}: {count}" for name, count in sorted(unsent.items())))
        self.unsent = dict(unsent)


class Link:
    """When there is a network: changes as (simulated ms, up), ascending; down before the first."""

    def __init__(self, changes: Iterable[tuple[int, bool]] = ((0, True),)) -> None:
        ordered = sorted(changes)
        self._times = [ms for ms, _ in ordered]
        self._up = [up for _, up in ordered]

    def at(self, ms: int) -> bool:
        """Whether the link is up at a time."""
        index = bisect_right(self._times, ms)
        return index > 0 and self._up[index - 1]

    def next_change(self, ms: int) -> int | None:
        """The first change after a time."""
        index = bisect_right(self._times, ms)
        return self._times[index] if index < len(self._times) else None


class Battery:
    """A cell's voltage along straight lines: points as (simulated ms, mV), ascending."""

    def __init__(self, points: Sequence[tuple[int, int]] = ((0, _BATTERY_MV),)) -> None:
        self._points = sorted(points)

    def at(self, ms: int) -> int:
        """Millivolts at a time."""
        index = bisect_right(self._points, (ms, 1 << 30))
        if index == 0:
            return self._points[0][1]
        if index == len(self._points):
            return self._points[-1][1]
        (t0, v0), (t1, v1) = self._points[index - 1], self._points[index]
        return v0 + (v1 - v0) * (ms - t0) // (t1 - t0)


class Handheld:
    """One simulated handheld: its VM, what its receiver hears, its network, battery and gestor.

    nmea: (simulated ms, bytes), ascending. `on_tell(handheld, fields)` gets what the firmware
    tells; `answers` collects (ms, intent, args, Answer) of its script.
    """

    def __init__(
        self,
        name: str,
        vm: Vm,
        *,
        nmea: Iterable[tuple[int, bytes]] = (),
        link: Link | None = None,
        battery: Battery | None = None,
        script: Script | None = None,
        on_tell: "Callable[[Handheld, dict[str, Any]], None] | None" = None,
    ) -> None:
        self.name = name
        self.vm = vm
        self.link = link or Link()
        self.battery = battery or Battery()
        self.answers: list[tuple[int, str, Mapping[str, Any], Answer]] = []
        self.report: dict[str, Any] | None = None
        self.ms = 0
        self._nmea: Iterator[tuple[int, bytes]] = iter(nmea)
        self._heard = next(self._nmea, None)
        self._script = script
        self._due: int | None = None
        self._wish: tuple[str, Mapping[str, Any]] | None = None
        self._on_tell = on_tell
        self._next_wish(None)

    def next_event(self) -> int | None:
        """Simulated time of the next thing that happens to it; None when nothing is left."""
        times = [
            self._heard[0] if self._heard else None,
            self._due,
            self.link.next_change(self.ms),
        ]
        return min((ms for ms in times if ms is not None), default=None)

    def busy(self) -> bool:
        """Whether NMEA or script go on (a change of the link alone does not count)."""
        return self._heard is not None or self._due is not None

    def _next_wish(self, answer: Any) -> None:
        """Run the script until it waits or wants something done."""
        self._wish = self._due = None
        if self._script is None:
            return
        try:
            wish = self._script.send(answer)
        except StopIteration:
            self._script = None
            return
        if isinstance(wish, tuple):
            self._wish, self._due = wish, self.ms
        else:
            self._due = max(wish, self.ms)

    def work(self, target: int) -> "Generator[str, str, None]":
        """Do what happens until `target`; yields the letter it waits for, is sent its text."""
        while True:
            while self._due is not None and self._due <= self.ms:
                if self._wish is None:
                    self._next_wish(self.ms)
                    continue
                name, args = self._wish
                answer = yield from self.ask(name, args)
                self.answers.append((self.ms, name, args, answer))
                self._next_wish(answer)
            grants = self._grants(target)
            if not grants:
                return
            # One write for all of them: nothing can be asked of the handheld in between.
            self.vm.send(b"".join(self._grant_line(*grant) for grant in grants))
            for ms, _, _ in grants:
                yield "D"
                self.ms = ms

    def _grants(self, target: int) -> list[tuple[int, bytes, bool]]:
        """(ms, what its receiver says, link) until `target`, or until the script is due."""
        grants: list[tuple[int, bytes, bool]] = []
        at, size = self.ms, 0
        while size < _AHEAD_BYTES and (self._due is None or self._due > at):
            heard = self._heard
            if at >= target and (heard is None or heard[0] > target):
                break
            stop = min(target, max(at, heard[0])) if heard else target
            for limit in (self._due, self.link.next_change(at)):
                stop = stop if limit is None else min(stop, limit)
            data = b""
            if heard and heard[0] <= stop:
                data = heard[1]
                self._heard = next(self._nmea, None)
            grants.append((stop, data, self.link.at(at)))
            at, size = stop, size + len(data) + 32
        return grants

    def _grant_line(self, ms: int, data: bytes, link: bool) -> bytes:
        return f"G {ms} {int(link)} {self.battery.at(ms)} {len(data)}\n".encode() + data

    def grant(self, ms: int, data: bytes, link: bool) -> "Generator[str, str, None]":
        """Let its time reach `ms` under that link, then its receiver say `data`."""
        self.vm.send(self._grant_line(ms, data, link))
        yield "D"
        self.ms = ms

    def ask(self, intent: str, args: Mapping[str, Any]) -> "Generator[str, str, Answer]":
        """One intent and its Answer."""
        line = json.dumps({"intent": intent, "args": dict(args)}, ensure_ascii=False)
        self.vm.send(f"I {line}\n".encode())
        answer: Answer = json.loads((yield "A"))
        return answer

    def ended(self, report: str) -> VmDied:
        """The error of a firmware that ended by itself, with its reason and last lines."""
        why = json.loads(report).get("ended")
        return VmDied(
            "\n".join([f"{self.name}: the firmware ended by itself: {why}", *self.vm.log])
        )

    def told(self, text: str) -> None:
        """Hand on what the firmware tells. VmDied when it tells of a task that died: a bug."""
        fields: dict[str, Any] = json.loads(text)
        if fields["t"] == "died":
            last = "\n".join(self.vm.log)
            raise VmDied(f"{self.name}: a task of the firmware died: {text}\n{last}")
        if self._on_tell:
            self._on_tell(self, fields)


class Conductor:
    """Simulated time for its handhelds. `now()` makes it the Clock of an in-process gateway.

    start_unix: simulated unix seconds at 0 ms. speed: simulated seconds per wall second at most
    (None: as fast as the machine allows). step_ms: the longest step while something happens; the
    gateway's clock stands at the end of the step that is under way. Use as a context manager:
    leaving ends every VM.
    """

    def __init__(
        self,
        start_unix: int,
        *,
        speed: float | None = None,
        step_ms: int = STEP_MS,
        wall_limit_s: float = WALL_LIMIT_S,
    ) -> None:
        self.start_unix = start_unix
        self.ms = 0
        self.steps = 0
        self.handhelds: list[Handheld] = []
        self._speed = speed
        self._step_ms = step_ms
        self._limit_s = wall_limit_s
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def now(self) -> int:
        """Unix seconds of simulated time; safe to call from any thread."""
        return self.start_unix + self.ms // 1000

    def add(self, handheld: Handheld) -> Handheld:
        """Take a handheld in; from now on time waits for it."""
        self.handhelds.append(handheld)
        self._selector.register(handheld.vm, selectors.EVENT_READ, handheld)
        return handheld

    def run(self, until_ms: int | None = None) -> None:
        """Go on until a simulated time, or until sources and scripts of all have ended.

        Raises Stuck, or VmDied with the VM's last lines.
        """
        while until_ms is None or self.ms < until_ms:
            target = self._next_target()
            if target is None:
                if until_ms is None:
                    return
                target = self.ms + _SKIP_MS
            self.step(target if until_ms is None else min(target, until_ms))

    def _next_target(self) -> int | None:
        """The end of the next step: one step on, or further when nothing happens to anybody."""
        if not any(handheld.busy() for handheld in self.handhelds):
            return None
        events = [handheld.next_event() for handheld in self.handhelds]
        first = min((ms for ms in events if ms is not None), default=self.ms)
        later = self.ms + self._step_ms
        if first <= later:
            return later
        return min(first, self.ms + _SKIP_MS)

    def step(self, target_ms: int) -> None:
        """Bring every handheld to a simulated time."""
        began, before = time.monotonic(), self.ms
        self.ms = max(self.ms, target_ms)  # the gateway's clock is never behind a handheld's
        self.steps += 1
        self._all({handheld: handheld.work(self.ms) for handheld in self.handhelds})
        if self._speed:
            # Each step by itself: after a stall nothing is caught up, so that speed is a maximum.
            rest = (self.ms - before) / 1000 / self._speed - (time.monotonic() - began)
            if rest > 0:
                time.sleep(rest)

    def _all(self, works: "Mapping[Handheld, Generator[str, str, Any]]") -> dict[Handheld, Any]:
        """Run one piece of work of each handheld side by side; returns what each returned."""
        until = time.monotonic() + self._limit_s
        waiting: dict[Handheld, tuple[Generator[str, str, Any], str]] = {}
        results: dict[Handheld, Any] = {}

        def go_on(handheld: Handheld, work: "Generator[str, str, Any]", text: str | None) -> None:
            try:
                wanted = work.send(text) if text is not None else next(work)  # type: ignore[arg-type]
                waiting[handheld] = (work, wanted)
            except StopIteration as end:
                waiting.pop(handheld, None)
                results[handheld] = end.value

        for handheld, work in works.items():
            go_on(handheld, work, None)
        while waiting:
            ready = self._selector.select(max(0.0, until - time.monotonic()))
            if not ready and time.monotonic() >= until:
                raise Stuck(self._who(waiting))
            for key, _ in ready:
                handheld: Handheld = key.data
                try:
                    handheld.vm.receive()
                except VmDied:
                    if handheld.report is None:
                        raise
                    self._selector.unregister(handheld.vm)  # it ended as it was told
                while handheld.vm.said:
                    letter, text = handheld.vm.said.popleft()
                    if letter == "T":
                        handheld.told(text)
                    elif handheld in waiting and letter == waiting[handheld][1]:
                        go_on(handheld, waiting[handheld][0], text)
                    elif letter == "R":
                        raise handheld.ended(text)
        return results

    def _who(self, waiting: "Mapping[Handheld, tuple[Any, str]]") -> str:
        said = [
            f"{handheld.name} at {handheld.ms} ms (awaiting @{letter})"
            + "".join(f"\n    {line}" for line in list(handheld.vm.log)[-5:])
            for handheld, (_, letter) in waiting.items()
        ]
        return f"no end of step after {self._limit_s:.0f} s of wall time: " + "; ".join(said)

    def ask(
        self, handheld: Handheld, intent: str, args: Mapping[str, Any] | None = None
    ) -> Answer:
        """One intent outside the script; its Answer."""
        answer: Answer = self._all({handheld: handheld.ask(intent, args or {})})[handheld]
        return answer

    def drain(self) -> None:
        """Seal what is open and wait, link up, until all of it has receipts.

        No simulated time passes. Raises NotDrained (with counts) after the wall-time limit.
        """
        until = time.monotonic() + self._limit_s
        left = list(self.handhelds)
        while True:
            answers = self._all({handheld: _sync(handheld) for handheld in left})
            left = [h for h in left if answers[h].get("unsent") or answers[h].get("open")]
            if not left:
                return
            if time.monotonic() >= until:
                raise NotDrained({h.name: int(answers[h].get("unsent") or 0) for h in left})
            time.sleep(_DRAIN_PAUSE_S)

    def finish(self) -> list[dict[str, Any]]:
        """End every VM in order; the handhelds' reports."""
        self._all({handheld: _quit(handheld) for handheld in self.handhelds})
        self.close()
        return [handheld.report or {} for handheld in self.handhelds]

    def close(self) -> None:
        """End every VM now. May be called twice."""
        for handheld in self.handhelds:
            with suppress(KeyError, ValueError):
                self._selector.unregister(handheld.vm)
            handheld.vm.close()


def _sync(handheld: Handheld) -> "Generator[str, str, Answer]":
    yield from handheld.ask("sync", {})
    yield from handheld.grant(handheld.ms, b"", True)
    return (yield from handheld.ask("status", {}))


def _quit(handheld: Handheld) -> "Generator[str, str, None]":
    handheld.vm.send(b"Q\n")
    handheld.report = json.loads((yield "R"))


__all__ = [
    "Answer",
    "Battery",
    "Conductor",
    "ConductorError",
    "Handheld",
    "Link",
    "NotDrained",
    "Script",
    "Stuck",
    "VmDied",
]

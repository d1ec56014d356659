"""A gestor's working day as data, and what he does in it: doors, network, battery, one script.

Nothing here knows a process, a broker, a database or a street; the days themselves are
`demo_rounds`'. Times are simulated milliseconds since 08:00 in Lima.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ronda_protocol import polygon, visit

from ronda_tools.conductor import Answer, Battery, Link, Script
from ronda_tools.metres import Point
from ronda_tools.synth import Walk

# Tuesday 2026-09-15, 08:00 in Lima: a working day, within the hours in which visits are lawful.
START_UNIX = 1789477200
UTC_OFFSET_S = -5 * 3600
RADIUS_DM = 200
SETTLE_MS = 40_000
"""How long a gestor stands at a door before he checks in."""

Tell = Callable[[str, Mapping[str, Any]], None]
"""Hears what the gestor does and meets: the name of a moment and its fields."""


@dataclass(frozen=True)
class Mistake:
    """What a gestor sets right later: a field of the last visit to a case."""

    case_id: str
    field: str
    value: Any
    reason: str


Act = Generator[int | tuple[str, Mapping[str, Any]], Any, Any]


def clock(hours: int, minutes: int) -> int:
    """Simulated ms of a time of the day in Lima."""
    return ((hours - 8) * 60 + minutes) * 60_000


def local_time(ms: int) -> str:
    """The clock on the wall in Lima at a simulated ms: "08:20:13"."""
    seconds = (START_UNIX + UTC_OFFSET_S + ms // 1000) % 86400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


@dataclass(frozen=True)
class Stop:
    """One door: its case, when the gestor stands there, and how the visit goes."""

    case_id: str
    portfolio: str
    creditor: str
    door: Point
    arrive_ms: int
    stay_s: int
    outcome: str
    answers: Mapping[str, Any]
    promise: Mapping[str, Any] | None = None
    quality: int = visit.CONFIRMED
    # The place in the case, where it is not the true door (geocoded addresses).
    place: Point | None = None
    radius_dm: int = RADIUS_DM
    ask_fix: bool = False
    across_ms: int = 0  # tries from across the street at this time first
    corners: tuple[Point, ...] = ()  # of a place that is a polygon
    upstairs_s: int = 0  # registers the portal, goes up, and is back at the entrance after this
    mends: Mistake | None = None  # noticed a minute after leaving this door

    def case(self, order: int) -> dict[str, Any]:
        """The case as the cases pack takes it."""
        lat, lon = self.place or self.door
        fence: list[Any] = [0, lat, lon, self.radius_dm]
        if self.corners:
            fence = [1, polygon.steps([list(corner) for corner in self.corners])]
        return {
            "case_id": self.case_id,
            "portfolio": self.portfolio,
            "creditor": self.creditor,
            "place": [1, self.quality, *fence],
            "order": order,
            "currency": "PEN",
        }


@dataclass
class Day:
    """A day ready to be run: the way, the network, the battery, the stops in order."""

    walk: Walk
    link: Link
    battery: Battery
    stops: list[Stop] = field(default_factory=list[Stop])
    shift_start_ms: int = 0
    shift_end_ms: int = 0
    gestor: str = "g-017"

    def cases(self) -> list[dict[str, Any]]:
        """The round's cases, in order."""
        return [stop.case(order) for order, stop in enumerate(self.stops, 1)]

    def script(self, tell: Tell) -> Script:
        """What the gestor does, reacting to what the handheld answers."""
        yield self.shift_start_ms
        answer: Answer = yield ("shift_start", {"gestor": self.gestor})
        tell("shift_start", answer)
        closed: dict[str, str] = {}
        for stop in self.stops:
            visit_id = yield from _visit(stop, tell)
            if visit_id:
                closed[stop.case_id] = visit_id
            tell("left", {"case_id": stop.case_id})
            if stop.mends is not None:
                yield from _correct(stop, stop.mends, closed, tell)
        yield self.shift_end_ms
        answer = yield ("shift_end", {})
        tell("shift_end", answer)


def _correct(
    stop: Stop, mistake: Mistake, closed: Mapping[str, str], tell: Tell
) -> Generator[int | tuple[str, Mapping[str, Any]], Any, None]:
    """Set right what was noticed too late."""
    yield stop.arrive_ms + (stop.stay_s + 60) * 1000
    told = {"field": mistake.field, "value": mistake.value, "reason": mistake.reason}
    answer: Answer = yield ("correct", {"visit_id": closed.get(mistake.case_id, ""), **told})
    named = {"case_id": mistake.case_id, "field": mistake.field, "value": mistake.value}
    tell("correct", {**answer, **named})


def _visit(stop: Stop, tell: Tell) -> Act:
    """One door; the visit's id if one was closed."""
    if stop.across_ms:
        for pause_s in (40, 150):
            yield stop.across_ms + pause_s * 1000
            answer: Answer = yield ("check_in", {"case_id": stop.case_id})
            tell("check_in", {"case_id": stop.case_id, **answer})
    now: int = yield stop.arrive_ms + SETTLE_MS
    if stop.upstairs_s:
        answer = yield ("register_portal", {"case_id": stop.case_id})
        tell("register_portal", {"case_id": stop.case_id, **answer})
        now = yield stop.arrive_ms + 180_000
    begun = now
    answer = yield from _check_in(stop, tell, now)
    if not answer.get("ok"):
        return ""
    questions = sorted(stop.answers)
    for number, question in enumerate(questions, 1):
        yield begun + number * 20_000
        answer = yield ("answer", {"id": question, "value": stop.answers[question]})
        if not answer.get("ok"):
            tell("answer", {"case_id": stop.case_id, **answer})
    yield stop.arrive_ms + (stop.stay_s - 30) * 1000
    closing: dict[str, Any] = {"outcome": stop.outcome, "ask_fix": stop.ask_fix}
    if stop.promise is not None:
        closing["promise"] = stop.promise
    answer = yield ("close", closing)
    tell("close", {"case_id": stop.case_id, "outcome": stop.outcome, **answer})
    if answer.get("code") == "ask_portal_fix":
        yield stop.arrive_ms + (stop.upstairs_s + 30) * 1000
        answer = yield ("close", closing)
        tell("close", {"case_id": stop.case_id, "outcome": stop.outcome, **answer})
    return str(answer.get("visit_id") or "")


def _check_in(stop: Stop, tell: Tell, now: int) -> Act:
    """Try until the handheld opens the visit or refuses it; acknowledges what it is asked to."""
    asked: dict[str, Any] = {"case_id": stop.case_id}
    while True:
        answer: Answer = yield ("check_in", asked)
        tell("check_in", {"case_id": stop.case_id, **answer})
        if answer.get("code") == "waiting_fix":
            now = yield now + 10_000
        elif answer.get("code") == "ask_unconfirmed" and "acknowledge" not in asked:
            asked = {**asked, "acknowledge": True}
            now = yield now + 15_000
        else:
            return answer

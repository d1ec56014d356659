"""The demo's working day: a gestor's way through Miraflores, what meets him, what he does.

Data and one script; nothing here knows a process, a broker or a database. Doors, cases and
creditors are invented. Times are simulated milliseconds since 08:00 in Lima.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ronda_protocol import polygon, visit

from ronda_tools.conductor import Answer, Battery, Link, Script
from ronda_tools.synth import MIRAFLORES, Point, Walk, offset

# Tuesday 2026-09-15, 08:00 in Lima: a working day, within the hours in which visits are lawful.
START_UNIX = 1789477200
UTC_OFFSET_S = -5 * 3600
GESTOR = "g-017"
RADIUS_DM = 200

Tell = Callable[[str, Mapping[str, Any]], None]
"""Hears what the gestor does and meets: the name of a moment and its fields."""

Act = Generator[int | tuple[str, Mapping[str, Any]], Any, Any]


def clock(hours: int, minutes: int) -> int:
    """Simulated ms of a time of the day in Lima."""
    return ((hours - 8) * 60 + minutes) * 60_000


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
    ask_fix: bool = False
    across_ms: int = 0  # tries from across the street at this time first
    corners: tuple[Point, ...] = ()  # of a place that is a polygon
    upstairs_s: int = 0  # registers the portal, goes up, and is back at the entrance after this

    def case(self, order: int) -> dict[str, Any]:
        """The case as the cases pack takes it."""
        lat, lon = self.place or self.door
        fence: list[Any] = [0, lat, lon, RADIUS_DM]
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

    def cases(self) -> list[dict[str, Any]]:
        """The round's cases, in order."""
        return [stop.case(order) for order, stop in enumerate(self.stops, 1)]

    def script(self, tell: Tell) -> Script:
        """What the gestor does, reacting to what the handheld answers."""
        yield self.shift_start_ms
        answer: Answer = yield ("shift_start", {"gestor": GESTOR})
        tell("shift_start", answer)
        for stop in self.stops:
            yield from _visit(stop, tell)
        yield self.shift_end_ms
        answer = yield ("shift_end", {})
        tell("shift_end", answer)


def _promise(kind: int, *pairs: tuple[int, int], who: str) -> dict[str, Any]:
    return {
        "currency": "PEN",
        "kind": kind,
        "pairs": [list(pair) for pair in pairs],
        "who": who,
        "limits": 1,
    }


# A covered market around its gate: an L of metres north and east.
_MARKET = ((-12.0, -14.0), (-12.0, 46.0), (18.0, 46.0), (18.0, 16.0), (44.0, 16.0), (44.0, -14.0))


def plan(start_unix: int = START_UNIX, seed: int = 7) -> Day:
    """The demo's day: ten doors, one refusal across the street, a dead zone of 70 minutes."""
    walk = Walk(MIRAFLORES["parque"], start_unix, seed)
    walk.stand_until(clock(8, 10))
    stops = [stop for part in (_morning, _dead_zone, _afternoon) for stop in part(walk)]
    walk.go(MIRAFLORES["parque"])
    walk.stand_until(clock(17, 0))
    return Day(
        walk,
        Link([(0, True), (clock(11, 0), False), (clock(12, 10), True)]),
        Battery([(0, 4150), (clock(11, 0), 3930), (clock(15, 0), 3740), (clock(17, 0), 3650)]),
        stops,
        shift_start_ms=clock(8, 5),
        shift_end_ms=clock(17, 0) - 30_000,
    )


def _arrive(walk: Walk, door: Point, leave_ms: int, stay_s: int) -> int:
    """Wait until it is time to leave, go to a door, stay there; when he stands at it."""
    walk.stand_until(leave_ms)
    arrive = walk.go(door)
    walk.stand(stay_s)
    return arrive


def _morning(walk: Walk) -> list[Stop]:
    spot = MIRAFLORES
    stops: list[Stop] = []
    arrive = _arrive(walk, spot["larco"], clock(8, 15), 480)
    stops.append(
        Stop(
            "C-1001",
            "banco-andino",
            "andino",
            spot["larco"],
            arrive,
            480,
            "promesa",
            {"quien": "titular", "tipologia": "quiere_puede"},
            _promise(visit.SETTLES_ALL, (48000, 20260930), who="titular"),
            ask_fix=True,
        )
    )
    arrive = _arrive(walk, spot["tarata"], clock(8, 50), 240)
    stops.append(
        Stop(
            "C-1002",
            "banco-andino",
            "andino",
            spot["tarata"],
            arrive,
            240,
            "ausente",
            {"quien": "nadie"},
        )
    )
    # Across the street first: refused twice, then he crosses.
    door = spot["schell"]
    walk.stand_until(clock(9, 20))
    across = walk.go(offset(door, 38.0, 22.0))
    walk.stand(300)
    arrive = _arrive(walk, door, walk.ms, 420)
    stops.append(
        Stop(
            "C-1003",
            "caja-sur",
            "caja-sur",
            door,
            arrive,
            420,
            "se_niega",
            {"quien": "titular", "tipologia": "puede_no_quiere"},
            across_ms=across,
        )
    )
    # The receiver says one position to the last digit for three minutes: injected, or broken.
    door = spot["diez-canseco"]
    walk.stand_until(clock(10, 5))
    walk.go(door)
    arrive = walk.frozen(180)
    walk.frozen(400)
    stops.append(
        Stop(
            "C-1004",
            "caja-sur",
            "caja-sur",
            door,
            arrive,
            360,
            "sin_acuerdo",
            {"quien": "codeudor", "tipologia": "quiere_no_puede", "volver_el": 20260922},
        )
    )
    # In through the entrance, which is registered, since no satellite is heard upstairs.
    door = spot["alcanfores"]
    walk.stand_until(clock(10, 25))
    arrive = walk.go(door)
    walk.stand(90)
    walk.indoors(600)
    walk.stand(120)
    stops.append(
        Stop(
            "C-1005",
            "banco-andino",
            "andino",
            door,
            arrive,
            600,
            "convenio",
            {"quien": "garante"},
            _promise(
                visit.PARTIAL,
                (30000, 20260925),
                (30000, 20261025),
                (35000, 20261125),
                who="garante",
            ),
            upstairs_s=690,
        )
    )
    return stops


def _dead_zone(walk: Walk) -> list[Stop]:
    spot = MIRAFLORES
    first = _arrive(walk, spot["porta"], clock(11, 5), 300)
    second = _arrive(walk, spot["san-martin"], clock(11, 35), 420)
    return [
        Stop(
            "C-1006",
            "caja-sur",
            "caja-sur",
            spot["porta"],
            first,
            300,
            "sin_acceso",
            {"quien": "no_dice"},
        ),
        Stop(
            "C-1007",
            "banco-andino",
            "andino",
            spot["san-martin"],
            second,
            420,
            "promesa",
            {"quien": "titular"},
            _promise(visit.PARTIAL, (15050, 20260918), who="titular"),
        ),
    ]


def _afternoon(walk: Walk) -> list[Stop]:
    spot = MIRAFLORES
    moved = _arrive(walk, spot["berlin"], clock(12, 25), 360)
    paid = _arrive(walk, spot["bellavista"], clock(14, 20), 300)
    disputed = _arrive(walk, offset(spot["tarata"], -60.0, 45.0), clock(15, 30), 420)
    return [
        Stop(
            "C-1008",
            "caja-sur",
            "caja-sur",
            spot["berlin"],
            moved,
            360,
            "mudado",
            {"quien": "tercero"},
            quality=visit.GEOCODED,
            place=offset(spot["berlin"], 70.0, -95.0),
        ),
        Stop(
            "C-1009",
            "banco-andino",
            "andino",
            spot["bellavista"],
            paid,
            300,
            "ya_pago",
            {"quien": "titular", "tipologia": "quiere_puede", "pagado_el": 20260911},
            corners=tuple(offset(spot["bellavista"], *corner) for corner in _MARKET),
        ),
        Stop(
            "C-1010",
            "caja-sur",
            "caja-sur",
            offset(spot["tarata"], -60.0, 45.0),
            disputed,
            420,
            "disputa",
            {"quien": "titular", "disputa": "monto"},
            ask_fix=True,
        ),
    ]


def _visit(stop: Stop, tell: Tell) -> Act:
    if stop.across_ms:
        for pause_s in (40, 150):
            yield stop.across_ms + pause_s * 1000
            answer: Answer = yield ("check_in", {"case_id": stop.case_id})
            tell("check_in", {"case_id": stop.case_id, **answer})
    now: int = yield stop.arrive_ms + 40_000
    if stop.upstairs_s:
        answer = yield ("register_portal", {"case_id": stop.case_id})
        tell("register_portal", {"case_id": stop.case_id, **answer})
        now = yield stop.arrive_ms + 180_000
    begun = now
    answer = yield from _check_in(stop, tell, now)
    if not answer.get("ok"):
        return
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

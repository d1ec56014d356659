"""The days of the demo's handhelds: Miraflores, Surquillo, Barranco, and drawn ones beyond three.

Doors, cases and creditors are invented. The first three are written out, so that each difficulty
of a real day is met once; the others are drawn by their number, always the same.
"""

import random
from collections.abc import Mapping
from typing import Any

from ronda_protocol import visit

from ronda_tools.conductor import Battery, Link
from ronda_tools.demo_city import DISTRICTS, City, lima
from ronda_tools.demo_day import START_UNIX, Day, Mistake, Stop, clock
from ronda_tools.metres import Point, offset
from ronda_tools.synth import MIRAFLORES, Walk

MOST = 20
_LOOK_MS = 5000  # how often the network of the place is looked at
END_MS = clock(17, 0)

_BANK = ("banco-andino", "andino")
_SAVINGS = ("caja-sur", "caja-sur")
_SHOP = ("tiendas-rimac", "Tiendas Rímac S.A.")


# A covered market around its gate: an L of metres north and east.
_MARKET = ((-12.0, -14.0), (-12.0, 46.0), (18.0, 46.0), (18.0, 16.0), (44.0, 16.0), (44.0, -14.0))


def _promise(kind: int, who: str, *pairs: tuple[int, int]) -> dict[str, Any]:
    return {
        "currency": "PEN",
        "kind": kind,
        "pairs": [list(pair) for pair in pairs],
        "who": who,
        "limits": 1,
    }


def _all(who: str, cents: int, day: int) -> dict[str, Any]:
    return _promise(visit.SETTLES_ALL, who, (cents, day))


class _Way:
    """A day under construction: legs of the walk and the stops on it."""

    def __init__(self, number: int, gestor: str, start: Point, city: City, radius_m: int) -> None:
        self.city = city
        self.walk = Walk(start, START_UNIX, 6 + number, around=city.canyon)
        self.gestor = gestor
        self.stops: list[Stop] = []
        self._number = number
        self._radius_dm = radius_m * 10

    def go(self, to: Point, leave_ms: int = 0) -> int:
        """Wait until it is time to leave, walk there along the streets; when he arrives."""
        if leave_ms > self.walk.ms:
            self.walk.stand_until(leave_ms)
        for corner in self.city.route(self.walk.here, to):
            self.walk.go(corner)
        return self.walk.ms

    def visit(
        self,
        at: tuple[int, int],
        door: Point,
        stay_s: int,
        lender: tuple[str, str],
        ends: tuple[str, Mapping[str, Any]],
        *,
        enters: bool = False,
        upstairs: bool = False,
        frozen: bool = False,
        **more: Any,
    ) -> None:
        """Leave for a door at a time of the day, stand there, and have the visit's case.

        `enters`: inside the building after a minute and a half, where no satellite is heard;
        `upstairs`: the same for the whole stay, and back at the entrance after it.
        """
        arrive = self.go(door, clock(*at))
        if frozen:
            # Three minutes of it before anybody checks in.
            arrive = self.walk.frozen(180)
            self.walk.frozen(stay_s)
        elif upstairs:
            self.walk.stand(90)
            self.walk.indoors(stay_s)
            self.walk.stand(120)
            more["upstairs_s"] = 90 + stay_s
        elif enters:
            self.walk.stand(90)
            self.walk.indoors(stay_s - 90)
        else:
            self.walk.stand(stay_s)
        more.setdefault("radius_dm", self._radius_dm)
        case_id = f"C-{self._number}{len(self.stops) + 1:03d}"
        self.stops.append(
            Stop(case_id, *lender, door, arrive, stay_s, ends[0], dict(ends[1]), **more)
        )

    def day(
        self,
        battery: Battery,
        start: tuple[int, int],
        end_ms: int,
        outages: tuple[tuple[int, bool], ...] = ((0, True),),
    ) -> Day:
        """Stand until the end; the network is where the streets have it, and at its times."""
        self.walk.stand_until(END_MS)
        link = covered(self.walk, self.city, Link(outages))
        return Day(self.walk, link, battery, self.stops, clock(*start), end_ms, self.gestor)


def covered(walk: Walk, city: City, times: Link) -> Link:
    """The network along a walk: up where there is coverage and while `times` says so."""
    changes: list[tuple[int, bool]] = []
    moments = set(range(0, walk.ms, _LOOK_MS))
    change = times.next_change(-1)
    while change is not None:
        moments.add(change)
        change = times.next_change(change)
    last: Point | None = None
    reached = True
    for ms in sorted(moments):
        here = walk.position_at(ms)
        if here != last:
            last, reached = here, city.covered(here)
        up = reached and times.at(ms)
        if not changes or changes[-1][1] != up:
            changes.append((ms, up))
    return Link(changes)


def rounds(count: int) -> list[Day]:
    """The days of so many handhelds (1 to 20), the first three always the same ones."""
    written = (miraflores, surquillo, barranco)
    return [
        written[number - 1]() if number <= len(written) else drawn(number)
        for number in range(1, count + 1)
    ]


def plan() -> Day:
    """The first handheld's day."""
    return miraflores()


def miraflores() -> Day:
    """Ten doors, a refusal across the street, a frozen receiver, 70 minutes without a network."""
    spot = MIRAFLORES
    way = _Way(1, "g-017", spot["parque"], lima(), 20)
    way.visit(
        (8, 15),
        spot["larco"],
        480,
        _BANK,
        ("promesa", {"quien": "titular", "tipologia": "quiere_puede"}),
        promise=_all("titular", 48000, 20260930),
        ask_fix=True,
    )
    way.visit((8, 50), spot["tarata"], 240, _BANK, ("ausente", {"quien": "nadie"}))
    # Across the street first: refused twice, then he crosses.
    across = way.go(offset(spot["schell"], 38.0, 22.0), clock(9, 20))
    way.walk.stand(300)
    refuses = {"quien": "titular", "tipologia": "puede_no_quiere"}
    # On the way a neighbour of C-1002 tells him: nobody lives there any more.
    moved = Mistake("C-1002", "outcome", "mudado", "un vecino: se mudaron en agosto")
    no = ("se_niega", refuses)
    way.visit((9, 20), spot["schell"], 420, _SAVINGS, no, across_ms=across, mends=moved)
    # The receiver says one position to the last digit: injected, or broken.
    cannot = {"quien": "codeudor", "tipologia": "quiere_no_puede", "volver_el": 20260922}
    way.walk.stand_until(clock(10, 3))
    way.visit((10, 3), spot["diez-canseco"], 400, _SAVINGS, ("sin_acuerdo", cannot), frozen=True)
    # In through the entrance, which is registered, since no satellite is heard upstairs.
    pairs = ((30000, 20260925), (30000, 20261025), (35000, 20261125))
    way.visit(
        (10, 25),
        spot["alcanfores"],
        600,
        _BANK,
        ("convenio", {"quien": "garante"}),
        promise=_promise(visit.PARTIAL, "garante", *pairs),
        upstairs=True,
    )
    way.visit((11, 5), spot["porta"], 300, _SAVINGS, ("sin_acceso", {"quien": "no_dice"}))
    part = _promise(visit.PARTIAL, "titular", (15050, 20260918))
    who = {"quien": "titular"}
    way.visit((11, 35), spot["san-martin"], 420, _BANK, ("promesa", who), promise=part)
    # The case's place is what a geocoder made of the address.
    guess = offset(spot["berlin"], 70.0, -95.0)
    third = {"quien": "tercero"}
    geocoded: dict[str, Any] = {"quality": visit.GEOCODED, "place": guess}
    way.visit((12, 25), spot["berlin"], 360, _SAVINGS, ("mudado", third), **geocoded)
    paid = {"quien": "titular", "tipologia": "quiere_puede", "pagado_el": 20260911}
    market = tuple(offset(spot["bellavista"], *corner) for corner in _MARKET)
    way.visit((14, 20), spot["bellavista"], 300, _BANK, ("ya_pago", paid), corners=market)
    disputed = {"quien": "titular", "disputa": "monto"}
    last = offset(spot["tarata"], -60.0, 45.0)
    # Checked in at the door, then asked inside, where it is closed without a fix.
    way.visit((15, 30), last, 420, _SAVINGS, ("disputa", disputed), ask_fix=True, enters=True)
    way.go(spot["parque"])
    return way.day(
        Battery([(0, 4150), (clock(11, 0), 3930), (clock(15, 0), 3740), (END_MS, 3650)]),
        (8, 5),
        END_MS - 30_000,
        ((0, True), (clock(11, 0), False), (clock(12, 10), True)),
    )


def surquillo() -> Day:
    """Low houses and open sky; a market hall without a network, an avenue's far end neither."""
    city = lima()
    way = _Way(2, "g-021", city.door("Av. Angamos Este", "Surquillo", 420, 1), city, 25)

    def door(street: str, along_m: float, side: int) -> Point:
        return city.door(street, "Surquillo", along_m, side)

    owner = {"quien": "titular", "tipologia": "quiere_puede"}
    nobody = {"quien": "nadie"}
    way.visit(
        (8, 40),
        door("Jr. Colina", 260, 1),
        360,
        _BANK,
        ("promesa", owner),
        promise=_all("titular", 125000, 20260925),
        ask_fix=True,
    )
    way.visit((9, 15), door("Jr. San Agustín", 610, -1), 260, _SHOP, ("ausente", nobody))
    lender = {"quien": "titular", "disputa": "no_reconoce"}
    way.visit((9, 45), door("Jr. Dante", 380, 1), 420, _SHOP, ("disputa", lender))
    # The stall is deep inside the market's hall: no satellite, no network.
    stall = door("Jr. Carmen", 430, 1)
    part = _promise(visit.PARTIAL, "titular", (20000, 20260922), (20000, 20261006))
    way.visit((10, 20), stall, 1500, _SAVINGS, ("promesa", owner), promise=part, enters=True)
    aval = {"quien": "garante"}
    way.visit((11, 10), door("Jr. Gonzales Prada", 290, -1), 380, _BANK, ("sin_acuerdo", aval))
    way.visit((12, 0), door("Calle Manuel Irribarren", 250, 1), 240, _SHOP, ("ausente", nobody))
    moved = {"quien": "tercero"}
    way.visit((14, 0), door("Av. Villarán", 700, 1), 300, _SAVINGS, ("mudado", moved))
    later = {"quien": "codeudor", "volver_el": 20260917}
    way.visit((14, 30), door("Av. Villarán", 860, -1), 360, _BANK, ("sin_acuerdo", later))
    paid = {"quien": "titular", "pagado_el": 20260914}
    way.visit((15, 20), door("Av. Tomás Marsano", 560, 1), 280, _SHOP, ("ya_pago", paid))
    way.go(door("Av. Angamos Este", 600, -1), clock(16, 0))
    voltage = [(0, 4080), (clock(12, 0), 3860), (clock(16, 45), 3640), (END_MS, 3700)]
    return way.day(Battery(voltage), (8, 30), clock(16, 45))


def barranco() -> Day:
    """Old houses, a ravine, and an afternoon on the beach road, out of the network's reach."""
    city = lima()
    way = _Way(3, "g-034", city.door("Av. Grau", "Barranco", 1150, -1), city, 25)

    def door(street: str, along_m: float, side: int) -> Point:
        return city.door(street, "Barranco", along_m, side)

    owner = {"quien": "titular"}
    nobody = {"quien": "nadie"}
    way.visit((8, 20), door("Jr. Unión", 160, 1), 300, _SAVINGS, ("ausente", nobody))
    way.visit(
        (8, 55),
        door("Av. Sáenz Peña", 560, -1),
        450,
        _SHOP,
        ("promesa", {"quien": "titular", "tipologia": "quiere_puede"}),
        promise=_all("titular", 64990, 20260928),
        ask_fix=True,
    )
    way.visit((9, 40), door("Jr. Junín", 300, 1), 260, _BANK, ("desocupado", nobody))
    refuses = {"quien": "titular", "tipologia": "puede_no_quiere"}
    way.visit((10, 20), door("Jr. Domeyer", 220, -1), 380, _SAVINGS, ("se_niega", refuses))
    # Between two walls of the ravine half of the sky is gone, and so is the network.
    down = {"quien": "tercero"}
    way.visit((11, 0), door("Bajada de Baños", 250, 1), 420, _SHOP, ("pide_no_volver", down))
    guess = offset(door("Jr. Sucre", 120, 1), -60.0, 45.0)
    geocoded: dict[str, Any] = {"quality": visit.GEOCODED, "place": guess}
    way.visit((11, 45), door("Jr. Sucre", 120, 1), 300, _BANK, ("mudado", down), **geocoded)
    part = _promise(visit.PARTIAL, "titular", (50000, 20261001), (50000, 20261101))
    beach = "Circuito de Playas"
    way.visit((12, 30), door(beach, 930, -1), 420, _SAVINGS, ("convenio", owner), promise=part)
    way.visit((13, 20), door(beach, 1080, -1), 300, _SHOP, ("ausente", nobody))
    paid = {"quien": "titular", "pagado_el": 20260910}
    way.visit((14, 30), door(beach, 1390, -1), 360, _BANK, ("ya_pago", paid))
    # Up again at the end of the day: what was kept leaves then.
    disputed = {"quien": "titular", "disputa": "reclamo"}
    way.visit((15, 50), door("Av. Pedro de Osma", 90, 1), 360, _SHOP, ("disputa", disputed))
    way.go(door("Av. Grau", 1300, 1), clock(16, 25))
    voltage = [(0, 4170), (clock(13, 0), 3850), (clock(15, 30), 3690), (END_MS, 3560)]
    return way.day(Battery(voltage), (8, 10), clock(16, 50))


_ENDS: tuple[tuple[str, Mapping[str, Any], bool], ...] = (
    ("ausente", {"quien": "nadie"}, False),
    ("ausente", {"quien": "nadie"}, False),
    ("sin_acuerdo", {"quien": "titular", "tipologia": "quiere_no_puede"}, False),
    ("promesa", {"quien": "titular", "tipologia": "quiere_puede"}, True),
    ("promesa", {"quien": "codeudor"}, True),
    ("se_niega", {"quien": "titular", "tipologia": "puede_no_quiere"}, False),
    ("mudado", {"quien": "tercero"}, False),
    ("ya_pago", {"quien": "titular", "pagado_el": 20260909}, False),
    ("disputa", {"quien": "titular", "disputa": "monto"}, False),
)


def drawn(number: int) -> Day:
    """A day drawn by its number: doors along the streets of one district."""
    chance = random.Random(1000 + number)
    city, district = lima(), DISTRICTS[number % len(DISTRICTS)]
    streets = [s for s in city.streets if s.district == district]

    def door() -> Point:
        street = chance.choice(streets)
        along = chance.uniform(20, min(400, street.length_m - 20))
        return city.door(street.name, district, along, chance.choice((1, -1)))

    way = _Way(number, f"g-{100 + number}", door(), city, 30)
    leave = clock(8, chance.randrange(15, 40))
    while leave < clock(16, 0):
        outcome, answers, promised = chance.choice(_ENDS)
        more: dict[str, Any] = {"ask_fix": chance.random() < 0.3}
        if promised:
            cents = chance.randrange(50, 900) * 100
            more["promise"] = _all(answers["quien"], cents, 20260900 + chance.randrange(18, 31))
        stay_s = chance.randrange(200, 540)
        lender = chance.choice((_BANK, _SAVINGS, _SHOP))
        at = divmod(leave // 60_000 + 8 * 60, 60)
        enters = chance.random() < 0.2
        way.visit(at, door(), stay_s, lender, (outcome, answers), enters=enters, **more)
        leave = max(leave, way.walk.ms) + chance.randrange(15, 55) * 60_000
    full = chance.randrange(4050, 4180)
    voltage = [(0, full), (END_MS, full - chance.randrange(380, 560))]
    return way.day(Battery(voltage), (8, 5), clock(16, chance.randrange(40, 59)))

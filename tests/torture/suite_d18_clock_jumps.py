"""D18: clocks that jump, on both sides: the receiver's, the clock chip's, the gateway's.

A life is a handheld (the firmware's App in the VM, a link, a receiver) and a gateway, through ten
jumps of every size from one second to ten years, over the GPS week roll-over (1,024 weeks), the
end of 32 bits in 2038, dates before `time_floor`, a reset clock chip, with reboots, lost fixes and
lost links between. A model written from protocol.md (Stamp) says after each jump what the stamp
must be and which event must tell of it. At the end: every record that was acknowledged is stored
once (I1, I2), seq and chain are whole (I3), and in the order of entry numbers neither boot nor
milliseconds ever go back. Leaves out TLS, which does not exist yet.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import steered
from gateway_here import GatewayHere
from history import FinalState, check
from lab import Bench, Suite, Violation, batches, points
from ronda_gateway import schema
from ronda_gateway.packs import TRUST_YEARS
from ronda_protocol import reading, track

NOW = 1789477200
FLOOR = 1767225600  # boards/sim and handheld_board: 2026-01-01
_WEEK = 7 * 86400
_SIZES = [1, 2, 3, 10, 59, 60, 3600, 86399, 86400, _WEEK, 30 * 86400, 365 * 86400]
_SIZES += [3652 * 86400, 1024 * _WEEK]
_DATES = [2**31 - 30, 2**31 + 5, 946684800, 936835200 - 60, FLOOR - 2, FLOOR + 10, 2145916800]
GNSS, GATEWAY, RTC = 1, 2, 3
_JUMPS = 10
_KEY_FROM, _KEY_TO = NOW - 86400, NOW + TRUST_YEARS * 365 * 86400
_GPS_EPOCH = 315964800
"""1980-01-06. NMEA tells years by two digits: before it, 2080 and later are meant."""


def plan(size: str) -> list[str]:
    """20 lives of ten jumps."""
    return batches("D18:life", 20, 1, 10 if size == "short" else 1)


def run(case: str, bench: Bench) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for number in points(case)[1]:
        bench.rng.seed(f"D18:life:{number}")
        folder = bench.folder / str(number)
        counts.update(Life(number, bench, folder).run())
    return dict(counts)


class Life:
    """One handheld through ten jumps."""

    def __init__(self, number: int, bench: Bench, folder: Any) -> None:
        self.number, self.bench, self.rng = number, bench, bench.rng
        self.gateway = GatewayHere(folder / "site", now=NOW)
        self.handheld = steered.Steered(self.gateway, "rh-18", bytes([18]) * 32)
        self.gateway.enable("rh-18", self.handheld.public)
        self.counts: Counter[str] = Counter()
        self.seconds = 0  # of device time since the beginning
        self.gnss = NOW  # what the receiver says, minus those seconds
        self.ours = NOW  # what the gateway's clock says, minus those seconds
        self.rtc: int | None = None
        self.mode = "fix"
        self.linked = True
        self.saved: dict[int, str] = {}
        self.before: list[Any] = [1, 0, None, 0, 0]

    def run(self) -> Counter[str]:
        with self.gateway, self.handheld:
            self._boot()
            self._pass(12)
            self._compare()
            for _ in range(_JUMPS):
                self._jump()
            self._settle()
            self._judge()
        return self.counts

    # ---- what happens --------------------------------------------------------------------------

    def _boot(self) -> None:
        """Power comes; a chip that holds the time says what it last held."""
        rtc = None if self.rtc is None else self.rtc + self.seconds
        state = self.handheld.do("boot", rtc)
        stamp = state["stamp"]
        wanted = RTC if rtc is not None and rtc >= FLOOR else 0
        if stamp[3] != wanted or (wanted and not 0 <= stamp[2] - rtc <= 1):
            self._wrong(f"booted with {stamp}, the clock chip said {rtc}")
        if wanted and stamp[4] < 300:
            self._wrong(f"a clock chip believed within {stamp[4]} s")
        self.before = stamp
        self._tell_gnss()

    def _tell_gnss(self) -> None:
        self.handheld.do("gnss", self.mode, self.gnss + self.seconds)

    def _pass(self, seconds: int) -> dict[str, Any]:
        """Time passes on all sides; what was saved is remembered."""
        self.gateway.clock.unix = max(0, self.ours + self.seconds)
        state: dict[str, Any] = self.handheld.do("run", seconds)
        self.seconds += seconds
        self.gateway.clock.unix = max(0, self.ours + self.seconds)
        if state["died"]:
            raise Violation("I8", f"tasks died: {state['died']}", self._id())
        if state["dropped"]:
            raise Violation("I1", f"{state['dropped']} entries not saved", self._id())
        self._remember()
        return state

    def _remember(self) -> None:
        for kind, number, digest in self.handheld.do("journal"):
            if number in self.saved:
                raise Violation("I2", f"entry {number} was saved twice", self._id())
            self.saved[number] = digest
            self.bench.history.did("save", self._entry(number), digest=digest)
            self.counts[f"{kind}s saved"] += 1

    def _entry(self, number: int) -> str:
        return f"rh-18/{self.number}/e{number}"

    def _jump(self) -> None:
        how = self.rng.choice(
            ("gnss", "gnss", "gnss", "gnss date", "gateway", "gateway date", "rtc", "reset")
        )
        self.counts[f"jumps of {how.split()[0]}"] += 1
        self._weather()
        by = self.rng.choice(_SIZES) * self.rng.choice((1, -1))
        date = self.rng.choice(_DATES)
        if how.startswith("gnss"):
            there = date if how == "gnss date" else self.gnss + self.seconds + by
            self.gnss = max(there, _GPS_EPOCH) - self.seconds
            self._tell_gnss()
        elif how.startswith("gateway"):
            there = date if how == "gateway date" else self.ours + self.seconds + by
            self.ours = max(there, 1) - self.seconds
        else:
            there = NOW + self.seconds + by if how == "rtc" else 0
            self.rtc = there - self.seconds
            self._off()
            self._boot()
        self._pass(self.rng.choice((10, 20, 45)))
        if self.rng.randrange(3) == 0:
            self.handheld.do("intent", self.rng.choice(("sync", "status")), {})
            self._remember()
        self._compare()

    def _off(self) -> None:
        self.handheld.do("off")
        self.counts["power cuts"] += 1

    def _weather(self) -> None:
        """Fix and link come and go."""
        mode = self.rng.choice(("fix", "fix", "fix", "void", "silent"))
        if mode != self.mode:
            self.mode = mode
            self._tell_gnss()
        linked = self.rng.randrange(4) > 0
        if linked != self.linked:
            self.linked = linked
            self.handheld.do("link", linked)

    # ---- the model -----------------------------------------------------------------------------

    def _compare(self) -> None:
        """The stamp against what protocol.md says it must be now."""
        stamp = self.handheld.do("state")["stamp"]
        told = self.gnss + self.seconds
        if self.mode == "fix" and told >= FLOOR:
            # Ten seconds and more of agreeing fixes: theirs, whatever was known before.
            if stamp[3] != GNSS or abs(stamp[2] - told) > 2:
                self._wrong(f"the satellites say {told}, the stamp is {stamp}")
            self.counts["stamps by satellites"] += 1
        elif stamp[3] != GNSS or self.before[3] == GNSS:
            self._without_satellites(stamp)
        else:
            self._wrong(f"satellites say {told} ({self.mode}), the stamp is {stamp}")
        if stamp[:2] < self.before[:2]:
            self._wrong(f"{stamp} after {self.before}")
        self.before = stamp

    def _without_satellites(self, stamp: list[Any]) -> None:
        """Nothing new from above: the old time carried on by ticks, or a receipt's."""
        before = self.before
        gateway = self.ours + self.seconds
        carried = before[2] is not None and before[0] == stamp[0]
        if stamp[3] == 0:
            if before[3] and before[0] == stamp[0]:
                self._wrong("a time that was known is forgotten")
        elif stamp[3] == GATEWAY:
            late = abs(stamp[2] - gateway)
            here = carried and abs(stamp[2] - before[2] - (stamp[1] - before[1]) // 1000) <= 1
            if late > stamp[4] + 1 and not here:
                self._wrong(f"the gateway says {gateway}, the stamp is {stamp}")
            if not _KEY_FROM <= stamp[2] <= _KEY_TO:
                self._wrong(f"{stamp}: the gateway's key is not valid then, and no other receipt")
            self.counts["stamps by the gateway"] += 1
        elif carried and before[3] == stamp[3]:
            if abs(stamp[2] - before[2] - (stamp[1] - before[1]) // 1000) > 1:
                self._wrong(f"{stamp} is not {before} carried on")
            self.counts["stamps carried on"] += 1

    def _wrong(self, text: str) -> None:
        raise Violation("I3", text, self._id())

    def _id(self) -> str:
        return f"D18:life:{self.number}"

    # ---- the end -------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Clocks are put right, the link is up: everything arrives within 10 minutes."""
        self.gnss = self.ours = NOW
        self.mode, self.linked = "fix", True
        self._tell_gnss()
        self.handheld.do("link", True)
        self._pass(75)  # packs that ended by a wrong clock are looked for once a minute
        answer = self.handheld.do("intent", "check_in", {"case_id": "c-1"})
        if answer["code"] != "no_shift":
            self._wrong(f"a check-in was answered {answer['code']}")
        self._visit()
        self.mode = "silent"  # or the next fix would be open again when all is sent
        self._tell_gnss()
        self._pass(15)
        self.handheld.do("intent", "sync", {})
        self._remember()
        for _ in range(20):
            if not self._pass(30)["unsent"]:
                return
        raise Violation("I8", "segments unsent ten minutes after all is well", self._id())

    def _visit(self) -> None:
        """The day goes on: cases are there, and a visit opens."""
        for name, arguments in (
            ("shift_start", {"gestor": "g-1"}),
            ("check_in", {"case_id": "c-1"}),
            ("close", {"outcome": "ausente", "answers": {"quien": "nadie"}}),
        ):
            answer = self.handheld.do("intent", name, arguments)
            self.counts[f"{name} {answer['code']}"] += 1
            if not answer["ok"]:
                self._wrong(f"after the jumps {name} is answered {answer}")
            self._remember()

    def _judge(self) -> None:
        stored = [row.raw for row in self.gateway.rows(schema.segments)]
        found = steered.entries(stored)
        pairs = [
            (self._entry(number), digest) for number, all_ in found.items() for digest, *_ in all_
        ]
        state = FinalState(stored=pairs, chains=self._chains(), integrity=self._integrity())
        state.declared = frozenset()
        check(self.bench.history, state, must=("I1", "I2", "I3", "I5"), case=self._id())
        self._never_backward(stored)
        self._events(stored)
        self.counts["segments"] += len(stored)
        self.counts["jumps"] += _JUMPS

    def _chains(self) -> dict[str, list[tuple[int, str, str]]]:
        names = {row.id: row.log_id.hex() for row in self.gateway.rows(schema.logs)}
        found: dict[str, list[tuple[int, str, str]]] = {}
        for row in self.gateway.rows(schema.segments):
            link = (row.seq, row.chain.hex(), row.prev.hex())
            found.setdefault(names[row.log], []).append(link)
        if len(found) != 1:
            self._wrong(f"{len(found)} logs where one was enough")
        return found

    def _integrity(self) -> dict[str, str]:
        odd = [a["kind"] for a in self.gateway.alerts()]
        return {
            "integrity_check": self.gateway.integrity(),
            "alerts": "ok" if not odd else f"alerts that should not be: {odd}",
        }

    def _never_backward(self, stored: list[bytes]) -> None:
        """By entry numbers neither the boot nor the time since it goes back; by seq neither does
        the boot. UTC may, and then an event says so."""
        rows: list[tuple[int, int, int]] = []
        for raw in stored:
            sealed = reading.parse(raw)
            boot = sealed.header.stamp[0]
            for entry in sealed.entries():
                ms = entry[2] if sealed.header.body == 1 else sealed.header.stamp[1]
                rows.append((entry[1], boot, ms))
        rows.sort()
        for (_, *earlier), (number, *later) in pairwise(rows):
            if later < earlier:
                self._wrong(f"entry {number} is of {later}, the one before of {earlier}")
        if [number for number, *_ in rows] != list(range(1, len(rows) + 1)):
            self._wrong("entry numbers with a hole")

    def _events(self, stored: list[bytes]) -> None:
        """Every step of UTC between the base stamps of two tracks of one boot has its event."""
        told: list[tuple[int, int]] = []  # entry number, seconds
        bases: list[tuple[int, list[Any]]] = []  # first entry number, stamp
        for raw in stored:
            sealed = reading.parse(raw)
            if sealed.header.body == 1:
                bases.append((sealed.header.numbers[0], sealed.header.stamp))
            for entry in sealed.entries():
                if entry[0] == track.EVENT and entry[3] == track.TIME_STEP:
                    told.append((entry[1], entry[4][1] - entry[4][0]))
                    self.counts["steps told"] += 1
                self.counts["times set"] += entry[0] == 3 and entry[3] == track.TIME_SET
        bases.sort()
        for (first, one), (last, two) in pairwise(bases):
            if one[0] != two[0] or one[2] is None or two[2] is None:
                continue
            # The event of a step is written by the stamp after it: it may be the base's own.
            moved = two[2] - one[2] - (two[1] - one[1]) // 1000
            steps = sum(by for number, by in told if first < number <= last)
            if abs(moved - steps) > 3 + 2 * max(one[4], two[4]):
                self._wrong(f"{one} to {two}: {moved} s of which the events tell {steps}")


SUITE = Suite("D18", "clocks that jump on both sides", plan, run)

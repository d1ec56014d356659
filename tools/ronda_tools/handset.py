"""One simulated handheld in somebody's hand: its screen as pixels, its keys, where it is.

Drives the VM by the second, without a conductor and without a network. What is drawn from the
pixels is `screen_picture`'s; who presses and walks, the caller's (a test, or a person).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ronda_tools.metres import Point, offset
from ronda_tools.receiver import Around, Moment, Receiver
from ronda_tools.vm import Build, Vm

TAP, HOLD, LONG = 0, 1, 2


@dataclass(frozen=True)
class Panel:
    """A screen and its keys, by the names the simulator knows.

    `heap`: with pages a day passes 192 KiB by some hundred bytes in its worst moments (a seal at
    the door), so the small screens get 208 until there is more room; boards with a colour screen
    have PSRAM.
    """

    screen: str
    wide: int
    high: int
    bits: int
    keys: tuple[str, ...]
    heap: str = "208k"


PANELS = {
    "mono": Panel("mono", 128, 64, 1, ("ok",)),
    "mono3": Panel("mono", 128, 64, 1, ("up", "down", "ok")),
    "colour": Panel("colour", 320, 240, 2, ("up", "down", "left", "right", "ok", "text"), "2m"),
}

Pixels = list[list[int]]
"""Rows of inks: 0 paper, 1 ink, 2 accent, 3 alert."""


class Handset:
    """A provisioned storage folder, switched on. A context manager: leaving switches it off."""

    def __init__(
        self,
        storage: Path,
        panel: Panel,
        *,
        unix: int,
        where: Point,
        around: Around | None = None,
        built: Build | None = None,
        heap: str | None = None,
        on_tell: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.storage = storage
        self.panel = panel
        self.where = where
        self.indoors = False
        self.battery_mv = 3900
        self.ms = 0
        self._unix = unix
        self._walk: tuple[float, float] = (0.0, 0.0)
        self._receiver = Receiver(1, around)
        self._on_tell = on_tell
        environment = {"RONDA_SIM_SCREEN": panel.screen, "RONDA_SIM_KEYS": ",".join(panel.keys)}
        self.vm = Vm(storage, built=built, environment=environment, heap=heap or panel.heap)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vm.close()

    @property
    def elapsed_s(self) -> int:
        """Seconds that passed in its time since it was switched on."""
        return self.ms // 1000

    def press(self, key: str, how: int = TAP) -> None:
        """A key; it has been dealt with when the next grant returns."""
        self.vm.send(f"K {key} {how}\n".encode())

    def walk(self, north_m: float, east_m: float) -> None:
        """Move by so many metres in the next second."""
        self._walk = (north_m, east_m)

    def pass_time(self, seconds: int = 1) -> None:
        """Let seconds pass, each with what the receiver says at its end. VmDied, TimeoutError."""
        for _ in range(seconds):
            self._second()

    def _second(self) -> None:
        north, east = self._walk
        self._walk = (0.0, 0.0)
        self.where = offset(self.where, north, east)
        self.ms += 1000
        speed = (north * north + east * east) ** 0.5
        moment = Moment(
            "indoors" if self.indoors else "walk" if speed else "stand",
            self.ms,
            self._unix + self.ms // 1000,
            self.where,
            self.where,
            0.9,
            speed,
            None,
        )
        data = self._receiver.hear(moment)
        self.vm.send(f"G {self.ms} 0 {self.battery_mv} {len(data)}\n".encode() + data)
        for letter, text in self.vm.lines():
            if letter == "D":
                return
            if letter == "T" and self._on_tell:
                self._on_tell(json.loads(text))

    def end(self) -> dict[str, Any]:
        """Switch it off in order; the firmware's own report."""
        self.vm.send(b"Q\n")
        for letter, text in self.vm.lines():
            if letter == "R":
                report: dict[str, Any] = json.loads(text)
                self.vm.close()
                return report
        raise self.vm.died()

    def pixels(self) -> Pixels:
        """What the screen shows; blank before the first frame."""
        panel = self.panel
        try:
            data = (self.storage / "screen.bin").read_bytes()
        except FileNotFoundError:
            data = b""
        data = data.ljust(panel.wide * panel.high * panel.bits // 8, b"\0")
        if panel.bits == 1:  # MONO_VLSB: a byte is eight rows of one column
            return [
                [data[x + (y >> 3) * panel.wide] >> (y & 7) & 1 for x in range(panel.wide)]
                for y in range(panel.high)
            ]
        return [  # GS2_HMSB: four pixels a byte, the first in the lowest bits
            [data[(y * panel.wide + x) >> 2] >> ((x & 3) << 1) & 3 for x in range(panel.wide)]
            for y in range(panel.high)
        ]

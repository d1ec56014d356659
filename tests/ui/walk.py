"""A gestor's hands for the tests: keys by what they mean, and the screens met, by name."""

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ronda_gateway import site as sites
from ronda_protocol import reading, segment
from ronda_tools import metres, provision, screen_picture
from ronda_tools.handset import HOLD, PANELS, TAP, Handset

STORED = Path(__file__).with_name("screens.json")
PICTURES = Path(__file__).resolve().parents[2] / "build" / "screens"
# Screens that docs/es/gestor.md shows; `make screens` draws them.
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "img" / "gestor"
IN_THE_GUIDE = (
    *("start", "round", "door-far", "door-refused", "door-here", "ask-who", "ask-outcome"),
    *("promise-amount", "promise-until", "ask-save-promise", "saved", "again", "day-ended"),
)
START = 1789477200  # Tuesday 2026-09-15, 08:00 in Lima
PLACE = (-121211000, -770297000)
RECORD = "RONDA_RECORD_UI"
SHOW = "RONDA_SCREENS"


class Hands:
    """Presses, walks and looks; `seen` is every screen by name: its hash."""

    def __init__(self, handset: Handset, panel: str, language: str) -> None:
        self.handset = handset
        self.seen: dict[str, str] = {}
        self._gone_s = 0
        self._name = f"{panel}/{language}"
        self._alone = len(PANELS[panel].keys) == 1
        handset.pass_time(3)

    def next(self, times: int = 1) -> None:
        """Move the mark down."""
        for _ in range(times):
            self.handset.press("ok" if self._alone else "down", TAP)
            self.handset.pass_time()

    def choose(self, down: int = 0) -> None:
        """Choose what is marked, after moving the mark `down`."""
        self.next(down)
        self.handset.press("ok", HOLD)
        self.handset.pass_time(2)

    def tap(self) -> None:
        """The OK key, shortly."""
        self.handset.press("ok", TAP)
        self.handset.pass_time()

    def turn(self, digit: int) -> None:
        """Turn a dial's digit up from 0 and go on to the next."""
        for _ in range(digit):
            self.handset.press("ok" if self._alone else "up", TAP)
            self.handset.pass_time()
        self.handset.press("ok", HOLD if self._alone else TAP)
        self.handset.pass_time()

    def pull_battery(self, away_s: int) -> None:
        """The power goes at once; it comes back after so many seconds, at the same place."""
        old = self.handset
        old.vm.kill()
        self._gone_s += old.elapsed_s + away_s
        unix = START + self._gone_s
        self.handset = Handset(old.storage, old.panel, unix=unix, where=old.where)
        self.handset.pass_time(3)

    def sealed_promise(self, storage: Path) -> dict[str, Any]:
        """The promise of the last visit on the flash of a handheld that was switched off."""
        log = (storage / "nv" / "log").read_bytes().hex()
        found = storage.parent / "visits"
        with provision.Seed(storage) as seed:
            seed.do("visits", log=log, after=0, to=str(found))
        sealed = reading.parse(bytes.fromhex(found.read_text().splitlines()[-1]))
        return reading.decode_promise(sealed.parts[segment.PROMISE])[1]

    def walk(self, north_m: float, east_m: float = 0.0) -> None:
        """Walk so far, 1.4 m a second at most."""
        far = max(abs(north_m), abs(east_m))
        steps = max(1, round(far / 1.4))
        for _ in range(steps):
            self.handset.walk(north_m / steps, east_m / steps)
            self.handset.pass_time()

    def look(self, name: str, *, blank: tuple[int, int] | None = None) -> str:
        """Note the screen under a name; rows `blank` differ from run to run and are left out.

        What it shows, in half blocks, for the message of a test that fails.
        """
        pixels = self.handset.pixels()
        if blank:
            for y in range(*blank):
                pixels[y] = [0] * len(pixels[y])
        flat = bytes(ink for row in pixels for ink in row)
        self.seen[f"{self._name}/{name}"] = hashlib.sha256(flat).hexdigest()[:16]
        if os.environ.get(SHOW):
            path = PICTURES / f"{self._name}/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(screen_picture.png(pixels, 4 if len(pixels) == 64 else 2))
            guide = GUIDE / f"{name}.svg"
            if self._name == "mono/es" and name in IN_THE_GUIDE:
                guide.parent.mkdir(parents=True, exist_ok=True)
                guide.write_text(screen_picture.svg(pixels))
        return screen_picture.plain(pixels)

    def check(self) -> None:
        """Every screen seen is the one stored, or is stored now (make record-ui)."""
        stored: dict[str, str] = json.loads(STORED.read_text()) if STORED.exists() else {}
        if os.environ.get(RECORD):
            stored.update(self.seen)
            STORED.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")
            return
        wrong = [name for name, found in self.seen.items() if stored.get(name) != found]
        assert not wrong, f"screens changed: {wrong}; look at them (make screens), make record-ui"


@contextmanager
def hands(folder: Path, panel: str, language: str = "es") -> Generator[Hands]:
    """A handheld with three doors, just switched on, in somebody's hands."""
    site = sites.init(folder / "site", "local", now=START)
    cases = [
        {
            "case_id": f"C-100{order}",
            "portfolio": "banco-andino",
            "creditor": "andino",
            "place": [1, quality, 0, *metres.offset(PLACE, north, 0), 250],
            "order": order,
            "currency": "PEN",
        }
        for order, north, quality in ((1, 45, 1), (2, 100, 1), (3, 2000, 0))
    ]
    storage = folder / "handheld"
    provision.provision(
        storage, site, "prueba-01", now=START, cases=cases, expires_at=START + 86400
    )
    (storage / "nv" / "lang").write_bytes(language.encode())
    with Handset(storage, PANELS[panel], unix=START, where=PLACE) as handset:
        me = Hands(handset, panel, language)
        try:
            yield me
        finally:
            me.handset.vm.close()

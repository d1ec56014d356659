"""`ronda handheld sim --interactive`: a simulated handheld in a person's hands, at a terminal.

The real firmware on its simulated board: the screen is drawn, keys and steps go in, a second at a
time. A short guide stands beside it. Leaves out the network unless a broker is given.
"""

import os
import select
import shutil
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ronda_gateway import site as sites

from ronda_tools import metres, provision, screen_picture, texts
from ronda_tools.handset import HOLD, LONG, PANELS, TAP, Handset
from ronda_tools.texts import Text, UsedWrong, say

texts.add(
    {
        "hand.no_terminal": Text(
            "--interactive necesita un terminal",
            "--interactive needs a terminal",
            "ejecútelo en una ventana de terminal, o use --nmea y --script",
            "run it in a terminal window, or use --nmea and --script",
        ),
        "hand.small": Text(
            "El terminal es pequeño: agrándelo a {columns}x{lines}.",
            "The terminal is small: make it {columns}x{lines}.",
        ),
        "hand.walk": Text(
            "Flechas: caminar 5 m.  I: entrar o salir de un edificio.",
            "Arrows: walk 5 m.  I: into or out of a building.",
        ),
        "hand.one_key": Text(
            "Enter: tecla (siguiente).  Espacio: mantenerla (elegir).",
            "Enter: the key (next).  Space: hold it (choose).",
        ),
        "hand.keys": Text(
            "W S A: arriba, abajo, atrás.  Enter: OK.  Espacio: mantener OK.",
            "W S A: up, down, back.  Enter: OK.  Space: hold OK.",
        ),
        "hand.more": Text(
            "B: quitar y poner la batería.  P: foto PNG.  +: más rápido ({speed}x).  Q: salir.",
            "B: pull and put the battery.  P: PNG picture.  +: faster ({speed}x).  Q: quit.",
        ),
        "hand.door": Text(
            "{case_id} está a {metres} m: {north}, {east}.",
            "{case_id} is {metres} m away: {north}, {east}.",
        ),
        "hand.indoors": Text("Está bajo techo: sin satélites.", "Under a roof: no satellites."),
        "hand.north": Text("{metres} m al norte", "{metres} m north"),
        "hand.south": Text("{metres} m al sur", "{metres} m south"),
        "hand.east": Text("{metres} m al este", "{metres} m east"),
        "hand.west": Text("{metres} m al oeste", "{metres} m west"),
        "hand.pulled": Text("Batería fuera… y puesta otra vez.", "Battery out… and in again."),
        "hand.picture": Text("Guardada: {path}", "Saved: {path}"),
    }
)

_START = 1789477200  # Tuesday 2026-09-15, 08:00 in Lima, as in the demo
_PLACE: metres.Point = (-121211000, -770297000)  # Miraflores
_STEP_M = 5.0
_SPEEDS = (1, 5, 20)
# Case, metres north and east of the start, radius in metres, whether its place is only geocoded.
_DOORS = (("C-1001", 40, 0, 25, 0), ("C-1002", 60, 45, 20, 0), ("C-1003", -50, 70, 30, 1))
_ARROWS = {"A": (1, 0), "B": (-1, 0), "C": (0, 1), "D": (0, -1)}
_GUIDE_LINES = 6


@dataclass
class _Round:
    """What one sitting knows besides the handheld."""

    handset: Handset
    message: str = ""
    speed: int = 0
    elapsed_s: int = 0  # before this switching on
    frame: tuple[object, ...] = ()


def play(kind: str, storage: Path | None) -> None:
    """Hand the handheld over until the person quits. UsedWrong: no terminal; VmDied."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsedWrong("hand.no_terminal")
    with ExitStack() as stack:
        if storage is None:
            passing = tempfile.mkdtemp(prefix="ronda-hand-")
            stack.callback(shutil.rmtree, passing, ignore_errors=True)
            storage = Path(passing)
        _provision(storage)
        sitting = _Round(_switched_on(storage, kind, 0, _PLACE))
        try:
            with _taken():
                while _turn(sitting):
                    pass
        finally:
            sitting.handset.vm.close()


def _provision(storage: Path) -> None:
    """Make the folder a handheld of a site of its own, with three doors near the start."""
    if provision.owner(storage):
        return
    storage.mkdir(parents=True, exist_ok=True)
    site = sites.init(storage / "site", "local", now=_START)
    cases = [
        {
            "case_id": name,
            "portfolio": "banco-andino",
            "creditor": "andino",
            "place": [
                1,
                0 if geocoded else 1,
                0,
                *metres.offset(_PLACE, north, east),
                radius * 10,
            ],
            "order": order,
            "currency": "PEN",
        }
        for order, (name, north, east, radius, geocoded) in enumerate(_DOORS, 1)
    ]
    provision.provision(
        storage, site, "sim-local", now=_START, cases=cases, expires_at=_START + 30 * 86400
    )


def _switched_on(storage: Path, kind: str, elapsed_s: int, where: metres.Point) -> Handset:
    return Handset(storage, PANELS[kind], unix=_START + elapsed_s, where=where)


def _turn(sitting: _Round) -> bool:
    """One second: keys, time, picture. False when the person quits."""
    until = time.monotonic() + 1.0 / _SPEEDS[sitting.speed]
    while True:
        left = until - time.monotonic()
        key = _key(max(0.0, left))
        if key and not _pressed(sitting, key):
            return False
        if key or left <= 0:
            break
    sitting.handset.pass_time()
    _draw(sitting)
    return True


def _key(timeout_s: float) -> str:
    """A key as typed, an arrow as its escape sequence; "" when none came in time."""
    if not select.select([sys.stdin], [], [], timeout_s)[0]:
        return ""
    return os.read(sys.stdin.fileno(), 16).decode("utf-8", "replace")


def _pressed(sitting: _Round, key: str) -> bool:
    hand = sitting.handset
    arrow = _ARROWS.get(key[-1:]) if key.startswith("\x1b") else None
    if key in ("q", "Q", "\x03", "\x04"):
        return False
    sitting.message = ""
    if arrow:
        hand.walk(arrow[0] * _STEP_M, arrow[1] * _STEP_M)
    elif key in ("\r", "\n"):
        hand.press("ok", TAP)
    elif key == " ":
        hand.press("ok", HOLD)
    elif key in ("x", "X"):
        hand.press("ok", LONG)
    elif key in "wsadWSAD" and len(hand.panel.keys) > 1:
        hand.press({"w": "up", "s": "down", "a": "left", "d": "right"}[key.lower()], TAP)
    elif key in ("i", "I"):
        hand.indoors = not hand.indoors
    elif key == "+":
        sitting.speed = (sitting.speed + 1) % len(_SPEEDS)
    elif key in ("p", "P"):
        path = Path(f"ronda-{time.strftime('%H%M%S')}.png")
        path.write_bytes(screen_picture.png(hand.pixels()))
        sitting.message = say("hand.picture", path=path)
    elif key in ("b", "B"):
        _pull_battery(sitting)
    return True


def _pull_battery(sitting: _Round) -> None:
    """The power goes at once, whatever is being written; then the handheld starts again."""
    old = sitting.handset
    old.vm.kill()
    kind = next(name for name, panel in PANELS.items() if panel == old.panel)
    sitting.elapsed_s += old.elapsed_s + 3
    sitting.handset = _switched_on(old.storage, kind, sitting.elapsed_s, old.where)
    sitting.handset.indoors = old.indoors
    sitting.message = say("hand.pulled")


def _draw(sitting: _Round) -> None:
    size = shutil.get_terminal_size()
    hand = sitting.handset
    columns, lines = size.columns, size.lines - _GUIDE_LINES
    picture = screen_picture.ansi(hand.pixels(), columns, lines)
    guide = _guide(sitting, columns)
    whole = (*picture, *guide)
    if whole == sitting.frame:
        return
    sitting.frame = whole
    # Home, then each line to its end: nothing is cleared first, so nothing flickers.
    body = "".join(f"{line}\x1b[K\n" for line in whole[: size.lines - 1])
    sys.stdout.write(f"\x1b[H{body}\x1b[J")
    sys.stdout.flush()


def _guide(sitting: _Round, columns: int) -> list[str]:
    hand = sitting.handset
    north, east, name = min(
        (_away(hand.where, door) for door in _DOORS),
        key=lambda found: abs(found[0]) + abs(found[1]),
    )
    where = say(
        "hand.door",
        case_id=name,
        metres=round((north * north + east * east) ** 0.5),
        north=say("hand.north" if north >= 0 else "hand.south", metres=abs(round(north))),
        east=say("hand.east" if east >= 0 else "hand.west", metres=abs(round(east))),
    )
    keys = say("hand.one_key" if len(hand.panel.keys) == 1 else "hand.keys")
    told = [
        say("hand.indoors") if hand.indoors else where,
        say("hand.walk"),
        keys,
        say("hand.more", speed=_SPEEDS[sitting.speed]),
        sitting.message,
    ]
    return [line[:columns] for line in told]


def _away(where: metres.Point, door: tuple[str, int, int, int, int]) -> tuple[float, float, str]:
    name, north, east, _, _ = door
    at = metres.offset(_PLACE, north, east)
    return (*metres.away(where, at), name)


@contextmanager
def _taken() -> Generator[None]:
    """The terminal is ours: keys unechoed as they are typed, another screen; given back after."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSAFLUSH, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()

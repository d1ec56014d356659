"""Wear and room of the handheld's flash: the layout as it is beside others, really tried."""

import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import ROOT, Figure

TITLE = "Flash of the handheld: a day offline (30 visits, 1,900 fixes, 96 battery readings)"
_TORTURE = ROOT / "tests" / "torture"
_DEVICE = "bench-flash"
_MIDNIGHT = 1789430400
_DOOR = (-121191427, -770349046)
_BLOCKS = 512
_DAYS = 30
_CYCLES = 100_000
_WAIT_S = 600


@dataclass(frozen=True)
class Layout:
    """One way to lay records out: constants of the firmware's sources that differ, (file, name,
    value), and littlefs' program size."""

    name: str
    changed: tuple[tuple[str, str, int], ...] = ()
    progsize: int = 32


_VOLUMES, _LOG = "volumes.py", "log.py"
LAYOUTS = (
    Layout("as it is"),
    Layout("no tail: each record appended to its file", ((_VOLUMES, "_INLINE", 0),)),
    Layout("one file a segment", ((_VOLUMES, "_VOLUME", 0),)),
    Layout("volumes of 128 KiB", ((_VOLUMES, "_VOLUME", 130_000),)),
    Layout("program size 256, tail of 512 B", ((_VOLUMES, "_INLINE", 512),), 256),
    Layout("sealed by 60 fixes or 15 minutes, as online", ((_LOG, "_BEHIND", 1 << 20),)),
)


def sources(layout: Layout, folder: Path) -> Path:
    """A copy of the firmware with the layout's constants; ValueError when one is not there."""
    shutil.copytree(ROOT / "firmware", folder)
    for name, constant, value in layout.changed:
        path = folder / "handheld" / name
        line = re.compile(rf"^{constant} = const\(\d+\)", re.MULTILINE)
        text, n = line.subn(f"{constant} = const({value})", path.read_text())
        if not n:
            raise ValueError(f"{name} has no {constant}")
        path.write_text(text)
    return folder


def day(layout: Layout, storage: Path, work: Path, days: int) -> tuple[dict[str, Any], int]:
    """(counts of the last of so many days, blocks that all took) with a layout on a copy of a
    provisioned storage."""
    from ronda_tools.vm import Vm

    folder = work / "storage"
    shutil.copytree(storage, folder)
    firmware = sources(layout, work / "firmware")
    paths = (_TORTURE / "vm", firmware, ROOT / "protocol", ROOT / "boards" / "sim")
    told: dict[str, Any] = {}
    first = None
    for number in range(days):
        vm = Vm(
            folder,
            program="month_device",
            paths=paths,
            heap="8m",
            environment={"RONDA_MONTH_PROGSIZE": str(layout.progsize)},
        )
        try:
            ask(vm, "boot", _MIDNIGHT + number * 86400)
            first = ask(vm, "state")["free"] if first is None else first
            told = ask(vm, "day", 30, 1900, 96, [[f"C-{n:04d}", *_DOOR] for n in range(1, 31)])
            ask(vm, "off")
        finally:
            vm.close()
    return told, (first or 0) - told["free"]


def ask(vm: Any, *words: object) -> Any:
    """One step of month_device.py."""
    return vm.ask(json.dumps(words).encode() + b"\n", "P", _WAIT_S)


def provisioned(folder: Path) -> Path:
    """A handheld with a trust pack and a round of thirty cases."""
    sys.path.insert(0, str(_TORTURE))
    from real_handheld import case_at_the_door
    from ronda_gateway import site
    from ronda_tools import provision

    made = site.init(folder / "site", "bench", "127.0.0.1", 1883, _MIDNIGHT)
    provision.provision(
        folder / "made",
        made,
        _DEVICE,
        now=_MIDNIGHT,
        cases=[case_at_the_door(n) for n in range(1, 31)],
        expires_at=_MIDNIGHT + 90 * 86400,
    )
    return folder / "made"


def measure(quick: bool) -> list[Figure]:
    """Erases, programs and room of each layout, and how long a chip lasts with the first."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        storage = provisioned(Path(name))
        days = 1 if quick else 2
        for number, layout in enumerate(LAYOUTS[:1] if quick else LAYOUTS):
            work = Path(name) / str(number)
            work.mkdir()
            told, blocks = day(layout, storage, work, days)
            if not number:
                figures += _as_it_is(told)
            figures += _compared(layout, told, blocks * _DAYS // days)
    return figures


def _as_it_is(told: dict[str, Any]) -> list[Figure]:
    years = _CYCLES * _BLOCKS / told["erases"] / 365
    programs, programmed, erases = told["at_doors"]
    return [
        Figure("a visit of twelve answers: erases", erases / 30, "blocks"),
        Figure("a visit of twelve answers: programs", programs / 30),
        Figure("a visit of twelve answers: bytes programmed", programmed / 30, "B"),
        Figure("segments sealed in the day", told["sealed"]),
        Figure(
            f"years until {_CYCLES:,} erases of each of {_BLOCKS} blocks, evenly worn",
            years,
            "years",
        ),
    ]


def _compared(layout: Layout, told: dict[str, Any], month: int) -> list[Figure]:
    return [
        Figure(f"{layout.name}: erases a day", told["erases"], "blocks"),
        Figure(f"{layout.name}: programs a day", told["programs"]),
        Figure(f"{layout.name}: bytes programmed a day", told["programmed"], "B"),
        Figure(f"{layout.name}: a month of it", month, "blocks", "≤ 350 of 384"),
    ]

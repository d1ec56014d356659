"""A real handheld for the suites: the firmware in the MicroPython VM at 192k, on a file as flash.

`RealHandheld` provisions it for a site, boots it, grants it time, satellites and a link, asks it
things, and kills it. What its gestor does is the suites'. `Walk` is a receiver's voice: somebody
who walks up and down before a door in Lima.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ronda_gateway.site import Site
from ronda_tools import provision
from ronda_tools.receiver import sentence
from ronda_tools.vm import Build, Vm, VmDied, build

VM_FOLDER = Path(__file__).resolve().parent / "vm"
DOOR = (-121191427, -770349046)
DAY = 1789477200  # 2026-09-15 13:00:00 UTC, 08:00 in Lima
_ANSWER_S = 60.0


class Walk:
    """NMEA of somebody near DOOR, a second at a time; `unix` goes on over reboots."""

    def __init__(self, unix: int = DAY) -> None:
        self.unix = unix

    def second(self) -> bytes:
        """What the receiver says in the next second: RMC and GGA, standing at the door."""
        self.unix += 1
        utc = datetime.fromtimestamp(self.unix, UTC)
        clock, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
        wander = self.unix % 7
        lat, lon = f"1207.{14856 + wander:05d},S", f"07702.{9428 + wander:05d},W"
        rmc = f"GNRMC,{clock},A,{lat},{lon},0.{wander},0.0,{date},,,A"
        gga = f"GNGGA,{clock},{lat},{lon},1,09,0.9,{79 + wander % 3}.0,M,0.0,M,,"
        return (sentence(rmc) + sentence(gga)).encode()


class RealHandheld:
    """One simulated handheld; `speed`: link seconds a second of the machine."""

    def __init__(self, folder: Path, name: str, *, speed: int = 1) -> None:
        self.folder, self.name, self.speed = folder, name, speed
        self.built: Build = build()
        self.vm: Vm | None = None
        self.public = b""
        self.told: list[dict[str, Any]] = []
        self.ms = self.boots = 0

    def provision(
        self,
        site: Site,
        broker: tuple[str, int],
        cases: list[dict[str, Any]] | None = None,
    ) -> None:
        """Make it a handheld of the site, enrolled and enabled."""
        self.public = provision.provision(
            self.folder,
            site,
            self.name,
            now=int(time.time()),
            cases=cases,
            expires_at=DAY + 90 * 86400 if cases else 0,
            broker=broker,
            built=self.built,
        )

    def copy(self, folder: Path) -> RealHandheld:
        """The same device on a copy of its flash: a clone, or the flash as it was."""
        shutil.copytree(self.folder, folder)
        twin = RealHandheld(folder, self.name, speed=self.speed)
        twin.public = self.public
        return twin

    def boot(self) -> None:
        """Power on."""
        self.ms = 0
        self.boots += 1
        self.vm = Vm(
            self.folder,
            built=self.built,
            program="link_main",
            paths=(VM_FOLDER,),
            environment={"RONDA_LINK_SPEED": str(self.speed)},
        )

    @property
    def pid(self) -> int:
        assert self.vm is not None
        return self.vm.pid

    def grant(self, ms: int, data: bytes = b"", *, link: bool = True) -> None:
        """Let `ms` pass, then the receiver say `data`. VmDied."""
        assert self.vm is not None
        self.ms += ms
        self.vm.send(f"G {self.ms} {int(link)} 3950 {len(data)}\n".encode() + data)
        self._until("D")

    def ask(self, intent: str, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One intent and its answer. VmDied."""
        assert self.vm is not None
        self.vm.send(f"I {json.dumps({'intent': intent, 'args': dict(args or {})})}\n".encode())
        answer: dict[str, Any] = self._until("A")
        return answer

    def _until(self, letter: str) -> Any:
        for said, text in self._lines():
            if said == letter:
                return json.loads(text) if text else None
        raise VmDied("the VM ended")

    def _lines(self, timeout_s: float = _ANSWER_S) -> Iterator[tuple[str, str]]:
        """What it says; what it tells goes into `told` and is not among it."""
        assert self.vm is not None
        for said, text in self.vm.lines(timeout_s):
            if said == "T":
                fields = json.loads(text)
                assert fields["t"] != "died", f"a task of the firmware died: {fields}"
                self.told.append(fields)
            yield said, text

    def hears(self, seconds: float, what: str = "") -> dict[str, Any] | None:
        """Listen that long to what it tells; the first of that name (`link`, `receipt`), or None
        when there was none."""
        until = time.monotonic() + seconds
        try:
            for said, _ in self._lines(seconds):
                if said == "T" and self.told[-1]["t"] == what:
                    return self.told[-1]
                if time.monotonic() > until:
                    break
        except TimeoutError:
            pass
        return None

    def unsent(self) -> int:
        """Segments without a receipt."""
        return int(self.ask("status")["unsent"])

    def drain(self, timeout_s: float) -> bool:
        """Seal what is open, and wait until it has receipts for all; False when time ran out.

        A receipt may set the clock, which is an entry of its own: it is sealed too."""
        until = time.monotonic() + timeout_s
        while True:
            status = self.ask("status")
            if status["open"]:
                self.ask("sync")
            elif not status["unsent"]:
                return True
            if time.monotonic() > until:
                return False
            self.hears(0.05)

    def kill_only(self) -> None:
        """kill -9, from any thread; whoever talks to it gets VmDied."""
        if self.vm is not None:
            with suppress(ProcessLookupError):
                os.kill(self.vm.pid, signal.SIGKILL)

    def kill(self) -> None:
        """kill -9: nothing is finished, nothing said; the storage is free again."""
        self.kill_only()
        if self.vm is not None:
            self.vm.close()
            self.vm = None

    def off(self) -> dict[str, Any]:
        """An orderly end; the firmware's report."""
        assert self.vm is not None
        self.vm.send(b"Q\n")
        report: dict[str, Any] = self._until("R")
        self.vm.close()
        self.vm = None
        return report

    def descriptors(self) -> int:
        """Open file descriptors of the VM; 0 where /proc does not tell."""
        try:
            return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        except OSError:
            return 0

    @property
    def journal(self) -> Path:
        """What the board was told to be saved, line by line."""
        return self.folder / "journal.jsonl"

    def __enter__(self) -> RealHandheld:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def case_at_the_door(number: int) -> dict[str, Any]:
    """A case whose place is DOOR, confirmed, 50 m around."""
    return {
        "case_id": f"C-{number:04d}",
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": [1, 1, 0, DOOR[0], DOOR[1], 500],
        "order": number,
        "currency": "PEN",
    }

"""What a bench gives back, and how it is run in the handheld's VM."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "vm"


@dataclass(frozen=True)
class Figure:
    """One line of the page: what was measured, how much, what was aimed at ("" for nothing)."""

    name: str
    value: float | int | str
    unit: str = ""
    target: str = ""

    def told(self) -> str:
        """The value as people read it."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, int) or self.value >= 1000:
            return f"{round(self.value):,}"
        return f"{self.value:.3g}"


def in_vm(program: str, *arguments: object, heap: str = "192k") -> dict[str, Any]:
    """Run tests/bench/vm/<program>.py in the VM on the built .mpy files; the JSON it prints."""
    from ronda_tools import vm

    built = vm.build()
    search = os.pathsep.join([str(PROGRAMS), str(built.path), ".frozen"])
    given = ["", *map(str, arguments)]
    code = f"import sys; sys.argv.clear(); sys.argv.extend({given!r}); import {program}"
    done = subprocess.run(
        [str(vm.find_vm()), "-X", f"heapsize={heap}", "-c", code],
        env={**os.environ, "MICROPYPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
        raise SystemExit(f"{program} ended with {done.returncode} in the VM")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found

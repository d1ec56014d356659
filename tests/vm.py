"""Runs a test file inside the real MicroPython VM and reads what each test function did.

The VM side is `vm_runner.py`. The same heap as CI promises for an ESP32 (192k here is about
128 KB there); .py sources are loaded as they are, so a failing line has a number.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEVICE_PATHS = [ROOT / "protocol", ROOT / "firmware", ROOT / "boards" / "sim", ROOT / "tests"]


def micropython() -> str | None:
    """Path of the VM: RONDA_MICROPYTHON, or the one installed beside this Python."""
    named = os.environ.get("RONDA_MICROPYTHON")
    if named:
        return named
    beside = Path(sys.executable).parent / "micropython"
    return str(beside) if beside.exists() else shutil.which("micropython")


def run_file(path: Path, tmp: Path, only: str = "", heap: str = "640k") -> list[dict[str, str]]:
    """Run the `test_*` functions of one file in the VM; one dict a function: name, error."""
    vm = micropython()
    assert vm, "no MicroPython VM (pip install 'ronda[sim]' or set RONDA_MICROPYTHON)"
    search = os.pathsep.join(str(p) for p in [path.parent, *DEVICE_PATHS]) + os.pathsep + ".frozen"
    environment = dict(os.environ, MICROPYPATH=search, RONDA_ROOT=str(ROOT), RONDA_TMP=str(tmp))
    done = subprocess.run(
        [vm, "-X", f"heapsize={heap}", str(ROOT / "tests" / "vm_runner.py"), path.stem, only],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    results: list[dict[str, str]] = []
    for line in done.stdout.splitlines():
        if line.startswith("@TEST "):
            results.append(json.loads(line[6:]))
    if done.returncode or not results:
        tail = (done.stdout + done.stderr)[-4000:]
        results.append({"name": "<vm>", "error": f"VM ended with {done.returncode}:\n{tail}"})
    return results

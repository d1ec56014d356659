"""Make the virtual environment that `make run` and `make test` use; says plainly what is missing.

Runs on the system's Python with the standard library only. Usage: setup.py VENV_DIR
"""

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)


def stop(what: str, remedy: str) -> None:
    """End with one line on what is wrong and one on what to do."""
    print(f"ronda setup: {what}\n  -> {remedy}", file=sys.stderr)
    raise SystemExit(2)


def check_machine() -> None:
    """Refuse, with the remedy, a machine on which the two commands cannot work."""
    version = sys.version_info[:2]
    if version < OLDEST:
        stop(
            f"Python {version[0]}.{version[1]} is too old (3.11 or newer is needed)",
            "install Python 3.11-3.14 and run: make PYTHON=python3.12 run",
        )
    if version > NEWEST:
        print(f"ronda setup: Python {version[0]}.{version[1]} is newer than what was tried (3.14)")
    here = (platform.system(), platform.machine())
    if here not in {("Linux", "x86_64"), ("Darwin", "arm64")} and not os.environ.get(
        "RONDA_MICROPYTHON"
    ):
        stop(
            f"the MicroPython VM has no wheel for {here[0]} {here[1]}",
            "build MicroPython's unix port and name it: RONDA_MICROPYTHON=/path/micropython "
            "make run (the gateway and the bench tools need no VM: pip install .)",
        )
    if not all(importlib.util.find_spec(name) for name in ("ensurepip", "venv")):
        stop("this Python has no venv", "install it (Debian: apt-get install python3-venv)")


def run(*command: str) -> None:
    """Run one set-up step; on failure say which."""
    result = subprocess.run(command, check=False)
    if result.returncode:
        stop(
            f"this step failed: {' '.join(command)}",
            "read the lines above; a package index must be reachable once, for the set-up",
        )


def main() -> None:
    """Create the environment, install Ronda and its test tools, leave a mark when complete."""
    root = Path(__file__).resolve().parent.parent
    target = Path(sys.argv[1])
    check_machine()
    python = target / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", str(target))
    wanted = "sim" if not os.environ.get("RONDA_MICROPYTHON") else "sim-other-vm"
    print("ronda setup: installing (a minute or two the first time) ...", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["-c", str(root / "constraints.txt")]
    run(*pip, "pip>=25.1")
    run(*pip, "-e", f"{root}[{wanted}]", "--group", f"{root / 'pyproject.toml'}:dev")
    (target / ".ready").touch()


if __name__ == "__main__":
    main()

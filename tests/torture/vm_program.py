"""Runs a program of `vm/` in the MicroPython VM, with the firmware as a board gets it.

`run` waits for its end and gives the JSON on its last line; `Talk` speaks with it line by line.
The modules are the compiled .mpy of a build, so that small heaps hold what an ESP32 holds; the
program itself is read from its source. Decides nothing.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from ronda_tools import vm

HERE = Path(__file__).resolve().parent


class Died(AssertionError):
    """The VM ended otherwise than by finishing its program, or was silent for too long."""


def _command(program: str, arguments: tuple[object, ...], heap: str) -> list[str]:
    where = str(HERE / "vm" / f"{program}.py")
    return [str(vm.find_vm()), "-X", f"heapsize={heap}", where, *map(str, arguments)]


def _environment() -> dict[str, str]:
    # The build first: tests/handheld is not the package `handheld`.
    folders = (str(HERE / "vm"), str(vm.build().path), str(HERE), str(HERE.parent), ".frozen")
    return {**os.environ, "MICROPYPATH": os.pathsep.join(folders)}


def run(program: str, *arguments: object, heap: str = "192k", limit_s: float = 300) -> Any:
    """What the program said last; Died with the end of its output when it did not finish."""
    try:
        done = subprocess.run(
            _command(program, arguments, heap),
            env=_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Died(f"{program} hangs: no end after {limit_s:g} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        tail = (done.stdout + done.stderr)[-2000:]
        raise Died(f"{program} ended with {done.returncode}:\n{tail}")
    return json.loads(lines[-1])


class Talk:
    """A program that reads JSON lines from its stdin and answers each with one `@` line."""

    def __init__(self, program: str, *arguments: object, heap: str = "640k") -> None:
        self.program = program
        self._child = subprocess.Popen(
            _command(program, arguments, heap),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        assert self._child.stdin and self._child.stdout
        self._in, self._out = self._child.stdin, self._child.stdout
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._out, selectors.EVENT_READ)
        self._rest = b""
        self._log: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, *words: object, limit_s: float = 60) -> Any:
        """The answer to one line; Died when the VM ends, raises or says nothing in time."""
        try:
            self._in.write(json.dumps(words).encode() + b"\n")
        except OSError:
            raise Died(self._last("ended")) from None
        until = time.monotonic() + limit_s
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if not found:
                self._more(until)
                continue
            self._rest = rest
            if line.startswith(b"@"):
                return json.loads(line[1:])
            self._log.append(line.decode(errors="replace"))

    def _more(self, until: float) -> None:
        if not self._ready.select(max(0.0, until - time.monotonic())):
            raise Died(self._last("hangs"))
        data = os.read(self._out.fileno(), 65536)
        if not data:
            raise Died(self._last("ended"))
        self._rest += data

    def _last(self, what: str) -> str:
        said = "\n".join([*self._log, self._rest.decode(errors="replace")][-30:])
        return f"{self.program} {what}:\n{said}"

    def close(self) -> None:
        """End the process: its stdin closes, and it is killed if that is not enough."""
        self._in.close()
        try:
            self._child.wait(2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._ready.close()
        self._out.close()

"""A handheld in somebody's hands: at a real terminal, and where there is none."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from ronda_tools import screen_picture
from ronda_tools.cli_handheld import app
from ronda_tools.handset import PANELS
from typer.testing import CliRunner

PROGRAM = [sys.executable, "-c", "from ronda_tools.cli import main; main()"]
COMMAND = [*PROGRAM, "handheld", "sim", "--interactive"]


class Terminal:
    """A program at a terminal of a size; `read` gives what it wrote, without colours."""

    def __init__(self, command: list[str], columns: int, lines: int, folder: Path) -> None:
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES"):
            environment.pop(name, None)
        self.child = subprocess.Popen(
            command, stdin=side, stdout=side, stderr=side, env=environment, cwd=folder
        )
        os.close(side)
        self._main = main
        self.said = ""

    def until(self, words: str, timeout_s: float = 120) -> None:
        """Read until the words were written; fails with all that was."""
        end = time.monotonic() + timeout_s
        while words not in self.said:
            left = end - time.monotonic()
            assert left > 0, f"never said {words!r}:\n{self.said[-3000:]}"
            if select.select([self._main], [], [], min(left, 1.0))[0]:
                try:
                    data = os.read(self._main, 65536)
                except OSError:  # the program has ended
                    data = b""
                assert data, f"ended without {words!r}:\n{self.said[-3000:]}"
                self.said += re.sub(r"\x1b\[[0-9;]*[mKH]", "", data.decode("utf-8", "replace"))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._main, keys.encode())

    def close(self) -> int:
        """Its exit code."""
        try:
            return self.child.wait(30)
        finally:
            self.child.kill()
            os.close(self._main)


@pytest.mark.parametrize(("screen", "columns", "lines"), [("mono", 132, 42), ("colour", 80, 40)])
def test_walking_and_leaving(screen: str, columns: int, lines: int, tmp_path: Path) -> None:
    terminal = Terminal([*COMMAND, "--screen", screen], columns, lines, tmp_path)
    terminal.until("C-1001 está a 40 m")
    terminal.type("\x1b[A")
    terminal.until("C-1001 está a 35 m")
    terminal.type("p")
    terminal.until("Guardada: ronda-")
    terminal.type("b")
    terminal.until("Batería fuera")
    terminal.type("q")
    terminal.until("\x1b[?1049l")  # the terminal is as it was
    assert terminal.close() == 0
    (picture,) = tmp_path.glob("ronda-*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_a_terminal_it_says_so() -> None:
    done = subprocess.run(
        COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "necesita un terminal" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--interactive", "--nmea", "x"], "uno de los dos"),
        ([], "uno de los dos"),
        (["--interactive", "--screen", "grande"], "no hay pantalla «grande»"),
    ],
)
def test_used_wrong(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["sim", *arguments])
    assert done.exit_code == 2 and words in done.stderr


@pytest.mark.parametrize("panel", sorted(PANELS))
@pytest.mark.parametrize(("columns", "lines"), [(400, 130), (132, 40), (80, 24)])
def test_pictures_fit_or_shrink(panel: str, columns: int, lines: int) -> None:
    wide, high = PANELS[panel].wide, PANELS[panel].high
    pixels = [[(x + y) % 4 for x in range(wide)] for y in range(high)]
    drawn = screen_picture.ansi(pixels, columns, lines)
    widths = {len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in drawn}
    assert len(widths) == 1
    if columns >= wide / 4 and lines >= high / 8:
        assert widths.pop() <= max(columns, wide // 4) and len(drawn) <= max(lines, high // 8)

"""Draws the demo's page on a terminal while the day runs, and gives the terminal back as it was.

Six pictures a second at most, in the alternate screen: nothing is cleared, so nothing flickers.
"""

import os
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from ronda_tools.demo_view import Board, render

_PER_SECOND = 6


def can_draw() -> bool:
    """Whether there is a terminal that takes pictures; else lines are printed."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI")
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb")
    return sys.stdout.isatty() and not plain and not dumb


class _Page:
    """The page of the moment, in the size the terminal has at that moment."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield render(self._board, options.max_width, options.height or console.height)


@contextmanager
def drawn(board: Board) -> Generator[None]:
    """Inside, the board is on the screen."""
    with (
        _unechoed(),
        Live(
            _Page(board),
            console=Console(),
            screen=True,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        ),
    ):
        yield


@contextmanager
def _unechoed() -> Generator[None]:
    """Keys that are typed do not appear on the page, nor at the shell afterwards."""
    try:
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (OSError, ValueError, termios.error):
        yield
        return
    quiet = termios.tcgetattr(number)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(number, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSAFLUSH, before)

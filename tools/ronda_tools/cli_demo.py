"""`ronda demo`: the whole system on this machine. Only arguments, progress and printing."""

import json
import os
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from ronda_gateway.wording import printable

from ronda_tools import demo_rounds
from ronda_tools.conductor import ConductorError, VmDied
from ronda_tools.demo import DayFailed, Demo, Options, Outcome
from ronda_tools.demo_day import clock, local_time
from ronda_tools.demo_live import can_draw, drawn
from ronda_tools.demo_view import Board, export_svg
from ronda_tools.demo_words import Narrator, page
from ronda_tools.interruption import ended_by_signals
from ronda_tools.texts import UsedWrong, fail, reported, say

_MAX_SPEED = 100_000
_PICTURE_MS = clock(11, 52)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help=say("demo.help.once"))] = False,
    handhelds: Annotated[
        int, typer.Option("--handhelds", metavar="N", help=say("demo.help.handhelds"))
    ] = 3,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help=say("demo.help.speed"))
    ] = 60.0,
    as_data: Annotated[bool, typer.Option("--json", help=say("demo.help.json"))] = False,
    feed: Annotated[
        Path | None, typer.Option("--feed", metavar="FILE", help=say("demo.help.feed"))
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help=say("demo.help.keep"))
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.svg", help=say("demo.help.picture")),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, metavar="P", help=say("demo.help.port")),
    ] = None,
) -> None:
    """Run the demo; exit 0 when the day balances, or when the live one is ended with Ctrl-C."""
    if not 1 <= handhelds <= demo_rounds.MOST:
        fail("demo.handhelds", count=handhelds, most=demo_rounds.MOST)
    if not 0 < speed <= _MAX_SPEED:
        fail("demo.speed")
    if as_data and not once:
        fail("demo.json_once")
    options = Options(feed, keep, port, None if once else speed, handhelds)
    with reported(), ended_by_signals():
        try:
            if picture is not None:
                code = _picture(replace(options, speed=None), picture)
            else:
                code = _once(options, as_data) if once else _live(options)
        except KeyboardInterrupt:
            typer.echo(say("cli.interrupted"), err=True)
            code = 1 if once else 0
        except DayFailed as failed:
            first, *last_lines = str(failed).splitlines()
            for text in last_lines:
                typer.echo(f"  | {printable(text)}", err=True)
            fail("demo.stuck", why=first, exit_code=1)
    raise typer.Exit(code)


def _once(options: Options, as_data: bool) -> int:
    with Demo(options) as day:
        outcome = _with_progress(day)
    _print(outcome, as_data)
    if options.keep is not None and not as_data:
        typer.echo(say("demo.kept", path=str(options.keep)))
    return 0 if outcome.balanced else 1


def _with_progress(day: Demo) -> Outcome:
    """Run the day; with a terminal on stderr, a bar of simulated time."""
    if not sys.stderr.isatty():
        return day.run()
    bar = Progress(
        TextColumn(say("demo.progress")),
        BarColumn(),
        TextColumn("{task.fields[clock]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=day.length_ms, clock=local_time(0))

        def moved(ms: int) -> None:
            bar.update(task, completed=ms, clock=local_time(ms))

        return day.run(moved)


def _print(outcome: Outcome, as_data: bool) -> None:
    if as_data:
        typer.echo(json.dumps(outcome.data, indent=2))
    else:
        for text in page(outcome.data):
            typer.echo(text)


def _line(text: str) -> None:
    """One whole line; from any thread. A reader that went away ends the demo as Ctrl-C does."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        signal.raise_signal(signal.SIGINT)


def _live(options: Options) -> int:
    """The day until Ctrl-C: as a page on a terminal, as lines elsewhere."""
    line = _line
    draws = can_draw()
    board = Board()
    outcome: Outcome | None = None
    try:
        with Demo(options, board if draws else Narrator(line)) as day:
            try:
                with drawn(board) if draws else nullcontext():
                    outcome = day.run()
            except KeyboardInterrupt:
                for text in page(day.so_far(), so_far=True):
                    line(text)
                raise
            _print(outcome, False)
            line(say("demo.stays", url=day.url))
            day.stay()
    except KeyboardInterrupt:
        line(say("demo.ended"))
    return 0 if outcome is None or outcome.balanced else 1


def _picture(options: Options, path: Path) -> int:
    """Half a day as fast as the machine allows, and its page as a picture."""
    board = Board()
    with Demo(options, board) as day:
        try:
            day.run_until(_PICTURE_MS)
        except (ConductorError, VmDied) as error:
            raise DayFailed(str(error)) from None
        try:
            export_svg(board, path)
        except OSError as error:
            why = error.strerror or str(error)
            raise UsedWrong("file.unwritable", file=str(path), why=why) from None
    return 0

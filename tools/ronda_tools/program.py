"""The `ronda` command: one program; each group of commands is a file of its own.

Help texts are made when a group's file is imported, so the language is chosen first; a group that
is not asked for is not imported, so that a quick command does not pay for SQLAlchemy.
"""

import importlib
import io
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from ronda_tools import click_words, texts

# Command -> module. A module has `app` (a group of commands), or a function of the command's name.
COMMANDS = {
    "demo": "ronda_tools.cli_demo",
    "site": "ronda_tools.cli_site",
    "gateway": "ronda_tools.cli_gateway",
    "handheld": "ronda_tools.cli_handheld",
    "fleet": "ronda_tools.cli_fleet",
    "cases": "ronda_tools.cli_cases",
    "config": "ronda_tools.cli_config",
    "trust": "ronda_tools.cli_trust",
    "feed": "ronda_tools.cli_feed",
    "evidence": "ronda_tools.cli_evidence",
    "bench": "ronda_tools.cli_bench",
}


def build(arguments: Sequence[str]) -> typer.Typer:
    """The program for these arguments: with the one command they name, or with all of them."""
    texts.use_from_arguments(arguments)
    app = typer.Typer(
        no_args_is_help=True,
        help=texts.say("cli.help"),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # help texts hold square brackets
    )
    _add_globals(app)
    named = _named(arguments)
    for name, module_name in COMMANDS.items():
        if named is None or named == name:
            module = importlib.import_module(module_name)
            if hasattr(module, "app"):
                module.app.rich_markup_mode = None
                app.add_typer(module.app, name=name)
            else:
                function = getattr(module, name)
                app.command(name=name, help=texts.say(f"{name}.help"))(function)
    return app


def _named(arguments: Sequence[str]) -> str | None:
    """The command among the arguments, or None when help must list all of them."""
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--lang":
            skip = True
        elif not argument.startswith("-"):
            return argument if argument in COMMANDS else None
        elif argument in {"--help", "--version"}:
            return None
    return None


def _add_globals(app: typer.Typer) -> None:
    @app.callback()
    def globals_(  # pyright: ignore[reportUnusedFunction]
        lang: Annotated[
            str, typer.Option("--lang", metavar="es|en", help=texts.say("cli.help.lang"))
        ] = "",
        show_version: Annotated[
            bool,
            typer.Option(
                "--version",
                is_eager=True,
                callback=_show_version,
                help=texts.say("cli.help.version"),
            ),
        ] = False,
    ) -> None:
        del show_version  # told already, before a command is asked for
        if lang and lang.lower()[:2] not in texts.LANGUAGES:
            texts.fail("cli.lang", lang=lang)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(version("ronda"))
        raise typer.Exit


def run(arguments: Sequence[str]) -> None:
    """Build and run it; ends with SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no “…” is no reason to die
    app = build(arguments)
    click_words.install()
    app()

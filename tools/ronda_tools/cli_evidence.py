"""`ronda evidence show|verify`: an auditor's view of one sealed segment. Needs no gateway.

Only arguments and printing; `evidence` checks, `evidence_file` finds, `evidence_words` tells.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway.keys import load_public

from ronda_tools.evidence import Report, examine
from ronda_tools.evidence_file import Held, load
from ronda_tools.evidence_words import as_json, sentences, verdict
from ronda_tools.texts import reported, say

app = typer.Typer(no_args_is_help=True, help=say("evidence.help"))

File = Annotated[str, typer.Argument(metavar="FILE", help=say("evidence.help.file"))]
Key = Annotated[str, typer.Option("--key", metavar="PUB", help=say("evidence.help.key"))]
OptionalKey = Annotated[
    str | None, typer.Option("--key", metavar="PUB", help=say("evidence.help.key"))
]
Wanted = Annotated[str | None, typer.Option("--id", metavar="ID", help=say("evidence.help.id"))]
Every = Annotated[bool, typer.Option("--all", help=say("evidence.help.all"))]
Json = Annotated[bool, typer.Option("--json", help=say("cli.json"))]


@app.command(help=say("evidence.help.verify"))
def verify(
    file: File, key: Key, id: Wanted = None, every: Every = False, as_data: Json = False
) -> None:
    """Check everything; exit 0 when all of it is valid, 1 when something is not."""
    with reported():
        reports = _examine(file, key, id, every)
    if as_data:
        _print_json([as_json(report) for report in reports], every, reports)
    else:
        for number, report in enumerate(reports):
            if number:
                typer.echo()
            for line in verdict(report):
                typer.echo(line)
    raise typer.Exit(0 if all(report.valid for report in reports) else 1)


@app.command(help=say("evidence.help.show"))
def show(
    file: File,
    key: OptionalKey = None,
    id: Wanted = None,
    every: Every = False,
    as_data: Json = False,
) -> None:
    """Tell what the evidence says; exit 1 only when nothing of it can be read."""
    with reported():
        reports = _examine(file, key, id, every)
    if as_data:
        _print_json([as_json(report, content=True) for report in reports], every, reports)
    else:
        for number, report in enumerate(reports):
            if number:
                typer.echo()
            for line in sentences(report):
                typer.echo(line)
    raise typer.Exit(0 if all(report.header for report in reports) else 1)


def _examine(file: str, key: str | None, id: str | None, every: bool) -> list[Report]:
    public = load_public(Path(key), "--key") if key is not None else None
    held: list[Held] = load(file, id, every)
    return [examine(each, public) for each in held]


def _print_json(rows: list[dict[str, object]], every: bool, reports: list[Report]) -> None:
    if every or len(rows) > 1:
        whole: object = {"valid": all(r.valid for r in reports), "evidence": rows}
    else:
        whole = rows[0]
    typer.echo(json.dumps(whole, indent=2))

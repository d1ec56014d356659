"""`ronda evidence show|verify`: an auditor's view of sealed segments. Needs no gateway.

Only arguments and printing; `evidence` checks one segment, `evidence_chain` several,
`evidence_damage` looks for what was changed, `evidence_file` finds, `evidence_words` tells.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway.keys import load_public

from ronda_tools import catalogue_evidence, evidence_damage, texts
from ronda_tools.evidence import Check, Report, examine
from ronda_tools.evidence_chain import examine_chain
from ronda_tools.evidence_file import load
from ronda_tools.evidence_words import as_json, check_json, line, sentences, verdict
from ronda_tools.texts import reported, say

texts.add(catalogue_evidence.TEXTS)
app = typer.Typer(no_args_is_help=True, help=say("evidence.help"))

File = Annotated[str, typer.Argument(metavar="FILE", help=say("evidence.help.file"))]
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help=say("evidence.help.file"))]
Key = Annotated[str, typer.Option("--key", metavar="PUB", help=say("evidence.help.key"))]
OptionalKey = Annotated[
    str | None, typer.Option("--key", metavar="PUB", help=say("evidence.help.key"))
]
Wanted = Annotated[str | None, typer.Option("--id", metavar="ID", help=say("evidence.help.id"))]
Every = Annotated[bool, typer.Option("--all", help=say("evidence.help.all"))]
Complete = Annotated[bool, typer.Option("--complete", help=say("evidence.help.complete"))]
Json = Annotated[bool, typer.Option("--json", help=say("cli.json"))]


@app.command(help=say("evidence.help.verify"))
def verify(
    files: Files,
    key: Key,
    id: Wanted = None,
    every: Every = False,
    *,
    complete: Complete = False,
    as_data: Json = False,
) -> None:
    """Check everything; exit 0 when all of it is valid, 1 when something is not."""
    with reported():
        reports = _verify(files, key, id, every)
    chain = examine_chain(reports, complete=complete)
    valid = all(report.valid for report in reports)
    valid = valid and all(check.result is not False for check in chain)
    if as_data:
        rows = [as_json(report) for report in reports]
        _print_json(rows, every or len(files) > 1, valid, chain)
    else:
        for number, report in enumerate(reports):
            if number:
                typer.echo()
            for told in verdict(report):
                typer.echo(told)
        if chain:
            typer.echo()
        for check in chain:
            typer.echo(line(check))
    raise typer.Exit(0 if valid else 1)


def _verify(files: list[str], key: str, id: str | None, every: bool) -> list[Report]:
    """A report on each piece of evidence; on the first bad ones also what was changed."""
    public = load_public(Path(key), "--key")
    found = [held for file in files for held in load(file, id, every)]
    reports = [examine(held, public) for held in found]
    until = time.monotonic() + evidence_damage.BUDGET_S
    if sys.stderr.isatty() and not all(report.valid for report in reports):
        typer.echo(say("evidence.searching"), err=True)
    for held, report in zip(found, reports, strict=True):
        left = until - time.monotonic()
        if not report.valid and left > 0:
            evidence_damage.point_out(report, held.sealed, public, left)
    return reports


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
        public = load_public(Path(key), "--key") if key is not None else None
        reports = [examine(held, public) for held in load(file, id, every)]
    if as_data:
        valid = all(report.valid for report in reports)
        _print_json([as_json(report, content=True) for report in reports], every, valid)
    else:
        for number, report in enumerate(reports):
            if number:
                typer.echo()
            for told in sentences(report):
                typer.echo(told)
    raise typer.Exit(0 if all(report.header for report in reports) else 1)


def _print_json(
    rows: list[dict[str, object]], several: bool, valid: bool, chain: Sequence[Check] = ()
) -> None:
    whole: dict[str, object] = rows[0]
    if several or len(rows) > 1:
        whole = {"valid": valid, "evidence": rows}
    if chain:
        whole = {**whole, "valid": valid, "chain": [check_json(check) for check in chain]}
    typer.echo(json.dumps(whole, indent=2))

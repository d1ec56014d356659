"""`ronda gateway run|check|migrate`. Only arguments, signals and printing.

`resend` and `resends` are `cli_resend.py`'s; `backup`, `restore`, `audit` are `cli_copies.py`'s.
"""

import json
import signal
import threading
from signal import SIGINT, SIGTERM
from types import FrameType

import typer
from ronda_gateway import check as looking
from ronda_gateway import log_lines, settings, store
from ronda_gateway.gateway import Gateway
from ronda_gateway.wording import Problem

from ronda_tools import catalogue_gateway, cli_copies, cli_resend, texts
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import reported, say

texts.add(catalogue_gateway.TEXTS)
app = typer.Typer(no_args_is_help=True, help=say("gateway.help"))


@app.command(help=say("gateway.help.run"))
def run(config: Config = None) -> None:
    """Run until a signal; exit 2 with a line for each thing that must be mended first."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    with reported():
        found = settings.load(config_path(config))
        log_lines.configure(found.log)
        # Before it starts, so that a signal during the start still ends it in order.
        before = {number: signal.signal(number, end) for number in (SIGINT, SIGTERM)}
        gateway = Gateway(found)
        try:
            gateway.start()
            # In steps: a wait without end is not interrupted on every platform.
            while not ended.wait(0.5):
                pass
        finally:
            gateway.stop()
            for number, handler in before.items():
                signal.signal(number, handler)


@app.command(help=say("gateway.help.check"))
def check(config: Config = None, *, as_data: Json = False) -> None:
    """Explain every fault at once; exit 0 in order, 1 with faults, 2 without a settings file."""
    with reported():
        found, wrong = settings.load_around(config_path(config))
        findings = looking.Findings(wrong, [])
        if found:
            findings = looking.around(found, wrong)
    _tell(findings, as_data)
    if findings.problems or not found:
        raise typer.Exit(1)
    if not as_data:
        broker = found.broker
        path = str(found.database_path)
        site = found.site.name
        typer.echo(say("gateway.ok", site=site, host=broker.host, port=broker.port, database=path))


def _tell(findings: looking.Findings, as_data: bool) -> None:
    if as_data:
        whole = {
            "ok": not findings.problems,
            "problems": [_as_json(p) for p in findings.problems],
            "warnings": [_as_json(p) for p in findings.warnings],
        }
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=2))
        return
    for problem in findings.problems:
        typer.echo(say("gateway.wrong", text=problem.text()))
    for problem in findings.warnings:
        typer.echo(say("gateway.warned", text=problem.text()))


def _as_json(problem: Problem) -> dict[str, object]:
    fields = {name: str(value) for name, value in problem.fields.items()}
    return {"code": problem.code, "text": problem.text(), **fields}


@app.command(help=say("gateway.help.migrate"))
def migrate(config: Config = None, *, as_data: Json = False) -> None:
    """Make the database or bring it to the current schema; what is stored stays."""
    with reported():
        found = settings.load(config_path(config))
        before, after = store.migrate(found.database_path, found.database.busy_ms)
    path = str(found.database_path)
    if as_data:
        typer.echo(json.dumps({"database": path, "before": before or None, "after": after}))
    elif before == after:
        typer.echo(say("gateway.current", path=path, after=after))
    else:
        typer.echo(
            say("gateway.migrated", path=path, before=before or say("gateway.empty"), after=after)
        )


app.command("backup", help=say("gateway.help.backup"))(cli_copies.backup)
app.command("restore", help=say("gateway.help.restore"))(cli_copies.restore)
app.command("audit", help=say("gateway.help.audit"))(cli_copies.audit)
app.command("resend", help=say("resend.help"))(cli_resend.resend)
app.command("resends", help=say("resend.help.list"))(cli_resend.resends)

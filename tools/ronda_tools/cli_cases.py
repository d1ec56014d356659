"""`ronda cases push|list`: a round's cases for a handheld. Only arguments, reading and printing.

A set is queued in the site's database; the running gateway signs it within a second and sends it
when the handheld is there.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text as Cell
from ronda_gateway import deliveries, settings
from ronda_gateway.deliveries import Delivery
from ronda_gateway.store import Store, open_store
from ronda_protocol import rounds
from ronda_protocol.bounds import PackError, is_text

from ronda_tools import catalogue_gateway, texts
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import Text, UsedWrong, reported, say
from ronda_tools.visit_words import clock_text

_MOST = 1 << 20
_POLL_S = 0.2

texts.add(catalogue_gateway.TEXTS)
texts.add(
    {
        "cases.help": Text(
            "Los casos de la ronda de cada equipo.", "The cases of each handheld's round."
        ),
        "cases.help.push": Text(
            "Envía a un equipo el conjunto completo de casos de su ronda. Queda en la base de "
            "datos; la pasarela en marcha lo firma en un segundo y lo envía si el equipo está.",
            "Send a handheld the whole set of cases of its round. It is queued in the database; "
            "the running gateway signs it within a second and sends it to a handheld that is on.",
        ),
        "cases.help.list": Text(
            "Qué fue de cada paquete: waiting, sent, applied, refused, replaced, unanswered.",
            "What became of each pack: waiting, sent, applied, refused, replaced, unanswered.",
        ),
        "cases.help.file": Text(
            'Archivo JSON: una lista de casos, o {{"round": texto, "cases": [...]}}.',
            'JSON file: a list of cases, or {{"round": text, "cases": [...]}}.',
        ),
        "cases.help.device": Text("Id del equipo.", "The device's id."),
        "cases.help.hours": Text(
            "Horas que valen los casos, desde que se firman.",
            "Hours for which the cases are valid, from their signing.",
        ),
        "cases.help.wait": Text(
            "Segundos que se espera la respuesta del equipo; 0: ninguno.",
            "Seconds to wait for the handheld's answer; 0: none.",
        ),
        "cases.json": Text(
            "{path}: no es un conjunto de casos ({why})",
            "{path}: it is not a set of cases ({why})",
            'cada caso: {{"case_id", "portfolio", "creditor", "place": [1, 1, 0, lat_e7, lon_e7, '
            'radius_dm], "order", "currency"}}',
            'each case: {{"case_id", "portfolio", "creditor", "place": [1, 1, 0, lat_e7, lon_e7, '
            'radius_dm], "order", "currency"}}',
        ),
        "cases.unreadable": Text(
            "no se puede leer {path} ({why})",
            "{path} cannot be read ({why})",
            "revise el nombre y los permisos",
            "check its name and permissions",
        ),
        "cases.queued": Text(
            "{count} casos en cola para {device} (paquete {pack}); la pasarela los firma y envía.",
            "{count} cases queued for {device} (pack {pack}); the gateway signs and sends them.",
        ),
        "cases.became": Text("{device}: {state}", "{device}: {state}"),
        "cases.state.waiting": Text(
            "en cola; siga con `ronda cases list`", "queued; follow it with `ronda cases list`"
        ),
        "cases.state.sent": Text(
            "enviado, sin respuesta todavía; siga con `ronda cases list`",
            "sent, no answer yet; follow it with `ronda cases list`",
        ),
        "cases.state.applied": Text("aplicado", "applied"),
        "cases.state.refused": Text("rechazado por el equipo", "refused by the handheld"),
        "cases.state.replaced": Text("sustituido por otro", "replaced by another"),
        "cases.state.unanswered": Text("sin respuesta", "unanswered"),
        "cases.none": Text("Ningún paquete todavía.", "No pack yet."),
        "cases.column.pack": Text("paquete", "pack"),
        "cases.column.device": Text("equipo", "device"),
        "cases.column.name": Text("tipo", "type"),
        "cases.column.version": Text("versión", "version"),
        "cases.column.state": Text("estado", "state"),
        "cases.column.attempts": Text("envíos", "sendings"),
        "cases.column.at": Text("cuándo (UTC)", "when (UTC)"),
    }
)
app = typer.Typer(no_args_is_help=True, help=say("cases.help"))


@app.command(help=say("cases.help.push"))
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=say("cases.help.file"))],
    device: Annotated[str, typer.Option("--device", metavar="ID", help=say("cases.help.device"))],
    hours: Annotated[
        int, typer.Option("--hours", min=1, max=744, help=say("cases.help.hours"))
    ] = 24,
    wait: Annotated[float, typer.Option("--wait", min=0, help=say("cases.help.wait"))] = 30.0,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Exit 0 queued or applied, 1 refused by the handheld, 2 used wrong."""
    with reported():
        round_id, cases = read_cases(file)
        store = _open(config)
        try:
            try:
                now = int(time.time())
                number = deliveries.queue_cases(store, device, round_id, cases, hours * 3600, now)
            except (PackError, TypeError, ValueError) as error:
                raise UsedWrong("cases.json", path=file, why=error) from None
            if not as_data:
                line = say("cases.queued", count=len(cases), device=device, pack=number)
                typer.echo(line)
            found = _await(store, device, number, wait)
        finally:
            store.close()
    if as_data:
        typer.echo(json.dumps(asdict(found)))
    else:
        typer.echo(say("cases.became", device=device, state=_state(found)))
    if found.state == deliveries.REFUSED:
        raise typer.Exit(1)


@app.command("list", help=say("cases.help.list"))
def list_(
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help=say("cases.help.device"))
    ] = None,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """One line a delivery, newest first."""
    with reported():
        store = _open(config)
        try:
            found = deliveries.listing(store, device)
        finally:
            store.close()
    if as_data:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        typer.echo(say("cases.none"))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("pack", "device", "name", "version", "state", "attempts", "at"):
        table.add_column(say(f"cases.column.{name}"))
    for one in found:
        at = one.decided_at or one.sent_at or one.made_at
        cells = [str(one.pack), one.device, one.name, str(one.version or "-"), _state(one)]
        table.add_row(*[Cell(cell) for cell in (*cells, str(one.attempts), clock_text(at))])
    Console().print(table)


def _open(config: Path | None) -> Store:
    found = settings.load(config_path(config))
    return open_store(found.database_path, found.database.busy_ms)


def _await(store: Store, device: str, number: int, wait_s: float) -> Delivery:
    """The delivery when it is decided, or when the time is over."""
    until = time.monotonic() + wait_s
    while True:
        found = next(one for one in deliveries.listing(store, device) if one.pack == number)
        if found.decided_at is not None or time.monotonic() >= until:
            return found
        time.sleep(_POLL_S)


def _state(found: Delivery) -> str:
    state = say(f"cases.state.{found.state}")
    return f"{state} ({found.reason})" if found.reason else state


def read_cases(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """(round id, cases) of a JSON file; UsedWrong says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise UsedWrong("cases.unreadable", path=path, why="> 1 MiB")
        value: object = json.loads(data)
    except OSError as error:
        raise UsedWrong("cases.unreadable", path=path, why=error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise UsedWrong("cases.json", path=path, why=error) from None
    round_id: object = time.strftime("r%Y%m%d", time.gmtime())
    if isinstance(value, dict):
        found = cast(dict[str, object], value)
        round_id, value = found.get("round", round_id), found.get("cases")
    if not isinstance(value, list) or not is_text(round_id, 32):
        raise UsedWrong("cases.json", path=path, why="round, cases")
    return cast(str, round_id), [_case(path, one) for one in cast(list[object], value)]


def _case(path: Path, one: object) -> dict[str, Any]:
    if not isinstance(one, Mapping):
        raise UsedWrong("cases.json", path=path, why=repr(one)[:40])
    case = cast(dict[str, Any], one)
    unknown = set(case) - set(rounds.CASE)
    if unknown or set(rounds.CASE) - set(case):
        names = sorted(unknown or set(rounds.CASE) - set(case))
        raise UsedWrong("cases.json", path=path, why=", ".join(names))
    return dict(case)

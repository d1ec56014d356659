"""`ronda gateway resend|resends`: ask a handheld for segments again. Only arguments and printing.

A request is a row in the site's database; the running gateway signs and sends it when the handheld
is there, one a minute and a half for each handheld.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text as Cell
from ronda_gateway import resend as asking
from ronda_gateway import settings
from ronda_gateway.resend import Request
from ronda_gateway.store import Store, open_store

from ronda_tools import texts
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import Text, UsedWrong, reported, say
from ronda_tools.visit_words import clock_text

_POLL_S = 0.2

texts.add(
    {
        "resend.help": Text(
            "Pide a un equipo que envíe otra vez los segmentos FROM a TO de su registro. Queda en "
            "la base de datos; la pasarela en marcha lo firma y lo envía cuando el equipo está. "
            "Lo que el equipo ya no tiene lo declara perdido, firmado. Los huecos que duran los "
            "pide la pasarela sola ([resend] en gateway.toml).",
            "Ask a handheld to send segments FROM to TO of its log again. It is queued in the "
            "database; the running gateway signs it and sends it when the handheld is there. What "
            "the handheld has no more it declares lost, signed. Gaps that last the gateway asks "
            "for by itself ([resend] in gateway.toml).",
        ),
        "resend.help.list": Text(
            "Qué fue de cada petición de reenvío: en cola, enviada, resuelta.",
            "What became of each resend request: waiting, sent, done.",
        ),
        "resend.help.device": Text("Id del equipo.", "The device's id."),
        "resend.help.first": Text("Primer segmento, desde 1.", "First segment, from 1."),
        "resend.help.last": Text("Último segmento.", "Last segment."),
        "resend.help.log": Text(
            "Id del registro (16 cifras hexadecimales); si falta, el último que se conoce.",
            "Id of the log (16 hexadecimal digits); the newest one known if absent.",
        ),
        "resend.help.wait": Text(
            "Segundos que se espera a que llegue todo; 0: ninguno.",
            "Seconds to wait until all of it has come; 0: none.",
        ),
        "resend.log": Text(
            "{log} no es el id de un registro",
            "{log} is no log id",
            "son 16 cifras hexadecimales; vea `ronda fleet show {device}`",
            "16 hexadecimal digits; see `ronda fleet show {device}`",
        ),
        "resend.queued": Text(
            "Petición {id} en cola: {device}, registro {log}, segmentos {first} a {last}.",
            "Request {id} queued: {device}, log {log}, segments {first} to {last}.",
        ),
        "resend.short.waiting": Text("en cola", "waiting"),
        "resend.short.sent": Text("enviada", "sent"),
        "resend.short.done": Text("resuelta", "done"),
        "resend.state.waiting": Text(
            "esperando a que el equipo esté; siga con `ronda gateway resends`",
            "waiting for the handheld to be there; follow it with `ronda gateway resends`",
        ),
        "resend.state.sent": Text(
            "enviada; siga con `ronda gateway resends`",
            "sent; follow it with `ronda gateway resends`",
        ),
        "resend.state.done": Text(
            "hecha: todo está aquí o declarado perdido",
            "done: all of it is here or declared lost",
        ),
        "resend.none": Text("Ninguna petición todavía.", "No request yet."),
        "resend.why.gap": Text("hueco", "gap"),
        "resend.why.behind": Text("la pasarela va detrás", "the gateway is behind"),
        "resend.why.operator": Text("a mano", "by hand"),
        "resend.column.id": Text("petición", "request"),
        "resend.column.device": Text("equipo", "device"),
        "resend.column.log": Text("registro", "log"),
        "resend.column.range": Text("segmentos", "segments"),
        "resend.column.why": Text("por", "for"),
        "resend.column.state": Text("estado", "state"),
        "resend.column.at": Text("cuándo (UTC)", "when (UTC)"),
    }
)


def resend(  # noqa: PLR0917
    device: Annotated[str, typer.Argument(metavar="DEVICE", help=say("resend.help.device"))],
    first: Annotated[int, typer.Argument(metavar="FROM", help=say("resend.help.first"))],
    last: Annotated[int, typer.Argument(metavar="TO", help=say("resend.help.last"))],
    log: Annotated[
        str | None, typer.Option("--log", metavar="ID", help=say("resend.help.log"))
    ] = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help=say("resend.help.wait"))] = 0.0,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Exit 0 queued, 2 used wrong."""
    with reported():
        log_id = _log_id(device, log)
        store = _open(config)
        try:
            log_id = log_id or asking.newest_log(store, device)
            now = int(time.time())
            number = asking.want(store, device, log_id, first, last, asking.OPERATOR, now)
            if not as_data:
                span = {"first": first, "last": last}
                told = say("resend.queued", id=number, device=device, log=log_id.hex(), **span)
                typer.echo(told)
            found = _await(store, device, number, wait)
        finally:
            store.close()
    if as_data:
        typer.echo(json.dumps(_data(found)))
    else:
        typer.echo(say(f"resend.state.{found.state}"))


def resends(
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help=say("resend.help.device"))
    ] = None,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """One line a request, newest first."""
    with reported():
        store = _open(config)
        try:
            found = asking.listing(store, device)
        finally:
            store.close()
    if as_data:
        typer.echo(json.dumps([_data(one) for one in found], indent=2))
        return
    if not found:
        typer.echo(say("resend.none"))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "device", "log", "range", "why", "state", "at"):
        table.add_column(say(f"resend.column.{name}"))
    for one in found:
        at = clock_text(one.done_at or one.sent_at or one.made_at)
        why = say(f"resend.why.{one.why}")
        cells = [str(one.id), one.device, one.log_id.hex(), f"{one.first}-{one.last}", why]
        state = say(f"resend.short.{one.state}")
        table.add_row(*[Cell(cell) for cell in (*cells, state, at)])
    Console().print(table)


def _log_id(device: str, log: str | None) -> bytes | None:
    if log is None:
        return None
    try:
        found = bytes.fromhex(log)
    except ValueError:
        found = b""
    if len(found) != 8:
        raise UsedWrong("resend.log", log=log, device=device)
    return found


def _open(config: Path | None) -> Store:
    found = settings.load(config_path(config))
    return open_store(found.database_path, found.database.busy_ms)


def _await(store: Store, device: str, number: int, wait_s: float) -> Request:
    """The request when it is done, or when the time is over."""
    until = time.monotonic() + wait_s
    while True:
        found = next(one for one in asking.listing(store, device) if one.id == number)
        if found.done_at is not None or time.monotonic() >= until:
            return found
        time.sleep(_POLL_S)


def _data(found: Request) -> dict[str, Any]:
    return {
        "id": found.id,
        "device": found.device,
        "log": found.log_id.hex(),
        "first": found.first,
        "last": found.last,
        "why": found.why,
        "state": found.state,
        "made_at": found.made_at,
        "sent_at": found.sent_at,
        "done_at": found.done_at,
    }

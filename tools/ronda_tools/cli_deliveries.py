"""What became of packs, in words and as data: what `cases`, `config` and `trust` have in common.

No command of its own.
"""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text as Cell
from ronda_gateway import deliveries, settings
from ronda_gateway.deliveries import Delivery
from ronda_gateway.store import Store, open_store

from ronda_tools import texts
from ronda_tools.cli_options import config_path
from ronda_tools.texts import Text, reported, say
from ronda_tools.visit_words import clock_text

_POLL_S = 0.2

texts.add(
    {
        "delivery.help.device": Text("Id del equipo.", "The device's id."),
        "delivery.help.wait": Text(
            "Segundos que se espera la respuesta del equipo; 0: ninguno.",
            "Seconds to wait for the handheld's answer; 0: none.",
        ),
        "delivery.became": Text("{device}: {state}", "{device}: {state}"),
        "delivery.state.waiting": Text("en cola", "queued"),
        "delivery.state.sent": Text("enviado, sin respuesta todavía", "sent, no answer yet"),
        "delivery.follow": Text(
            "Siga con `ronda {command} list`.", "Follow it with `ronda {command} list`."
        ),
        "delivery.state.applied": Text("aplicado", "applied"),
        "delivery.state.refused": Text("rechazado por el equipo", "refused by the handheld"),
        "delivery.state.replaced": Text("sustituido por otro", "replaced by another"),
        "delivery.state.unanswered": Text("sin respuesta", "unanswered"),
        "delivery.none": Text("Ningún paquete todavía.", "No pack yet."),
        "delivery.column.pack": Text("paquete", "pack"),
        "delivery.column.device": Text("equipo", "device"),
        "delivery.column.name": Text("tipo", "type"),
        "delivery.column.version": Text("versión", "version"),
        "delivery.column.state": Text("estado", "state"),
        "delivery.column.attempts": Text("envíos", "sendings"),
        "delivery.column.at": Text("cuándo (UTC)", "when (UTC)"),
    }
)

Wait = Annotated[float, typer.Option("--wait", min=0, help=say("delivery.help.wait"))]
OneDevice = Annotated[
    str | None, typer.Option("--device", metavar="ID", help=say("delivery.help.device"))
]


@contextmanager
def opened(config: Path | None) -> Generator[Store]:
    """The site's database. SetupError."""
    found = settings.load(config_path(config))
    store = open_store(found.database_path, found.database.busy_ms)
    try:
        yield store
    finally:
        store.close()


def decided(store: Store, number: int, wait_s: float) -> list[Delivery]:
    """The deliveries of a pack when all are decided, or when the time is over."""
    until = time.monotonic() + wait_s
    while True:
        found = [one for one in deliveries.listing(store) if one.pack == number]
        if all(one.decided_at is not None for one in found) or time.monotonic() >= until:
            return found
        time.sleep(_POLL_S)


def tell_pushed(found: Sequence[Delivery], command: str) -> None:
    """What became of a pack so far; exit 1 when a handheld refused it."""
    for one in found:
        typer.echo(say("delivery.became", device=one.device, state=_state(one)))
    if any(one.decided_at is None for one in found):
        typer.echo(say("delivery.follow", command=command))
    exit_refused(found)


def exit_refused(found: Sequence[Delivery]) -> None:
    """Exit 1 when a handheld refused the pack."""
    if any(one.state == deliveries.REFUSED for one in found):
        raise typer.Exit(1)


def tell_queued(
    found: Sequence[Delivery], command: str, *, as_data: bool, **fields: object
) -> None:
    """What became of a pack for several handhelds, in words or as `fields` and deliveries."""
    if as_data:
        typer.echo(json.dumps({**fields, "deliveries": [asdict(one) for one in found]}))
        exit_refused(found)
    else:
        tell_pushed(found, command)


def tell_listed(command: str, device: str | None, config: Path | None, *, as_data: bool) -> None:
    """One line a delivery of the packs that `command` pushes, newest first."""
    with reported(), opened(config) as store:
        found = deliveries.listing(store, device, command)
    if as_data:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        typer.echo(say("delivery.none"))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("pack", "device", "name", "version", "state", "attempts", "at"):
        table.add_column(say(f"delivery.column.{name}"))
    for one in found:
        at = one.decided_at or one.sent_at or one.made_at
        cells = [str(one.pack), one.device, one.name, str(one.version or "-"), _state(one)]
        table.add_row(*[Cell(cell) for cell in (*cells, str(one.attempts), clock_text(at))])
    Console().print(table)


def _state(found: Delivery) -> str:
    state = say(f"delivery.state.{found.state}")
    return f"{state} ({found.reason})" if found.reason else state

"""`ronda fleet enrol|enable|list|show`: devices and keys. Only arguments and printing."""

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from ronda_gateway import fleet, keys, settings, site
from ronda_gateway.store import Store, open_store
from ronda_gateway.wording import SetupError
from ronda_protocol import cose

from ronda_tools import catalogue_gateway, texts
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import reported, say
from ronda_tools.visit_words import clock_text

texts.add(catalogue_gateway.TEXTS)
app = typer.Typer(no_args_is_help=True, help=say("fleet.help"))

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help=say("fleet.help.device"))]


@contextmanager
def _open(config: Path | None) -> Generator[Store]:
    """The site's database; ends the command with a line when it cannot be opened."""
    with reported():
        found = settings.load(config_path(config))
        store = open_store(found.database_path, found.database.busy_ms)
        try:
            yield store
        finally:
            store.close()


@app.command(help=say("fleet.help.enrol"))
def enrol(
    device: Annotated[str, typer.Option("--device", metavar="ID", help=say("fleet.help.device"))],
    key: Annotated[Path, typer.Option("--key", metavar="PUB", help=say("fleet.help.key"))],
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Make a device known; the same again changes nothing."""
    with reported():
        public = keys.load_public(key, where="--key")
    with _open(config) as store:
        new = fleet.enrol(store, device, public, int(time.time()), _site_kids(config))
        state = fleet.show(store, device).state
    kid = cose.kid(public).hex()
    if as_data:
        typer.echo(json.dumps({"device": device, "kid": kid, "new": new, "state": state}))
    else:
        typer.echo(say("fleet.enrolled" if new else "fleet.known", device=device, kid=kid))


def _site_kids(config: Path | None) -> tuple[bytes, ...]:
    """The site's own keys, where its folder is complete; none of them may be a device's."""
    try:
        return site.load(config_path(config).parent).kids
    except SetupError:
        return ()


@app.command(help=say("fleet.help.enable"))
def enable(device: DeviceArgument, config: Config = None, *, as_data: Json = False) -> None:
    """Accept a device's segments; a running gateway notices within a second."""
    with _open(config) as store:
        held = fleet.show(store, device).held
        changed = fleet.enable(store, device, int(time.time()))
    if as_data:
        typer.echo(json.dumps({"device": device, "changed": changed, "held": held}))
    else:
        typer.echo(
            say("fleet.enabled" if changed else "fleet.was_enabled", device=device, held=held)
        )


@app.command("list", help=say("fleet.help.list"))
def list_(config: Config = None, *, as_data: Json = False) -> None:
    """One line a device."""
    with _open(config) as store:
        found = fleet.listing(store)
    if as_data:
        typer.echo(json.dumps([asdict(listed) for listed in found], indent=2))
        return
    if not found:
        typer.echo(say("fleet.none"))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("id", "state", "online", "segments", "visits", "held", "quarantined", "last"):
        right = name in {"segments", "visits", "held", "quarantined"}
        table.add_column(say(f"fleet.column.{name}"), justify="right" if right else "left")
    for listed in found:
        counts = (listed.segments, listed.visits, listed.held, listed.quarantined)
        cells = [listed.id, say(f"fleet.state.{listed.state}"), _online(listed)]
        cells += map(str, counts)
        cells.append(_when(listed.last_at))
        table.add_row(*[Text(cell) for cell in cells])
    Console().print(table)


class KeyForm(StrEnum):
    """The forms of a public key that outsiders read."""

    PEM = "pem"
    JWK = "jwk"
    COSE = "cose"


@app.command(help=say("fleet.help.show"))
def show(
    device: DeviceArgument,
    config: Config = None,
    key: Annotated[KeyForm | None, typer.Option("--key", help=say("fleet.help.key_form"))] = None,
    *,
    as_data: Json = False,
) -> None:
    """All that is known of one device; exit 2 when there is none of that id."""
    if key is not None:
        with _open(config) as store:
            public = fleet.public_key(store, device)
        _print_key(device, public, key, as_data=as_data)
        return
    with _open(config) as store:
        listed = fleet.show(store, device)
    if as_data:
        typer.echo(json.dumps(asdict(listed), indent=2))
        return
    typer.echo(f"{listed.id}: {say(f'fleet.state.{listed.state}')}")
    typer.echo("  " + say("fleet.line.keys", kids=", ".join(listed.kids)))
    when = say(
        "fleet.line.when", enrolled=_when(listed.enrolled_at), enabled=_when(listed.enabled_at)
    )
    typer.echo("  " + when)
    counts = say(
        "fleet.line.counts",
        segments=listed.segments,
        visits=listed.visits,
        held=listed.held,
        quarantined=listed.quarantined,
    )
    typer.echo("  " + counts)
    if listed.said_at is not None:
        fields = {"unsent": listed.said_unsent, "seq": listed.said_seq}
        fields = {name: "?" if value is None else value for name, value in fields.items()}
        said = say("fleet.line.said", online=_online(listed), at=_when(listed.said_at), **fields)
        typer.echo("  " + said)
    for log in listed.logs:
        typer.echo("  " + say("fleet.line.log", **log))


def _print_key(device: str, public: bytes, form: KeyForm, *, as_data: bool) -> None:
    """The key alone, so that `> file` makes a key file; a COSE_Key is binary, in JSON hex."""
    if form is KeyForm.COSE:
        raw = cose.cose_key(public)
    elif form is KeyForm.JWK:
        raw = json.dumps(keys.public_jwk(public)).encode() + b"\n"
    else:
        raw = keys.public_pem(public)
    if as_data:
        text = raw.hex() if form is KeyForm.COSE else raw.decode()
        told: object = keys.public_jwk(public) if form is KeyForm.JWK else text
        kid = cose.kid(public).hex()
        typer.echo(json.dumps({"device": device, "kid": kid, "form": form.value, "key": told}))
    elif form is KeyForm.COSE and sys.stdout.isatty():
        typer.echo(raw.hex())
    else:
        typer.echo(raw, nl=False)


def _online(listed: fleet.Listed) -> str:
    """Whether it said that it is online; nobody has signed that."""
    word = {None: "unknown", True: "yes", False: "no"}[listed.online]
    return say(f"fleet.online.{word}")


def _when(unix: int | None) -> str:
    return say("fleet.never") if unix is None else clock_text(unix)

"""`ronda site init`: a site's keys, settings and database. Only arguments and printing."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway import site

from ronda_tools import catalogue_gateway, texts
from ronda_tools.texts import reported, say

texts.add(catalogue_gateway.TEXTS)
app = typer.Typer(no_args_is_help=True, help=say("site.help"))


@app.callback()
def group() -> None:
    """Keep `init` a subcommand while it is the only one."""


@app.command(help=say("site.help.init"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=say("site.help.folder"))],
    name: Annotated[str, typer.Option("--site", metavar="NAME", help=say("site.help.name"))],
    host: Annotated[str, typer.Option("--host", help=say("site.help.host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help=say("site.help.port"))] = 1883,
    *,
    embedded: Annotated[bool, typer.Option("--embedded", help=say("site.help.embedded"))] = False,
    as_data: Annotated[bool, typer.Option("--json", help=say("cli.json"))] = False,
) -> None:
    """Make a site; nothing appears unless all of it does."""
    with reported():
        made = site.init(folder, name, host, port, int(time.time()), embedded=embedded)
    offline = folder / "offline"
    if as_data:
        found = {
            "site": made.name,
            "folder": str(folder),
            "config": str(made.config),
            "offline": str(offline),
            "root_thumbprint": made.root_thumbprint.hex(),
            "kids": {name: made.signer(name).kid.hex() for name in (*site.ONLINE, *site.OFFLINE)},
        }
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    typer.echo(say("site.made", name=made.name, folder=str(folder)))
    typer.echo(say("site.root", thumbprint=made.root_thumbprint.hex()))
    typer.echo(say("site.offline", folder=str(offline)))
    typer.echo(say("site.next", config=str(made.config)))

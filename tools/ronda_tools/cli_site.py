"""`ronda site init|trust`: a site's keys, settings, database, trust pack. Arguments, printing."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway import site
from ronda_protocol import bodies, pack

from ronda_tools import catalogue_gateway, texts
from ronda_tools.texts import UsedWrong, reported, say

texts.add(catalogue_gateway.TEXTS)
app = typer.Typer(no_args_is_help=True, help=say("site.help"))


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


@app.command(help=say("site.help.trust"))
def trust(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=say("site.help.at"))],
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="ROLE=FILE", help=say("site.help.add"))
    ] = None,
    revoke: Annotated[
        list[str] | None, typer.Option("--revoke", metavar="KID", help=say("site.help.revoke"))
    ] = None,
    *,
    as_data: Annotated[bool, typer.Option("--json", help=say("cli.json"))] = False,
) -> None:
    """A new pack replaces the site's; nothing changes when it cannot be made."""
    with reported():
        added = [_role_and_file(one) for one in add or ()]
        kids = [_kid(one) for one in revoke or ()]
        made = site.renew_trust(folder, int(time.time()), added, kids)
    sealed = pack.parse(made.trust_pack)
    listed = bodies.decode_trust(sealed.body)[1]
    revoked = [key[0].hex() for key in listed if key[5]]
    path, version = str(folder / site.TRUST_PACK), sealed.manifest.version
    if as_data:
        found = {"trust_pack": path, "version": version, "revoked": revoked}
        found["kids"] = [key[0].hex() for key in listed]
        typer.echo(json.dumps(found, indent=2))
        return
    told = {"version": version, "path": path, "count": len(listed), "revoked": len(revoked)}
    typer.echo(say("site.trusted", **told))


def _role_and_file(text: str) -> tuple[str, Path]:
    role, equals, path = text.partition("=")
    if not equals or not path:
        raise UsedWrong("site.add", value=text)
    return role, Path(path)


def _kid(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 8:
        raise UsedWrong("site.kid", value=text)
    return found

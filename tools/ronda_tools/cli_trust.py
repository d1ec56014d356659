"""`ronda trust push|list`: a new trust pack for the handhelds. Only arguments and printing.

The pack was signed by the site's offline root (`ronda site trust`); it is checked here as a
handheld will check it, queued in the site's database and sent by the running gateway.
"""

import time
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway import deliveries, keys, site
from ronda_gateway.site import Site
from ronda_protocol import bodies, cose, pack
from ronda_protocol.bounds import PackError

from ronda_tools import texts
from ronda_tools.cli_deliveries import (
    OneDevice,
    Wait,
    decided,
    opened,
    tell_listed,
    tell_queued,
)
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import Text, UsedWrong, reported, say

_MOST = 65536

texts.add(
    {
        "trust.help": Text(
            "El paquete de confianza: qué claves pueden firmar qué.",
            "The trust pack: which keys may sign what.",
        ),
        "trust.help.push": Text(
            "Envía a todos los equipos habilitados (y a los que se habiliten después) un paquete "
            "de confianza nuevo, firmado por la raíz con `ronda site trust`.",
            "Send every enabled handheld (and those enabled later) a new trust pack, signed by "
            "the root with `ronda site trust`.",
        ),
        "trust.help.list": Text(
            "Qué fue de cada paquete de confianza, por equipo.",
            "What became of each trust pack, by handheld.",
        ),
        "trust.help.file": Text(
            "El paquete; si falta, el trust.pack de la sede.",
            "The pack; the site's trust.pack if absent.",
        ),
        "trust.unreadable": Text(
            "no se puede leer {path} ({why})",
            "{path} cannot be read ({why})",
            "revise el nombre y los permisos",
            "check its name and permissions",
        ),
        "trust.no_pack": Text(
            "{path}: no es un paquete de confianza ({why})",
            "{path}: it is no trust pack ({why})",
            "haga uno con `ronda site trust`",
            "make one with `ronda site trust`",
        ),
        "trust.root": Text(
            "{path}: no lo firmó la raíz de esta sede; ningún equipo lo aceptaría",
            "{path}: the root of this site did not sign it; no handheld would take it",
            "fírmelo donde está la clave raíz de esta sede",
            "sign it where this site's root key is",
        ),
        "trust.no_gateway": Text(
            "{path}: no nombra vigente la clave de esta pasarela ({kid}): los equipos dejarían de "
            "aceptar sus recibos",
            "{path}: it does not name this gateway's key ({kid}) as in force: the handhelds would "
            "no longer take its receipts",
            "añádala con `ronda site trust --add gateway=ARCHIVO`",
            "add it with `ronda site trust --add gateway=FILE`",
        ),
        "trust.old": Text(
            "{path}: no es más nuevo que el último que se envió",
            "{path}: it is not newer than the last one that was sent",
            "haga otro con `ronda site trust`",
            "make another with `ronda site trust`",
        ),
        "trust.queued": Text(
            "Paquete de confianza {version} en cola para {count} equipos; la pasarela lo envía.",
            "Trust pack {version} queued for {count} handhelds; the gateway sends it.",
        ),
    }
)
app = typer.Typer(no_args_is_help=True, help=say("trust.help"))


@app.command(help=say("trust.help.push"))
def push(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help=say("trust.help.file"))
    ] = None,
    wait: Wait = 30.0,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Exit 0 queued or applied, 1 refused by a handheld, 2 used wrong."""
    with reported():
        made = site.load(config_path(config).parent)
        path = file or made.folder / site.TRUST_PACK
        now = int(time.time())
        raw, version = read_pack(path, made, now)
        with opened(config) as store:
            try:
                number = deliveries.queue_trust(store, raw, now)
            except PackError:
                raise UsedWrong("trust.old", path=path) from None
            told = decided(store, number, 0)
            if not as_data:
                typer.echo(say("trust.queued", version=version, count=len(told)))
            told = decided(store, number, wait)
    tell_queued(told, "trust", as_data=as_data, pack=number, version=version)


@app.command("list", help=say("trust.help.list"))
def list_(device: OneDevice = None, config: Config = None, *, as_data: Json = False) -> None:
    """One line a delivery, newest first."""
    tell_listed("trust", device, config, as_data=as_data)


def read_pack(path: Path, made: Site, now: int) -> tuple[bytes, int]:
    """(the pack, its version), checked as the site's handhelds will; UsedWrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST)
    except OSError as error:
        raise UsedWrong("trust.unreadable", path=path, why=error.strerror) from None
    try:
        found = pack.parse(raw)
        manifest = found.manifest
        if (manifest.pack_type, manifest.scope, manifest.name) != (pack.TRUST, "site", "trust"):
            raise PackError("type")
        root, listed = bodies.decode_trust(found.body)
        if not manifest.not_before <= now < manifest.not_after:
            raise PackError("time")
    except PackError as error:
        raise UsedWrong("trust.no_pack", path=path, why=error.code) from None
    if root != made.root_public or not cose.verify(found.sign1, root, keys.verify_digest):
        raise UsedWrong("trust.root", path=path)
    kid = keys.load_private(made.settings.key_path, where="keys.gateway").kid
    for key_id, _, role, first, last, revoked in listed:
        if key_id == kid and role == pack.GATEWAY and first <= now < last and not revoked:
            return raw, manifest.version
    raise UsedWrong("trust.no_gateway", path=path, kid=kid.hex())

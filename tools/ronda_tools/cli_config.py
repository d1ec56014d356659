"""`ronda config push|list`: settings for handhelds. Only arguments, reading and printing.

A config pack is queued in the site's database; the running gateway signs it and sends it to each
handheld that is there. It holds all of the settings that differ from their defaults, not a change.
"""

import json
import time
from pathlib import Path
from typing import Annotated, cast

import typer
from ronda_gateway import deliveries
from ronda_protocol import bodies
from ronda_protocol.bounds import PackError, is_uint

from ronda_tools import texts
from ronda_tools.cli_deliveries import (
    OneDevice,
    Wait,
    decided,
    opened,
    tell_listed,
    tell_queued,
)
from ronda_tools.cli_options import Config, Json
from ronda_tools.texts import Text, UsedWrong, reported, say

_MOST = 65536
_DAY = 86400
_BOUNDS = {name: (low, high) for name, _, low, high in bodies.CONFIG.values()}
_KNOWN = ", ".join(
    f"{name} {low}-{high} ({default})" for name, default, low, high in bodies.CONFIG.values()
)

texts.add(
    {
        "config.help": Text(
            "Los ajustes de los equipos: muestreo, batería, búsqueda, esperas.",
            "The handhelds' settings: sampling, battery, search, waits.",
        ),
        "config.help.push": Text(
            "Envía ajustes a un equipo o a toda la sede (también a los que se habiliten después). "
            "Sustituyen a los que se enviaron antes con el mismo alcance; los de un equipo ganan "
            f"a los de la sede. Ajustes, límites y valor por defecto: {_KNOWN}.",
            "Send settings to a handheld or to the whole site (to those enabled later, too). They "
            "replace those sent before with the same scope; a handheld's own beat the site's. "
            f"Settings, bounds and default: {_KNOWN}.",
        ),
        "config.help.list": Text(
            "Qué fue de cada paquete de ajustes, por equipo.",
            "What became of each settings pack, by handheld.",
        ),
        "config.help.values": Text(
            'Ajustes como search_m=200, o un archivo JSON: {{"search_m": 200}}.',
            'Settings like search_m=200, or a JSON file: {{"search_m": 200}}.',
        ),
        "config.help.device": Text("Solo a este equipo.", "To this handheld alone."),
        "config.help.site": Text(
            "A todos los equipos habilitados de la sede.", "To every enabled handheld of the site."
        ),
        "config.help.days": Text(
            "Días que valen los ajustes, desde que se firman; después valen los de la sede o los "
            "valores por defecto.",
            "Days for which they are valid, from their signing; after that the site's or the "
            "defaults hold.",
        ),
        "config.to": Text(
            "diga a quién: --device ID o --site",
            "say to whom: --device ID or --site",
            "uno de los dos, no ambos",
            "one of the two, not both",
        ),
        "config.name": Text(
            "no hay ningún ajuste {name} que se pueda enviar",
            "there is no setting {name} that can be sent",
            "se pueden enviar: {known}",
            "these can be sent: {known}",
        ),
        "config.value": Text(
            "{name}: el valor {value} no sirve",
            "{name}: the value {value} will not do",
            "un entero de {low} a {high}",
            "a whole number from {low} to {high}",
        ),
        "config.twice": Text("{name} está dos veces", "{name} is there twice"),
        "config.file": Text(
            "{path}: no son ajustes ({why})",
            "{path}: these are no settings ({why})",
            'un objeto JSON como {{"search_m": 200}}',
            'a JSON object like {{"search_m": 200}}',
        ),
        "config.unreadable": Text(
            "no se puede leer {path} ({why})",
            "{path} cannot be read ({why})",
            "revise el nombre; un ajuste se escribe NOMBRE=VALOR",
            "check its name; a setting is written NAME=VALUE",
        ),
        "config.queued": Text(
            "Ajustes en cola (paquete {pack}) para {count} equipos; la pasarela los firma y los "
            "envía.",
            "Settings queued (pack {pack}) for {count} handhelds; the gateway signs and sends "
            "them.",
        ),
    }
)
app = typer.Typer(no_args_is_help=True, help=say("config.help"))


@app.command(help=say("config.help.push"))
def push(  # noqa: PLR0917
    values: Annotated[
        list[str], typer.Argument(metavar="FILE|KEY=VALUE...", help=say("config.help.values"))
    ],
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help=say("config.help.device"))
    ] = None,
    site: Annotated[bool, typer.Option("--site", help=say("config.help.site"))] = False,
    days: Annotated[
        int, typer.Option("--days", min=1, max=3650, help=say("config.help.days"))
    ] = 365,
    wait: Wait = 30.0,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Exit 0 queued or applied, 1 refused by a handheld, 2 used wrong."""
    with reported():
        if (device is None) != site:
            raise UsedWrong("config.to")
        found = read_values(values)
        with opened(config) as store:
            now = int(time.time())
            try:
                number = deliveries.queue_config(store, device, found, days * _DAY, now)
            except PackError as error:
                raise UsedWrong("config.file", path=" ".join(values), why=error.code) from None
            told = decided(store, number, 0)
            if not as_data:
                typer.echo(say("config.queued", pack=number, count=len(told)))
            told = decided(store, number, wait)
    tell_queued(told, "config", as_data=as_data, pack=number, values=found)


@app.command("list", help=say("config.help.list"))
def list_(device: OneDevice = None, config: Config = None, *, as_data: Json = False) -> None:
    """One line a delivery, newest first."""
    tell_listed("config", device, config, as_data=as_data)


def read_values(words: list[str]) -> dict[str, int]:
    """The settings in arguments and JSON files; UsedWrong says what is wrong with them."""
    found: dict[str, int] = {}
    for word in words:
        name, equals, value = word.partition("=")
        pairs = {name: _number(value)} if equals else _file(Path(word))
        for key, one in pairs.items():
            if key not in _BOUNDS:
                raise UsedWrong("config.name", name=key, known=_KNOWN)
            low, high = _BOUNDS[key]
            if not is_uint(one, high, low):
                raise UsedWrong("config.value", name=key, value=one, low=low, high=high)
            if key in found:
                raise UsedWrong("config.twice", name=key)
            found[key] = cast(int, one)
    return found


def _number(text: str) -> object:
    """The whole number that a text is in plain digits, or the text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text


def _file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
        if len(data) > _MOST:
            raise UsedWrong("config.unreadable", path=path, why="> 64 KiB")
        value: object = json.loads(data)
    except OSError as error:
        raise UsedWrong("config.unreadable", path=path, why=error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise UsedWrong("config.file", path=path, why=error) from None
    if not isinstance(value, dict):
        raise UsedWrong("config.file", path=path, why=type(value).__name__)
    return cast(dict[str, object], value)

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
from ronda_gateway import deliveries
from ronda_protocol import rounds
from ronda_protocol.bounds import PackError, is_text

from ronda_tools import texts
from ronda_tools.cli_deliveries import (
    OneDevice,
    Wait,
    decided,
    exit_refused,
    opened,
    tell_listed,
    tell_pushed,
)
from ronda_tools.cli_options import Config, Json
from ronda_tools.texts import Text, UsedWrong, reported, say

_MOST = 1 << 20

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
        "cases.help.hours": Text(
            "Horas que valen los casos, desde que se firman.",
            "Hours for which the cases are valid, from their signing.",
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
    }
)
app = typer.Typer(no_args_is_help=True, help=say("cases.help"))


@app.command(help=say("cases.help.push"))
def push(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=say("cases.help.file"))],
    device: Annotated[
        str, typer.Option("--device", metavar="ID", help=say("delivery.help.device"))
    ],
    hours: Annotated[
        int, typer.Option("--hours", min=1, max=744, help=say("cases.help.hours"))
    ] = 24,
    wait: Wait = 30.0,
    config: Config = None,
    *,
    as_data: Json = False,
) -> None:
    """Exit 0 queued or applied, 1 refused by the handheld, 2 used wrong."""
    with reported():
        round_id, cases = read_cases(file)
        with opened(config) as store:
            try:
                now = int(time.time())
                number = deliveries.queue_cases(store, device, round_id, cases, hours * 3600, now)
            except (PackError, TypeError, ValueError) as error:
                raise UsedWrong("cases.json", path=file, why=error) from None
            if not as_data:
                line = say("cases.queued", count=len(cases), device=device, pack=number)
                typer.echo(line)
            found = decided(store, number, wait)
    if as_data:
        typer.echo(json.dumps(asdict(found[0])))
        exit_refused(found)
    else:
        tell_pushed(found, "cases")


@app.command("list", help=say("cases.help.list"))
def list_(device: OneDevice = None, config: Config = None, *, as_data: Json = False) -> None:
    """One line a delivery, newest first."""
    tell_listed("cases", device, config, as_data=as_data)


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

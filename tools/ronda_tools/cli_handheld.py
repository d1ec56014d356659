"""`ronda handheld sim`: one simulated handheld. Only arguments, printing and exit codes."""

import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ronda_tools import texts
from ronda_tools.feed_tail import address
from ronda_tools.interruption import ended_by_signals
from ronda_tools.texts import Text, UsedWrong, reported, say

texts.add(
    {
        "handheld.help": Text(
            "Equipos simulados: el firmware real en su máquina virtual.",
            "Simulated handhelds: the real firmware in its virtual machine.",
        ),
        "sim.help": Text(
            "Reproduce un registro NMEA en el firmware real, tan rápido como puede, y dice qué "
            "hizo con él. Sale con 0; con 1 si algo no se cumplió; con 2 si se usó mal.",
            "Replay an NMEA log into the real firmware as fast as it can and say what it made of "
            "it. Exits with 0; with 1 if something was not fulfilled; with 2 if used wrong.",
        ),
        "sim.help.nmea": Text("Registro de un receptor GPS.", "Log of a GPS receiver."),
        "sim.help.storage": Text(
            "Carpeta con la memoria del equipo (por defecto, pasajera).",
            "Folder with the handheld's memory (a passing one by default).",
        ),
        "sim.help.site": Text(
            "Carpeta de `ronda site init`; la primera vez provisiona --storage.",
            "Folder of `ronda site init`; the first time it provisions --storage.",
        ),
        "sim.help.device": Text("Id del equipo.", "The handheld's id."),
        "sim.help.case": Text(
            "JSON con case_id, portfolio, creditor, place_quality, y lat_e7, lon_e7, radius_m o "
            "polygon [[lat_e7, lon_e7] …].",
            "JSON with case_id, portfolio, creditor, place_quality, and lat_e7, lon_e7, radius_m "
            "or polygon [[lat_e7, lon_e7] …].",
        ),
        "sim.help.script": Text(
            "Líneas JSON {{at_ms, intent, args}}; at_ms cuenta desde la primera posición válida.",
            "JSON lines {{at_ms, intent, args}}; at_ms counts from the first valid fix.",
        ),
        "sim.help.broker": Text(
            "mqtt://HOST:PUERTO donde sincronizar al final.",
            "mqtt://HOST:PORT where to sync at the end.",
        ),
        "sim.help.interactive": Text(
            "El equipo en sus manos: pantalla y teclas en este terminal.",
            "The handheld in your hands: screen and keys in this terminal.",
        ),
        "sim.help.screen": Text(
            "Con --interactive: mono (una tecla), mono3 (tres) o colour (teclado).",
            "With --interactive: mono (one key), mono3 (three) or colour (keyboard).",
        ),
        "sim.screen": Text(
            "no hay pantalla «{screen}»",
            "there is no screen “{screen}”",
            "use una de estas: {screens}",
            "use one of these: {screens}",
        ),
        "sim.nmea_or_hand": Text(
            "hace falta --nmea ARCHIVO o --interactive, uno de los dos",
            "--nmea FILE or --interactive is needed, one of the two",
            "`ronda handheld sim --interactive` para tener el equipo en las manos",
            "`ronda handheld sim --interactive` to hold the handheld in your hands",
        ),
        "sim.help.json": Text("Imprime JSON en vez de frases.", "Print JSON, not sentences."),
        "sim.broker_only": Text(
            "--broker solo lleva máquina y puerto: {url}",
            "--broker takes only host and port: {url}",
            "escríbalo así: mqtt://127.0.0.1:1883",
            "write it like this: mqtt://127.0.0.1:1883",
        ),
        "sim.died": Text(
            "el firmware simulado falló:\n{why}",
            "the simulated firmware failed:\n{why}",
            "es un error del programa: informe de él con este texto y el registro NMEA",
            "this is an error of the program: report it with this text and the NMEA log",
        ),
        "sim.not_received": Text(
            "la pasarela confirmó {received} de {segments} segmentos; faltan {unsent}",
            "the gateway signed for {received} of {segments} segments; {unsent} are missing",
            "revise que `ronda gateway run` esté en marcha y el equipo habilitado "
            "(`ronda fleet list`); nada se perdió: repita la orden",
            "check that `ronda gateway run` is running and the handheld enabled "
            "(`ronda fleet list`); nothing was lost: run the command again",
        ),
        "sim.no_fix": Text(
            "el registro no tiene ninguna posición válida: no se hizo nada del guion",
            "the log has no valid fix: nothing of the script was done",
            "use un registro con posición",
            "use a log with a position",
        ),
        "sim.reading": Text("Reproduciendo {name}", "Replaying {name}"),
        "sim.said.sentences": Text(
            "El receptor dijo {sentences} sentencias válidas y {checksum_errors} con suma errada.",
            "The receiver said {sentences} valid sentences and {checksum_errors} that fail their "
            "checksum.",
        ),
        "sim.said.no_fix": Text("No dio ninguna posición.", "It gave no position."),
        "sim.said.fixes": Text(
            "Dio {fixes} posiciones y perdió la señal {losses} veces.",
            "It gave {fixes} fixes and lost them {losses} times.",
        ),
        "sim.said.places": Text(
            "La primera, {first}; la última, {last}.", "The first, {first}; the last, {last}."
        ),
        "sim.said.entries": Text(
            "El equipo {device} guardó {fix} posiciones, {battery} lecturas de batería, "
            "{event} eventos y {visit} visitas.",
            "The handheld {device} saved {fix} fixes, {battery} battery readings, {event} events "
            "and {visit} visits.",
        ),
        "sim.said.act": Text(
            "A los {seconds} s, {intent}: {code}.", "At {seconds} s, {intent}: {code}."
        ),
        "sim.said.visit": Text(
            "Visita {visit_id} al caso {case_id}: {ended}; {verdict}.",
            "Visit {visit_id} to case {case_id}: {ended}; {verdict}.",
        ),
        "sim.said.correction": Text(
            "Corrección de la visita {visit_id}: {field} debe decir «{value}», porque: {reason}.",
            "Correction of visit {visit_id}: {field} should say “{value}”, because: {reason}.",
        ),
        "sim.said.key": Text(
            "Su clave pública está en {path}: ronda evidence verify ARCHIVO --key {path}",
            "Its public key is in {path}: ronda evidence verify FILE --key {path}",
        ),
        "sim.said.received": Text(
            "La pasarela confirmó los {segments} segmentos.",
            "The gateway signed for all {segments} segments.",
        ),
    }
)

app = typer.Typer(no_args_is_help=True, help=say("handheld.help"))
_LONG = 1 << 18  # bytes of log from which a progress bar is worth it
_CHUNK = 1 << 14  # bytes between two movements of it


@app.callback()
def group() -> None:
    """Keep `sim` a subcommand while it is the only one."""


@app.command(help=say("sim.help"))
def sim(  # noqa: PLR0917
    nmea: Annotated[
        Path | None, typer.Option("--nmea", metavar="FILE", help=say("sim.help.nmea"))
    ] = None,
    storage: Annotated[
        Path | None, typer.Option("--storage", metavar="DIR", help=say("sim.help.storage"))
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", metavar="SITE_DIR", help=say("sim.help.site"))
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help=say("sim.help.device"))
    ] = None,
    case: Annotated[
        Path | None, typer.Option("--case", metavar="FILE", help=say("sim.help.case"))
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--script", metavar="FILE", help=say("sim.help.script"))
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help=say("sim.help.broker"))
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help=say("sim.help.interactive"))
    ] = False,
    screen: Annotated[
        str, typer.Option("--screen", metavar="mono|mono3|colour", help=say("sim.help.screen"))
    ] = "mono",
    as_data: Annotated[bool, typer.Option("--json", help=say("sim.help.json"))] = False,
) -> None:
    """Replay; print what happened; exit 1 when something asked for was not fulfilled."""
    from ronda_tools import handheld_sim  # it takes its time to load: after the arguments
    from ronda_tools.conductor import ConductorError
    from ronda_tools.vm import VmDied

    with reported(), ended_by_signals():
        if interactive:
            _play(screen, storage, nmea)
            return
        if nmea is None:
            raise UsedWrong("sim.nmea_or_hand")
        options = handheld_sim.Options(
            nmea, storage, site, device, case, script, _host_port(broker) if broker else None
        )
        try:
            with _bar(nmea) as progress:
                outcome = handheld_sim.run(options, progress)
        except (VmDied, ConductorError) as error:
            raise UsedWrong("sim.died", exit_code=1, why=error) from None
        except KeyboardInterrupt:
            raise UsedWrong("cli.interrupted", exit_code=1) from None
    for line in outcome.log:
        typer.echo(line, err=True)
    if as_data:
        typer.echo(json.dumps(outcome.data, ensure_ascii=False))
    else:
        for line in _sentences(outcome.data):
            typer.echo(line)
    if outcome.failed:
        texts.fail(outcome.failed, exit_code=1, **outcome.data.get("sync", {}))


def _play(screen: str, storage: Path | None, nmea: Path | None) -> None:
    """The handheld in somebody's hands; see interactive."""
    from ronda_tools import interactive
    from ronda_tools.handset import PANELS
    from ronda_tools.vm import VmDied

    if nmea is not None:
        raise UsedWrong("sim.nmea_or_hand")
    if screen not in PANELS:
        raise UsedWrong("sim.screen", screen=screen, screens=", ".join(PANELS))
    try:
        interactive.play(screen, storage)
    except (VmDied, TimeoutError) as error:
        raise UsedWrong("sim.died", exit_code=1, why=error) from None
    except KeyboardInterrupt:
        return


def _host_port(url: str) -> tuple[str, int]:
    """Where to sync; UsedWrong unless the URL is mqtt://host[:port]."""
    at = address(url)
    if at.username or at.password or at.root != "ronda/+":
        raise UsedWrong("sim.broker_only", url=url)
    return at.host, at.port


@contextmanager
def _bar(nmea: Path) -> Generator[Callable[[int], None] | None]:
    """A progress bar on stderr for a long log at a terminal, else nothing."""
    size = nmea.stat().st_size if nmea.is_file() else 0
    if size < _LONG or not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(say("sim.reading", name=nmea.name), total=size)
        waiting = 0

        def moved(count: int) -> None:
            nonlocal waiting
            waiting += count
            if waiting >= _CHUNK:
                progress.update(task, advance=waiting)
                waiting = 0

        yield moved


def _sentences(data: Mapping[str, Any]) -> list[str]:
    """What happened, for people."""
    lines = [say("sim.said.sentences", **_only(data, "sentences", "checksum_errors"))]
    if data["fixes"]:
        lines.append(say("sim.said.fixes", **_only(data, "fixes", "losses")))
        first, last = _place(data["first_fix"]), _place(data["last_position"])
        lines.append(say("sim.said.places", first=first, last=last))
    else:
        lines.append(say("sim.said.no_fix"))
    lines.append(say("sim.said.entries", device=data["device"], **data["entries"]))
    for act in data.get("script", []):
        seconds, code = act["at_ms"] // 1000, act["result"]["code"]
        lines.append(say("sim.said.act", seconds=seconds, intent=act["intent"], code=code))
    lines += [_visit(row) for row in data.get("visits", [])]
    lines += [_correction(row) for row in data.get("corrections", [])]
    if "public_key" in data and data.get("visits"):
        lines.append(say("sim.said.key", path=data["public_key"]))
    sync = data.get("sync")
    if sync and not sync["unsent"]:
        lines.append(say("sim.said.received", segments=sync["segments"]))
    return lines


def _only(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names}


def _place(place: Mapping[str, Any]) -> str:
    from ronda_tools.evidence_words import degrees

    return f"{degrees(place['lat_e7'])}, {degrees(place['lon_e7'])} ({place['time']})"


def _correction(row: Mapping[str, Any]) -> str:
    from ronda_tools import visit_words

    field, value = row["field"], row["value"]
    return say(
        "sim.said.correction",
        visit_id=row["visit_id"],
        field=visit_words.field(field),
        value=visit_words.field_value(field, value),
        reason=row["reason"],
    )


def _visit(row: Mapping[str, Any]) -> str:
    from ronda_protocol import fence, visit

    from ronda_tools import visit_words

    at = row["check_in"]
    verdict = [
        fence.VERDICT_NAMES.index(at["verdict"]),
        at["d_dm"],
        at["r_dm"],
        at["used"],
        fence.REASON_NAMES.index(at["reason"]),
    ]
    return say(
        "sim.said.visit",
        visit_id=row["visit_id"],
        case_id=row["case_id"],
        ended=visit_words.ended(visit.ENDED_NAMES.index(row["ended"])),
        verdict=visit_words.verdict(verdict),
    )

"""`ronda bench load`: a load generator against a scratch gateway, or any MQTT broker.

Only arguments and printing; `bench_load` loads, `bench_site` makes what is loaded.
"""

import json
import time
from typing import Annotated

import typer

from ronda_tools import texts
from ronda_tools.bench_load import LoadFailed, LoadResult, fleet, run
from ronda_tools.bench_site import MeasuredGateway, Usage, find_mosquitto
from ronda_tools.feed_tail import address
from ronda_tools.texts import Text, UsedWrong, reported, say

texts.add(
    {
        "bench.help": Text("Mediciones y generador de carga.", "Benchmarks and load generator."),
        "bench.help.load": Text(
            "Publica segmentos firmados de muchos equipos y mide sus recibos: contra un gateway "
            "propio y pasajero, o contra otro consumidor MQTT con --broker.",
            "Publish signed segments of many devices and time their receipts: against a scratch "
            "gateway of its own, or another MQTT consumer with --broker.",
        ),
        "bench.help.devices": Text("Cuántos equipos.", "How many devices."),
        "bench.help.rate": Text(
            "Segmentos por segundo entre todos; 0: tan rápido como lleguen los recibos.",
            "Segments a second over all; 0: as fast as the receipts come.",
        ),
        "bench.help.seconds": Text(
            "Cuánto dura (con --rate 0: segmentos por equipo, 20 por segundo pedido).",
            "How long (with --rate 0: segments a device, 20 for each second asked).",
        ),
        "bench.help.entries": Text("Entradas por segmento.", "Entries a segment."),
        "bench.help.embedded": Text(
            "Usa el broker incluido aunque haya mosquitto.",
            "Use the embedded broker even where there is mosquitto.",
        ),
        "bench.help.broker": Text(
            "mqtt://HOST:PUERTO/RAIZ/DE/TEMAS de otro consumidor; mide el PUBACK, no el recibo.",
            "mqtt://HOST:PORT/TOPIC/ROOT of another consumer; times the PUBACK, not the receipt.",
        ),
        "bench.making": Text(
            "Se firman {count} segmentos de {entries} entradas…",
            "Signing {count} segments of {entries} entries…",
        ),
        "bench.result": Text(
            "{answered} de {sent} respondidos en {seconds} s: {rate}/s; p50 {p50_ms} ms, p99 "
            "{p99_ms} ms, peor {max_ms} ms; {bytes_each} B por segmento",
            "{answered} of {sent} answered in {seconds} s: {rate}/s; p50 {p50_ms} ms, p99 "
            "{p99_ms} ms, worst {max_ms} ms; {bytes_each} B a segment",
        ),
        "bench.process": Text(
            "gateway: {cpu_us} µs de procesador por segmento, {peak_mb} MB de memoria a lo más",
            "gateway: {cpu_us} µs of processor a segment, {peak_mb} MB of memory at most",
        ),
        "bench.failed": Text(
            "el broker {where} no sirve: {why}",
            "the broker {where} will not do: {why}",
            "revise la dirección y que el broker esté en marcha",
            "check the address, and that the broker is running",
        ),
    }
)

app = typer.Typer(no_args_is_help=True, help=say("bench.help"))


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction]
    """Keeps `load` a command of the group while it is alone."""


@app.command(help=say("bench.help.load"))
def load(
    devices: Annotated[
        int, typer.Option("--devices", min=1, max=2000, help=say("bench.help.devices"))
    ] = 50,
    rate: Annotated[
        float, typer.Option("--rate", min=0, max=100000, help=say("bench.help.rate"))
    ] = 300,
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, max=3600, help=say("bench.help.seconds"))
    ] = 10,
    entries: Annotated[
        int, typer.Option("--entries", min=1, max=1024, help=say("bench.help.entries"))
    ] = 30,
    *,
    embedded: Annotated[bool, typer.Option("--embedded", help=say("bench.help.embedded"))] = False,
    broker: Annotated[str, typer.Option("--broker", help=say("bench.help.broker"))] = "",
    as_data: Annotated[bool, typer.Option("--json", help=say("cli.json"))] = False,
) -> None:
    """Exit 0 when every segment was answered, 1 when not."""
    each = max(1, int(rate * seconds / devices)) if rate else 20 * seconds
    with reported():
        where = address(broker) if broker else None
        typer.echo(say("bench.making", count=each * devices, entries=entries), err=True)
        made = fleet(devices, each, entries, int(time.time()) - 86400)
        usage: tuple[Usage | None, Usage | None] = (None, None)
        try:
            if where is not None:
                root = where.root.replace("+", "bench")
                result = run(made, where.host, where.port, root, rate=rate, receipts=False)
            else:
                kind = "embedded" if embedded or not find_mosquitto() else "mosquitto"
                with MeasuredGateway(kind) as gateway:
                    gateway.enrol(made)
                    before = gateway.usage()
                    result = run(made, gateway.host, gateway.port, gateway.root, rate=rate)
                    time.sleep(1.0)
                    usage = (before, gateway.usage())
        except (OSError, LoadFailed) as error:
            raise UsedWrong("bench.failed", where=broker or "-", why=str(error)) from None
    _print(result, *usage, as_data=as_data)
    raise typer.Exit(0 if result.answered == result.sent else 1)


def _print(
    result: LoadResult, before: Usage | None, after: Usage | None, *, as_data: bool
) -> None:
    told = result.as_dict()
    if before and after and result.answered:
        told["cpu_us"] = round((after.cpu_s - before.cpu_s) / result.answered * 1e6)
        told["peak_mb"] = round(after.peak / 1e6, 1)
    if as_data:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(say("bench.result", **told))
    if "cpu_us" in told:
        typer.echo(say("bench.process", **told))

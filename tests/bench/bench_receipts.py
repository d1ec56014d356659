"""Receipts over a real broker: latency at 300 segments/s, throughput, the gateway's processor time
with everything included, and its memory. Broker, gateway and load share the machine."""

import time

from figures import Figure

TITLE = "Receipts and load (broker, gateway and load generator on this machine)"
_UTC = 1789477200


def measure(quick: bool) -> list[Figure]:
    """With mosquitto where it is installed, and with the embedded broker."""
    from ronda_tools.bench_site import find_mosquitto

    brokers = ["mosquitto"] if find_mosquitto() else []
    found: list[Figure] = []
    for broker in [*brokers, "embedded"]:
        found += _paced(broker, quick)
        found += _flat_out(broker, quick)
    return found


def _paced(broker: str, quick: bool) -> list[Figure]:
    from ronda_tools import bench_load, bench_site

    rate, seconds = (50, 1) if quick else (300, 20)
    devices = bench_load.fleet(50, max(1, rate * seconds // 50), 30, _UTC)
    with bench_site.MeasuredGateway(broker) as gateway:
        gateway.enrol(devices)
        before = gateway.usage()
        result = bench_load.run(devices, gateway.host, gateway.port, gateway.root, rate=rate)
        time.sleep(0.5)
        after = gateway.usage()
    named = f"{broker}, {rate} segments/s of 50 devices"
    figures = [
        Figure(f"{named}: receipt p50", result.percentile(0.5), "ms", "≤ 5"),
        Figure(f"{named}: receipt p99", result.percentile(0.99), "ms", "≤ 25"),
        Figure(f"{named}: segments without a receipt", result.sent - result.answered, "", "0"),
    ]
    return figures + _process(named, result.answered, before, after)


def _flat_out(broker: str, quick: bool) -> list[Figure]:
    from ronda_tools import bench_load, bench_site

    each = 2 if quick else 200
    devices = bench_load.fleet(50, each, 30, _UTC)
    with bench_site.MeasuredGateway(broker) as gateway:
        gateway.enrol(devices)
        before = gateway.usage()
        result = bench_load.run(devices, gateway.host, gateway.port, gateway.root)
        time.sleep(0.5 if quick else 3)  # the outbox's rest
        after = gateway.usage()
    named = f"{broker}, as fast as receipts come"
    figures = [
        Figure(f"{named}: segments/s", result.rate),
        Figure(f"{named}: entries/s", result.rate * 30),
    ]
    return figures + _process(named, result.answered, before, after)


def _process(named: str, segments: int, before: object, after: object) -> list[Figure]:
    if before is None or after is None or not segments:
        return []
    cpu = (after.cpu_s - before.cpu_s) / segments * 1e6  # type: ignore[attr-defined]
    peak = after.peak / 1e6  # type: ignore[attr-defined]
    return [
        Figure(f"{named}: gateway's processor time a segment, all included", cpu, "µs", "≤ 400"),
        Figure(f"{named}: gateway's memory, peak", peak, "MB", "≤ 128"),
    ]

"""Runs the benches and writes build/bench.json and docs/bench.md.

    python tests/bench/run.py [--quick] [--page FILE] [NAME...]

Names choose benches; the others keep their last figures. Nothing is asserted: a slow machine
gives slow figures. --quick is for the test that the benches still run.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import ROOT, Figure

BENCHES = ("signature", "nmea", "day", "visit", "flash", "gateway", "receipts", "size")
_INTRO = """\
# Benchmarks

Made by `make bench`; one bench by the command under its heading. Nothing here is a test: figures
belong to the machine and the moment they were taken. Targets are the design's. The load under
each table was there before the bench began, from other work on the same cores: above some tenths
a core times are worse than the machine's own, latencies most of all. Bytes, counts and heap do not
mind. `ronda bench load` puts the same load on a scratch gateway, or with `--broker` on any MQTT
consumer.

What misses its target says so here: the gateway's processor time. Of a segment's, the signature
is what cannot be saved; at 300 segments/s most of the rest is one commit for every one or two
segments (SQLite, FULL), which groups share under load, and paho's work on each message in and out.

"""


def machine() -> str:
    """The processor, its cores, the Python."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def load() -> float:
    """The load average of the last minute, a core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def run(name: str, quick: bool) -> dict[str, Any]:
    """One bench: its title, figures, when, and how busy the machine was before it."""
    module = importlib.import_module(f"bench_{name}")
    busy = load()
    began = time.time()
    figures: list[Figure] = module.measure(quick)
    return {
        "title": module.TITLE,
        "figures": [asdict(figure) for figure in figures],
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime(began)),
        "seconds": round(time.time() - began, 1),
        "load": round(busy, 2),
        "machine": machine(),
    }


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page docs/bench.md."""
    lines = [_INTRO]
    for name in BENCHES:
        if name not in results:
            continue
        found = results[name]
        lines.append(f"## {found['title']}\n\n`make bench BENCH={name}`\n\n")
        lines.append("| what | figure | | target |\n|---|---:|---|---|\n")
        for row in found["figures"]:
            figure = Figure(**row)
            lines.append(
                f"| {figure.name} | {figure.told()} | {figure.unit} | {figure.target} |\n"
            )
        lines.append(
            f"\n{found['at']} UTC, {found['seconds']:.0f} s, on {found['machine']}; load before "
            f"it {found['load']:.1f} a core.\n\n"
        )
        lines.append(NOTES.get(name, ""))
    return "".join(lines).rstrip() + "\n"


NOTES = {
    "day": (
        "Peak heap is what lives after a collection, seen at every third read of the flash and at "
        "every intent; the watching itself takes about 4 KB of it. `seal` lies within the other "
        "phases. A fix's bytes hold everything: header, signature, batteries and events that "
        "travel in the same segments, and segments that a visit or the end of a shift closed "
        "early.\n\n"
    ),
    "visit": (
        "A visit carries its questions and options as words as long as there is no form pack to "
        "number them: that is what is above the target. Numbers that a form's hash stands for "
        "bring it below; header, chain hash and signature are what makes it evidence.\n\n"
    ),
    "flash": (
        "Each layout is the firmware with one constant changed, on the simulator's littlefs, two "
        "days from an empty log; a month is thirty times their mean, counted in whole blocks. "
        "Sealed as online a month does not fit; one file a segment takes a block each; without "
        "the tail every record erases. A program size of 256 makes littlefs' three buffers and "
        "each open file's 1 KiB instead of 128 bytes: 3.5 KB of heap that a visit "
        "has not. What is chosen and why: `docs/flash.md`.\n\n"
    ),
    "receipts": (
        "Latency is from publishing to the receipt's arrival at the sender, through the broker, "
        "the database commit (SQLite, WAL, FULL) and back. mosquitto runs with `set_tcp_nodelay "
        "true`, which is recommended. Each segment makes two or three feed events (positions, "
        "battery, in every other segment log events), published to the same broker within the "
        "same processor time.\n\n"
    ),
}


def main() -> None:
    """Run what was asked for and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "bench.md")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []])
    asked = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    if asked.json.exists():
        results = json.loads(asked.json.read_text())
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    for name in asked.names or BENCHES:
        print(f"== {name}", flush=True)
        results[name] = run(name, asked.quick)
        for row in results[name]["figures"]:
            figure = Figure(**row)
            aim = f"  ({figure.target})" if figure.target else ""
            print(f"   {figure.name}: {figure.told()} {figure.unit}{aim}", flush=True)
        asked.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        asked.page.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The NMEA parser on a synthesised walk: RMC, GGA and GSA (and whatever the walk says) at 1 Hz."""

import tempfile
from pathlib import Path

from figures import Figure, in_vm

TITLE = "NMEA on the handheld (in the VM, plain bytecode)"


def measure(quick: bool) -> list[Figure]:
    """Sentences a second of parsing alone, and heap used by it."""
    from ronda_tools.synth import MIRAFLORES, Walk

    walk = Walk(MIRAFLORES["parque"], 1789477200)
    walk.go(MIRAFLORES["larco"])
    walk.stand(20 if quick else 200)
    said = [data for _, data in walk.nmea()][: 20 if quick else 250]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "walk.nmea"
        log.write_bytes(b"".join(said))
        found = in_vm("bench_nmea", log, 1 if quick else 25, heap="640k")
    return [
        Figure("sentences a second", found["per_second"], "", "≥ 50,000"),
        Figure(
            "heap allocated an epoch, its callback included", found["allocated_per_epoch"], "B"
        ),
    ]

"""Receivers' logs that are damaged, binary or none at all: no false fix, soon in step again."""

import json
import os
import re
from pathlib import Path

import pytest
from test_nmea_logs import LOGS, in_vm

# Cases of each log: cut and joined at so many bytes, and so many bytes changed. All of them take
# minutes: RONDA_TORTURE=1.
CASES = 10**9 if os.environ.get("RONDA_TORTURE") else 5000
FRAMED = rb"\$((?:[A-Z][^,]{4}|P[A-Z0-9]{3,}),[^$*\r\n]*)\*([0-9A-Fa-f]{2})"


def whole_sentences(raw: bytes) -> list[list[int]]:
    """[start, end] of every sentence whose checksum is right."""
    found = []
    for match in re.finditer(FRAMED, raw):
        c = 0
        for x in match[1]:
            c ^= x
        if c == int(match[2], 16):
            found.append([match.start(), match.end()])
    return found


@pytest.mark.parametrize("seed", [1])
def test_cut_joined_or_changed_at_any_byte(data: Path, tmp_path: Path, seed: int) -> None:
    """No exception, no fix of nobody's, and every sentence that is whole is read.

    So the parser is in step again at the first whole sentence.
    """
    logs = []
    for name in LOGS:
        path = data / "nmea" / f"{name}.log"
        raw = path.read_bytes()
        step = max(1, len(raw) // CASES)
        logs.append({"path": str(path), "sentences": whole_sentences(raw), "step": step})
    told = tmp_path / "logs.json"
    told.write_text(json.dumps({"logs": logs}))
    seen = in_vm("nmea_cuts.py", str(told), str(seed))
    assert seen["wrong"] == [], f"seed {seed}"
    assert seen["cases"] > 2 * 35000 and seen["fixes"] > 20000, seen


def test_nothing_real_is_no_log(tmp_path: Path) -> None:
    """Empty, binary and endless input: counted, never read as a fix."""
    for content in (b"", bytes(range(256)) * 64, b"$" * 70000, b"$GPGGA," + b"1" * 400000):
        path = tmp_path / "input"
        path.write_bytes(content)
        told = in_vm.__wrapped__("nmea_log.py", str(path), "512")
        assert (told["sentences"], told["fixes"]) == (0, [])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_logs_give_no_false_fix(data: Path, seed: int) -> None:
    """Long pieces cut, joined, changed; frames between, whole and cut short."""
    paths = [str(data / "nmea" / f"{name}.log") for name in LOGS]
    seen = in_vm("nmea_fuzz.py", str(seed), "100", *paths)
    assert seen["wrong"] == [], f"seed {seed}"
    assert seen["sentences"] > 17000 and seen["fixes"] > 1500 and seen["damaged"] > 700, seen
    assert seen["frames"] > 400, seen

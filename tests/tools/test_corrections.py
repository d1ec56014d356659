"""A correction in the books and as evidence."""

import json
from pathlib import Path
from typing import Any

from desk_device import DeskDevice
from ronda_gateway import keys
from ronda_gateway.feed import Change, Feed
from ronda_protocol import track
from ronda_tools.cli import build
from ronda_tools.evidence import examine
from ronda_tools.evidence_file import held_in, load
from ronda_tools.reconcile import Entry, from_event, from_journal, from_segment, reconcile
from typer.testing import CliRunner


def sealed() -> tuple[DeskDevice, bytes, bytes]:
    """A device, its visit and a correction of it."""
    device = DeskDevice()
    return device, device.seal_visit(), device.seal_correction(1, "outcome", "ausente")


def test_the_books_count_it_as_its_own_kind() -> None:
    import base64

    _, visit, raw = sealed()
    stored = from_segment(raw)
    (entry,) = stored.entries
    assert entry.kind == track.CORRECTION and track.NAMES[entry.kind] == "correction"
    row = {"kind": "correction", "number": entry.number, "digest": entry.digest, "log": entry.log}
    journal = from_journal(json.dumps(row) + "\n")
    assert journal == [Entry(track.CORRECTION, entry.log, 2, entry.digest)]
    data: dict[str, Any] = {"visit_id": "v", "version": 1, "portfolio": "banco-a"}
    data["correction"] = {"evidence": base64.b64encode(raw).decode()}
    event = json.loads(Feed("ronda/x").verdict(Change("desk-01", data), 1)[-1])  # type: ignore[arg-type]
    forwarded = from_event(event)
    assert forwarded is not None and forwarded.entries == stored.entries
    books = reconcile(journal, [stored], [forwarded])
    assert books.balanced and books.recorded["correction"] == books.forwarded["correction"] == 1
    assert not reconcile(journal, [stored], []).balanced
    del data["correction"]
    plain = json.loads(Feed("ronda/x").verdict(Change("desk-01", data), 1)[-1])  # type: ignore[arg-type]
    assert from_event(plain) is None
    assert "correction" not in reconcile([], [from_segment(visit)], []).stored


def test_an_event_is_held_against_what_was_signed() -> None:
    import base64

    device, visit, raw = sealed()
    event: dict[str, Any] = {
        "id": f"desk-01/{device.log_id.hex()}/1/v1",
        "type": "ronda.visit.verdict",
        "data": {
            "visit_id": f"desk-01/{device.log_id.hex()}/1",
            "correction": {
                "device": "desk-01",
                "seq": 2,
                "field": "outcome",
                "value": "ausente",
                "evidence": base64.b64encode(raw).decode(),
            },
        },
    }
    (held,) = held_in(event)
    assert held.event_id == event["id"] and examine(held, device.public).valid
    for where, value in (("visit_id", f"desk-01/{device.log_id.hex()}/2"), ("other", "mudado")):
        changed = json.loads(json.dumps(event))
        if where == "visit_id":
            changed["data"]["visit_id"] = value
        else:
            changed["data"]["correction"]["value"] = value
        (held,) = held_in(changed)
        assert not examine(held, device.public).valid
    changed = json.loads(json.dumps(event))
    changed["data"]["correction"]["evidence"] = base64.b64encode(visit).decode()
    assert not examine(held_in(changed)[0], device.public).valid
    changed["data"]["correction"] = {}
    assert held_in(changed) == []


def test_it_is_shown_and_verified(tmp_path: Path) -> None:
    device, _, raw = sealed()
    (tmp_path / "c.bin").write_bytes(raw)
    (tmp_path / "key.pem").write_bytes(keys.public_pem(device.public))
    (held,) = load(str(tmp_path / "c.bin"))
    report = examine(held, device.public)
    assert report.valid and report.correction is not None
    assert report.correction["value"] == "ausente"
    arguments = ["evidence", "verify", str(tmp_path / "c.bin"), "--key", str(tmp_path / "key.pem")]
    done = CliRunner().invoke(build(["evidence"]), arguments)
    assert done.exit_code == 0 and "corrección" in done.stdout
    shown = CliRunner().invoke(build(["evidence"]), ["evidence", "show", *arguments[2:]])
    assert (
        shown.exit_code == 0 and "debe decir «nadie en casa», porque: me equivoqué" in shown.stdout
    )
    changed = bytearray(raw)
    changed[-3] ^= 1
    (tmp_path / "c.bin").write_bytes(changed)
    assert CliRunner().invoke(build(["evidence"]), arguments).exit_code == 1

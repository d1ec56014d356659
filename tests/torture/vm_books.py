"""What real handhelds recorded, beside what the gateway stored and forwarded, for the checker.

A real handheld's records are its log's entries, as its board was told of them (the simulator's
journal), and the segments that hold them. Decides nothing itself but through `history.check` and
`ronda_tools.reconcile`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from crew import digest
from history import FinalState, History, Violation
from real_handheld import RealHandheld
from rig import Rig
from ronda_gateway.keys import verify_digest
from ronda_protocol import cose, reading
from ronda_tools import reconcile


def recorded(history: History, handheld: RealHandheld) -> list[reconcile.Entry]:
    """Its journal, each entry of it a `save` in the history."""
    text = handheld.journal.read_text() if handheld.journal.exists() else ""
    found = reconcile.from_journal(text)
    for entry in found:
        history.did("save", _key(handheld.name, entry), digest=entry.digest)
    return found


def state_of(rig: Rig, handhelds: Sequence[RealHandheld]) -> FinalState:
    """The rig's final state with the entries and signatures of real handhelds in it."""
    # The feed keeps the order of arrival and holds nothing back for a gap (protocol.md, Feeds): a
    # segment that the broker lost comes late, and its event with it.
    state = rig.final_state(arrivals=None)
    stored = list(state.stored or ())
    signed = {key: list(found) for key, found in (state.signed or {}).items()}
    for handheld in handhelds:
        for raw in raw_of(rig, handheld.name):
            sealed = reading.parse(raw)
            if not cose.verify(sealed.sign1, handheld.public, verify_digest):
                continue  # I4 then finds it in the database and among nobody's signed
            header = sealed.header
            key = f"{handheld.name}/{header.log_id.hex()}/{header.seq}"
            signed.setdefault(key, []).append(digest(raw))
            for entry in reconcile.from_segment(raw).entries:
                name = _key(handheld.name, entry)
                stored.append((name, entry.digest))
                signed.setdefault(name, []).append(entry.digest)
    state.stored, state.signed = stored, signed
    return state


def balance(
    rig: Rig, handheld: RealHandheld, journal: Sequence[reconcile.Entry]
) -> reconcile.Reconciliation:
    """Recorded, stored and forwarded of one handheld compared; Violation when something is lost or
    doubled. Entries on flash of which the board was not told yet when it died are `unrecorded`:
    under numbers of their own, or something that was told was changed."""
    forwarded: list[reconcile.Carried] = []
    for (payload,) in rig.rows("SELECT payload FROM outbox WHERE state = 1 ORDER BY id"):
        event: dict[str, Any] = json.loads(payload)
        if event["data"].get("device") == handheld.name:
            carried = reconcile.from_event(event)
            if carried is not None and event["type"] != "ronda.visit.verdict":
                forwarded.append(carried)
    kept = [reconcile.from_segment(raw) for raw in raw_of(rig, handheld.name)]
    found = reconcile.reconcile(journal, kept, forwarded)
    if found.lost:
        raise Violation("I1", f"{handheld.name}: {found.lost} lost: {found.wrong}")
    if found.doubled:
        raise Violation("I2", f"{handheld.name}: {found.doubled} doubled: {found.wrong}")
    return found


def raw_of(rig: Rig, device: str) -> list[bytes]:
    """The stored segments of a device."""
    query = (
        "SELECT s.raw FROM segments s JOIN logs l ON l.id = s.log "
        f"WHERE l.device = '{device}' ORDER BY l.id, s.seq"
    )
    return [bytes(row[0]) for row in rig.rows(query)]


def _key(device: str, entry: reconcile.Entry) -> str:
    return f"{device}/{entry.log}/e{entry.number}"

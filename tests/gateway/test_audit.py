"""An audit finds whatever differs from the raw bytes, says which row, and changes nothing."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import NOW, Bench
from desk_device import withhold
from ronda_gateway import schema
from ronda_gateway.audit import Audit, Difference
from ronda_gateway.settings import FenceSettings
from ronda_gateway.store import open_to_read
from ronda_protocol import segment, track, visit
from test_declared import a_day, claiming


def busy(bench: Bench) -> Bench:
    """Every kind of thing that a gateway comes to hold."""
    device = bench.device()
    bench.send(device.id, *device.day())
    bench.send(device.id, device.seal_correction(2, "outcome", "ausente"))
    event = [track.EVENT, device.next_numbers(1)[0], device.ms, track.FIX_LOST, None]
    bench.send(device.id, device.seal_track([event]))
    late = [device.seal_track() for _ in range(3)]
    bench.send(device.id, late[2], late[0])  # a gap, open
    whole = device.seal_visit(promise=None)
    bench.send(device.id, withhold(whole, segment.ANSWERS))
    twin = bench.device("desk-02")
    bench.send(twin.id, *twin.day(2))
    other = twin.clone()
    bench.send(twin.id, twin.seal_visit())
    bench.send(twin.id, other.seal_track(), other.seal_visit())  # a fork, and it goes on
    bench.send(twin.id, b"\xff" * 40, b"")
    waits = bench.device("desk-03", state="enrolled")
    bench.send(waits.id, *waits.day(1))
    second = bench.device("desk-04")
    bench.send(second.id, second.seal_visit(place=[1, visit.GEOCODED, 0, 1, 2, 500]))
    return bench


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = busy(Bench(tmp_path_factory.mktemp("audit") / "site"))
    bench.store.close()
    return bench.settings.database_path


@pytest.fixture
def full(made: Path, tmp_path: Path) -> Path:
    """A database of everything, to be damaged."""
    return Path(shutil.copy(made, tmp_path / "gateway.db"))


def audited(path: Path) -> list[Difference]:
    store, state = open_to_read(path)
    with closing(store):
        return list(Audit(store, FenceSettings(), derived=state == "current").differences())


def rows(path: Path, table: str, what: str = "*") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {what} FROM {table}").fetchall()


def change(path: Path, *statements: str) -> None:
    """Edit the database as somebody with a tool would."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            done = connection.execute(statement)
            assert done.rowcount, statement
        connection.commit()


def test_a_sound_database_differs_nowhere_and_stays_as_it_is(full: Path) -> None:
    path = full
    before = hashlib.sha256(path.read_bytes()).digest()
    steps: list[tuple[int, int]] = []
    store, _ = open_to_read(path)
    with closing(store):
        audit = Audit(store, FenceSettings(), lambda done, all_: steps.append((done, all_)))
        assert [d.text() for d in audit.differences()] == []
    assert audit.counts["segments"] == steps[-1][1] == len(rows(path, "segments")) > 15
    for table in (schema.fixes, schema.batteries, schema.events, schema.visits):
        assert audit.counts[table.name] == len(rows(path, table.name)) > 0
    assert audit.counts["quarantine"] == len(rows(path, "quarantine")) > 3
    assert audit.newest == NOW
    assert hashlib.sha256(path.read_bytes()).digest() == before


# What no signed bytes decide: when it came, what was told when, cursors over entry numbers.
_FREE = {
    "received_at",
    "first_at",
    "last_at",
    "numbered",
    "revoked_upto",
    "revoked_head",
    "version",
    "state",
    "id",
    "forked_from",
    "device",
    "log_id",
}
_EDITED = [
    (table.name, column.name)
    for table in (
        schema.logs,
        schema.segments,
        schema.fixes,
        schema.batteries,
        schema.events,
        schema.visits,
        schema.corrections,
    )
    for column in table.columns
    if column.name not in _FREE
]


@pytest.mark.parametrize(("table", "column"), _EDITED)
def test_a_changed_value_anywhere_is_found(full: Path, table: str, column: str) -> None:
    kinds = {type(value) for (value,) in rows(full, table, column)} - {type(None)}
    new = {
        bytes: f"CAST(substr({column}, 1, 3) || 'x' || substr({column}, 5) AS BLOB)",
        str: f"'z' || {column}",
    }.get(kinds.pop() if kinds else int, f"coalesce({column}, 0) + 7")
    key = "rowid" if table in ("logs", "segments", "visits", "corrections") else "number"
    one = f"SELECT {key} FROM {table} ORDER BY {column} IS NULL, {key} DESC LIMIT 1"
    change(full, f"UPDATE {table} SET {column} = {new} WHERE {key} = ({one})")
    found = audited(full)
    assert found, "nobody noticed"
    for difference in found:
        assert difference.text() and difference.as_json()["row"]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM fixes WHERE number = 3", "audit-missing"),
        ("DELETE FROM visits WHERE seq = 2", "audit-missing"),
        ("DELETE FROM corrections", "audit-missing"),
        ("DELETE FROM segments WHERE seq = 3", "audit-head"),
        ("DELETE FROM segments WHERE log = 1", "audit-head"),
        ("DELETE FROM logs WHERE id = 1", "audit-reference"),
        ("UPDATE segments SET link = 'broken' WHERE seq = 2", "audit-link"),
        ("UPDATE segments SET link = 'linked' WHERE link = 'gap'", "audit-link"),
        ("UPDATE visits SET overall = 'verified' WHERE seq = 2", "audit-column"),
        (
            "UPDATE visits SET verdicts = replace(verdicts, 'unverified', 'verified')",
            "audit-verdict",
        ),
        ("UPDATE visits SET verdicts = 'x' WHERE seq = 2", "audit-verdict"),
        ("UPDATE quarantine SET raw = x'00' WHERE signed = 0", "audit-digest"),
        ("UPDATE quarantine SET seq = seq + 1 WHERE signed", "audit-column"),
        ("UPDATE quarantine SET raw = zeroblob(length) WHERE signed", "audit-signature"),
        ("UPDATE held SET raw = x'00'", "audit-digest"),
        ("UPDATE device_keys SET public = zeroblob(64) WHERE device = 'desk-04'", "audit-key"),
        ("UPDATE segments SET raw = 'text' WHERE seq = 2", "audit-signature"),
        ("UPDATE segments SET raw = 7 WHERE seq = 2", "audit-signature"),
        ("UPDATE segments SET raw = substr(raw, 1, 80) WHERE seq = 2", "audit-signature"),
        (
            "INSERT INTO fixes SELECT log, seq, number + 90, ms, utc, lat_e7, lon_e7, hdop, "
            "satellites, fix_type, quality FROM fixes WHERE number = 3",
            "audit-extra",
        ),
        ("UPDATE fixes SET seq = 77 WHERE number = 3", "audit-extra"),
        ("UPDATE fixes SET log = 99 WHERE number = 3 AND log = 1", "audit-extra"),
        ("UPDATE batteries SET log = 0 WHERE log = 1", "audit-extra"),
    ],
)
def test_edits_are_named_for_what_they_are(full: Path, statement: str, code: str) -> None:
    change(full, statement)
    assert code in {difference.code for difference in audited(full)}


def test_segments_swapped_for_one_another_are_found(full: Path) -> None:
    change(
        full,
        "UPDATE segments SET raw = (SELECT raw FROM segments b WHERE b.log = 1 AND b.seq = 4) "
        "WHERE log = 1 AND seq = 2",
    )
    found = {(d.table, d.row.rsplit("/", 1)[-1], d.code) for d in audited(full)}
    assert ("segments", "2", "audit-column") in found


def test_a_segment_put_under_another_devices_log_is_found(full: Path) -> None:
    change(
        full,
        "UPDATE segments SET raw = (SELECT raw FROM segments b WHERE b.log = 2 AND b.seq = 2), "
        "chain = (SELECT chain FROM segments b WHERE b.log = 2 AND b.seq = 2) "
        "WHERE log = 1 AND seq = 2",
    )
    [first] = [d for d in audited(full) if d.code == "audit-signature"]
    assert first.fields["reason"] == "wrong_topic"


def test_flipped_bits_in_the_file_never_pass_as_other_evidence(
    full: Path,
) -> None:
    """Whatever bit flips: the audit says so, or every row is still what it was."""
    path = full
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    whole = path.read_bytes()
    evidence = _evidence(path)
    noticed = 0
    step = len(whole) // 90
    for at in range(17, len(whole), step):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            found = audited(full)
        except Exception as error:  # SetupError: not even opened
            assert type(error).__name__ == "SetupError", (at, error)
            noticed += 1
            continue
        if found:
            noticed += 1
        else:
            assert _evidence(path) == evidence, at
    path.write_bytes(whole)
    assert noticed > 6  # most of the rest is the outbox, which no bytes decide


def _evidence(path: Path) -> list[object]:
    names = ("segments", "fixes", "batteries", "events", "visits")
    undecided = "received_at"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: list[object] = []
        for name in names:
            columns = [c.name for c in schema.metadata.tables[name].columns]
            kept = ", ".join(c for c in columns if c not in (undecided, "version"))
            found += connection.execute(f"SELECT {kept} FROM {name} ORDER BY 1, 2, 3").fetchall()
        return found


def declaring(bench: Bench) -> Bench:
    """4 to 6 of a log are declared lost, then the end of that log by the one that follows it."""
    device = bench.device()
    day = a_day(device)
    bench.send(device.id, *day[:3], *day[6:])
    device.seal_track()
    device.seal_track()
    old, last = device.log_id, device.seq
    previous = [old, last, device.prev, "format"]
    device.log_id, device.seq, device.prev = b"newlog-1", 0, segment.FIRST_PREV
    bench.send(device.id, device.seal_track(previous_log=previous))
    bench.send(device.id, claiming(device, [last - 1, last, "unreadable", old]))
    bench.store.close()
    return bench


def test_what_is_declared_lost_is_in_the_signed_bytes(bench: Bench) -> None:
    path = declaring(bench).settings.database_path
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM lost").fetchone() == (2,)
    assert audited(path) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lost SET first = first - 1",
        "UPDATE lost SET last = last + 1",
        "UPDATE lost SET by_seq = 1",
        "INSERT INTO lost VALUES (1, 2, 2, 'gone', 1, 8, 1)",
        "DELETE FROM lost",
    ],
)
def test_a_range_that_nobody_declared_is_found(bench: Bench, statement: str) -> None:
    path = declaring(bench).settings.database_path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    assert audited(path)


def test_a_segment_taken_out_as_if_it_was_lost_is_found(bench: Bench) -> None:
    """Its rows are gone, its place in the chain says `lost`, and no signed byte says so."""
    device = bench.device()
    bench.send(device.id, *[device.seal_visit() for _ in range(4)])
    bench.store.close()
    path = bench.settings.database_path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM visits WHERE seq = 2")
        connection.execute("DELETE FROM segments WHERE seq = 2")
        connection.execute("UPDATE segments SET link = 'lost' WHERE seq = 3")
        connection.execute("INSERT INTO lost VALUES (1, 2, 2, 'gone', 1, 4, 1)")
        connection.commit()
    assert "lost" in {d.table for d in audited(path)}

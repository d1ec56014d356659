"""A backup is whole and verified or it is not there; a restore takes over only what is sound."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from conftest import NOW, Bench, HandClock
from desk_device import DeskDevice
from ronda_gateway import backup, fleet, lock, presence, restore, schema, store
from ronda_gateway.audit import Audit
from ronda_gateway.presence import Presence
from ronda_gateway.store import open_to_read
from ronda_gateway.wording import SetupError
from test_cli import ronda


def code(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """The code of the SetupError that a call ends with."""
    with pytest.raises(SetupError) as caught:
        call(*arguments, **options)
    [problem] = caught.value.problems
    assert problem.text("es") and problem.text("en")
    return problem.code


class Site(NamedTuple):
    """A bench with a day stored, its device, and where its database lies."""

    bench: Bench
    device: DeskDevice
    path: Path

    def backup(self, target: Path, **options: Any) -> backup.Copied:
        return backup.backup(self.path, target, self.bench.settings.fence, **options)

    def restore(self, source: Path, **options: Any) -> restore.Restored:
        return restore.restore(source, self.path, self.bench.settings.fence, **options)

    def segments(self, path: Path | None = None) -> int:
        with closing(sqlite3.connect(path or self.path)) as connection:
            return int(connection.execute("SELECT count(*) FROM segments").fetchone()[0])

    def files(self) -> set[str]:
        return {found.name for found in self.path.parent.iterdir() if found.is_file()}


@pytest.fixture
def site(bench: Bench) -> Site:
    device = bench.device()
    bench.send(device.id, *device.day())
    return Site(bench, device, bench.settings.database_path)


def differences(path: Path, site: Site) -> list[str]:
    opened, _ = open_to_read(path)
    with closing(opened):
        return [d.text() for d in Audit(opened, site.bench.settings.fence).differences()]


# ---- backup -------------------------------------------------------------------------------------


def test_a_backup_is_one_file_of_its_owner_with_a_checksum_beside(
    site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "b.db"
    steps: list[tuple[str, int, int]] = []
    made = site.backup(target, progress=lambda *step: steps.append(step))
    assert (made.segments, made.newest, made.schema) == (8, NOW, "current")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["b.db", "b.db.sha256"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "b.db.sha256").read_text() == f"{backup.digest(target)}  b.db\n"
    assert {step[0] for step in steps} == {"copy", "verify"} and steps[-1][1] == steps[-1][2]
    assert differences(target, site) == []


def test_a_backup_is_one_moment_of_a_database_that_is_written_to(
    site: Site, tmp_path: Path
) -> None:
    """Commits go on all the time; each copy is the whole of one state, and none waits for ever."""
    ended = threading.Event()
    sent = 0

    def load() -> None:
        nonlocal sent
        while not ended.is_set():
            site.bench.send(site.device.id, site.device.seal_track(), site.device.seal_visit())
            sent += 2

    writer = threading.Thread(target=load)
    writer.start()
    try:
        found = [site.backup(tmp_path / f"{n}.db").segments for n in range(3)]
    finally:
        ended.set()
        writer.join()
    assert found == sorted(found) and 8 <= found[0] < found[-1] <= 8 + sent
    for n, count in enumerate(found):
        assert site.segments(tmp_path / f"{n}.db") == count
        assert differences(tmp_path / f"{n}.db", site) == []


def test_what_is_there_is_not_overwritten_unless_told_so(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "b.db"
    target.write_text("mine")
    assert code(site.backup, target) == "backup-exists"
    assert target.read_text() == "mine"
    site.backup(target, force=True)
    assert site.segments(target) == 8
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere.db")
    assert code(site.backup, link) == "backup-exists"


@pytest.mark.parametrize("end", ["", "-wal", "-shm", ".lock"])
def test_the_database_itself_is_no_target(site: Site, end: str) -> None:
    target = site.path.with_name(site.path.name + end)
    assert code(site.backup, target, force=True) == "backup-is-database"
    assert site.segments() == 8


def test_targets_that_cannot_be(site: Site, tmp_path: Path) -> None:
    assert code(site.backup, tmp_path) == "backup-cannot-write"
    assert code(site.backup, tmp_path / "no" / "such" / "b.db") == "backup-cannot-write"
    (tmp_path / "file").write_text("")
    assert code(site.backup, tmp_path / "file" / "b.db") == "backup-cannot-write"


def test_without_room_nothing_is_left(site: Site, tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        assert code(site.backup, tmp_path / "b.db") == "backup-no-room"
    assert not list(tmp_path.glob("*b.db*"))


def test_a_disk_that_fills_up_on_the_way_leaves_nothing(site: Site, tmp_path: Path) -> None:
    real = backup._open

    def small(path: Path, mode: str, busy_ms: int = 0) -> sqlite3.Connection:
        opened = real(path, mode, busy_ms)
        if mode == "rw":
            opened.execute("PRAGMA max_page_count=3")
        return opened

    with mock.patch.object(backup, "_open", small):
        assert code(site.backup, tmp_path / "b.db") in ("backup-no-room", "backup-cannot-read")
    assert not list(tmp_path.glob("*b.db*"))


def test_what_does_not_agree_with_its_bytes_is_no_backup(site: Site, tmp_path: Path) -> None:
    with closing(sqlite3.connect(site.path)) as connection:
        connection.execute("UPDATE fixes SET lat_e7 = lat_e7 + 1 WHERE number = 3")
        connection.commit()
    target = tmp_path / "b.db"
    site_before = target.exists()
    assert code(site.backup, target) == "backup-wrong"
    assert not site_before and not list(tmp_path.glob("*b.db*"))
    target.write_text("older")
    assert code(site.backup, target, force=True) == "backup-wrong"
    assert target.read_text() == "older"


def test_a_database_of_an_older_schema_can_be_copied_before_it_is_migrated(
    site: Site, tmp_path: Path
) -> None:
    _older(site.path)
    made = site.backup(tmp_path / "b.db")
    assert (made.schema, made.segments) == ("old", 8)
    done = site.restore(tmp_path / "b.db")
    assert done.copied.schema == "current" and differences(site.path, site) == []


def _older(path: Path) -> None:
    """As release 0003 had it, with the same segments: what came later is taken away."""
    later = ("unconfirmed", "command_ids", "resends", "lost")
    with closing(sqlite3.connect(path)) as connection:
        for table in later:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
        connection.commit()


# ---- restore ------------------------------------------------------------------------------------


def test_a_restored_database_is_the_backup_and_the_old_one_is_kept(
    site: Site, tmp_path: Path
) -> None:
    site.backup(tmp_path / "b.db")
    site.bench.send(site.device.id, *site.device.day(2))  # in the WAL, maybe nowhere else
    site.path.chmod(0o640)
    done = site.restore(tmp_path / "b.db", now=NOW)
    assert done.aside and done.aside.name == "gateway.db.before-20260915T134640Z"
    assert (site.segments(), site.segments(done.aside)) == (8, 12)
    assert done.copied.segments == 8 and done.summed and done.compared
    assert differences(site.path, site) == [] and differences(done.aside, site) == []
    assert site.path.stat().st_mode & 0o777 == 0o640
    again = site.restore(tmp_path / "b.db", now=NOW)
    assert again.aside and again.aside.name.endswith("Z-2")
    assert not [name for name in site.files() if name.startswith(".")]


def test_a_restore_waits_for_no_gateway_but_refuses(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.db")
    with closing(lock.hold(site.path)):
        assert code(site.restore, tmp_path / "b.db") == "db-in-use"
    assert site.restore(tmp_path / "b.db").aside


def _cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _flip(raw: bytes) -> bytes:
    at = raw.index(b"banco-a")
    return raw[:at] + b"B" + raw[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda _: b"", "restore-not-a-backup"),
        (lambda _: b"no database at all" * 100, "restore-not-a-backup"),
        (lambda raw: raw[:100], "restore-not-a-backup"),
        (_cut, "restore-checksum"),
        (_flip, "restore-checksum"),
        (lambda raw: raw + b"x", "restore-checksum"),
    ],
)
def test_a_spoilt_backup_changes_nothing(
    site: Site, tmp_path: Path, spoil: Callable[[bytes], bytes], refusal: str
) -> None:
    target = tmp_path / "b.db"
    site.backup(target)
    site.bench.send(site.device.id, *site.device.day(1))
    files = site.files() | {"gateway.db.lock"}
    target.write_bytes(spoil(target.read_bytes()))
    assert code(site.restore, target) == refusal
    assert site.files() <= files and site.segments() == 10
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".b.db")]


def test_without_its_checksum_a_backup_is_judged_by_the_signed_bytes(
    site: Site, tmp_path: Path
) -> None:
    target = tmp_path / "b.db"
    site.backup(target)
    backup.sums_of(target).unlink()
    sound = target.read_bytes()
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("UPDATE visits SET outcome = 'pagó' WHERE seq = 2")
        connection.commit()
    assert code(site.restore, target) == "restore-wrong"
    assert site.segments() == 8 and not list(site.path.parent.glob("*before*"))
    done = site.restore(target, force=True)
    assert done.aside and not done.summed
    target.write_bytes(_cut(sound))
    assert code(site.restore, target) in ("restore-wrong", "db-not-a-database", "db-cannot-open")
    target.write_bytes(sound)
    assert site.restore(target).summed is False and differences(site.path, site) == []


def test_other_files_are_no_backups(site: Site, tmp_path: Path) -> None:
    assert code(site.restore, tmp_path / "no.db") == "restore-missing"
    assert code(site.restore, tmp_path) == "restore-not-a-backup"
    assert code(site.restore, site.path) == "restore-not-a-backup"
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE shopping (milk)")
    assert code(site.restore, tmp_path / "other.db") == "db-not-a-database"
    site.backup(tmp_path / "new.db")
    backup.sums_of(tmp_path / "new.db").unlink()
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    assert code(site.restore, tmp_path / "new.db") == "db-too-new"
    assert site.segments() == 8


def test_a_restore_without_room_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.db")
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    with mock.patch.object(shutil, "disk_usage", return_value=usage):
        assert code(site.restore, tmp_path / "b.db") == "backup-no-room"
    assert site.segments() == 8 and not list(site.path.parent.glob("*before*"))


def test_a_ruined_or_absent_database_does_not_stop_a_restore(site: Site, tmp_path: Path) -> None:
    site.backup(tmp_path / "b.db")
    site.bench.store.close()
    site.path.write_bytes(b"\x00" * 5000)
    done = site.restore(tmp_path / "b.db")
    assert done.aside and not done.compared and done.aside.read_bytes() == b"\x00" * 5000
    site.path.unlink()
    # What another database left behind must not be taken for this one's.
    site.path.with_name("gateway.db-wal").write_bytes(b"\x37\x7f\x06\x82" + bytes(4000))
    done = site.restore(tmp_path / "b.db")
    assert done.aside is None and differences(site.path, site) == []


# ---- afterwards ---------------------------------------------------------------------------------


def test_a_revocation_since_the_backup_stands_and_enrolments_are_named(
    site: Site, tmp_path: Path
) -> None:
    bench = site.bench
    bench.device("desk-02")
    bench.device("desk-03", state="enrolled")
    site.backup(tmp_path / "b.db")
    fleet.revoke(bench.store, "desk-02", NOW)
    fleet.enable(bench.store, "desk-03", NOW)
    bench.device("desk-04")
    done = site.restore(tmp_path / "b.db")
    assert (done.revoked, done.unknown) == (["desk-02"], ["desk-03", "desk-04"])
    opened = store.open_store(site.path)
    with closing(opened):
        states = {device.id: device.state for device in fleet.listing(opened)}
    assert states == {"desk-01": "enabled", "desk-02": "revoked", "desk-03": "enrolled"}


def test_a_restored_gateway_sees_what_it_lacks_and_takes_it_again(
    site: Site, tmp_path: Path
) -> None:
    """Even when nothing new comes: the handheld's own count says it; and no version of a visit's
    verdict is told a second time."""
    bench, device = site.bench, site.device
    site.backup(tmp_path / "b.db")
    lacking = device.day(2)
    bench.send(device.id, *lacking)
    bench.send(device.id, device.seal_correction(2, "outcome", "ausente"))
    told = _versions(bench)
    bench.store.close()
    site.restore(tmp_path / "b.db", now=NOW + 5)
    bench.store = store.open_store(site.path)
    bench.recorder = bench.new_recorder()
    heard = Presence(bench.store, HandClock(), bench.recorder.counters)
    heard.heard(device.id, json.dumps({"online": True, "seq": 13, "unsent": 0}).encode())
    heard.settle()
    with bench.store.read() as connection:
        [behind] = presence.behind(connection)
    assert (behind.device, behind.first, behind.last) == (device.id, 9, 13)
    bench.send(device.id, *device.sealed[8:])
    with bench.store.read() as connection:
        assert presence.behind(connection) == []
    assert differences(site.path, site) == [] and len(bench.rows(schema.visits)) == 6
    assert _versions(bench) == {f"{device.id}/{device.log_id.hex()}/2/v{NOW + 5}"}
    assert told == {f"{device.id}/{device.log_id.hex()}/2/v1"}


def _versions(bench: Bench) -> set[str]:
    return {row.event for row in bench.rows(schema.outbox) if "/v" in row.event}


def test_as_an_operator_types_them(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert ronda("site", "init", folder, "--site", "lima", "--port", "1").returncode == 0
    config = ("--config", folder / "gateway.toml")
    target = tmp_path / "b.db"
    made = ronda("gateway", "backup", target, *config)
    assert made.returncode == 0 and "No lleva claves" in made.stdout
    again = ronda("gateway", "backup", target, *config, RONDA_LANG="en")
    assert again.returncode == 2 and "--force" in again.stderr and not again.stdout
    found = json.loads(ronda("gateway", "backup", target, *config, "--force", "--json").stdout)
    assert found["sha256"] == backup.digest(target) and found["newest_at"] is None
    sound = ronda("gateway", "audit", *config, "--json")
    assert sound.returncode == 0 and json.loads(sound.stdout)["ok"]
    done = ronda("gateway", "restore", target, *config, RONDA_LANG="en")
    assert done.returncode == 0 and "grace" not in done.stderr
    assert "`ronda gateway run`" in done.stdout and ".before-" in done.stdout
    told = json.loads(ronda("gateway", "restore", target, *config, "--json").stdout)
    assert told["aside"] and told["checksum"]
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        connection.execute("INSERT INTO devices VALUES ('desk-01', 'enabled', 1, 1, NULL)")
        connection.execute("INSERT INTO device_keys VALUES (x'01', 'desk-01', x'02', 1)")
        connection.commit()
    wrong = ronda("gateway", "audit", *config)
    assert wrong.returncode == 1 and "device_keys desk-01 01" in wrong.stdout
    data = json.loads(ronda("gateway", "audit", *config, "--json").stdout)
    assert (data["ok"], data["count"], data["differences"][0]["code"]) == (False, 1, "audit-key")
    assert ronda("gateway", "audit", "--file", target, *config).returncode == 0
    assert ronda("gateway", "audit", "--file", tmp_path / "no.db", *config).returncode == 2
    assert ronda("gateway", "restore", tmp_path / "no.db", *config).returncode == 2

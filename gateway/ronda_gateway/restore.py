"""Puts a backup in the place of the database: verified first, the old one kept aside.

At any moment, whatever is cut off, the database's name leads to a whole file: the old one or the
new one. What was stored since the backup comes again from the handhelds' grace; which of them
lack what, the gateway finds out by itself (`presence.behind`, gaps). A revocation is never
undone. Making backups is `backup.py`'s.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from ronda_gateway import backup, fleet, lock, store
from ronda_gateway.backup import Copied, Progress
from ronda_gateway.settings import FenceSettings
from ronda_gateway.wording import setup_error

_MAGIC = b"SQLite format 3\x00"
_SMALLEST = 512


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    `aside`: where the old database lies, None when there was none. `revoked`: devices revoked
    since the backup, and revoked again now. `unknown`: devices enrolled or enabled since, which
    have to be enrolled or enabled again. `compared`: the old database could be read for that.
    `summed`: the backup had its checksum beside it, and it is right.
    """

    copied: Copied
    aside: Path | None
    revoked: list[str] = field(default_factory=list[str])
    unknown: list[str] = field(default_factory=list[str])
    compared: bool = True
    summed: bool = True


def restore(
    source: Path,
    database: Path,
    fence: FenceSettings,
    *,
    force: bool = False,
    progress: Progress = backup.nothing,
    now: int | None = None,
) -> Restored:
    """Verify a backup, then put a copy of it in the database's place.

    Refuses while a gateway runs on the database. With `force` a backup that does not agree with
    its signed bytes is taken all the same. SetupError: nothing was changed.
    """
    summed = _looked_at(source)
    if source.resolve() == database.resolve():
        raise setup_error("restore-not-a-backup", path=source, why=f"= {database}")
    with closing(lock.hold(database)), backup.draft(database) as path:
        backup.copy(source, path, progress, 0)
        if path.exists() and store.open_to_read(path)[1] == "old":
            # Verified as it is first: a migration does not look at what it moves.
            backup.verified(path, fence, progress, "restore-wrong", force=force)
            store.migrate(path)
        found = _fleet_since(database, path)
        moment = int(time.time()) if now is None else now
        _mark(path, found[0], moment)
        copied = backup.verified(path, fence, progress, "restore-wrong", force=force)
        aside = _swap(path, database, moment)
    return Restored(replace(copied, path=source), aside, *found, summed)


def _looked_at(source: Path) -> bool:
    """Whether the checksum beside a backup was there, and right; SetupError: it is no backup."""
    if not source.exists():
        raise setup_error("restore-missing", path=source)
    if not source.is_file():
        raise setup_error("restore-not-a-backup", path=source, why="not a file")
    try:
        with source.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise setup_error("backup-cannot-read", path=source, why=error.strerror) from None
    if source.stat().st_size < _SMALLEST or begins != _MAGIC:
        size = source.stat().st_size
        raise setup_error("restore-not-a-backup", path=source, why=f"{size} B, {begins[:8]!r}")
    sums = backup.sums_of(source)
    if sums.exists():
        words = sums.read_bytes()[:200].split()
        if not words or words[0] != backup.digest(source).encode():
            raise setup_error("restore-checksum", path=source, sums=sums.name)
    store.open_to_read(source)[0].close()
    return sums.exists()


# ---- the fleet must not go backward ----------------------------------------------------------


def _fleet_since(old: Path, new: Path) -> tuple[list[str], list[str], bool]:
    """(devices that the old database has revoked and the new one not, those that it knows or has
    enabled and the new one not, whether the old one could be read)."""
    if not old.exists():
        return [], [], True
    try:
        was, is_now = _states(old), _states(new)
    except sqlite3.Error:
        return [], [], False
    revoked = [d for d in was if was[d] == fleet.REVOKED and is_now.get(d) != fleet.REVOKED]
    others = [d for d in was if was[d] != fleet.REVOKED and _less(is_now.get(d), was[d])]
    return sorted(d for d in revoked if d in is_now), sorted(others), True


def _less(now: str | None, was: str) -> bool:
    return now is None or (now, was) == (fleet.ENROLLED, fleet.ENABLED)


def _states(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT id, state FROM devices"))


def _mark(path: Path, revoked: list[str], now: int) -> None:
    """Write down when this was restored, and what must not be undone."""
    opened = store.open_store(path)
    with closing(opened):
        for device in revoked:
            fleet.revoke(opened, device, now)
        with opened.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO meta (key, value) VALUES ('restored', ?) "
                "ON CONFLICT (key) DO UPDATE SET value = max(value + 1, excluded.value)",
                (now,),
            )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    backup.sync(path)


# ---- taking the place ------------------------------------------------------------------------


def _swap(path: Path, database: Path, now: int) -> Path | None:
    """Put a file in the database's place and keep what was there; where that is now."""
    beside = [database.with_name(database.name + end) for end in ("-wal", "-shm")]
    try:
        aside = _aside(database, now) if database.exists() else None
        if aside:
            _as_it_was(database, path)
            # Its last commits may be in the WAL: into the file with them, if it can still be read.
            with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(database)) as old:
                old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _name_too(database, aside)
            for other in beside:
                if other.exists():
                    other.rename(aside.with_name(aside.name + other.name[len(database.name) :]))
        else:
            for other in beside:
                other.unlink(missing_ok=True)  # nobody's: the new file must not take them for its
        backup.sync(path)
        path.replace(database)
        backup.sync(database.parent)
    except OSError as error:
        why = error.strerror or str(error)
        raise setup_error("backup-cannot-write", path=database, why=why) from None
    return aside


def _as_it_was(database: Path, path: Path) -> None:
    """Mode and owner of the old file, so that the gateway's user can work with the new one."""
    shutil.copymode(database, path)
    owner = database.stat()
    with contextlib.suppress(PermissionError):
        os.chown(path, owner.st_uid, owner.st_gid)


def _name_too(database: Path, aside: Path) -> None:
    try:
        os.link(database, aside)
    except OSError:
        # A file system without links: for a moment there is no file under the database's name.
        database.rename(aside)


def _aside(database: Path, now: int) -> Path:
    """A free name for the old database, with the time (UTC) at which it was set aside."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside = database.with_name(f"{database.name}.before-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = database.with_name(f"{database.name}.before-{stamp}-{number}")
    return aside

"""A copy of the database while the gateway runs: SQLite's online backup, verified, then named.

The copy is one file that needs no other, beside it `<name>.sha256` as sha256sum writes it. It
holds no private key. Either all of it appears under its name, or nothing does. Putting one back
is `restore.py`'s.
"""

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from ronda_gateway.audit import Audit, Difference
from ronda_gateway.settings import FenceSettings
from ronda_gateway.store import open_to_read
from ronda_gateway.wording import SetupError, setup_error

# A step of the copy: short enough that the gateway's checkpoints are not held up for long.
_PAGES = 256
_MIB = 1 << 20
# Room that a copy leaves on its disk.
_SPARE = 8 * _MIB
SUMS = ".sha256"

Progress = Callable[[str, int, int], None]
"""Called now and then with (what is done: "copy" or "verify", how much of it, of how much)."""


@dataclass(frozen=True)
class Copied:
    """A database file that was looked through; `newest` is when its last segment came, unix
    seconds (0: none), `schema` "current" or "old": of an old one no derived rows are verified."""

    path: Path
    size: int
    sha256: str
    schema: str
    segments: int
    newest: int


def nothing(_what: str, _done: int, _all: int) -> None:
    """A Progress that tells nobody."""


def backup(
    database: Path,
    target: Path,
    fence: FenceSettings,
    *,
    force: bool = False,
    progress: Progress = nothing,
    busy_ms: int = 5000,
) -> Copied:
    """Copy a database, in use or not, to `target` and verify the copy from its raw bytes.

    SetupError: the target exists (without `force`), no room, not writable, or what is copied does
    not agree with itself: then the copy is not kept.
    """
    _check_target(database, target, force)
    open_to_read(database, busy_ms)[0].close()
    with draft(target) as path:
        copy(database, path, progress, busy_ms)
        try:
            made = verified(path, fence, progress, "backup-wrong")
            _publish(path, target, made)
        except OSError as error:
            raise _cannot_write(target, error) from None
    return replace(made, path=target)


def _check_target(database: Path, target: Path, force: bool) -> None:
    beside = {database.with_name(database.name + end) for end in ("", "-wal", "-shm", ".lock")}
    if target.resolve() in {path.resolve() for path in beside}:
        raise setup_error("backup-is-database", path=target)
    if target.is_dir():
        raise setup_error("backup-cannot-write", path=target, why="is a folder")
    if (target.exists() or target.is_symlink()) and not force:
        raise setup_error("backup-exists", path=target)


def _publish(path: Path, target: Path, made: Copied) -> None:
    """Give the copy its name, then its checksum: a copy without one is told from a wrong one."""
    sums = sums_of(target)
    sums.unlink(missing_ok=True)
    path.replace(target)
    beside = path.with_name(path.name + SUMS)
    beside.write_text(f"{made.sha256}  {target.name}\n")
    sync(beside)
    beside.replace(sums)
    sync(target.parent)


def sums_of(path: Path) -> Path:
    """Where the checksum of a copy lies."""
    return path.with_name(path.name + SUMS)


@contextmanager
def draft(target: Path) -> Generator[Path]:
    """A fresh file beside `target`, for its owner alone; gone afterwards, whatever happened."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from None
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        for end in ("", "-journal", "-wal", "-shm", SUMS):
            path.with_name(path.name + end).unlink(missing_ok=True)


def copy(source: Path, target: Path, progress: Progress, busy_ms: int) -> None:
    """One consistent view of a database into an empty file, on disk when this returns.

    The file is in rollback mode: it needs no WAL beside it. SetupError: no room, or unreadable.
    """
    _room(source, target)
    try:
        with closing(_open(source, "ro", busy_ms)) as here, closing(_open(target, "rw")) as there:
            # An open transaction of its own: else every commit of the gateway would make SQLite
            # begin the copy anew.
            here.execute("BEGIN")
            here.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            here.backup(
                there,
                pages=_PAGES,
                sleep=0.0,
                progress=lambda _, left, all_: progress("copy", all_ - left, all_),
            )
            there.execute("PRAGMA journal_mode=DELETE")
        sync(target)
    except sqlite3.Error as error:
        if "full" in str(error):
            raise _no_room(source, target) from None
        code = "backup-cannot-write" if _is_write(error) else "backup-cannot-read"
        path = target if code == "backup-cannot-write" else source
        raise setup_error(code, path=path, why=error) from None
    except OSError as error:
        raise _cannot_write(target, error) from None


def _is_write(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name in ("SQLITE_READONLY", "SQLITE_CANTOPEN") or "WRITE" in name or "FSYNC" in name


def _open(path: Path, mode: str, busy_ms: int = 0) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_ms / 1000)


def _room(source: Path, target: Path) -> None:
    if shutil.disk_usage(target.parent).free < _needed(source) + _SPARE:
        raise _no_room(source, target)


def _needed(source: Path) -> int:
    wal = source.with_name(source.name + "-wal")
    return source.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _no_room(source: Path, target: Path) -> SetupError:
    free = shutil.disk_usage(target.parent).free
    needed = _needed(source) + _SPARE
    return setup_error(
        "backup-no-room", path=target.parent, needed=-(-needed // _MIB), free=free // _MIB
    )


def _cannot_write(target: Path, error: OSError) -> SetupError:
    return setup_error("backup-cannot-write", path=target, why=error.strerror or error)


def verified(
    path: Path, fence: FenceSettings, progress: Progress, code: str, *, force: bool = False
) -> Copied:
    """Look through a file: everything an audit does. SetupError(code) when something differs and
    it is not to be taken all the same."""
    store, schema = open_to_read(path)
    with closing(store):
        audit = Audit(
            store,
            fence,
            lambda done, all_: progress("verify", done, all_),
            derived=schema == "current",
        )
        first: Difference | None = None
        count = 0
        for difference in audit.differences():
            first, count = first or difference, count + 1
    if first and not force:
        raise setup_error(code, path=path, count=count, first=first.text())
    segments = audit.counts["segments"]
    return Copied(path, path.stat().st_size, digest(path), schema, segments, audit.newest)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have a file, or a folder's names, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

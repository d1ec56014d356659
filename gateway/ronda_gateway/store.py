"""Opening, migrating and bulk-writing the gateway's database; what the rows mean is elsewhere.

SQLite in WAL mode with synchronous=FULL: a commit that returned is on disk. Every failure to
open is a SetupError that names the file and what to do; nothing is created except by `migrate`.
"""

import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, exc
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from ronda_gateway import schema
from ronda_gateway.wording import SetupError, setup_error

_MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored segment; `raw` is the sealed bytes, `status` as in schema."""

    device: str
    log_id: bytes
    seq: int
    status: int
    raw: bytes


class Store:
    """An open database of the current schema. Thread-safe: writers of this process take turns."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self._turn = threading.Lock()
        self._inserts: dict[tuple[str, bool], str] = {}

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """A transaction that holds the write lock from its start; committed on leaving."""
        with self._turn, self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A transaction for reading only: one consistent view, never waits for writers."""
        connection = self.engine.connect().execution_options(ronda_read=True)
        with connection, connection.begin():
            yield connection

    def insert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[tuple[object, ...]],
        keep_old: bool = False,
    ) -> int:
        """Insert rows of all the table's columns in order; the count that was inserted.

        With `keep_old` a row that breaks a unique constraint is passed over. Positional tuples
        skip SQLAlchemy's handling of parameters by name, which costs more than the insert.
        """
        if not rows:
            return 0
        key = (table.name, keep_old)
        if key not in self._inserts:
            self._inserts[key] = _insert_sql(table, keep_old, self.engine.dialect)
        done = connection.exec_driver_sql(self._inserts[key], list(rows))
        return done.rowcount

    def segments(self, device: str | None = None) -> list[Stored]:
        """Every stored segment as sealed, of one device or all, by log and seq."""
        table, logs = schema.segments, schema.logs
        query = (
            sa.select(logs.c.device, logs.c.log_id, table.c.seq, table.c.status, table.c.raw)
            .join(logs, logs.c.id == table.c.log)
            .order_by(table.c.log, table.c.seq)
        )
        if device is not None:
            query = query.where(logs.c.device == device)
        with self.read() as connection:
            rows = connection.execute(query).all()
        return [Stored(r.device, r.log_id, r.seq, r.status, r.raw) for r in rows]

    def outbox_depth(self) -> int:
        """Events that have not left: not yet with the feed's broker, or with feed.confirm not
        confirmed by the consumer; those set aside not counted."""
        table = schema.outbox
        query = sa.select(sa.func.count()).select_from(table).where(table.c.state.in_((0, 3)))
        with self.read() as connection:
            return connection.scalar(query) or 0

    def close(self) -> None:
        """Close all connections; SQLite folds the WAL back into the file."""
        self.engine.dispose()


def open_store(path: Path, busy_ms: int = 5000) -> Store:
    """The store in an existing file of the current schema; SetupError otherwise."""
    state = _looked_at(path, busy_ms)
    if state != "current":
        raise setup_error("db-not-migrated", path=path)
    store = Store(_engine(path, "rw", busy_ms), path)
    try:
        with store.write() as connection:  # a read-only file or folder shows here
            connection.execute(
                schema.meta.update()
                .where(schema.meta.c.key == "opened")
                .values(value=schema.meta.c.value + 1)
            )
    except exc.DBAPIError as error:
        store.close()
        raise setup_error("db-not-writable", path=path, why=error.orig) from None
    return store


def open_to_read(path: Path, busy_ms: int = 5000) -> tuple[Store, str]:
    """The store in an existing file, for `read` alone, and its state: "current" or "old" (of an
    older schema). SetupError otherwise. Nothing in the file changes."""
    state = _looked_at(path, busy_ms)
    if state == "empty":
        raise setup_error("db-not-a-database", path=path)
    return Store(_engine(path, "ro", busy_ms), path), state


def migrate(path: Path, busy_ms: int = 5000) -> tuple[str, str]:
    """Bring a file to the current schema, making it if absent; (revision before, after)."""
    if path.exists():
        _looked_at(path, busy_ms)
    engine = _engine(path, "rwc", busy_ms)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with engine.connect() as connection:
            before = MigrationContext.configure(connection).get_current_revision() or ""
            connection.rollback()
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except exc.DBAPIError as error:
        raise setup_error("db-not-writable", path=path, why=error.orig) from None
    finally:
        engine.dispose()
    return before, newest_revision()


def newest_revision() -> str:
    """The revision this program works with."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head() or ""


def _looked_at(path: Path, busy_ms: int) -> str:
    """ "current", "old" or "empty"; SetupError for a file that is absent, foreign or newer."""
    if not path.exists():
        raise setup_error("db-missing", path=path)
    if not path.is_file():
        raise setup_error("db-cannot-open", path=path, why="not a file")
    engine = _engine(path, "ro", busy_ms)
    try:
        with engine.connect().execution_options(ronda_read=True) as connection:
            tables = set(sa.inspect(connection).get_table_names())
            revision = MigrationContext.configure(connection).get_current_revision()
    except exc.DBAPIError as error:
        raise _not_opened(path, error) from None
    finally:
        engine.dispose()
    if not tables:
        return "empty"
    if revision is None:
        raise setup_error("db-not-a-database", path=path)
    if revision == newest_revision():
        return "current"
    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if revision not in known:
        raise setup_error("db-too-new", path=path, revision=revision)
    return "old"


def _not_opened(path: Path, error: exc.DBAPIError) -> SetupError:
    if "not a database" in str(error.orig) or "malformed" in str(error.orig):
        return setup_error("db-not-a-database", path=path)
    return setup_error("db-cannot-open", path=path, why=error.orig)


def _engine(path: Path, mode: str, busy_ms: int) -> sa.Engine:
    # A URI so that opening never creates a file by accident (mode=rw).
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000
        )

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def prepare(dbapi: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        pragmas = ["foreign_keys=ON", "trusted_schema=OFF", f"busy_timeout={busy_ms}"]
        if mode != "ro":
            # FULL: the WAL is synced at each commit: a receipt never runs ahead of the disk.
            pragmas += ["journal_mode=WAL", "synchronous=FULL"]
        for pragma in pragmas:
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # The driver's own transaction handling is off (isolation_level=None): a writer takes the
        # lock at once, where waiting is harmless, not in the middle, where it would fail.
        reading = connection.get_execution_options().get("ronda_read", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    del prepare, begin
    return engine


def _insert_sql(table: sa.Table, keep_old: bool, dialect: sa.Dialect) -> str:
    statement = sqlite.insert(table)
    if keep_old:
        statement = statement.on_conflict_do_nothing()
    names = [column.name for column in table.columns]
    return str(statement.compile(dialect=dialect, column_keys=names))

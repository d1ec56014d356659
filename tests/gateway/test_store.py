"""The database: made only by migrate, opened only when it is ours and current, durable."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ronda_gateway import schema, store
from ronda_gateway.wording import SetupError


def refused(path: Path) -> str:
    with pytest.raises(SetupError) as caught:
        store.open_store(path)
    (problem,) = caught.value.problems
    assert str(path) in problem.text("es") and str(path) in problem.text("en")
    return problem.code


def tables(connection: sa.Connection) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
    return {row.name: row.sql for row in connection.exec_driver_sql(query)}


def test_migrate_makes_the_schema_of_the_code(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    assert store.migrate(path) == ("", store.newest_revision())
    assert store.migrate(path) == (store.newest_revision(), store.newest_revision())
    opened = store.open_store(path)
    with opened.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
        assert differences == []
        made = tables(connection)
    opened.close()
    engine = sa.create_engine("sqlite://")
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        wanted = tables(connection)
    for name, sql in wanted.items():
        # compare_metadata does not see these.
        for words in ("WITHOUT ROWID", "AUTOINCREMENT", "UNIQUE"):
            assert (words in sql) == (words in made[name]), name


def test_a_commit_is_on_disk(tmp_path: Path) -> None:
    store.migrate(tmp_path / "g.db")
    opened = store.open_store(tmp_path / "g.db")
    with opened.read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }
    opened.close()


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert refused(tmp_path / "g.db") == "db-missing"
    assert refused(tmp_path / "no" / "g.db") == "db-missing"
    assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_refused_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert refused(folder) == "db-cannot-open"
    for raw in (b"hello" * 500, b"SQLite format 3\x00" + os.urandom(4000)):
        path = tmp_path / "x"
        path.write_bytes(raw)
        assert refused(path) == "db-not-a-database"
        with pytest.raises(SetupError):
            store.migrate(path)
        assert path.read_bytes() == raw
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()
    assert refused(other) == "db-not-a-database"
    with pytest.raises(SetupError) as caught:
        store.migrate(other)
    assert caught.value.problems[0].code == "db-not-a-database"
    tables = sqlite3.connect(other).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("customers",)]


def test_an_empty_file_needs_migrating(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    path.touch()
    assert refused(path) == "db-not-migrated"
    store.migrate(path)
    store.open_store(path).close()


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    store.migrate(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert refused(path) == "db-too-new"
    with pytest.raises(SetupError) as caught:
        store.migrate(path)
    assert caught.value.problems[0].code == "db-too-new"
    assert path.read_bytes() == before


def test_a_database_it_may_not_write(tmp_path: Path) -> None:
    """In a process that is not root, for whom no file is read-only."""
    folder = Path("/tmp") if os.geteuid() == 0 else tmp_path
    import shutil
    import tempfile

    scratch = Path(tempfile.mkdtemp(dir=folder))
    try:
        path = scratch / "g.db"
        store.migrate(path)
        path.chmod(0o444)
        scratch.chmod(0o555)
        program = (
            "import os, sys\n"
            "sys.path[:0] = sys.argv[2].split(os.pathsep)\n"
            "from pathlib import Path\n"
            "from ronda_gateway import store\n"
            "from ronda_gateway.wording import SetupError\n"
            "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
            "try: store.open_store(Path(sys.argv[1]))\n"
            "except SetupError as error: print(error.problems[0].code)\n"
        )
        paths = os.pathsep.join(sys.path)
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), paths],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.strip() in {"db-not-writable", "db-cannot-open"}, done.stderr
    finally:
        scratch.chmod(0o755)
        shutil.rmtree(scratch)


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store.migrate(tmp_path / "g.db")
    opened = store.open_store(tmp_path / "g.db")
    row = ("desk-01", "enrolled", 1, None, None)
    with pytest.raises(sa.exc.IntegrityError), opened.write() as connection:
        opened.insert(connection, schema.devices, [row])
        opened.insert(connection, schema.devices, [row])
    with opened.write() as connection:
        assert opened.insert(connection, schema.devices, [row]) == 1
        assert opened.insert(connection, schema.devices, [row], keep_old=True) == 0
        assert opened.insert(connection, schema.devices, []) == 0
    opened.close()

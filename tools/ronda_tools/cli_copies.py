"""`ronda gateway backup|restore|audit`. Only arguments, progress and printing."""

import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from ronda_gateway import backup as making
from ronda_gateway import restore as putting
from ronda_gateway import settings, store
from ronda_gateway.audit import Audit, Difference

from ronda_tools import catalogue_copies, texts
from ronda_tools.cli_options import Config, Json, config_path
from ronda_tools.texts import reported, say

texts.add(catalogue_copies.TEXTS)

# Differences that are printed one by one; the others are counted.
_SHOWN = 100
# Days that handhelds keep what was receipted, unless their storage is short (protocol.md).
_GRACE_DAYS = 7
_DAY = 86400
_MIB = 1 << 20

Force = Annotated[bool, typer.Option("--force", help=say("copies.help.force"))]
File = Annotated[Path, typer.Argument(metavar="FILE", help=say("copies.help.file"))]
Progress = Callable[[str, int, int], None]


def backup(
    file: File, config: Config = None, *, force: Force = False, as_data: Json = False
) -> None:
    """Copy the database, in use or not; exit 2 when that cannot be done."""
    with reported(), _bars() as progress:
        found = settings.load(config_path(config))
        made = making.backup(
            found.database_path,
            file,
            found.fence,
            force=force,
            progress=progress,
            busy_ms=found.database.busy_ms,
        )
    told = {"file": str(file), "bytes": made.size, "sha256": made.sha256, "schema": made.schema}
    told |= {"segments": made.segments, "newest_at": made.newest or None}
    if as_data:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    size, newest = _mib(made.size), _when(made.newest)
    typer.echo(say("copies.made", path=file, size=size, segments=made.segments, newest=newest))
    if made.schema == "old":
        typer.echo(say("copies.old"))
    typer.echo(say("copies.keys", key=found.key_path, folder=found.folder))


def restore(
    file: File, config: Config = None, *, force: Force = False, as_data: Json = False
) -> None:
    """Put a backup in the database's place; exit 2 when that cannot be done."""
    with reported(), _bars() as progress:
        found = settings.load(config_path(config))
        done = putting.restore(
            file, found.database_path, found.fence, force=force, progress=progress
        )
    if as_data:
        told = {"file": str(file), "database": str(found.database_path)}
        told |= {"aside": str(done.aside) if done.aside else None}
        told |= {"segments": done.copied.segments, "newest_at": done.copied.newest or None}
        told |= {"checksum": done.summed, "revoked": done.revoked, "unknown": done.unknown}
        typer.echo(json.dumps(told | {"compared": done.compared}, ensure_ascii=False))
        return
    _tell_restored(done, file, found.database_path)


def _tell_restored(done: putting.Restored, file: Path, database: Path) -> None:
    newest = done.copied.newest
    told = {"segments": done.copied.segments, "newest": _when(newest)}
    typer.echo(say("copies.restored", path=file, database=database, **told))
    if done.aside:
        typer.echo(say("copies.aside", path=done.aside))
    if not done.summed:
        typer.echo(say("copies.unsummed"))
    if done.revoked:
        typer.echo(say("copies.revoked", devices=", ".join(done.revoked)))
    if done.unknown:
        typer.echo(say("copies.unknown", devices=", ".join(done.unknown)))
    if not done.compared:
        typer.echo(say("copies.not_compared"))
    typer.echo(say("copies.next"))
    if newest and time.time() - newest > _GRACE_DAYS * _DAY:
        typer.echo(say("copies.too_old", days=_GRACE_DAYS))


def audit(
    config: Config = None,
    *,
    as_data: Json = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help=say("copies.help.audited"))
    ] = None,
) -> None:
    """Verify everything stored again; exit 0 in order, 1 with differences, 2 unreadable."""
    began = time.monotonic()
    with reported(), _bars() as progress:
        found = settings.load(config_path(config))
        path = file or found.database_path
        opened, schema = store.open_to_read(path, found.database.busy_ms)
        with closing(opened):
            looking = Audit(
                opened,
                found.fence,
                lambda done, all_: progress("verify", done, all_),
                derived=schema == "current",
            )
            shown, count = _look(looking, as_data)
    if as_data:
        told = {"ok": not count, "database": str(path), "schema": schema}
        told |= {"checked": dict(looking.counts), "differences": shown, "count": count}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _tell_audited(looking, path, schema, count, time.monotonic() - began)
    raise typer.Exit(1 if count else 0)


def _look(looking: Audit, as_data: bool) -> tuple[list[dict[str, object]], int]:
    """(the first differences for --json, how many there are); the first are printed as found."""
    shown: list[dict[str, object]] = []
    count = 0
    for difference in looking.differences():
        count += 1
        if count > _SHOWN:
            continue
        if as_data:
            shown.append(difference.as_json())
        else:
            _print(difference)
    return shown, count


def _print(difference: Difference) -> None:
    typer.echo(say("gateway.wrong", text=difference.text()))


def _tell_audited(looking: Audit, path: Path, schema: str, count: int, seconds: float) -> None:
    checked = looking.counts
    if count > _SHOWN:
        typer.echo(say("copies.more", more=count - _SHOWN))
    if schema == "old":
        typer.echo(say("copies.old"))
    told = {
        "path": path,
        "segments": checked["segments"],
        "rows": sum(checked[name] for name in ("fixes", "batteries", "events", "corrections")),
        "visits": checked["visits"],
        "seconds": f"{seconds:.1f}",
    }
    if count:
        typer.echo(say("copies.differs", count=count, **told))
    else:
        typer.echo(say("copies.sound", **told))
    if checked["broken_links"]:
        typer.echo(say("copies.broken", count=checked["broken_links"]))


@contextmanager
def _bars() -> Generator[Progress]:
    """Bars on a terminal's stderr, one for each thing that takes its time; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, all_: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(say(f"copies.{what}"), total=None)
            bar.update(tasks[what], completed=done, total=all_ or 1)

        yield tell


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f}"


def _when(unix: int) -> str:
    if not unix:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix))

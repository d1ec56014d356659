"""What `ronda demo --keep DIR` leaves behind: checked before the day, copied after it.

Public keys only: the site's private keys end with the demo.
"""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ronda_gateway import keys, site

from ronda_tools.texts import UsedWrong


def check(folder: Path) -> None:
    """Make the folder, or refuse one with anything in it. UsedWrong."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
        probe = folder / ".ronda"
        if not full:
            probe.touch()
            probe.unlink()
    except OSError as error:
        why = error.strerror or str(error)
        raise UsedWrong("demo.keep_bad", path=str(folder), why=why) from None
    if full:
        raise UsedWrong("demo.keep_full", path=str(folder))


def copy(folder: Path, home: Path, handhelds: Iterable[tuple[str, bytes, Path]]) -> None:
    """From the site's folder `home` and each handheld's (device, public key, storage). UsedWrong.

    For when all parts have ended.
    """
    try:
        (folder / "keys" / "site").mkdir(parents=True)
        for path in sorted(home.glob("*/*.pub.pem")):
            shutil.copy(path, folder / "keys" / "site" / path.name)
        for device, public, storage in handhelds:
            (folder / "keys" / f"{device}.pem").write_bytes(keys.public_pem(public))
            shutil.copytree(storage, folder / "handhelds" / device)
        with (
            closing(sqlite3.connect(home / site.DATABASE)) as source,
            closing(sqlite3.connect(folder / site.DATABASE)) as target,
        ):
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        raise UsedWrong("demo.keep_bad", path=str(folder), why=str(error)) from None

"""One gateway at a time on a database: a second one would take the chain heads it remembers for
the truth, raise false alarms about gaps and put the handhelds' receipts back.

A lock on a file beside the database, which the system lets go when the process ends, however it
ends. Commands that only look, enrol or migrate need none.
"""

import fcntl
from pathlib import Path
from typing import TextIO

from ronda_gateway.wording import setup_error


def hold(database: Path) -> TextIO:
    """Hold the database until the returned file is closed; SetupError when another holds it."""
    path = database.with_name(database.name + ".lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise setup_error("db-not-writable", path=database, why=error.strerror) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise setup_error("db-in-use", path=database) from None
    return file

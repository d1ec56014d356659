"""Two gateways on one database: the second is refused, and nothing of the first is disturbed."""

import subprocess
import sys
from pathlib import Path

import pytest
from ronda_gateway import check, lock, site
from ronda_gateway.gateway import Gateway
from ronda_gateway.wording import SetupError


def test_one_gateway_at_a_time(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=1)
    with Gateway(made.settings):
        with pytest.raises(SetupError) as caught:
            Gateway(made.settings).start()
        assert [p.code for p in caught.value.problems] == ["db-in-use"]
        assert check.check(made.settings) == check.Findings([], [])  # looking is allowed
    with Gateway(made.settings) as again:
        assert again.store.outbox_depth() == 0


def test_a_killed_gateway_leaves_no_lock_behind(tmp_path: Path) -> None:
    database = tmp_path / "gateway.db"
    program = "import sys, pathlib\nfrom ronda_gateway import lock\n"
    program += (
        "held = lock.hold(pathlib.Path(sys.argv[1]))\nprint(1, flush=True)\nsys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout and child.stdout.readline()
    with pytest.raises(SetupError):
        lock.hold(database)
    child.kill()
    child.wait()
    lock.hold(database).close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        lock.hold(tmp_path / "absent" / "gateway.db")
    assert [p.code for p in caught.value.problems] == ["db-not-writable"]

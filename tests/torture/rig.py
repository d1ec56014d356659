"""A real gateway as a process of its own in a scratch site, and what is needed around it.

`GatewayProcess` starts, kills, stops and waits for `ronda gateway run`; `Rig` adds a site, a
broker, handhelds (`crew.py`) and a back office's sink (`sink.py`), and says at the end what is
where (`final_state`). It leaves out what goes wrong: that is the suites'.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol, Self

from crew import Crew, Handheld, chain_of, digest
from history import FinalState, History
from ronda_gateway import fleet, site
from ronda_gateway.audit import Audit
from ronda_gateway.settings import FenceSettings
from ronda_gateway.store import open_store, open_to_read
from ronda_tools.broker import Broker
from sink import Sink

RONDA = (sys.executable, "-c", "import sys; from ronda_tools.cli import main; main()")
_UP_S = 60.0


class Reachable(Protocol):
    """A broker, for whoever connects."""

    host: str
    port: int


class GatewayProcess:
    """`ronda gateway run` with its log in `log`; env: settings as RONDA_SECTION__NAME and more.

    around: words put before the command (`prlimit …`). It is killed when the test's process ends.
    """

    def __init__(
        self,
        config: Path,
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        around: Sequence[str] = (),
    ) -> None:
        self.config, self.log = config, log
        self.env, self.around = dict(env or {}), tuple(around)
        self.started_at = 0.0
        self.lines: list[dict[str, Any]] = []
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._news = threading.Condition()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> Self:
        """Start the process; returns at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RONDA_")}
        settings = {"RONDA_LOG__LEVEL": "info", "RONDA_LOG__FORMAT": "json", "RONDA_LANG": "en"}
        self.lines = []
        self.started_at = time.monotonic()
        self._child = subprocess.Popen(
            [*self.around, *RONDA, "gateway", "run", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**clean, **settings, **self.env},
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._child, self.lines), daemon=True
        )
        self._reader.start()
        return self

    def _read(self, child: subprocess.Popen[str], lines: list[dict[str, Any]]) -> None:
        assert child.stderr is not None
        with self.log.open("a") as log:
            for line in child.stderr:
                log.write(line)
                try:
                    told: object = json.loads(line)
                except ValueError:
                    told = {"event": "text", "text": line.strip()}
                with self._news:
                    lines.append({"event": "text"} | (told if isinstance(told, dict) else {}))
                    lines[-1]["monotonic"] = time.monotonic()
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_line(
        self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = _UP_S, count: int = 1
    ) -> float:
        """When (monotonic) the `count`-th line came that is wanted, since the start. TimeoutError,
        RuntimeError when the process ended instead."""
        until = time.monotonic() + timeout_s
        with self._news:
            while True:
                found = [line for line in self.lines if wanted(line)]
                if len(found) >= count:
                    return float(found[count - 1]["monotonic"])
                if not self.alive():
                    raise RuntimeError(f"the gateway ended: {self.lines[-1:]}")
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"the gateway did not say it: {self.lines[-1:]}")
                self._news.wait(min(left, 0.5))

    def ready(self, timeout_s: float = _UP_S, links: int = 3) -> float:
        """Wait until it is connected (to the handhelds' broker for segments and for states, and to
        the feed's); the seconds that it took from the start of the process."""
        when = self.wait_line(
            lambda line: line["event"] == "broker_connected", timeout_s, count=links
        )
        return when - self.started_at

    def pass_time(self, seconds: float) -> None:
        """Let it work for a while; RuntimeError when it ended by itself meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.alive():
                raise RuntimeError(f"the gateway ended: {self.lines[-1:]}")
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self._end(signal.SIGKILL, 30)

    def stop(self) -> int:
        """SIGTERM, and wait for an orderly end; the exit code."""
        return self._end(signal.SIGTERM, 60)

    def freeze(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: int, patience_s: float) -> int:
        child = self._child
        if child is None:
            return 0
        if child.poll() is None:
            child.send_signal(number)
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
        finally:
            if self._reader:
                self._reader.join(10)
            if child.stderr:
                child.stderr.close()
            self._child = None
        return child.returncode

    def processor(self) -> float:
        """Processor seconds so far; 0 where /proc does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes now; 0 where /proc does not tell."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return int(sizes[0]) * 1024 if sizes else 0

    def descriptors(self) -> int:
        """Open file descriptors; 0 where /proc does not tell."""
        try:
            return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        except OSError:
            return 0


class Rig:
    """`with Rig(folder, history) as rig`: a site, a broker, a gateway that is not started yet.

    broker: the handhelds' (an embedded one by default); feed: the back office's own, or None for
    the same. env: settings of the gateway.
    """

    def __init__(
        self,
        folder: Path,
        history: History,
        *,
        broker: Reachable | None = None,
        feed: Reachable | None = None,
        env: Mapping[str, str] | None = None,
        stable_sink: bool = False,
    ) -> None:
        self.folder, self.history = folder, history
        self.sink = Sink(stable=stable_sink)
        self._broker, self._feed, self._env = broker, feed, dict(env or {})
        self._stack = ExitStack()
        self.crew = Crew([])

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.broker: Reachable = self._broker or stack.enter_context(Broker())
            self.site = site.init(self.folder / "site", "lab", self.broker.host, self.broker.port)
            if self._feed:
                self._env["RONDA_FEED__HOST"] = self._feed.host
                self._env["RONDA_FEED__PORT"] = str(self._feed.port)
            self.gateway = GatewayProcess(
                self.site.config, self.folder / "gateway.log", env=self._env
            )
            stack.callback(self._end_gateway)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *trouble: Any) -> None:
        self._stack.__exit__(*trouble)

    def _end_gateway(self) -> None:
        if self.gateway.alive():
            self.gateway.kill()

    @property
    def root(self) -> str:
        return self.site.settings.topic_root

    @property
    def database(self) -> Path:
        return self.site.settings.database_path

    def enrol(self, handhelds: Sequence[Handheld]) -> None:
        """Make them known and enabled; the gateway may run or not."""
        now = int(time.time())
        with closing(open_store(self.database)) as store:
            for handheld in handhelds:
                fleet.enrol(store, handheld.name, handheld.desk.public, now)
                fleet.enable(store, handheld.name, now)

    def man(
        self,
        handhelds: Sequence[Handheld],
        rate: float = 0.0,
        through: Reachable | None = None,
    ) -> Crew:
        """Enrol handhelds and connect them, and the sink, until the rig ends; the handhelds
        `through` a proxy, when there is one."""
        self.enrol(handhelds)
        self.crew = self._stack.enter_context(Crew(handhelds, rate))
        feed = self._feed or self.broker
        self.crew.spawn(self.sink.listen(lambda: (feed.host, feed.port), self.root))
        gateway = self.site.signer().public
        at = through or self.broker
        self.crew.connect(lambda: (at.host, at.port), self.root, gateway)
        return self.crew

    # ---- waiting -------------------------------------------------------------------------------

    def settle(self, timeout_s: float = 120.0, *, sink: bool = True) -> float:
        """Wait until everything sealed is receipted and the outbox is empty and the sink has it
        (unless the broker forgets); the seconds that took. TimeoutError says what is missing."""
        began = time.monotonic()
        while True:
            unsent = self.crew.unsent()
            waiting = self.waiting() if not unsent else -1
            if not unsent and not waiting and not (sink and self._missing()):
                return time.monotonic() - began
            if self.crew.faults:
                raise self.crew.faults[0]
            if time.monotonic() - began > timeout_s:
                raise TimeoutError(
                    f"after {timeout_s:g} s: {unsent} segments without a receipt, {waiting} "
                    f"events in the outbox, {len(self._missing())} not in the sink"
                )
            time.sleep(0.1)

    def waiting(self) -> int:
        """Events that have not left the outbox."""
        found = self.rows("SELECT count(*) FROM outbox WHERE state = 0")
        return int(found[0][0])

    def _missing(self) -> set[str]:
        sent = {str(row[0]) for row in self.rows("SELECT event FROM outbox WHERE state = 1")}
        return sent - self.sink.ids

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database says to a query, beside the gateway."""
        return database_rows(self.database, query)

    # ---- the end -------------------------------------------------------------------------------

    def final_state(self, **more: Any) -> FinalState:
        """What is where, for the history's checker; the gateway need not run."""
        rows = self.rows(
            "SELECT l.device, l.log_id, s.seq, s.raw FROM segments s JOIN logs l ON l.id = s.log"
        )
        stored: list[tuple[str, str | None]] = []
        chains: dict[str, list[tuple[int, str, str]]] = {}
        for device, log_id, seq, raw in rows:
            log = f"{device}/{log_id.hex()}"
            stored.append((f"{log}/{seq}", digest(raw)))
            chains.setdefault(log, []).append(chain_of(raw))
        flash: dict[str, str | None] = {}
        sealed: dict[str, list[str]] = {}
        for handheld in self.crew.handhelds:
            for seq, raw in handheld.kept.items():
                flash[handheld.key(seq)] = digest(raw)
        for step in self.history.done("save"):
            sealed.setdefault(str(step["key"]), []).append(str(step["digest"]))
        confirmed = {
            str(row[0]): None for row in self.rows("SELECT event FROM outbox WHERE state = 1")
        }
        state = FinalState(
            flash=flash,
            stored=stored,
            signed=sealed,
            chains=chains,
            sink=self.sink.events,
            confirmed=confirmed,
            arrivals={"feed": self._feed_order()},
            integrity=audited(self.database, self.site.settings.fence),
        )
        for name, value in more.items():
            setattr(state, name, value)
        return state

    def _feed_order(self) -> list[int]:
        """Outbox numbers in the order in which the sink saw their events: the feed is in the order
        of commits, which is not that of seqs when a broker delivers late."""
        ids = {str(event): int(number) for number, event in self.rows(_ORDER)}
        return [ids[event] for event, _ in self.sink.events if event in ids]


_ORDER = "SELECT id, event FROM outbox"


def database_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query over a database file, read only."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def audited(path: Path, fence: FenceSettings) -> dict[str, str]:
    """SQLite's integrity_check, and an audit of every row against the raw bytes: "ok", or what
    they say."""
    found = "; ".join(str(row[0]) for row in database_rows(path, "PRAGMA integrity_check")[:5])
    opened, _ = open_to_read(path)
    with closing(opened):
        told = [d.text() for d in Audit(opened, fence).differences()]
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return {"integrity_check": found, "audit": told[0] + more if told else "ok"}


def ronda(*arguments: object, config: Path, patience_s: float = 120.0) -> str:
    """Run a `ronda gateway` command as a process; what it printed. RuntimeError unless it ends
    with 0."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("RONDA_")}
    command = [*RONDA, "gateway", *map(str, arguments), "--config", str(config)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean, "RONDA_LANG": "en"},
    )
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout

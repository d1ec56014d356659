"""One simulated working day on real parts: broker, gateway, handheld, back office, one clock.

The conductor owns time; everything else is what runs in the field: the firmware in its VM, the
gateway in this process, MQTT between them. What the day recorded, stored and forwarded is compared
by `demo_books`. Prints nothing: `cli_demo` does.
"""

import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ronda_gateway import feed, keys, log_lines, site
from ronda_gateway.gateway import Gateway
from ronda_gateway.settings import LogSettings, Settings
from ronda_protocol import cose

from ronda_tools import demo_day, provision
from ronda_tools.back_office import BackOffice
from ronda_tools.broker import Broker
from ronda_tools.conductor import Conductor, ConductorError, Handheld, NotDrained, VmDied
from ronda_tools.demo_books import Books
from ronda_tools.demo_words import Narrator
from ronda_tools.texts import UsedWrong
from ronda_tools.vm import Vm

SITE = "demo"
DEVICE = "demo-01"
_STRETCH_MS = 60_000
_FORWARD_LIMIT_S = 60.0
_CONNECT_S = 15.0

Moved = Callable[[int], None]
"""Told the simulated ms now and then, for a progress bar."""


class DayFailed(Exception):
    """The day came to no end: the handheld's VM died, or something hangs."""


@dataclass(frozen=True)
class Options:
    """speed: simulated seconds a second at most, None for as fast as the machine allows."""

    feed: Path | None = None
    keep: Path | None = None
    port: int | None = None
    speed: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What `ronda demo --once --json` prints, and whether it is as it must be."""

    data: dict[str, Any]

    @property
    def balanced(self) -> bool:
        """Nothing lost or doubled, each visit forwarded under one id, its signature verified."""
        return bool(self.data["balanced"])


class Demo:
    """The running parts; a context manager that ends all of them. `run` may be called once.

    `narrate` makes a Narrator from the clock (simulated ms), or there is none; `day` is another
    day than the demo's own.
    """

    def __init__(
        self,
        options: Options,
        narrate: Callable[[Callable[[], int]], Narrator] | None = None,
        day: demo_day.Day | None = None,
    ) -> None:
        self._options = options
        self._narrate = narrate
        self._stack = ExitStack()
        self._day = day or demo_day.plan()
        self._public = b""
        self.length_ms = self._day.walk.ms

    # ---- set-up and end ------------------------------------------------------------------

    def __enter__(self) -> Self:
        _check_keep(self._options.keep)
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ronda-")))
            stack.callback(self._keep)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave half of the parts running.
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
        try:
            self._stack.close()
        finally:
            if main:
                signal.signal(signal.SIGINT, before)

    def _start(self, stack: ExitStack) -> None:
        broker = stack.enter_context(Broker(self._options.port))
        self.url = broker.url
        speed = self._options.speed
        self._conductor = stack.enter_context(Conductor(demo_day.START_UNIX, speed=speed))
        self._narrator = self._narrate(self._now_ms) if self._narrate else None
        if self._narrator:
            self._narrator.opening(self.url, speed or 0)
        now = self._conductor.now()
        _forget_settings_in_environment()
        self._site = site.init(self._folder / "site", SITE, broker.host, broker.port, now)
        self._storage = self._folder / DEVICE
        self._public = provision.provision(
            self._storage,
            self._site,
            DEVICE,
            now=now,
            cases=self._day.cases(),
            expires_at=now + 86400,
        )
        if self._narrator:
            kid = cose.kid(self._public).hex()
            cases = len(self._day.stops)
            self._narrator.say("demo.provisioned", device=DEVICE, kid=kid, cases=cases)
        self._office = stack.enter_context(
            BackOffice(
                broker.host,
                broker.port,
                self._site.settings.topic_root,
                file=self._options.feed,
                on_event=self._narrator.feed if self._narrator else None,
            )
        )
        log_lines.configure(LogSettings(level="warning"))
        self.gateway = stack.enter_context(Gateway(self._site.settings, clock=self._conductor))
        # What is published before somebody subscribes is lost until it is repeated.
        if not self.gateway.wait_connected(_CONNECT_S):
            raise UsedWrong("demo.no_broker", host=broker.host, port=broker.port)
        self._handheld = self._conductor.add(
            Handheld(
                DEVICE,
                Vm(self._storage),
                nmea=self._day.walk.nmea(),
                link=self._day.link,
                battery=self._day.battery,
                script=self._day.script(self._gestor),
                on_tell=self._told,
            )
        )

    def _now_ms(self) -> int:
        # The conductor's own time is the end of the step that is under way.
        handhelds = self._conductor.handhelds
        return handhelds[0].ms if handhelds else 0

    def _gestor(self, moment: str, fields: Mapping[str, Any]) -> None:
        if self._narrator:
            self._narrator.gestor(moment, fields)

    def _told(self, _handheld: Handheld, fields: dict[str, Any]) -> None:
        if self._narrator:
            self._narrator.handheld(fields)

    def _keep(self) -> None:
        """Copy what --keep promises, when all parts have ended. Private site keys are not kept."""
        folder = self._options.keep
        if folder is None or not self._public:
            return
        try:
            (folder / "keys" / "site").mkdir(parents=True)
            (folder / "keys" / f"{DEVICE}.pem").write_bytes(keys.public_pem(self._public))
            for path in sorted((self._folder / "site").glob("*/*.pub.pem")):
                shutil.copy(path, folder / "keys" / "site" / path.name)
            shutil.copytree(self._storage, folder / "handhelds" / DEVICE)
            with (
                closing(sqlite3.connect(self._folder / "site" / site.DATABASE)) as source,
                closing(sqlite3.connect(folder / site.DATABASE)) as target,
            ):
                source.backup(target)
        except (OSError, sqlite3.Error) as error:
            raise UsedWrong("demo.keep_bad", path=str(folder), why=str(error)) from None

    # ---- the day -------------------------------------------------------------------------

    def run(self, moved: Moved | None = None) -> Outcome:
        """Run the day to its end and compare the books. DayFailed when there is no end."""
        began = time.monotonic()
        conductor = self._conductor
        unsent: dict[str, int] = {}
        try:
            while conductor.ms < self.length_ms:
                self._stretch(min(conductor.ms + _STRETCH_MS, self.length_ms))
                if moved:
                    moved(conductor.ms)
            try:
                conductor.drain()
            except NotDrained as left:
                unsent = left.unsent
            self._wait_until_forwarded()
            reports = conductor.finish()
        except (ConductorError, VmDied) as error:
            raise DayFailed(str(error)) from None
        return self._outcome(reports[0], unsent, time.monotonic() - began)

    def _stretch(self, until_ms: int) -> None:
        """Go on to a time; say when the network goes or comes back on the way."""
        ms = self._conductor.ms
        change = self._day.link.next_change(ms)
        while change is not None and change <= until_ms:
            self._conductor.run(change)
            if self._narrator:
                self._narrator.network(self._day.link.at(change), change)
            change = self._day.link.next_change(change)
        self._conductor.run(until_ms)

    def stay(self) -> None:
        """Keep broker and gateway up until interrupted."""
        threading.Event().wait()

    def _wait_until_forwarded(self) -> None:
        """Until the outbox is empty and the back office has all of it, or nothing moves."""
        until = time.monotonic() + _FORWARD_LIMIT_S
        while time.monotonic() < until:
            waiting, ids = self._outbox()
            if not waiting and not self._office.missing(ids):
                return
            if self._office.wait_for_more(0.1):
                until = time.monotonic() + _FORWARD_LIMIT_S

    def _database(self) -> "closing[sqlite3.Connection]":
        path = self._folder / "site" / site.DATABASE
        return closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))

    def _outbox(self) -> tuple[int, set[str]]:
        """How many events wait to leave, and the ids of those that left."""
        with self._database() as db:
            waiting = db.execute(
                "SELECT count(*) FROM outbox WHERE state = ?", (feed.WAITING,)
            ).fetchone()[0]
            rows = db.execute("SELECT event FROM outbox WHERE state = ?", (feed.SENT,))
            return waiting, {row[0] for row in rows}

    # ---- the books -----------------------------------------------------------------------

    def _outcome(
        self, report: dict[str, Any], unsent: Mapping[str, int], wall_s: float
    ) -> Outcome:
        with self._database() as db:
            raws = [row[0] for row in db.execute("SELECT raw FROM segments WHERE status = 0")]
        books = Books(
            journal=(self._storage / "journal.jsonl").read_text(),
            log=str(report.get("log", "")),
            stored=raws,
            events=self._office.events(),
            public=self._public,
        )
        data = books.compare()
        if unsent or self._office.unreadable:
            data["balanced"] = False
            data["wrong"] += [f"unsent {name}: {count}" for name, count in unsent.items()]
            if self._office.unreadable:
                data["wrong"].append(f"no events: {self._office.unreadable}")
        data["simulated_s"] = self.length_ms // 1000
        data["wall_s"] = round(wall_s, 1)
        data["handhelds"] = [{"device": DEVICE, **report}]
        return Outcome(data)


def _check_keep(folder: Path | None) -> None:
    """Make the folder of --keep, or refuse one with anything in it."""
    if folder is None:
        return
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


def _forget_settings_in_environment() -> None:
    """A production gateway's RONDA_BROKER__HOST must not turn the demo towards its broker."""
    for name in list(os.environ):
        section = name.removeprefix("RONDA_").split("__")[0].lower()
        if name.startswith("RONDA_") and section in Settings.model_fields:
            with suppress(KeyError):
                del os.environ[name]

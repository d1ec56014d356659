"""One simulated working day on real parts: broker, gateway, handhelds, back office, one clock.

The conductor owns time; everything else is what runs in the field: the firmware in a VM for each
handheld, the gateway in this process, MQTT between them. What the day recorded, stored and
forwarded is compared by `demo_books`. Prints nothing: a Watcher is told what happens.
"""

import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from ronda_gateway import feed, log_lines, site
from ronda_gateway.gateway import Gateway
from ronda_gateway.settings import LogSettings, Settings

from ronda_tools import demo_books, demo_day, demo_kept, demo_rounds, provision
from ronda_tools.back_office import BackOffice
from ronda_tools.broker import Broker
from ronda_tools.conductor import Conductor, ConductorError, Handheld, NotDrained, VmDied
from ronda_tools.demo_books import Books
from ronda_tools.texts import UsedWrong
from ronda_tools.vm import Build, Vm, build

SITE = "demo"
_STRETCH_MS = 60_000
_FORWARD_LIMIT_S = 60.0
_CONNECT_S = 15.0
# Seconds granted at once: fewer turns between the processes. A live day moves second by second.
_STEP_MS = 5000
_LIVE_STEP_MS = 1000

_STORED = """
    SELECT logs.device, segments.raw FROM segments JOIN logs ON logs.id = segments.log
    WHERE segments.status = 0
"""

Moved = Callable[[int], None]
"""Told the simulated ms now and then, for a progress bar."""


class DayFailed(Exception):
    """The day came to no end: a handheld's VM died, or something hangs."""


@dataclass(frozen=True)
class Options:
    """speed: simulated seconds a second at most, None for as fast as the machine allows."""

    feed: Path | None = None
    keep: Path | None = None
    port: int | None = None
    speed: float | None = None
    handhelds: int = 3


@dataclass(frozen=True)
class Outcome:
    """What `ronda demo --once --json` prints, and whether it is as it must be."""

    data: dict[str, Any]

    @property
    def balanced(self) -> bool:
        """Nothing lost or doubled, each visit forwarded under one id, its signature verified."""
        return bool(self.data["balanced"])


@dataclass
class Round:
    """One handheld on its day: who it is, where it lies, and the VM once it runs."""

    device: str
    day: demo_day.Day
    storage: Path
    public: bytes = b""
    handheld: Handheld | None = None

    @property
    def ms(self) -> int:
        """Its simulated time."""
        return self.handheld.ms if self.handheld else 0


@dataclass(frozen=True)
class Scene:
    """What a Watcher may look at, from any thread: `now_ms` is simulated time."""

    url: str
    config: Path
    speed: float | None
    rounds: Sequence[Round]
    now_ms: Callable[[], int]


class Watcher(Protocol):
    """Is told what happens. `feed` comes from the network's thread, the rest from the caller's."""

    def opening(self, scene: Scene) -> None:
        """The parts begin to start."""
        ...

    def provisioned(self, round_: Round) -> None:
        """A handheld has its key and its round."""
        ...

    def gestor(self, round_: Round, moment: str, fields: Mapping[str, Any]) -> None:
        """What a gestor did and what the handheld answered (demo_day)."""
        ...

    def told(self, round_: Round, fields: Mapping[str, Any]) -> None:
        """What the firmware told."""
        ...

    def network(self, round_: Round, up: bool, ms: int) -> None:
        """The network at a handheld's place went or came back."""
        ...

    def feed(self, event: Mapping[str, Any]) -> None:
        """A feed event as the back office received it."""
        ...


class Demo:
    """The running parts; a context manager that ends all of them. `run` may be called once.

    `days` are others than the demo's own, one for each handheld.
    """

    def __init__(
        self,
        options: Options,
        watcher: Watcher | None = None,
        days: Sequence[demo_day.Day] | None = None,
    ) -> None:
        self._options = options
        self._watcher = watcher
        self._stack = ExitStack()
        self._days = days or demo_rounds.rounds(options.handhelds)
        self.rounds: list[Round] = []
        self.length_ms = max(day.walk.ms for day in self._days)

    # ---- set-up and end ------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._options.keep is not None:
            demo_kept.check(self._options.keep)
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
        built = build()
        broker = stack.enter_context(Broker(self._options.port))
        self.url = broker.url
        speed = self._options.speed
        step_ms = _LIVE_STEP_MS if speed else _STEP_MS
        self._conductor = stack.enter_context(
            Conductor(demo_day.START_UNIX, speed=speed, step_ms=step_ms)
        )
        _forget_settings_in_environment()
        now = self._conductor.now()
        self._site = site.init(self._folder / "site", SITE, broker.host, broker.port, now)
        self.config = self._site.config
        self.rounds = [
            Round(f"demo-{number:02d}", day, self._folder / f"demo-{number:02d}")
            for number, day in enumerate(self._days, 1)
        ]
        if self._watcher:
            self._watcher.opening(Scene(self.url, self.config, speed, self.rounds, self._now_ms))
        for each in self.rounds:
            self._provision(each, built)
        self._office = stack.enter_context(
            BackOffice(
                broker.host,
                broker.port,
                self._site.settings.topic_root,
                file=self._options.feed,
                on_event=self._watcher.feed if self._watcher else None,
            )
        )
        log_lines.configure(LogSettings(level="warning"))
        self.gateway = stack.enter_context(Gateway(self._site.settings, clock=self._conductor))
        # What is published before somebody subscribes is lost until it is repeated.
        if not self.gateway.wait_connected(_CONNECT_S):
            raise UsedWrong("demo.no_broker", host=broker.host, port=broker.port)
        for each in self.rounds:
            self._carry(each, built)

    def _provision(self, each: Round, built: Build) -> None:
        now = self._conductor.now()
        each.public = provision.provision(
            each.storage,
            self._site,
            each.device,
            now=now,
            cases=each.day.cases(),
            expires_at=now + 86400,
            built=built,
        )
        if self._watcher:
            self._watcher.provisioned(each)

    def _carry(self, each: Round, built: Build) -> None:
        """Give a provisioned handheld to its gestor."""
        watcher = self._watcher

        def gestor(moment: str, fields: Mapping[str, Any]) -> None:
            if watcher:
                watcher.gestor(each, moment, fields)

        def told(_handheld: Handheld, fields: dict[str, Any]) -> None:
            if watcher:
                watcher.told(each, fields)

        each.handheld = self._conductor.add(
            Handheld(
                each.device,
                Vm(each.storage, built=built),
                nmea=each.day.walk.nmea(),
                link=each.day.link,
                battery=each.day.battery,
                script=each.day.script(gestor),
                on_tell=told,
            )
        )

    def _now_ms(self) -> int:
        # The conductor's own time is the end of the step that is under way.
        return max((each.ms for each in self.rounds), default=0)

    def _keep(self) -> None:
        """Copy what --keep promises, when all parts have ended."""
        folder = self._options.keep
        if folder is None or not self.rounds or not self.rounds[-1].public:
            return
        kept = [(each.device, each.public, each.storage) for each in self.rounds]
        demo_kept.copy(folder, self._folder / "site", kept)

    # ---- the day -------------------------------------------------------------------------

    def run(self, moved: Moved | None = None) -> Outcome:
        """Run the day to its end and compare the books. DayFailed when there is no end."""
        began = time.monotonic()
        unsent: dict[str, int] = {}
        try:
            self.run_until(self.length_ms, moved)
            try:
                self._conductor.drain()
            except NotDrained as left:
                unsent = left.unsent
            self._wait_until_forwarded()
            reports = self._conductor.finish()
        except (ConductorError, VmDied) as error:
            raise DayFailed(str(error)) from None
        return self._outcome(reports, unsent, time.monotonic() - began)

    def run_until(self, ms: int, moved: Moved | None = None) -> None:
        """Run the day to a simulated time. ConductorError, VmDied."""
        conductor = self._conductor
        while conductor.ms < ms:
            self._stretch(min(conductor.ms + _STRETCH_MS, ms))
            if moved:
                moved(conductor.ms)

    def _stretch(self, until_ms: int) -> None:
        """Go on to a time; tell when a network goes or comes back on the way."""
        while True:
            now = self._conductor.ms
            changes = {each.device: each.day.link.next_change(now) for each in self.rounds}
            first = min((ms for ms in changes.values() if ms is not None), default=until_ms + 1)
            if first > until_ms:
                self._conductor.run(until_ms)
                return
            self._conductor.run(first)
            for each in self.rounds:
                if self._watcher and changes[each.device] == first:
                    self._watcher.network(each, each.day.link.at(first), first)

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

    def so_far(self) -> dict[str, Any]:
        """The books of a day that was broken off: what is `lost` there is still on its way."""
        return self._compare([{} for _ in self.rounds])

    def _outcome(
        self, reports: Sequence[dict[str, Any]], unsent: Mapping[str, int], wall_s: float
    ) -> Outcome:
        data = self._compare(reports)
        if unsent or self._office.unreadable:
            data["balanced"] = False
            data["wrong"] += [f"unsent {name}: {count}" for name, count in unsent.items()]
            if self._office.unreadable:
                data["wrong"].append(f"no events: {self._office.unreadable}")
        data["simulated_s"] = self.length_ms // 1000
        data["wall_s"] = round(wall_s, 1)
        return Outcome(data)

    def _compare(self, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
        stored: dict[str, list[bytes]] = defaultdict(list)
        with self._database() as db:
            for device, raw in db.execute(_STORED):
                stored[device].append(raw)
        events = self._office.events()
        found: list[dict[str, Any]] = []
        for each, report in zip(self.rounds, reports, strict=True):
            journal = each.storage / "journal.jsonl"
            books = Books(
                journal=journal.read_text() if journal.exists() else "",
                log=str(report.get("log", "")),
                stored=stored.pop(each.device, []),
                events=[event for event in events if demo_books.device_of(event) == each.device],
                public=each.public,
            )
            found.append(books.compare())
        ours = {each.device for each in self.rounds}
        rest = Books(
            journal="",
            log="",
            stored=[raw for raws in stored.values() for raw in raws],
            events=[event for event in events if demo_books.device_of(event) not in ours],
            public=bytes(64),
        )
        data = demo_books.together([*found, rest.compare()])
        data["handhelds"] = [
            {
                "device": each.device,
                "gestor": each.day.gestor,
                "books": demo_books.counts(books),
                **report,
            }
            for each, books, report in zip(self.rounds, found, reports, strict=True)
        ]
        return data


def _forget_settings_in_environment() -> None:
    """A production gateway's RONDA_BROKER__HOST must not turn the demo towards its broker."""
    for name in list(os.environ):
        section = name.removeprefix("RONDA_").split("__")[0].lower()
        if name.startswith("RONDA_") and section in Settings.model_fields:
            with suppress(KeyError):
                del os.environ[name]

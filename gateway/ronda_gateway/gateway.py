"""One running gateway: embedded broker if asked, ingest, recorder, outbox; start, stop, wait.

Thread-safe and usable in-process; it installs no signal handler and configures no log.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

import structlog

from ronda_gateway import check, keys, lock, presence
from ronda_gateway.clock import Clock, SystemClock
from ronda_gateway.downlink import Downlinks
from ronda_gateway.embedded import EmbeddedBroker
from ronda_gateway.feed import Feed
from ronda_gateway.ingest import Ingest
from ronda_gateway.outbox import Outbox
from ronda_gateway.recorder import Recorder
from ronda_gateway.resend import Resends
from ronda_gateway.settings import Settings
from ronda_gateway.store import Store, open_store
from ronda_gateway.trouble import StoreTrouble
from ronda_gateway.wording import SetupError

_log = structlog.get_logger("ronda.gateway")


class Gateway:
    """`start` raises SetupError when something must be mended first; then it runs until `stop`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._held: TextIO | None = None
        self._store: Store | None = None
        self._broker: EmbeddedBroker | None = None
        self._ingest: Ingest | None = None
        self._outbox: Outbox | None = None
        self._recorder: Recorder | None = None
        self._ended = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def counters(self) -> Counter[str]:
        """What this process did so far: messages, commits, stored, repeats, visits, held,
        quarantined, unreadable, receipts, receipts_unsent; of the feed published, republished,
        commands, commands_refused, commands_dropped, confirmed, confirm_early, confirm_repeated,
        confirm_unknown, and as last looked at unconfirmed and confirm_age_s."""
        found = Counter(self._recorder.counters) if self._recorder else Counter[str]()
        return found + self._outbox.counters if self._outbox else found

    @property
    def store(self) -> Store:
        """The open database; only between start and stop."""
        if self._store is None:
            raise RuntimeError("the gateway is not running")
        return self._store

    def start(self) -> Self:
        """Check everything, then start; returns when all threads run, connected or not."""
        with self._lock:
            findings = check.check(self.settings)
            if findings.problems:
                raise SetupError(*findings.problems)
            for warning in findings.warnings:
                _log.warning("warning", text=warning.text())
            try:
                self._start()
            except BaseException:
                self._stop()
                raise
        return self

    def _start(self) -> None:
        settings = self.settings
        signer = keys.load_private(settings.key_path, where="keys.gateway")
        on_broker = check.credentials(settings, "broker")
        # The back office's own broker has its own credentials.
        on_feed = check.credentials(settings, "feed") if settings.feed.host else on_broker
        self._held = lock.hold(settings.database_path)
        store = open_store(settings.database_path, settings.database.busy_ms)
        self._store = store
        if settings.broker.embedded:
            self._broker = EmbeddedBroker(settings.broker)
            self._broker.start()
            _log.info("embedded_broker", host=settings.broker.host, port=settings.broker.port)
        feed = Feed(settings.topic_root)
        self._recorder = Recorder(store, settings, signer, self._clock, feed)
        self._outbox = Outbox(settings, store, feed, self._clock, on_feed)
        resends = Resends(
            store, signer, self._clock, settings.resend, self._recorder.state_of, presence.behind
        )
        self._ingest = Ingest(
            settings,
            self._recorder,
            self._clock,
            on_broker,
            committed=self._outbox.notify,
            downlinks=Downlinks(store, signer, self._clock, feed, resends=resends),
            trouble=StoreTrouble(store, feed, self._clock, self._outbox.link),
        )
        self._ended.clear()
        self._outbox.start()
        self._ingest.start()
        if self._broker:
            self._watch = threading.Thread(target=self._watch_broker, name="watch", daemon=True)
            self._watch.start()
        _log.info(
            "started",
            site=settings.site.name,
            host=settings.broker.host,
            port=settings.broker.port,
            root=settings.topic_root,
        )

    def _watch_broker(self) -> None:
        """Start the embedded broker again when it died."""
        broker = self._broker
        while broker and not self._ended.wait(1.0):
            if broker.running():
                continue
            try:
                broker.start()
            except SetupError as error:
                _log.warning("warning", text=str(error))
            else:
                host, port = self.settings.broker.host, self.settings.broker.port
                _log.warning("broker_restarted", host=host, port=port)

    def stop(self) -> None:
        """Finish the group in hand, disconnect, close the database; may be called twice."""
        with self._lock:
            was_running = self._store is not None
            self._stop()
            if was_running:
                _log.info("stopped", stored=self.counters["stored"])

    def _stop(self) -> None:
        self._ended.set()
        if self._watch:
            self._watch.join()
            self._watch = None
        if self._ingest:
            self._ingest.stop()
            self._ingest = None
        if self._outbox:
            self._outbox.stop()
            self._outbox = None
        if self._broker:
            self._broker.stop()
            self._broker = None
        if self._store:
            self._store.close()
            self._store = None
        if self._held:
            self._held.close()
            self._held = None

    def wait_connected(self, timeout_s: float = 10.0) -> bool:
        """Wait until both connections are up; False when time ran out."""
        return self._wait(
            timeout_s,
            lambda ingest, outbox: bool(ingest.link.client and outbox.link.client),
        )

    def wait_idle(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything received is stored and forwarded; False when time ran out."""
        return self._wait(
            timeout_s, lambda ingest, _: ingest.idle() and self.store.outbox_depth() == 0
        )

    def _wait(self, timeout_s: float, done: Callable[[Ingest, Outbox], bool]) -> bool:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            ingest, outbox = self._ingest, self._outbox
            if ingest is None or outbox is None:
                return False
            if done(ingest, outbox):
                return True
            time.sleep(0.02)
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

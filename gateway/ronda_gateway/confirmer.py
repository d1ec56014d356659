"""Takes the consumer's confirmations from cmd/confirm, settles them, and watches how far they lag.

`heard` is for the network's thread, the rest for the outbox's. Publishes nothing itself: alerts go
into the outbox like everything else.
"""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from sqlalchemy import exc

from ronda_gateway import commands, confirmations
from ronda_gateway.apart import STRANGER
from ronda_gateway.clock import Clock
from ronda_gateway.commands import OfficeKeys, Refused
from ronda_gateway.feed import Feed
from ronda_gateway.settings import Settings
from ronda_gateway.store import Store
from ronda_gateway.transaction import Transaction

_log = structlog.get_logger("ronda.gateway")

# Commands waiting; further ones are dropped and counted: what they confirm is published again.
_MAX_WAITING = 200
# Obeyed in one transaction, so that a flood never keeps rows from being published.
_AT_ONCE = 20
_REMEMBERED = 20_000
_LOOK_S = 5.0
_DAY = 86400


class Confirmer:
    """One gateway's side of cmd/confirm.

    `early(event) -> bool` notes the confirmation of an event that the broker has not acknowledged
    yet, and says whether there is one; `confirmed(outbox ids)` hears of the others. Counters:
    commands, commands_refused, refused_<reason>, commands_dropped, confirmed, confirm_early,
    confirm_repeated, confirm_unknown; unconfirmed and confirm_age_s as last looked at.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        feed: Feed,
        clock: Clock,
        *,
        early: Callable[[str], bool],
        confirmed: Callable[[list[int]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._feed = feed
        self._clock = clock
        self._early = early
        self._confirmed = confirmed
        self._waiting: deque[tuple[bytes, bool]] = deque()
        needed = not settings.commands.unsigned
        has = needed or settings.trust_path.exists()
        self._office = OfficeKeys(settings.trust_path) if has else None
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._told: set[str] = set()
        self._heard_at: float | None = None
        self._looked_at = 0.0
        self._lagging = False
        self.topic = f"{settings.topic_root}/cmd/{commands.CONFIRM}"
        self.counters: Counter[str] = Counter()

    # ---- the network's thread ------------------------------------------------------------------

    def heard(self, payload: bytes, *, retained: bool) -> None:
        """A message on cmd/confirm."""
        if len(self._waiting) >= _MAX_WAITING:
            self.counters["commands_dropped"] += 1
        else:
            # One byte too many is enough to see that it is too big.
            self._waiting.append((payload[: commands.MAX_BYTES + 1], retained))

    # ---- the outbox's thread -------------------------------------------------------------------

    def settle(self) -> bool:
        """Obey what has come, a few commands at once; whether there was any. OperationalError:
        none of them is obeyed, and they wait."""
        taken = [self._waiting[at] for at in range(min(_AT_ONCE, len(self._waiting)))]
        if not taken:
            return False
        try:
            self._settle(taken)
        except exc.OperationalError:
            raise
        except Exception:
            # A fault of ours: what they confirm is published again.
            self._drop(len(taken))
            self.counters["commands_dropped"] += len(taken)
            raise
        return True

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def _settle(self, taken: list[tuple[bytes, bool]]) -> None:
        now = self._clock.now()
        good: list[commands.Confirm] = []
        refused: list[Refused] = []
        for payload, retained in taken:
            try:
                good.append(self._read(payload, retained, now))
            except Refused as why:
                refused.append(why)
        fresh: dict[str, Refused] = {}
        if good or self._fresh(refused, now):
            fresh = self._obey(good, refused, now)
        self._drop(len(taken))
        self.counters["commands"] += len(taken)
        self.counters["commands_refused"] += len(refused)
        for why in refused:
            self.counters[f"refused_{why.reason}"] += 1
        self._said(fresh)

    def _read(self, payload: bytes, retained: bool, now: int) -> commands.Confirm:
        if retained:  # a broker that hands one and the same command out for ever
            raise Refused(commands.RETAINED)
        unsigned = self._settings.commands.unsigned
        root = self._settings.topic_root
        return commands.read_confirm(payload, root, self._office, now, unsigned=unsigned)

    def _obey(
        self, good: list[commands.Confirm], refused: list[Refused], now: int
    ) -> dict[str, Refused]:
        """One transaction for all of it; adds the replayed to `refused`, and gives the refusals
        that were told with it."""
        counted: Counter[str] = Counter()
        done: list[str] = []
        rows: list[int] = []
        with self._store.write() as connection:
            if good and self._is_back():
                confirmations.hasten(connection, now, self._settings.feed.confirm_s)
            for command in good:
                try:
                    commands.remember(connection, command, now)
                except Refused as why:
                    refused.append(why)
                    continue
                found = confirmations.confirm(connection, command.ids, now)
                rows += found
                done += found.values()
                others = [event for event in command.ids if event not in found.values()]
                counted.update(self._otherwise(event, done) for event in others)
            fresh = self._fresh(refused, now)
            self._tell(connection, fresh, now)
        self._confirmed(rows)
        counted["confirmed"] += len(done)
        self.counters.update(counted)
        self._recent.update(dict.fromkeys(done))
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        if good:
            self._heard_at = time.monotonic()
        return fresh

    def _is_back(self) -> bool:
        """Whether nothing was confirmed for a while, and now the consumer is there again."""
        if self._heard_at is None:
            return True
        return time.monotonic() - self._heard_at > self._settings.feed.confirm_s

    def _otherwise(self, event: str, done: list[str]) -> str:
        """What the confirmation of an event that does not wait for one is."""
        if event in self._recent or event in done:
            return "confirm_repeated"
        return "confirm_early" if self._early(event) else "confirm_unknown"

    def _fresh(self, refused: list[Refused], now: int) -> dict[str, Refused]:
        """Alert's key -> refusal, of those whose reason was not told today."""
        found: dict[str, Refused] = {}
        for why in refused:
            key = f"{why.reason}/{now // _DAY * _DAY}"
            if key not in self._told:
                found.setdefault(key, why)
        return found

    def _tell(self, connection: sa.Connection, fresh: dict[str, Refused], now: int) -> None:
        work = Transaction(self._store, connection, self._feed)
        for key, why in fresh.items():
            fields = {"topic": self.topic, "reason": why.reason, "kid": why.kid or "?"}
            work.alert("command_refused", key, STRANGER, now, **fields)
        work.flush()

    def _said(self, fresh: dict[str, Refused]) -> None:
        if len(self._told) > 10 * len(commands.REASONS):
            self._told.clear()
        self._told |= set(fresh)
        for why in fresh.values():
            named = {"topic": self.topic, "reason": why.reason, "kid": why.kid or "?"}
            _log.warning("command_refused", **named)

    def look(self) -> bool:
        """Now and then: mend what a clock set back has left, and tell of a lag; whether an alert
        was made."""
        now_s = time.monotonic()
        if now_s - self._looked_at < _LOOK_S:
            return False
        self._looked_at = now_s
        now = self._clock.now()
        with self._store.read() as connection:
            lag = confirmations.lag(connection)
            wrong = confirmations.later_than_ever(connection, now, self._settings.feed.confirm_s)
        self.counters["unconfirmed"] = lag.events
        age = max(0, now - lag.since) if lag.events else 0
        self.counters["confirm_age_s"] = age
        late = age >= self._settings.feed.confirm_alert_s
        if wrong:
            with self._store.write() as connection:
                confirmations.mend(connection, now, self._settings.feed.confirm_s)
        if not late or self._lagging:
            self._lagging = late
            return False
        self._lagging = True
        with self._store.write() as connection:
            return self._tell_lag(connection, lag, age, now)

    def _tell_lag(
        self, connection: sa.Connection, lag: confirmations.Lag, age: int, now: int
    ) -> bool:
        work = Transaction(self._store, connection, self._feed)
        fields = {"count": lag.events, "age": age, "since": lag.since}
        new = work.alert("confirm_lag", str(lag.oldest), STRANGER, now, **fields)
        work.flush()
        if new:
            _log.warning("confirm_lag", count=lag.events, age=age)
        return new

"""A gateway without its process: the recorder over a scratch site, a clock in the suite's hand.

For suites about what is concluded from segments. What processes, brokers and disks do to a
gateway is `rig.py`'s.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Self

import feed_schemas
import sqlalchemy as sa
import structlog
from ronda_gateway import fleet, schema, site
from ronda_gateway.feed import Feed
from ronda_gateway.keys import Signer, verify_digest
from ronda_gateway.pipeline import Message
from ronda_gateway.recorder import Recorder
from ronda_gateway.store import Store, open_store
from ronda_protocol import cose, receipt

NOW = 1789480000


class HandClock:
    """The gateway's time, wherever the suite puts it."""

    def __init__(self, now: int = NOW) -> None:
        self.unix = now

    def now(self) -> int:
        return self.unix


class GatewayHere:
    """`send` records messages and gives the signed receipts; the rest looks at what came of it."""

    def __init__(self, folder: Path, now: int = NOW) -> None:
        # Thousands of refusals are what these suites are about: no line for each.
        quiet = structlog.make_filtering_bound_logger(logging.ERROR)
        structlog.configure(wrapper_class=quiet)
        self.site = site.init(folder, "lima", now=now)
        self.settings = self.site.settings
        self.clock = HandClock(now)
        self.signer: Signer = self.site.signer()
        self.store: Store = open_store(self.settings.database_path)
        self.recorder = self._recorder()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def _recorder(self) -> Recorder:
        feed = Feed(self.settings.topic_root)
        return Recorder(self.store, self.settings, self.signer, self.clock, feed)

    def restart(self) -> None:
        """As after a restart of its process: nothing is remembered but the database."""
        self.recorder = self._recorder()

    def enable(self, device: str, public: bytes) -> None:
        fleet.enrol(self.store, device, public, self.clock.now())
        fleet.enable(self.store, device, self.clock.now())

    def send(self, device: str, *raws: bytes) -> list[bytes]:
        """Commit messages on up/<device> as one group; what goes down to that device."""
        topic = f"{self.settings.topic_root}/up/{device}"
        at = self.clock.now()
        done = self.recorder.record([Message(topic, device, raw, at) for raw in raws])
        return [down.payload for down in done if down.device == device]

    def receipt(self, payload: bytes) -> receipt.Receipt:
        """A receipt, its signature verified; AssertionError when it is not the gateway's."""
        sign1 = cose.parse(payload)
        assert cose.verify(sign1, self.signer.public, verify_digest), "not the gateway's receipt"
        return receipt.decode_receipt(sign1.payload)

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        with self.store.read() as connection:
            return list(connection.execute(sa.select(table)).all())

    def events(self, topic: str = "") -> list[dict[str, Any]]:
        """Feed events in order, of topics that end so; each is what its schema says."""
        found: list[dict[str, Any]] = []
        for row in sorted(self.rows(schema.outbox), key=lambda row: row.id):
            if row.topic.endswith(topic):
                event = json.loads(row.payload)
                problems = feed_schemas.problems(event)
                assert not problems, f"{event['id']}: {problems}"
                found.append(event)
        return found

    def alerts(self, kind: str = "") -> list[dict[str, Any]]:
        """The data of alerts on the feed, of a kind or all."""
        told = [event["data"] for event in self.events("site/alerts")]
        return [data for data in told if kind in {"", data["kind"]}]

    def integrity(self) -> str:
        """What SQLite says of its own file: "ok"."""
        with self.store.read() as connection:
            return str(connection.scalar(sa.text("PRAGMA integrity_check")))

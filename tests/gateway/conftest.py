"""What gateway tests share: a site in a scratch folder and a recorder over its database."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import feed_schemas
import pytest
import sqlalchemy as sa
from desk_device import DeskDevice, withhold
from ronda_gateway import fleet, schema, site
from ronda_gateway.feed import Feed
from ronda_gateway.pipeline import Message
from ronda_gateway.recorder import Downlink, Recorder
from ronda_gateway.settings import Settings
from ronda_gateway.store import Store, open_store
from ronda_protocol import cose, receipt

NOW = 1789480000


class HandClock:
    """A clock that a test moves."""

    def __init__(self, now: int = NOW) -> None:
        self.unix = now

    def now(self) -> int:
        return self.unix


class Bench:
    """A recorder over a fresh site's database, and ways to look at what it did."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.site = site.init(folder, "lima", now=NOW)
        self.settings: Settings = self.site.settings
        for section, values in changes.items():
            part = getattr(self.settings, section).model_copy(update=values)
            folder = self.settings.folder
            self.settings = self.settings.model_copy(update={section: part}).at(folder)
        self.clock = HandClock()
        self.signer = self.site.signer()
        self.store: Store = open_store(self.settings.database_path)
        self.recorder = self.new_recorder()

    def new_recorder(self) -> Recorder:
        """As after a restart of the gateway."""
        feed = Feed(self.settings.topic_root)
        return Recorder(self.store, self.settings, self.signer, self.clock, feed)

    def device(self, device: str = "desk-01", state: str = "enabled") -> DeskDevice:
        made = DeskDevice(device)
        fleet.enrol(self.store, device, made.public, NOW)
        if state == "enabled":
            fleet.enable(self.store, device, NOW)
        return made

    def send(self, device: str, *raws: bytes) -> list[Downlink]:
        """Commit messages on up/<device> in one group."""
        topic = f"{self.settings.topic_root}/up/{device}"
        return self.recorder.record(
            [Message(topic, device, raw, self.clock.now()) for raw in raws]
        )

    def receipts(self, downlinks: list[Downlink]) -> list[receipt.Receipt]:
        """Receipts, their signatures verified as a handheld would."""
        found: list[receipt.Receipt] = []
        for downlink in downlinks:
            from ronda_gateway.keys import verify_digest

            sign1 = cose.parse(downlink.payload)
            assert cose.verify(sign1, self.signer.public, verify_digest)
            said = receipt.decode_receipt(sign1.payload)
            assert said.device == downlink.device
            found.append(said)
        return found

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        with self.store.read() as connection:
            return list(connection.execute(sa.select(table)).all())

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        with self.store.read() as connection:
            return {
                table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in schema.metadata.sorted_tables
            }

    def events(self, topic: str = "") -> list[dict[str, Any]]:
        """Feed events in order, of topics that end so; each is what its schema says."""
        found = [
            json.loads(row.payload)
            for row in sorted(self.rows(schema.outbox), key=lambda r: r.id)
            if row.topic.endswith(topic)
        ]
        for event in found:
            assert feed_schemas.problems(event) == [], event["id"]
        return found

    def take_out(self, seq: int, *parts: int) -> None:
        """Take parts out of a stored segment, as an older gateway stored what came without."""
        table = schema.segments
        with self.store.write() as connection:
            raw = connection.scalar(sa.select(table.c.raw).where(table.c.seq == seq))
            assert raw is not None
            values = {"raw": withhold(raw, *parts)}
            connection.execute(table.update().where(table.c.seq == seq).values(**values))

    def visits(self) -> list[dict[str, Any]]:
        return self.events("/visits")

    def alerts(self) -> list[str]:
        """Kinds of the alerts on the feed, in order."""
        return [event["data"]["kind"] for event in self.events("site/alerts")]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes a Bench; settings sections as keyword dicts."""
    made: list[Bench] = []

    def make(**changes: Any) -> Bench:
        made.append(Bench(tmp_path / f"site-{len(made)}", **changes))
        return made[-1]

    yield make
    for bench in made:
        bench.store.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()

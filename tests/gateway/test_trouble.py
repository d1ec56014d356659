"""A database that takes nothing is told while it lasts, past the outbox, and afterwards by it."""

import json
from typing import Any, cast

from conftest import NOW, Bench
from feed_schemas import problems
from ronda_gateway.feed import Feed
from ronda_gateway.link import Link
from ronda_gateway.trouble import StoreTrouble


class Client:
    """Takes what is published."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        assert qos == 1
        self.told.append((topic, json.loads(payload)))


class Wire:
    """A link that has a connection, or none."""

    client: Client | None = None


def make(bench: Bench) -> tuple[StoreTrouble, Wire]:
    wire = Wire()
    feed = Feed(bench.settings.topic_root)
    return StoreTrouble(bench.store, feed, bench.clock, cast(Link, wire)), wire


def test_one_failure_is_no_trouble(bench: Bench) -> None:
    trouble, wire = make(bench)
    wire.client = client = Client()
    trouble.failed("database is locked")
    assert trouble.over() is False
    assert client.told == [] and bench.alerts() == []


def test_it_is_told_once_as_soon_as_there_is_a_connection_and_again_when_over(
    bench: Bench,
) -> None:
    trouble, wire = make(bench)
    trouble.failed("disk full")
    trouble.failed("disk full")
    wire.client = client = Client()
    bench.clock.unix += 40
    for _ in range(3):
        trouble.failed("disk full")
    [(topic, event)] = client.told
    assert topic == "ronda/lima/feed/site/alerts" and problems(event) == []
    assert (event["data"]["kind"], event["data"]["since"]) == ("store_failed", NOW)
    bench.clock.unix += 2
    assert trouble.over() is True
    assert trouble.over() is False
    assert bench.alerts() == ["store_recovered"]
    [told] = bench.events("site/alerts")
    assert (told["data"]["seconds"], told["data"]["why"]) == (42, "disk full")
    trouble.failed("again")
    bench.clock.unix += 1
    trouble.failed("again")
    assert len(client.told) == 2

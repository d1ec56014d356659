"""What handhelds say of themselves is shown and believed by nothing."""

from collections import Counter
from dataclasses import asdict

import pytest
from conftest import Bench
from ronda_gateway import fleet, presence, schema
from ronda_gateway.presence import Presence, Said


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b'{"online":false}', Said(False, None, None)),
        (b'{"online":true,"seq":7,"unsent":2}', Said(True, 7, 2)),
        (b'{"online":true,"seq":7,"unsent":2,"pack":"00","at":1}', Said(True, 7, 2)),
        (b"", None),
        (b"7", None),
        (b"[]", None),
        (b"\xff\xfe", None),
        (b'{"online":1}', None),
        (b'{"online":"true","seq":1,"unsent":1}', None),
        (b'{"online":true}', None),
        (b'{"online":true,"seq":true,"unsent":1}', None),
        (b'{"online":true,"seq":-1,"unsent":1}', None),
        (b'{"online":true,"seq":4294967296,"unsent":1}', None),
        (b'{"online":true,"seq":1.5,"unsent":1}', None),
        (b'{"online":true,"seq":NaN,"unsent":1}', None),
        (b"[" * 250, None),
        (b'{"online":false}' + b" " * 250, None),
    ],
)
def test_a_payload_is_a_state_or_nothing(payload: bytes, said: Said | None) -> None:
    assert presence.parse(payload) == said


def test_the_last_word_is_kept_and_shown(bench: Bench) -> None:
    device = bench.device()
    heard = Presence(bench.store, bench.clock, counters := Counter[str]())
    assert fleet.show(bench.store, device.id).online is None
    heard.heard(device.id, b'{"online":true,"seq":7,"unsent":2}')
    heard.heard(device.id, b'{"online":true,"seq":8,"unsent":0}')
    heard.settle()
    found = asdict(fleet.show(bench.store, device.id))
    assert (found["online"], found["said_seq"], found["said_unsent"]) == (True, 8, 0)
    bench.clock.unix += 60
    heard.heard(device.id, b'{"online":false}')
    heard.settle()
    found = asdict(fleet.show(bench.store, device.id))
    # Offline it says nothing new: the last numbers stay, with the time it went.
    assert (found["online"], found["said_seq"], found["said_at"]) == (False, 8, bench.clock.unix)
    bench.clock.unix += 60
    heard.heard(device.id, b'{"online":false}')
    heard.settle()
    assert fleet.show(bench.store, device.id).said_at == bench.clock.unix - 60
    assert counters["state_refused"] == 0


def test_garbage_and_strangers_are_counted_and_nothing_else(bench: Bench) -> None:
    device = bench.device()
    before = bench.counts()
    heard = Presence(bench.store, bench.clock, counters := Counter[str]())
    heard.heard(device.id, b"\x00garbage")
    heard.heard("nadie-99", b'{"online":true,"seq":1,"unsent":0}')
    heard.heard("../../x", b'{"online":false}')
    heard.heard("X" * 300, b'{"online":false}')
    heard.settle()
    assert counters["state_refused"] == 4
    assert bench.counts() == before
    for number in range(10_050):
        heard.heard(f"inv-{number}", b'{"online":false}')
    assert len(heard._waiting) == 10_000 and counters["state_refused"] == 54
    heard.settle()
    assert bench.counts() == before


def test_a_forged_state_changes_no_verdict(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_visit())
    told = bench.events()
    heard = Presence(bench.store, bench.clock, Counter())
    heard.heard(device.id, b'{"online":true,"seq":4000000000,"unsent":4000000000}')
    heard.settle()
    bench.send(device.id, device.seal_track())
    assert bench.alerts() == [] and bench.events()[: len(told)] == told
    assert [row.max_seq for row in bench.rows(schema.logs)] == [2]


def test_what_a_handheld_takes_for_receipted_and_is_not_here_is_named(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, *[device.seal_track() for _ in range(3)])
    heard = Presence(bench.store, bench.clock, Counter[str]())

    def behind(payload: bytes) -> list[presence.Behind]:
        heard.heard(device.id, payload)
        heard.settle()
        with bench.store.read() as connection:
            return presence.behind(connection)

    assert behind(b'{"online":true,"seq":3,"unsent":0}') == []
    assert behind(b'{"online":true,"seq":9,"unsent":6}') == []  # on its way, no receipt yet
    lacking = [presence.Behind(device.id, device.log_id, 4, 7)]
    assert behind(b'{"online":true,"seq":9,"unsent":2}') == lacking
    assert behind(b'{"online":false}') == lacking  # it went; its word stays
    for _ in range(4):
        bench.send(device.id, device.seal_track())
    with bench.store.read() as connection:
        assert presence.behind(connection) == []


def test_only_the_newest_log_of_an_enabled_unforked_device_can_be_behind(bench: Bench) -> None:
    device = bench.device()
    bench.send(device.id, device.seal_track(), device.seal_track())
    twin = device.clone()
    heard = Presence(bench.store, bench.clock, Counter[str]())
    heard.heard(device.id, b'{"online":true,"seq":9,"unsent":0}')
    heard.heard("nobody-1", b'{"online":true,"seq":9,"unsent":0}')
    heard.settle()

    def behind() -> list[presence.Behind]:
        with bench.store.read() as connection:
            return presence.behind(connection)

    assert [(b.first, b.last) for b in behind()] == [(3, 9)]
    bench.send(device.id, device.seal_track())
    bench.send(device.id, twin.seal_track([twin.entries(3, 0, 0)[1]]))
    assert behind() == []  # a fork: what was set apart has its receipt too
    other = bench.device("desk-02", state="enrolled")
    heard.heard(other.id, b'{"online":true,"seq":5,"unsent":0}')
    heard.settle()
    assert behind() == []

"""The conductor: exact stepping, quiescence with a network, schedules, scripts, limits."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ronda_tools.conductor import (
    Battery,
    Conductor,
    Handheld,
    Link,
    NotDrained,
    Script,
    Stuck,
)
from ronda_tools.vm import Vm, VmDied

PROGRAMS = Path(__file__).parents[1] / "handheld" / "programs"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def _vm(storage: Path) -> Vm:
    return Vm(storage, program="stepping", paths=(PROGRAMS,))


class Echo:
    """A slow server on loopback: answers what it gets after a delay in wall time."""

    def __init__(self, delay_s: float) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        self.delay_s = delay_s
        self.got = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            held.append(peer)
            data = peer.recv(100)
            time.sleep(self.delay_s)
            self.got += 1
            peer.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo(0.15)
    yield server
    server.socket.close()


def test_sleepers_wake_in_due_order_at_their_exact_time(storage: Path) -> None:
    """One due time at a time, across steps, whatever the step: 1 s or a minute."""
    sleepers = [["a", 1000, 1000], ["b", 500, 700], ["c", 1000, 1500]]
    expected = sorted(
        (first + k * period, name) for name, first, period in sleepers for k in range(30)
    )
    orders = []
    for step_ms in (1000, 60_000, 130):
        with Conductor(0, step_ms=step_ms) as conductor:
            vm = _vm(storage)
            handheld = conductor.add(Handheld("h", vm))
            conductor.ask(handheld, "sleepers", {"of": sleepers})
            conductor.run(12_000)
            [report] = conductor.finish()
        orders.append(report["order"])
    for order in orders:
        assert order == orders[0]
        assert sorted((ms, name) for name, ms in order) == [e for e in expected if e[0] <= 12_000]
        assert [ms for _, ms in order] == sorted(ms for _, ms in order)
    # Ticks begin 5 s before they wrap: 12 s later they are 7 s past it.
    assert report["ticks"] == 7000


@pytest.mark.parametrize("size", [64, 100])
def test_uart_bytes_arrive_whole_and_dry_once_a_grant(storage: Path, size: int) -> None:
    """Every byte arrives, and one short read marks the end of each grant, full multiples too."""
    lengths = [1, 63, 64, 65, 100, 128, 200, 1024, 1025, 2048, 4000, 6400]
    nmea = [(1000 * (k + 1), bytes([k + 1]) * length) for k, length in enumerate(lengths)]
    with Conductor(0) as conductor:
        handheld = conductor.add(Handheld("h", _vm(storage), nmea=nmea))
        conductor.ask(handheld, "read", {"size": size})
        conductor.run()
        [report] = conductor.finish()
    exact = [n for n in lengths if n % size == 0]  # each of them is followed by one newline
    assert report["totals"]["bytes"] == sum(lengths) + len(exact)
    assert report["totals"]["sum"] == sum((k + 1) * n for k, n in enumerate(lengths)) + 10 * len(
        exact
    )
    assert report["totals"]["dry_at"] == [1000 * (k + 1) for k in range(len(lengths))]
    assert report["uart_overrun"] == 0


def test_bytes_nobody_reads_are_counted_as_overrun(storage: Path) -> None:
    """A firmware without a GPS reader holds nothing up."""
    with Conductor(0) as conductor:
        conductor.add(Handheld("h", _vm(storage), nmea=[(500, b"x" * 3000)]))
        conductor.run()
        [report] = conductor.finish()
    assert report["uart_overrun"] == 3000


def test_time_waits_for_the_network(storage: Path, echo: Echo) -> None:
    """A step with an operation outstanding ends when the answer is in, at the same device time."""
    with Conductor(0) as conductor:
        link = Link([(0, False), (2000, True), (5000, False), (8500, True)])
        handheld = conductor.add(Handheld("h", _vm(storage), link=link))
        conductor.ask(handheld, "link", {"port": echo.port})
        conductor.run(12_000)
        assert echo.got == 2
        [report] = conductor.finish()
    totals = report["totals"]
    assert totals["echoes"] == [[2000, 5], [8500, 5]]
    assert totals["cuts"] == [[5000, 0]]  # the link went down: the stream ended then
    assert totals["refused"] == []


def test_a_refused_port_shows_at_connect(storage: Path) -> None:
    """connect() raises; back-off is not outstanding, so time goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Conductor(0) as conductor:
        handheld = conductor.add(Handheld("h", _vm(storage)))
        conductor.ask(handheld, "link", {"port": port})
        conductor.run(3000)
        [report] = conductor.finish()
    assert report["totals"]["refused"] and set(report["totals"]["refused"]) <= {61, 111}


def test_a_step_that_never_ends_is_an_error(storage: Path) -> None:
    """Bounded in wall time, naming who hangs and where."""
    with Conductor(0, wall_limit_s=0.5) as conductor:
        handheld = conductor.add(Handheld("one", _vm(storage)))
        conductor.ask(handheld, "hang")
        with pytest.raises(Stuck, match="one at 0 ms"):
            conductor.run(1000)


def test_outstanding_without_a_link_holds_nothing_up(storage: Path) -> None:
    """With the link down nobody can answer, so time goes on."""
    with Conductor(0, wall_limit_s=5) as conductor:
        handheld = conductor.add(Handheld("one", _vm(storage), link=Link([])))
        conductor.ask(handheld, "hang")
        conductor.run(3000)
        assert handheld.ms == 3000


def test_a_script_waits_asks_and_reacts(storage: Path) -> None:
    """Intents happen at their time; the script sees the answers and the time."""
    seen: list[object] = []

    def script() -> Script:
        seen.append((yield 1500))
        seen.append((yield ("save", {"number": 7}))["code"])
        seen.append((yield ("save", {"number": 8}))["code"])
        seen.append((yield 70_250))

    told: list[dict[str, object]] = []
    with Conductor(1_000_000) as conductor:
        handheld = conductor.add(
            Handheld("h", _vm(storage), script=script(), on_tell=lambda _, f: told.append(f))
        )
        conductor.run()
        assert conductor.ms >= 70_250 and conductor.steps < 10  # skipped ahead
        assert conductor.now() == 1_000_000 + conductor.ms // 1000
        conductor.finish()
    assert seen == [1500, "save", "save", 70_250]
    assert [(ms, name) for ms, name, _, _ in handheld.answers] == [(1500, "save"), (1500, "save")]
    assert [(t["t"], t["ms"], t["what"]) for t in told] == [("did", 1500, "save")] * 2
    journal = (storage / "journal.jsonl").read_text().splitlines()
    assert len(journal) == 2


def test_several_handhelds_keep_step(tmp_path: Path) -> None:
    """All have consumed a step before the next begins, each with its own sources."""
    with Conductor(0) as conductor:
        three = [
            conductor.add(
                Handheld(
                    f"h{k}",
                    _vm(tmp_path / f"s{k}"),
                    nmea=[(1000 * i, b"x" * k) for i in range(1, 31)],
                )
            )
            for k in range(1, 4)
        ]
        for handheld in three:
            conductor.ask(handheld, "read", {"size": 64})
        while conductor.ms < 30_000:
            conductor.step(conductor.ms + 1000)
            assert {handheld.ms for handheld in three} == {conductor.ms}
        reports = conductor.finish()
    assert [report["totals"]["bytes"] for report in reports] == [30, 60, 90]


def test_the_drain_repeats_until_nothing_is_left(storage: Path) -> None:
    """`sync` and `status` are asked until the handheld holds nothing without a receipt."""
    with Conductor(0) as conductor:
        conductor.add(Handheld("h", _vm(storage)))
        conductor.drain()
        [report] = conductor.finish()
    assert report["totals"]["unsent"] == 0


def test_a_drain_that_cannot_end_says_how_many(storage: Path) -> None:
    """Bounded in wall time; the error carries the counts."""
    with Conductor(0, wall_limit_s=0.5) as conductor:
        handheld = conductor.add(Handheld("uno", _vm(storage)))
        conductor.ask(handheld, "hold", {"n": 1000})
        with pytest.raises(NotDrained) as caught:
            conductor.drain()
    assert 0 < caught.value.unsent["uno"] < 1000


def test_a_vm_that_dies_is_noticed(storage: Path) -> None:
    """With its last lines."""
    with Conductor(0) as conductor:
        handheld = conductor.add(Handheld("h", _vm(storage)))
        conductor.ask(handheld, "crash")
        with pytest.raises(VmDied, match="ValueError: a bug"):
            conductor.run(2000)


def test_speed_is_a_maximum(storage: Path) -> None:
    """50 simulated seconds at 100 per second take half a second at least."""
    with Conductor(0, speed=100) as conductor:
        conductor.add(Handheld("h", _vm(storage)))
        began = time.monotonic()
        conductor.run(50_000)
        assert time.monotonic() - began >= 0.49


def test_schedules() -> None:
    """Link changes and battery lines, at and around their points."""
    link = Link([(1000, True), (5000, False)])
    assert [link.at(ms) for ms in (0, 999, 1000, 4999, 5000)] == [False, False, True, True, False]
    assert [link.next_change(ms) for ms in (0, 1000, 5000)] == [1000, 5000, None]
    assert Link().at(0) and Link([]).at(5) is False
    battery = Battery([(0, 4100), (1000, 4000), (3000, 3000)])
    assert [battery.at(ms) for ms in (0, 500, 1000, 2000, 9000)] == [4100, 4050, 4000, 3500, 3000]
    assert Battery().at(123) == 3950

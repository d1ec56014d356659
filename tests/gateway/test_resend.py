"""Resend requests: gaps that stay open, wishes of operators, once each, over restarts too."""

import itertools

import pytest
import sqlalchemy as sa
from conftest import NOW, Bench
from desk_device import DeskDevice
from ronda_gateway import downlink, keys, resend, schema
from ronda_gateway.downlink import Downlinks
from ronda_gateway.feed import Feed
from ronda_gateway.resend import PACE_S, Resends
from ronda_gateway.wording import SetupError
from ronda_protocol import cose, receipt

HERE = b'{"online":true,"seq":9,"unsent":0}'
AFTER_S = 300
AGAIN_S = 86400


class Asking:
    """A bench with a device that is there; wall time and the gateway's clock go together."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.wall = 1000.0
        self.behind: list[tuple[str, bytes, int, int]] = []
        for module in (downlink, resend):
            monkeypatch.setattr(module.time, "monotonic", lambda: self.wall)
        self.links = self.gateway()

    def gateway(self) -> Downlinks:
        """As after a start of the gateway: whoever is on says so again (retained)."""
        bench = self.bench
        bench.recorder = bench.new_recorder()
        bench.recorder.notice_fleet()
        rules = bench.settings.resend
        asks = Resends(
            bench.store,
            bench.signer,
            bench.clock,
            rules,
            bench.recorder.state_of,
            lambda _connection: self.behind,
        )
        feed = Feed(bench.settings.topic_root)
        return Downlinks(bench.store, bench.signer, bench.clock, feed, resends=asks)

    def on(self, *devices: str) -> None:
        for device in devices or ("desk-01",):
            self.links.heard(device, HERE)

    def wait(self, seconds: int) -> list[receipt.Resend]:
        """Let time pass, half a minute a step; the requests that went out, verified."""
        found: list[receipt.Resend] = []
        for _ in range(max(1, seconds // 30)):
            self.wall += 30
            self.bench.clock.unix += 30
            for message in self.links.turn():
                sign1 = cose.parse(message.payload)
                assert cose.verify(sign1, self.bench.signer.public, keys.verify_digest)
                said = receipt.decode_resend(sign1.payload)
                assert said.device == message.device
                found.append(said)
        return found


@pytest.fixture
def asking(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Asking:
    return Asking(bench, monkeypatch)


def spans(found: list[receipt.Resend]) -> list[tuple[int, int]]:
    return [(one.first, one.last) for one in found]


def with_gaps(asking: Asking, *missing: int, device: str = "desk-01") -> tuple[DeskDevice, list]:
    """A device of which ten segments came, but for some."""
    made = asking.bench.device(device)
    day = made.day(5)
    asking.bench.send(made.id, *[raw for seq, raw in enumerate(day, 1) if seq not in missing])
    return made, day


def test_a_gap_that_stays_open_is_asked_for_once(asking: Asking) -> None:
    device, day = with_gaps(asking, 4, 5)
    asking.on()
    assert asking.wait(AFTER_S - 30) == []
    (said,) = asking.wait(60)
    assert (said.device, said.log_id) == (device.id, device.log_id)
    assert (said.first, said.last) == (4, 5) and len(said.request_id) == 8
    assert asking.wait(AGAIN_S - 600) == []
    (row,) = resend.listing(asking.bench.store)
    assert (row.state, row.why, row.request_id) == ("sent", "gap", said.request_id)
    # Half of it comes: what is left of the same gap is no other gap.
    asking.bench.send(device.id, day[3])
    assert asking.wait(120) == []
    # After a day it is asked for once more, with another id.
    (again,) = asking.wait(1200)
    assert (again.first, again.last) == (5, 5) and again.request_id != said.request_id
    asking.bench.send(device.id, day[4])
    assert asking.wait(2 * AGAIN_S) == []
    assert {one.state for one in resend.listing(asking.bench.store)} == {"done"}
    assert asking.bench.visits()[-1]["data"]["reason"] == "gap_filled"


def test_a_gap_that_closes_in_time_is_not_asked_for(asking: Asking) -> None:
    device, day = with_gaps(asking, 4, 5)
    asking.on()
    assert asking.wait(AFTER_S - 60) == []
    asking.bench.send(device.id, day[3], day[4])
    assert asking.wait(3600) == [] and resend.listing(asking.bench.store) == []


def test_one_request_a_gap_at_a_handhelds_pace(asking: Asking) -> None:
    with_gaps(asking, 2, 4, 5, 8)
    with_gaps(asking, 3, device="desk-02")
    asking.on("desk-01", "desk-02")
    sent: list[tuple[float, str, int, int]] = []
    for _ in range(60):
        sent += [(asking.wall, one.device, one.first, one.last) for one in asking.wait(30)]
    assert [one[1:] for one in sent if one[1] == "desk-02"] == [("desk-02", 3, 3)]
    mine = [one for one in sent if one[1] == "desk-01"]
    assert [one[2:] for one in mine] == [(2, 2), (4, 5), (8, 8)]
    assert all(b[0] - a[0] >= PACE_S for a, b in itertools.pairwise(mine))


def test_a_restart_neither_forgets_nor_repeats(asking: Asking) -> None:
    with_gaps(asking, 4, 7)
    # Nobody is there: what is due waits, also for the next process.
    assert asking.wait(AFTER_S + 60) == []
    assert [one.state for one in resend.listing(asking.bench.store)] == ["waiting"]
    asking.links = asking.gateway()
    asking.on()
    assert spans(asking.wait(30)) == [(4, 4)]
    # Another restart right after it: not the same again, and the next one at the device's pace.
    asking.links = asking.gateway()
    asking.on()
    assert asking.wait(30) == []
    assert spans(asking.wait(AGAIN_S // 2)) == [(7, 7)]


def test_an_operator_may_ask_at_any_time(asking: Asking) -> None:
    device, _ = with_gaps(asking, 4)
    store = asking.bench.store
    asking.on()
    assert spans(asking.wait(AFTER_S + 60)) == [(4, 4)]
    log = resend.newest_log(store, device.id)
    assert log == device.log_id
    number = resend.want(store, device.id, log, 4, 4, resend.OPERATOR, asking.bench.clock.unix)
    assert resend.want(store, device.id, log, 4, 4, resend.OPERATOR, 0) == number
    assert spans(asking.wait(PACE_S)) == [(4, 4)]
    assert asking.wait(3600) == []
    # Also what is here already: it comes again as a repeat, and the request is done.
    whole = resend.want(store, device.id, log, 1, 3, resend.OPERATOR, asking.bench.clock.unix)
    assert spans(asking.wait(60)) == [(1, 3)]
    asking.wait(30)
    found = {one.id: one.state for one in resend.listing(store, device.id)}
    assert found[whole] == "done" and found[number] == "sent"


def test_what_a_restored_gateway_lacks(asking: Asking) -> None:
    device, _ = with_gaps(asking)
    asking.on()
    assert asking.wait(3600) == []
    asking.behind = [(device.id, device.log_id, 11, 14)]
    (said,) = asking.wait(30)
    assert (said.first, said.last) == (11, 14)
    assert asking.wait(3600) == []
    (row,) = resend.listing(asking.bench.store)
    assert (row.why, row.state) == ("behind", "sent")
    # The word is unsigned: whoever says more and more makes no more requests of it.
    asking.behind = [(device.id, device.log_id, 11, 4_000_000_000)]
    assert asking.wait(3600) == []
    asking.behind = []
    asking.bench.send(device.id, *device.day(2))
    asking.wait(30)
    assert [one.state for one in resend.listing(asking.bench.store)] == ["done"]


def test_who_is_away_or_revoked_is_not_asked(asking: Asking) -> None:
    from ronda_gateway import fleet

    with_gaps(asking, 4)
    asking.links.heard("desk-01", b'{"online":false}')
    assert asking.wait(3600) == []
    fleet.revoke(asking.bench.store, "desk-01", NOW)
    with_gaps(asking, 4, device="desk-02")
    fleet.revoke(asking.bench.store, "desk-02", NOW)
    asking.on("desk-02")
    assert asking.wait(3600) == []


def test_a_hostile_number_of_gaps_makes_few_requests(asking: Asking) -> None:
    made = asking.bench.device()
    day = [made.seal_track(made.entries(1, 0, 0)) for _ in range(400)]
    asking.bench.send(made.id, *day[1::2])
    asking.on()
    asking.wait(AFTER_S)
    found = asking.wait(900)
    assert 1 <= len(found) <= 1 + 900 // PACE_S
    assert len(resend.listing(asking.bench.store)) <= len(found) + 2


def test_what_is_old_is_forgotten(asking: Asking) -> None:
    with_gaps(asking, 4)
    asking.on()
    asking.wait(AFTER_S + 60)
    asking.bench.clock.unix += 31 * 86400
    asking.wait(60)
    with asking.bench.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.resends)) == 1


@pytest.mark.parametrize(
    ("device", "log", "first", "last", "code"),
    [
        ("desk-01", bytes(8), 0, 4, "resend-range"),
        ("desk-01", bytes(8), 5, 4, "resend-range"),
        ("desk-01", bytes(8), 1, 1 << 32, "resend-range"),
        ("desk-01", b"123", 1, 2, "log-unknown"),
        ("nobody", bytes(8), 1, 2, "device-unknown"),
    ],
)
def test_what_cannot_be_asked(  # noqa: PLR0917
    asking: Asking, device: str, log: bytes, first: int, last: int, code: str
) -> None:
    asking.bench.device()
    with pytest.raises(SetupError) as caught:
        resend.want(asking.bench.store, device, log, first, last, "operator", NOW)
    (problem,) = caught.value.problems
    assert problem.code == code and problem.text("es") and problem.text("en")
    with pytest.raises(SetupError) as caught:
        resend.newest_log(asking.bench.store, device)
    assert resend.listing(asking.bench.store) == []


def test_after_a_restore_a_gap_is_not_waited_for(asking: Asking) -> None:
    """What was receipted before is nowhere under way. A day later patience is what it was."""
    bench = asking.bench
    with bench.store.write() as connection:
        row = {"key": "restored", "value": bench.clock.unix}
        connection.execute(schema.meta.insert().values(**row))
    device, day = with_gaps(asking, 2, 3, 7, 8, 9, 10)
    asking.on()
    assert spans(asking.wait(30)) == [(2, 3)]
    bench.send(device.id, day[1], day[2])
    asking.wait(AGAIN_S)
    bench.send(device.id, day[7])
    assert asking.wait(AFTER_S - 60) == []
    assert spans(asking.wait(120)) == [(7, 7)]

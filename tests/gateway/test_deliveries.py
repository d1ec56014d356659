"""Packs on their way: queued, signed by the gateway's clock, sent to who is there, tracked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import NOW, Bench
from desk_device import DeskDevice
from ronda_gateway import deliveries, downlink, fleet, keys, packs, site
from ronda_gateway.downlink import Downlinks
from ronda_gateway.feed import Feed
from ronda_gateway.recorder import Downlink
from ronda_gateway.wording import SetupError
from ronda_protocol import bodies, chunk, cose, pack, track

HERE = b'{"online":true,"seq":1,"unsent":0}'


def a_case(i: int) -> dict[str, Any]:
    place = [1, 1, 0, -121200000 + i, -770300000, 300]
    case: dict[str, Any] = {"case_id": f"C-{i}", "portfolio": "banco-a", "creditor": "andino"}
    return case | {"place": place, "order": i, "currency": "PEN"}


class Sending:
    """A bench with a device that is there, and what goes down to it."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench = bench
        self.device: DeskDevice = bench.device()
        self.wall = 1000.0
        monkeypatch.setattr(downlink.time, "monotonic", lambda: self.wall)
        self.links = self.gateway()

    def gateway(self) -> Downlinks:
        """As after a start of the gateway."""
        feed = Feed(self.bench.settings.topic_root)
        return Downlinks(self.bench.store, self.bench.signer, self.bench.clock, feed)

    def push(self, count: int = 3) -> int:
        cases = [a_case(i) for i in range(count)]
        return deliveries.queue_cases(self.bench.store, "desk-01", "r1", cases, 86400, NOW)

    def state(self, number: int) -> tuple[str, str, int]:
        found = next(d for d in deliveries.listing(self.bench.store) if d.pack == number)
        return found.state, found.reason, found.attempts

    def answer(self, manifest: bytes, applied: int, reason: str = "") -> None:
        """The handheld's signed event."""
        sign1 = cose.parse(manifest)
        found = pack.Manifest.parse(sign1.payload)
        mark = pack.manifest_hash(sign1)[:8]
        data = [found.pack_type, found.name, found.version, applied, reason, mark]
        entries = self.device.entries(1, 0, 0)
        number = self.device.next_numbers(1)[0]
        entries.append([track.EVENT, number, entries[-1][2], track.PACK, data])
        self.bench.send("desk-01", self.device.seal_track(entries))


@pytest.fixture
def sending(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Sending:
    return Sending(bench, monkeypatch)


def body_of(found: list[Downlink]) -> bytes:
    """A body put together from the chunks of a sending."""
    whole = b""
    name = pack.manifest_hash(cose.parse(found[0].payload))
    for message in found[1:]:
        mark, at, data = chunk.decode(message.payload)
        assert mark == name and at == len(whole) and len(message.payload) <= 4096
        whole += data
    return whole


def test_a_pack_goes_out_when_the_handheld_is_there(sending: Sending) -> None:
    number = sending.push(60)
    assert sending.links.turn() == [] and sending.state(number) == ("waiting", "", 0)
    sending.links.heard("desk-01", HERE)
    found = sending.links.turn()
    assert sending.state(number) == ("sent", "", 1)
    assert {message.device for message in found} == {"desk-01"} and len(found) > 2
    sign1 = cose.parse(found[0].payload)
    manifest = pack.Manifest.parse(sign1.payload)
    assert cose.verify(sign1, sending.bench.signer.public, keys.verify_digest)
    assert (manifest.scope, manifest.name, manifest.version) == ("desk-01", "cases", NOW)
    round_id, as_of, expires, cases = pack.decode_cases(body_of(found))
    assert (round_id, as_of, expires, len(cases)) == ("r1", NOW, NOW + 86400, 60)
    assert sending.links.turn() == []
    sending.answer(found[0].payload, 1)
    assert sending.state(number) == ("applied", "", 1)
    sending.wall += 10_000
    assert sending.links.turn() == [] and sending.bench.alerts() == []


def test_again_less_and_less_often_and_then_an_alert(sending: Sending) -> None:
    number = sending.push()
    sending.links.heard("desk-01", HERE)
    waits: list[float] = []
    before = sending.wall
    for _ in range(20_000):
        if sending.links.turn():
            waits.append(sending.wall - before)
            before = sending.wall
        sending.wall += 1
    assert len(waits) == downlink.ATTEMPTS and waits[1:] == sorted(waits[1:])
    assert 30 <= waits[1] <= 31 and waits[-1] <= 3601
    assert sending.state(number)[0] == "unanswered"
    assert sending.bench.alerts() == ["pack_unanswered"]
    # A new one replaces it.
    later = sending.push()
    assert sending.links.turn() and sending.state(later)[0] == "sent"
    assert sending.state(number)[0] == "replaced"


def test_from_where_the_handheld_asks(sending: Sending) -> None:
    sending.push(60)
    sending.links.heard("desk-01", HERE)
    first = sending.links.turn()
    mark = pack.manifest_hash(cose.parse(first[0].payload))[:8].hex()
    said = {"online": True, "seq": 1, "unsent": 0, "pack": mark, "at": 2048}
    sending.links.heard("desk-01", json.dumps(said).encode())
    again = sending.links.turn()
    assert [m.payload for m in again] == [first[0].payload, *[m.payload for m in first[2:]]]
    for wrong in ({"pack": "00" * 8, "at": 0}, {"pack": 7, "at": 0}, {"pack": mark, "at": "x"}):
        sending.links.heard("desk-01", json.dumps({**said, **wrong}).encode())
        assert sending.links.turn() == []
    for noise in (b"", b"{", b"[]", b"\xff", b"[" * 5000, b'"x"'):
        sending.links.heard("desk-01", noise)
        assert sending.links.turn() == []
    sending.links.heard("desk-01", b'{"online":false}')
    sending.wall += 10_000
    assert sending.links.turn() == []


def test_a_refusal_is_kept_with_its_reason(sending: Sending) -> None:
    number = sending.push()
    sending.links.heard("desk-01", HERE)
    found = sending.links.turn()
    sending.answer(found[0].payload, 0, "space")  # it may have room the next time
    assert sending.state(number)[:2] == ("sent", "space")
    sending.answer(found[0].payload, 0, "signer")
    assert sending.state(number)[:2] == ("refused", "signer")
    assert sending.bench.alerts() == ["pack_refused"]
    sending.wall += 10_000
    assert sending.links.turn() == []
    # What is refused and applied all the same is applied; nobody else's word counts.
    other = sending.bench.device("desk-02")
    sending.device, mine = other, sending.device
    entries = other.entries(1, 0, 0)
    entries.append(
        [track.EVENT, other.next_numbers(1)[0], entries[-1][2], track.PACK, [2, "cases"]]
    )
    sending.bench.send("desk-02", other.seal_track(entries))
    sending.device = mine
    assert sending.state(number)[:2] == ("refused", "signer")


def test_versions_go_up_whatever_the_clock_says(sending: Sending) -> None:
    sending.links.heard("desk-01", HERE)
    versions: list[int] = []
    for _ in range(3):
        sending.push()
        found = sending.links.turn()
        versions.append(pack.Manifest.parse(cose.parse(found[0].payload).payload).version)
        sending.bench.clock.unix -= 100
    assert versions == [NOW, NOW + 1, NOW + 2]
    states = [one.state for one in deliveries.listing(sending.bench.store)]
    assert states == ["sent", "replaced", "replaced"]
    # A restarted gateway goes on with what was not decided.
    again = sending.gateway()
    again.heard("desk-01", HERE)
    assert len(again.turn()) == 2


def test_what_no_handheld_takes_is_not_queued(sending: Sending) -> None:
    store = sending.bench.store
    queue: Callable[..., int] = deliveries.queue_cases
    with pytest.raises(pack.PackError):
        queue(store, "desk-01", "r1", [a_case(1), a_case(1)], 60, NOW)
    with pytest.raises(pack.PackError):
        queue(store, "desk-01", "", [], 60, NOW)
    with pytest.raises(SetupError):
        queue(store, "nobody", "r1", [], 60, NOW)
    with pytest.raises(pack.PackError):
        deliveries.queue_config(store, "desk-01", {"sample_s": 0}, 60, NOW)
    assert deliveries.listing(store) == []
    deliveries.queue_config(store, "desk-01", {"sample_s": 30}, 60, NOW)
    sending.links.heard("desk-01", HERE)
    found = sending.links.turn()
    assert bodies.decode_config(body_of(found)) == {4: 30}


# ---- for the whole site ------------------------------------------------------------------------


def states(bench: Bench) -> dict[tuple[int, str], str]:
    return {(one.pack, one.device): one.state for one in deliveries.listing(bench.store)}


def test_settings_for_the_site_go_to_every_enabled_device(sending: Sending) -> None:
    bench = sending.bench
    bench.device("desk-02")
    bench.device("desk-03", state="enrolled")
    gone = bench.device("desk-04")
    number = deliveries.queue_config(bench.store, None, {"search_m": 100}, 86400, NOW)
    waiting = {(number, f"desk-0{i}"): "waiting" for i in (1, 2, 4)}
    assert states(bench) == waiting
    fleet.revoke(bench.store, gone.id, NOW)
    for device in ("desk-01", "desk-02", "desk-03", "desk-04"):
        sending.links.heard(device, HERE)
    found = sending.links.turn()
    assert {message.device for message in found} == {"desk-01", "desk-02"}
    mine = [message for message in found if message.device == "desk-02"]
    manifest = pack.Manifest.parse(cose.parse(mine[0].payload).payload)
    assert (manifest.scope, manifest.name) == ("site", "config")
    assert bodies.decode_config(body_of(mine)) == {8: 100}
    sending.answer(mine[0].payload, 1)  # desk-01's answer, about the same pack
    assert states(bench)[number, "desk-01"] == "applied"
    assert states(bench)[number, "desk-02"] == "sent"
    # Who is enabled later gets it too, once; it costs the others nothing.
    fleet.enable(bench.store, "desk-03", NOW)
    assert {message.device for message in sending.links.turn()} == {"desk-03"}
    sending.links = sending.gateway()
    sending.links.turn()
    assert len(states(bench)) == 4
    # A newer one replaces it for all, a device's own for nobody.
    own = deliveries.queue_config(bench.store, "desk-02", {"search_m": 50}, 86400, NOW)
    sending.links.turn()
    assert states(bench)[number, "desk-02"] == "sent"
    later = deliveries.queue_config(bench.store, None, {}, 86400, NOW)
    sending.links.turn()
    assert states(bench)[number, "desk-02"] == "replaced"
    assert states(bench)[number, "desk-01"] == "applied"
    assert {key for key in states(bench) if key[0] == later} == {
        (later, f"desk-0{i}") for i in (1, 2, 3)
    }
    assert states(bench)[own, "desk-02"] == "waiting" and (own, "desk-01") not in states(bench)


def test_a_pack_that_has_ended_goes_to_no_newcomer(sending: Sending) -> None:
    bench = sending.bench
    deliveries.queue_config(bench.store, None, {"search_m": 100}, 60, NOW)
    sending.links.turn()
    bench.device("desk-02", state="enrolled")
    bench.clock.unix += 61
    fleet.enable(bench.store, "desk-02", NOW)
    sending.links.turn()
    assert {device for _, device in states(bench)} == {"desk-01"}


def test_a_trust_pack_is_sent_as_it_was_signed(sending: Sending) -> None:
    bench = sending.bench
    bench.device("desk-02")
    raw = site.renew_trust(bench.site.folder, NOW + 5).trust_pack
    number = deliveries.queue_trust(bench.store, raw, NOW)
    # Of two packs that are due the trust pack goes first: the other may need its keys.
    sending.push(1)
    for device in ("desk-01", "desk-02"):
        sending.links.heard(device, HERE)
    found = [m for m in sending.links.turn() if m.device == "desk-01"]
    names = [m.payload for m in found if m.payload[:1] == b"\xd2"]
    kinds = [pack.Manifest.parse(cose.parse(payload).payload).name for payload in names]
    assert kinds == ["trust", "cases"]
    assert raw.startswith(found[0].payload)
    sending.answer(found[0].payload, 1)
    assert states(bench)[number, "desk-01"] == "applied"
    # The same again: to those who did not apply it. An older one, or none: refused.
    assert deliveries.queue_trust(bench.store, raw, NOW) == number
    assert states(bench)[number, "desk-01"] == "applied"
    assert states(bench)[number, "desk-02"] == "waiting"
    for wrong, code in (
        (bench.site.trust_pack, "old"),
        (packs.config_pack(bench.signer, "site", {}, NOW, NOW + 9), "type"),
        (b"junk", "cose-cbor-trailing"),
    ):
        with pytest.raises(pack.PackError) as caught:
            deliveries.queue_trust(bench.store, wrong, NOW)
        assert caught.value.code == code or code.startswith("cose")
    newer = site.renew_trust(bench.site.folder, NOW + 5).trust_pack
    later = deliveries.queue_trust(bench.store, newer, NOW)
    assert states(bench)[number, "desk-02"] == "replaced"
    assert states(bench)[later, "desk-01"] == "waiting"

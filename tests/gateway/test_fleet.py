"""Devices: one id, one key, two steps; what is refused says why."""

from collections.abc import Callable

import pytest
from conftest import NOW, Bench
from desk_device import DeskDevice
from ronda_gateway import fleet, keys
from ronda_gateway.wording import SetupError


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(SetupError) as caught:
        act()
    return caught.value.problems[0].code


def test_two_steps(bench: Bench) -> None:
    device = DeskDevice()
    assert fleet.enrol(bench.store, device.id, device.public, NOW) is True
    assert fleet.enrol(bench.store, device.id, device.public, NOW) is False
    assert fleet.show(bench.store, device.id).state == fleet.ENROLLED
    assert fleet.enable(bench.store, device.id, NOW + 1) is True
    assert fleet.enable(bench.store, device.id, NOW + 2) is False
    shown = fleet.show(bench.store, device.id)
    assert (shown.state, shown.enrolled_at, shown.enabled_at) == ("enabled", NOW, NOW + 1)
    assert shown.kids == (device.signer.kid.hex(),)


def test_refusals(bench: Bench) -> None:
    store = bench.store
    one, two = bench.device("desk-01"), DeskDevice("desk-02")
    public = keys.make().public
    for device in ("", "ab", "Desk-01", "x" * 25, "a/b", "desk 1", "ñandú"):
        assert refused(lambda d=device: fleet.enrol(store, d, public, NOW)) == "device-id"
    assert refused(lambda: fleet.enrol(store, one.id, public, NOW)) == "device-exists"
    assert refused(lambda: fleet.enrol(store, two.id, one.public, NOW)) == "key-taken"
    assert refused(lambda: fleet.enrol(store, two.id, bytes(64), NOW)) == "key-format"
    assert refused(lambda: fleet.enrol(store, two.id, b"", NOW)) == "key-format"
    office = bench.site.signer("office").public
    kids = bench.site.kids
    assert refused(lambda: fleet.enrol(store, two.id, office, NOW, kids)) == "key-is-the-sites"
    assert refused(lambda: fleet.enable(store, "desk-77", NOW)) == "device-unknown"
    assert refused(lambda: fleet.show(store, "desk-77")) == "device-unknown"
    assert fleet.revoke(store, one.id, NOW) is True
    assert fleet.revoke(store, one.id, NOW) is False
    assert refused(lambda: fleet.enable(store, one.id, NOW)) == "device-revoked"
    assert refused(lambda: fleet.enrol(store, one.id, one.public, NOW)) == "device-revoked"
    assert [listed.id for listed in fleet.listing(store)] == ["desk-01"]


def test_what_is_listed(bench: Bench) -> None:
    device, idle = bench.device("desk-01"), bench.device("desk-00", "enrolled")
    bench.send(device.id, *device.day(2)[:3], b"junk")
    bench.send(idle.id, idle.seal_track())
    first, second = fleet.listing(bench.store)
    assert (first.id, first.held, first.segments, first.last_at) == ("desk-00", 1, 0, None)
    assert (second.segments, second.visits, second.quarantined) == (3, 1, 1)
    assert second.logs == ({"log": device.log_id.hex(), "upto": 3, "max_seq": 3},)
    assert second.last_at == NOW


@pytest.mark.parametrize("name", ["'; DROP TABLE devices; --", '" OR 1=1', "%"])
def test_names_are_only_data(bench: Bench, name: str) -> None:
    device = bench.device()
    assert refused(lambda: fleet.show(bench.store, name)) == "device-unknown"
    bench.send(name, device.seal_track())
    bench.send(device.id, device.seal_visit(case_id=name, outcome=name, gestor=name))
    (row,) = [e for e in bench.visits() if e["type"] == "ronda.visit"]
    assert row["data"]["case_id"] == name
    assert [listed.id for listed in fleet.listing(bench.store)] == ["desk-01"]

"""Judged with the search radius that was in force on the handheld, not with today's."""

from typing import Any

import pytest
from conftest import NOW, Bench
from desk_device import MIRAFLORES, DeskDevice
from ronda_gateway import packs, schema
from ronda_protocol import fence, pack, track, visit

FAR = 20_000  # about 222 m north, in units of 1e-7 degrees
CONFIG = 4


class Field:
    """A handheld that gets config packs and checks in about 190 m outside a geocoded fence."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.device: DeskDevice = bench.device()
        self.version = NOW

    def made(self, search_m: int | None, scope: str = "desk-01") -> list[Any]:
        """A config pack of this site: what its event says of it, applied."""
        self.version += 1
        values = {} if search_m is None else {"search_m": search_m}
        signer, until = self.bench.signer, self.version + 86400
        raw = packs.config_pack(signer, scope, values, self.version, until)
        mark = pack.manifest_hash(pack.parse(raw).sign1)[:8]
        row = {"type": CONFIG, "scope": scope, "name": "config", "made_at": NOW}
        row |= {"version": self.version, "mark": mark, "raw": raw}
        with self.bench.store.write() as connection:
            connection.execute(schema.packs.insert().values(**row))
        return [CONFIG, "config", self.version, 1, "", mark]

    def event(self, data: list[Any], send: bool = True) -> bytes:
        """The handheld seals a `pack` event, at once."""
        number = self.device.next_numbers(1)[0]
        raw = self.device.seal_track([[track.EVENT, number, self.device.ms, track.PACK, data]])
        if send:
            self.bench.send(self.device.id, raw)
        return raw

    def visit(self, opened: int = visit.OPENED_ADDRESS, send: bool = True) -> bytes:
        lat, lon = MIRAFLORES
        place = [1, visit.GEOCODED, 0, lat - FAR, lon, 300]
        ended = visit.REFUSED if opened == visit.OPENED_REFUSED else visit.CLOSED
        fields: dict[str, Any] = {"place": place, "opened": opened, "ended": ended}
        evidence = self.device.evidence(**fields)
        assert evidence["check_in_verdict"][0] == fence.OUTSIDE
        assert 1500 < evidence["check_in_verdict"][1] < 2500
        if ended == visit.REFUSED:
            for name in ("close", "outcome"):
                del evidence[name]
        parts = {2: visit.encode_evidence(evidence)}
        raw = self.device.seal(2, parts, self.device.next_numbers(1))
        self.device.ms += 60_000
        if send:
            self.bench.send(self.device.id, raw)
        return raw

    def fits(self) -> bool:
        """Whether the last visit told was opened as its policy allows."""
        return "policy_mismatch" not in self.bench.visits()[-1]["data"]["verdicts"]["reasons"]


@pytest.fixture
def field(bench: Bench) -> Field:
    return Field(bench)


def test_without_a_pack_the_gateways_setting_holds(field: Field) -> None:
    field.visit()
    assert field.fits()
    field.visit(visit.OPENED_REFUSED)
    assert not field.fits() and field.bench.alerts() == ["policy_mismatch"]


@pytest.mark.parametrize("scope", ["desk-01", "site"])
def test_a_pack_holds_from_its_event_on(field: Field, scope: str) -> None:
    field.visit()
    narrow, wide = field.made(100, scope), field.made(250, scope)
    field.event(narrow)
    field.visit(visit.OPENED_REFUSED)
    assert field.fits()
    field.visit(visit.OPENED_ADDRESS)
    assert not field.fits()
    # Over restarts of handheld and gateway.
    field.device.boot, field.device.ms = 2, 60_000
    field.bench.recorder = field.bench.new_recorder()
    field.visit(visit.OPENED_REFUSED)
    assert field.fits()
    field.event(wide)
    field.visit(visit.OPENED_ADDRESS)
    assert field.fits()
    assert field.bench.alerts() == ["policy_mismatch"]


def test_what_was_refused_or_says_nothing_of_it_changes_nothing(field: Field) -> None:
    refused = field.made(100)
    refused[3:5] = [0, "signer"]
    field.event(refused)
    field.event(field.made(None))
    field.event([2, "cases", 5, 1, "", bytes(8)])
    field.event([CONFIG, "config", 5])
    field.event([CONFIG, "config", 5, 1, "", b"unknown!"])
    field.visit()
    assert field.fits() and field.bench.alerts() == []


def test_the_devices_own_beats_the_sites_until_it_ends(field: Field) -> None:
    own, site = field.made(100), field.made(250, "site")
    field.event(own)
    field.event(site)
    field.visit(visit.OPENED_REFUSED)
    assert field.fits()
    field.event([CONFIG, "config", own[2], 0, "time", own[5]])
    field.visit()
    assert field.fits()
    again = field.made(100)
    field.event(again)
    field.visit(visit.OPENED_REFUSED)
    assert field.fits()
    field.event([CONFIG, "config", 0, 0, "hash"])  # found damaged at a boot
    field.visit()
    assert field.fits() and field.bench.alerts() == []


def test_a_visit_is_judged_by_its_check_in_and_again_when_a_gap_closes(field: Field) -> None:
    # The pack was applied between check-in and seal.
    early = field.device.ms = 60_000
    event = field.event(field.made(100), send=False)
    field.device.ms, later = early - 100, field.device.ms
    opened = field.visit(send=False)
    field.device.ms = later
    refused = field.visit(visit.OPENED_REFUSED, send=False)
    field.bench.send(field.device.id, opened)
    assert field.fits()
    field.bench.send(field.device.id, refused)  # of the pack nothing is known yet
    assert not field.fits()
    field.bench.send(field.device.id, event)
    change = field.bench.visits()[-1]["data"]
    assert change["reason"] == "gap_filled" and field.fits()
    assert change["visit_id"].endswith("/3")

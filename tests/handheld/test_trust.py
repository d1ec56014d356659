"""Whom the handheld believes: the pinned root, roles, validity in time, scope, versions."""

import gc
import os

from handheld import packs
from handheld.trust import Trust
from handheld_board import FakeBoard, FakeClock, Signer
from ronda_protocol import cose, pack

NOW = 1789473600
DAY = 86400


def key(n):
    return Signer(bytes([n]) * 32)


def load_error(site):
    """Code of the refusal of the cases pack that is on flash."""
    try:
        packs.load(site.board, site.trust(), FakeClock(), pack.CASES)
    except pack.PackError as error:
        return error.code


class Site:
    """A board with a trust pack on flash; keys made once (each costs a multiplication)."""

    root, gateway, release, stranger = key(1), key(2), key(3), key(4)

    def __init__(self, profile="sim"):
        gc.collect()  # an earlier test's flash
        self.board = FakeBoard(count=64)
        self.board.ident.profile = profile
        self.board.nv.set("root", cose.thumbprint(self.root.public))
        os.mkdir("/flash/packs")
        self.put("trust", self.trust_pack())

    def put(self, name, data):
        with open("/flash/packs/" + name, "wb") as f:
            f.write(data)

    def trust_pack(self, version=10, scope="site", keys=None, signer=None, root=None):
        keys = keys or [
            [self.gateway.public, pack.GATEWAY, NOW - DAY, NOW + DAY, False],
            [self.release.public, pack.RELEASE, 0, NOW + 100 * DAY, False],
        ]
        body = pack.encode_trust(root or self.root.public, keys)
        manifest = pack.Manifest(pack.TRUST, scope, "trust", version, NOW - DAY, NOW + 2 * DAY)
        return pack.seal(manifest, body, signer or self.root)

    def cases_pack(self, signer=None, version=5, scope="site", first=NOW - 60, last=NOW + DAY):
        body = pack.encode_cases("r1", NOW, NOW + DAY, [])
        manifest = pack.Manifest(pack.CASES, scope, "cases", version, first, last)
        return pack.seal(manifest, body, signer or self.gateway)

    def trust(self):
        trust = Trust(self.board)
        trust.load()
        return trust

    def load(self, data, utc=NOW):
        """Code of the refusal of a cases pack, or None."""
        self.put("cases", data)
        clock = FakeClock(utc=utc)
        try:
            packs.load(self.board, self.trust(), clock, pack.CASES)
        except pack.PackError as error:
            return error.code

    def refused(self, data):
        """Code of the refusal of a trust pack on flash, or None."""
        self.put("trust", data)
        trust = Trust(self.board)
        try:
            trust.load()
        except pack.PackError as error:
            assert trust.key(self.gateway.kid, pack.GATEWAY, NOW) is None
            return error.code


def test_a_key_has_its_role_and_its_time():
    site = Site("release")
    trust = site.trust()
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW) == site.gateway.public
    assert trust.key(site.gateway.kid, pack.GATEWAY, None) == site.gateway.public
    assert trust.key(site.gateway.kid, pack.RELEASE, NOW) is None
    assert trust.key(site.release.kid, pack.GATEWAY, NOW) is None
    assert trust.key(site.stranger.kid, pack.GATEWAY, NOW) is None
    assert trust.key(site.root.kid, pack.GATEWAY, NOW) is None
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW + DAY) == site.gateway.public
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW + DAY + 1) is None
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW - DAY - 121) is None
    assert trust.key(site.release.kid, pack.RELEASE, NOW + 2 * DAY + 1) is None  # the pack ended
    assert trust.future == []


def test_the_simulator_accepts_what_begins_later_and_flags_it():
    site = Site("sim")
    trust = site.trust()
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW - 1000 * DAY) == site.gateway.public
    assert trust.future == ["trust", "key"]
    assert trust.key(site.gateway.kid, pack.GATEWAY, NOW + DAY + 1) is None  # ended is ended


def test_before_load_nobody_is_believed():
    site = Site()
    assert Trust(site.board).key(site.gateway.kid, pack.GATEWAY, NOW) is None


def test_a_revoked_key_is_not_believed():
    site = Site()
    keys = [[site.gateway.public, pack.GATEWAY, 0, NOW + DAY, True]]
    site.put("trust", site.trust_pack(keys=keys))
    assert site.trust().key(site.gateway.kid, pack.GATEWAY, NOW) is None


def test_only_the_pinned_root_signs_the_trust_pack():
    site = Site()
    assert site.refused(site.trust_pack(root=site.stranger.public, signer=site.stranger)) == "root"
    assert site.refused(site.trust_pack(signer=site.stranger)) == "signature"
    assert site.refused(site.trust_pack(signer=site.gateway)) == "signature"
    assert site.refused(site.trust_pack(scope="otro-99")) == "scope"
    assert site.refused(site.cases_pack()) == "type"
    assert site.refused(b"") is not None
    site.board.nv.set("root", bytes(32))
    assert site.refused(site.trust_pack()) == "root"


def test_versions_go_up_only():
    site = Site()
    site.trust()
    assert site.refused(site.trust_pack(version=9)) == "old"
    assert site.refused(site.trust_pack(version=10)) is None
    assert site.refused(site.trust_pack(version=11)) is None
    assert site.refused(site.trust_pack(version=10)) == "old"
    # Each (type, scope, name) counts for itself.
    assert site.refused(site.trust_pack(version=11)) is None
    assert site.load(site.cases_pack(version=5)) is None
    assert site.load(site.cases_pack(version=4)) == "old"
    assert site.load(site.cases_pack(version=1, scope=site.board.ident.device_id)) is None
    with open("/flash/packs/versions", "wb") as f:
        f.write(b"\xff not CBOR")
    assert site.refused(site.trust_pack(version=11)) is None


def test_a_version_is_fresh_once():
    site = Site()
    trust = Trust(site.board)
    assert trust.load()[1] is True and trust.load()[1] is False
    site.put("cases", site.cases_pack())
    assert packs.load(site.board, trust, FakeClock(), pack.CASES)[1]
    assert not packs.load(site.board, trust, FakeClock(), pack.CASES)[1]


def test_a_cases_pack_needs_a_gateways_signature_scope_and_time():
    site = Site("release")
    assert site.load(site.cases_pack()) is None
    assert site.load(site.cases_pack(signer=site.release)) == "signer"
    assert site.load(site.cases_pack(signer=site.root)) == "signer"
    assert site.load(site.cases_pack(signer=site.stranger)) == "signer"
    assert site.load(site.cases_pack(scope="otro-99")) == "scope"
    assert site.load(site.cases_pack(last=NOW - 1)) == "time"
    assert site.load(site.cases_pack(first=NOW + 500)) == "time"
    assert site.load(site.cases_pack(first=NOW + 60)) is None  # clocks differ by seconds
    assert site.load(site.cases_pack(last=NOW - 1), utc=None) is None  # judged when there is time
    with open("/flash/packs/cases", "wb") as f:
        for _ in range(17):
            f.write(bytes(1024))
    assert load_error(site) == "too-big"
    site.board.ident.profile = "sim"
    assert site.load(site.cases_pack(first=NOW + 500)) is None
    os.remove("/flash/packs/cases")
    assert load_error(site) == "missing"


def test_every_changed_bit_of_a_pack_is_refused():
    """Threat 9: a changed pack is never accepted (every second bit of the cases pack)."""
    site = Site()
    data = bytearray(site.cases_pack())
    trust, clock = site.trust(), FakeClock()
    accepted = tried = 0
    for bit in range(0, len(data) * 8, 2):
        data[bit >> 3] ^= 1 << (bit & 7)
        try:
            packs.load(site.board, trust, clock, pack.CASES, bytes(data))
            accepted += 1
        except pack.PackError:
            tried += 1
        data[bit >> 3] ^= 1 << (bit & 7)
    assert not accepted and tried > 600, (accepted, tried)


def test_a_pack_cut_anywhere_is_refused():
    site = Site()
    trust, clock, data = site.trust(), FakeClock(), site.cases_pack()
    for n in range(len(data)):
        try:
            packs.load(site.board, trust, clock, pack.CASES, data[:n])
            assert False, n
        except pack.PackError:
            pass

"""Whom the handheld believes: the pinned root, roles, validity in time, scope, versions."""

import gc
import os

import always_loaded  # noqa: F401
from handheld import packs
from handheld.trust import Trust
from handheld_board import FakeBoard, FakeClock, Signer
from ronda_protocol import cbor, cose, issuing, pack, track

NOW = 1789473600
DAY = 86400


def key(n):
    return Signer(bytes([n]) * 32)


def trusting(board, clock=None):
    """A Trust that believes the trust pack on flash; PackError."""
    trust = Trust(board)
    trust.use(packs.load(trust, clock or FakeClock(), pack.TRUST)[1])
    return trust


def load_error(site):
    """Code of the refusal of the cases pack that is on flash."""
    try:
        packs.load(site.trust(), FakeClock(), pack.CASES)
    except pack.PackError as error:
        return error.code


class Events:
    """A log that remembers pack events."""

    def __init__(self):
        self.told = []

    def event(self, code, data):
        if code == track.PACK:
            self.told.append(data[:5])
        return 1


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
        packs.store(self.board, "/flash/packs/" + name, data)

    def trust_pack(self, version=10, scope="site", keys=None, signer=None, root=None):
        keys = keys or [
            [self.gateway.public, pack.GATEWAY, NOW - DAY, NOW + DAY, False],
            [self.release.public, pack.RELEASE, 0, NOW + 100 * DAY, False],
        ]
        body = issuing.encode_trust(root or self.root.public, keys)
        manifest = pack.Manifest(pack.TRUST, scope, "trust", version, NOW - DAY, NOW + 2 * DAY)
        return issuing.seal(manifest, body, signer or self.root)

    def cases_pack(self, signer=None, version=5, scope="site", first=NOW - 60, last=NOW + DAY):
        body = issuing.encode_cases("r1", NOW, NOW + DAY, [])
        manifest = pack.Manifest(pack.CASES, scope, "cases", version, first, last)
        return issuing.seal(manifest, body, signer or self.gateway)

    def trust(self):
        return trusting(self.board)

    def load(self, data, utc=NOW):
        """Code of the refusal of a cases pack, or None."""
        self.put("cases", data)
        clock = FakeClock(utc=utc)
        try:
            self.loaded = packs.load(self.trust(), clock, pack.CASES)
        except pack.PackError as error:
            return error.code

    def refused(self, data):
        """Code of the refusal of a trust pack on flash, or None."""
        self.put("trust", data)
        try:
            trusting(self.board)
        except pack.PackError as error:
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

    def settled(name):
        """As a boot does it: read, tell, remember."""
        trust, log = Trust(site.board), Events()
        kind = pack.TYPE_NAMES.index(name)
        if kind != pack.TRUST:
            trust = site.trust()
        packs.find(trust, FakeClock(), log, kind)
        return log.told

    assert settled("trust") == [[1, "trust", 10, 1, ""]]
    assert settled("trust") == []  # new only once
    assert site.refused(site.trust_pack(version=9)) == "old"
    assert site.refused(site.trust_pack(version=10)) is None
    assert site.refused(site.trust_pack(version=11)) is None
    assert settled("trust") == [[1, "trust", 11, 1, ""]]
    assert site.refused(site.trust_pack(version=10)) == "old"
    assert site.refused(site.trust_pack(version=11)) is None
    # Each (type, scope, name) counts for itself.
    assert site.load(site.cases_pack(version=5)) is None
    assert settled("cases") == [[2, "cases", 5, 1, ""]]
    assert site.load(site.cases_pack(version=4)) == "old"
    assert settled("cases") == [[2, "cases", 0, 0, "old"]]
    assert site.load(site.cases_pack(version=1, scope=site.board.ident.device_id)) is None
    with open("/flash/packs/versions", "wb") as f:
        f.write(b"\xff not CBOR")
    assert site.refused(site.trust_pack(version=11)) is None


def test_our_own_cases_beat_the_sites():
    site = Site()
    own = site.board.ident.device_id
    site.put("cases.site", site.cases_pack(version=9))
    log, trust = Events(), site.trust()
    assert packs.find(trust, FakeClock(), log, pack.CASES)[0][2] == 9
    site.put("cases", site.cases_pack(version=3, scope=own))
    assert packs.find(trust, FakeClock(), log, pack.CASES)[0][2] == 3
    # Ours ends, and the site's is there still.
    site.put("cases", site.cases_pack(version=4, scope=own, last=NOW - 1))
    assert packs.find(trust, FakeClock(), log, pack.CASES)[0][2] == 9
    assert log.told[-1] == [2, "cases", 0, 0, "time"]


def test_a_pack_may_ask_for_another_first():
    site = Site()
    trust, log = site.trust(), Events()
    body = issuing.encode_cases("r1", NOW, NOW + DAY, [])
    for needed, code in (
        ([[pack.TRUST, "trust", 10]], "requires"),  # read, not yet settled
        ([[pack.FORM, "visita-1", 1]], "requires"),
        ([], None),
    ):
        manifest = pack.Manifest(pack.CASES, "site", "cases", 5, 0, NOW + DAY, requires=needed)
        data = issuing.seal(manifest, body, site.gateway)
        assert site.load(data) == code
    packs.find(trust, FakeClock(), log, pack.TRUST)
    manifest.requires = [[pack.TRUST, "trust", 10]]
    assert site.load(issuing.seal(manifest, body, site.gateway)) is None
    manifest.requires = [[pack.TRUST, "trust", 11]]
    assert site.load(issuing.seal(manifest, body, site.gateway)) == "requires"


def test_packs_of_other_names_and_types_are_not_taken():
    site = Site()
    body = issuing.encode_cases("r1", NOW, NOW + DAY, [])
    for kind, name, code in (
        (pack.CASES, "ronda-0915", "name"),
        (pack.CONFIG, "cases", "type"),
        (pack.MESSAGE, "cases", "type"),
    ):
        manifest = pack.Manifest(kind, "site", name, 5, 0, NOW + DAY)
        assert site.load(issuing.seal(manifest, body, site.gateway)) == code
    # A trust pack is everybody's: one for a single handheld could hide what the site revokes.
    assert site.refused(site.trust_pack(scope=site.board.ident.device_id)) == "scope"


def test_cases_past_their_time_are_not_taken():
    site = Site()
    manifest = pack.Manifest(pack.CASES, "site", "cases", 5, 0, NOW + DAY)
    data = issuing.seal(manifest, issuing.encode_cases("r1", 1, NOW, []), site.gateway)
    assert site.load(data) == "expired"
    assert site.load(data, utc=NOW - 60) is None
    assert site.load(data, utc=None) is None  # whoever checks in without a time is told so


def test_settings_have_bounds():
    site = Site()
    manifest = pack.Manifest(pack.CONFIG, "site", "config", 5, 0, NOW + DAY)
    for values, code in (({"sample_s": 30, "search_m": 150}, None), ({}, None)):
        site.put("config", issuing.seal(manifest, issuing.encode_config(values), site.gateway))
        _, found, _ = packs.load(site.trust(), FakeClock(), pack.CONFIG)
        assert found == ({4: 30, 8: 150} if values else {})
    site.put("config", issuing.seal(manifest, cbor.encode({8: 2001}), site.gateway))
    try:
        packs.load(site.trust(), FakeClock(), pack.CONFIG)
        assert False
    except pack.PackError as error:
        assert error.code == "config"


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
    assert load_error(site) == "cose-shape"
    site.board.ident.profile = "sim"
    assert site.load(site.cases_pack(first=NOW + 500)) is None
    os.remove("/flash/packs/cases")
    assert load_error(site) == "missing"


def tried(site, trust, clock, data):
    """The code of the refusal of bytes as the pack that has arrived."""
    site.put("coming", data)
    try:
        packs.adopt(trust, clock)
    except pack.PackError as error:
        return error.code


def test_every_changed_bit_of_a_pack_is_refused():
    """Threat 9: a changed pack is never put in force (every second bit of the cases pack)."""
    site = Site()
    data = bytearray(site.cases_pack(scope=site.board.ident.device_id))
    trust, clock = site.trust(), FakeClock()
    codes = {}
    for bit in range(0, len(data) * 8, 2):
        data[bit >> 3] ^= 1 << (bit & 7)
        code = tried(site, trust, clock, data)
        assert code, bit
        codes[code] = codes.get(code, 0) + 1
        data[bit >> 3] ^= 1 << (bit & 7)
    assert sum(codes.values()) > 600 and codes["signature"] > 300, codes
    assert "cases" not in os.listdir("/flash/packs")
    assert tried(site, trust, clock, data) is None


def test_a_pack_cut_anywhere_is_refused():
    site = Site()
    trust, clock, data = site.trust(), FakeClock(), site.cases_pack()
    for n in range(len(data)):
        assert tried(site, trust, clock, data[:n]), n
    assert tried(site, trust, clock, data + b"x") == "body"


def test_a_round_of_two_hundred_costs_no_heap():
    site = Site()
    assert site.load(site.cases_pack()) is None  # the code is there now
    case = {"case_id": "", "portfolio": "banco-a", "creditor": "Banco Andino S.A."}
    case.update({"place": [1, 1, 0, -121200000, -770300000, 300], "order": 1, "currency": "PEN"})
    listed = []
    for i in range(200):
        listed.append(dict(case))
        listed[i]["case_id"], listed[i]["order"] = "caso-%03d" % i, 200 - i
    body = issuing.encode_cases("r1", NOW, NOW + DAY, listed)
    manifest = pack.Manifest(pack.CASES, "site", "cases", 5, NOW - 60, NOW + DAY)
    site.put("cases", issuing.seal(manifest, body, site.gateway))
    listed = body = None
    trust, clock = site.trust(), FakeClock()
    gc.collect()
    before = gc.mem_alloc()
    cases = packs.load(trust, clock, pack.CASES)[1]
    gc.collect()
    assert gc.mem_alloc() - before < 1024, gc.mem_alloc() - before
    assert cases.get("caso-123")["order"] == 77 and cases.get("caso-200") is None
    assert cases.ids()[0] == "caso-199" and len(cases.ids()) == 200
    assert (cases.round_id, cases.expires_at, cases.version) == ("r1", NOW + DAY, 5)
    # A bit that flips on flash later: nothing of it is believed any more.
    with open("/flash/packs/cases", "rb") as f:
        data = bytearray(f.read())
    data[-3000] ^= 1
    with open("/flash/packs/cases", "wb") as f:
        f.write(data)
    assert cases.get("caso-123") is None
    assert load_error(site) == "unreadable"

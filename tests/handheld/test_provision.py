"""Provisioning: the key is made once and stays inside, packs are verified before they are kept."""

import gc
import io
import os

from handheld import app, packs, provision
from handheld.signer import Signer
from handheld.trust import Trust
from handheld_board import FakeBoard, PowerCut, files
from ronda_protocol import cbor, cose, issuing, p256, pack

ORDER = int.from_bytes(cose.N, "big")
ROOT, GATEWAY = Signer(bytes([1]) * 32), Signer(bytes([2]) * 32)
THUMB = cose.thumbprint(ROOT.public)


class Draws:
    """entropy() that gives what a test lists."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def __call__(self, n):
        return (self.draws.pop(0) if len(self.draws) > 1 else self.draws[0])[:n]


def bare(*draws):
    gc.collect()
    board = FakeBoard(count=64)
    board.entropy = Draws(*(draws or (bytes([7]) * 32, bytes([8]) * 32)))
    return board


def refused(task, *args):
    """The code of a ProvisionError, or None."""
    try:
        task(*args)
    except provision.ProvisionError as error:
        return error.code


class Early:
    def trusted(self):
        return False


def believed(board):
    """What the board believes after its trust pack was read."""
    trust = Trust(board, "lima-01")
    trust.use(packs.load(trust, Early(), pack.TRUST)[1])
    return trust


def trust_pack(root=ROOT, version=3):
    keys = [[GATEWAY.public, pack.GATEWAY, 0, 4000000000, False]]
    manifest = pack.Manifest(pack.TRUST, "site", "trust", version, 0, 4000000000)
    return issuing.seal(manifest, issuing.encode_trust(root.public, keys), root)


def cases_pack(scope="lima-01", signer=GATEWAY):
    manifest = pack.Manifest(pack.CASES, scope, "cases", 3, 0, 4000000000)
    return issuing.seal(manifest, issuing.encode_cases("r", 1, 2, []), signer)


def test_the_key_is_made_from_good_entropy_only():
    zero, high, one = bytes(32), b"\xff" * 32, b"\x11" * 32
    board = bare(one, zero, (ORDER).to_bytes(32, "big"), high, b"\x22" * 32)
    public = provision.make_key(board)
    assert board.nv.get("key") == b"\x22" * 32
    assert public == p256.public_key(b"\x22" * 32) and p256.valid_public(public)
    for draws in ((one,), (zero, high), (one, b"\x11"), (one, b""), (zero, zero, zero)):
        board = bare(*draws)
        assert refused(provision.make_key, board) == "entropy", draws
        assert board.nv.get("key") is None


def test_a_second_key_needs_a_second_word():
    board = bare()
    first = provision.provision(board, "lima-01", THUMB)
    assert board.nv.get("dev") == b"lima-01" and board.nv.get("root") == THUMB
    assert refused(provision.make_key, board) == "has-key"
    assert refused(provision.provision, board, "lima-02", bytes(32)) == "has-key"
    assert board.nv.get("dev") == b"lima-01" and board.nv.get("root") == THUMB
    board.entropy = Draws(b"\x31" * 32, b"\x32" * 32)
    assert provision.provision(board, "lima-01", THUMB, True) != first


def test_wrong_words_change_nothing():
    board = bare()
    for device in ("", "ab", "Lima-01", "lima 01", "x" * 25, None, 7):
        assert refused(provision.provision, board, device, THUMB) == "device"
    for root in (b"", bytes(31), None, "x" * 32):
        assert refused(provision.provision, board, "lima-01", root) == "root"
    for config in ({}, {1: "h", 2: 1883}, {1: "", 2: 1, 3: "r"}, {1: "h", 2: 0, 3: "r"}):
        assert refused(provision.configure, board, config) == "config"
    assert refused(provision.configure, board, {1: "h", 2: 70000, 3: "r"}) == "config"
    assert refused(provision.configure, board, {1: "h", 2: 1883, 3: "r", 4: 0}) == "config"
    assert refused(provision.configure, board, None) == "config"
    assert board.nv.values == {} and files("/flash") == []


def test_config_and_packs_are_there_afterwards():
    board = bare()
    provision.provision(board, "lima-01", THUMB)
    config = {1: "127.0.0.1", 2: 1883, 3: "ronda/lima", 4: 15}
    provision.configure(board, config)
    provision.install(board, "lima-01", trust_pack(), cases_pack())
    provision.install(board, "lima-01", trust_pack(version=4))
    with open("/flash/config", "rb") as f:
        assert cbor.decode(f.read()) == config
    assert sorted(os.listdir("/flash/packs")) == ["cases", "trust"]
    trust = believed(board)
    assert packs.load(trust, Early(), pack.TRUST)[0][2] == 4
    assert trust.key(GATEWAY.kid, pack.GATEWAY, 5) == GATEWAY.public


def test_packs_of_another_root_or_device_are_not_written():
    board = bare()
    provision.provision(board, "lima-01", THUMB)
    other = Signer(bytes([9]) * 32)
    for trust, cases, code in (
        (trust_pack(other), None, "root"),
        (trust_pack()[:-1], None, "cbor-truncated"),
        (b"", None, "cose-cbor-truncated"),
        (cases_pack(), None, "type"),
        (trust_pack(), cases_pack("lima-02"), "scope"),
        (trust_pack(), cases_pack(signer=other), "signer"),
        (trust_pack(), trust_pack(), "type"),
    ):
        assert refused(provision.install, board, "lima-01", trust, cases) == code
    assert files("/flash") == []


def test_the_private_key_is_never_told():
    board = bare(b"\x01" * 32, b"SECRET-KEY-SECRET-KEY-SECRET-KEY")
    out = io.StringIO()
    previous = os.dupterm(out) if hasattr(os, "dupterm") else None
    public = provision.provision(board, "lima-01", THUMB)
    provision.install(board, "lima-01", trust_pack())
    if hasattr(os, "dupterm"):
        os.dupterm(previous)
    assert b"SECRET" not in public and "SECRET" not in out.getvalue() and not board.told
    for path, _ in files("/flash"):
        with open(path, "rb") as f:
            assert b"SECRET" not in f.read()


def test_a_power_cut_while_packs_are_installed_leaves_the_old_or_the_new_one():
    board = bare()
    provision.provision(board, "lima-01", THUMB)
    seen, ended, cut = set(), False, 0
    while not ended:
        cut += 1
        board.reboot()
        provision.install(board, "lima-01", trust_pack(version=3))
        board.reboot(cut_at=cut)
        try:
            provision.install(board, "lima-01", trust_pack(version=4))
            ended = True
        except PowerCut:
            pass
        board.reboot()
        seen.add(packs.load(Trust(board, "lima-01"), Early(), pack.TRUST)[0][2])
        assert cut < 200
    assert seen == {3, 4}


def test_the_app_says_that_it_is_not_provisioned():
    board = bare()
    board.signer = None
    reports = []
    board.done = reports.append
    app.run(board)
    assert reports == [{"ended": "unprovisioned"}]

"""Makes a bare handheld a site's: its own key, the pinned root, config and first packs.

Runs once, at the bench. The private key is made here and never leaves: not by a result, not by a
print. Enrolling the public key is the gateway's business.
"""

import os

from ronda_protocol import bounds, cbor, p256, pack

from handheld import packs, vault
from handheld.trust import Trust

_TRIES = 8


class ProvisionError(Exception):
    """`code`: has-key, entropy, device, root, config, or a PackError's code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class _NoClock:
    """At the bench no time is trusted: validity in time is checked at each boot."""

    def trusted(self):
        return False


def make_key(board, again=False):
    """Make the device log key in nv; returns its public key (64 bytes).

    Entropy out of range is drawn again, entropy that repeats itself is refused."""
    if board.nv.get("key") and not again:
        raise ProvisionError("has-key")
    last = None
    for _ in range(_TRIES):
        private = bytes(board.entropy(32))
        if private == last or len(private) != 32:
            raise ProvisionError("entropy")
        if last is not None and p256.valid_private(private):
            public = p256.public_key(private)
            board.nv.set("key", private)
            return public
        last = private
    raise ProvisionError("entropy")


def provision(board, device, root, again=False):
    """Give the handheld its id, the root's thumbprint (32 bytes), the secrets that debtor data is
    kept under (vault) and a key; the public key.

    `again` makes a new key for a handheld that has one: its old key is gone for good."""
    if not bounds.is_device(device):
        raise ProvisionError("device")
    if not bounds.is_bytes(root, 32):
        raise ProvisionError("root")
    if board.nv.get("key") and not again:
        raise ProvisionError("has-key")
    board.nv.set("root", root)
    board.nv.set("dev", device.encode())
    public = make_key(board, again)  # a key says that the rest is there
    vault.make(board)  # now, with good entropy; who finds none makes them
    return public


def configure(board, config):
    """Write the config {1: broker host, 2: port, 3: topic root, ...}; refuses what cannot work."""
    if not (
        bounds.is_map(config)
        and bounds.is_text(config.get(1), 255)
        and bounds.is_uint(config.get(2), 65535, 1)
        and bounds.is_text(config.get(3), 64)
        and bounds.is_uint(config.get(4, 15), 3600, 1)
    ):
        raise ProvisionError("config")
    packs.replace(board.storage + "/config", cbor.encode(config))


def install(board, device, trust_pack, cases_pack=None):
    """Verify packs against the pinned root, then put them on flash; refused, none is changed."""
    try:
        os.mkdir(board.storage + "/packs")
    except OSError:
        pass  # it is there, or the next line says what is wrong
    trust, clock = Trust(board, device), _NoClock()
    try:
        packs.store(board, packs.coming(board), trust_pack)
        _, found, _ = packs.load(trust, clock, pack.TRUST, packs.coming(board))
        if cases_pack is not None:
            trust.use(found)
            packs.store(board, packs.coming(board), cases_pack)
            packs.load(trust, clock, pack.CASES, packs.coming(board))
            packs.store(board, packs.coming(board), trust_pack)
        packs.adopt(trust, clock)
        if cases_pack is not None:
            packs.store(board, packs.coming(board), cases_pack)
            packs.adopt(trust, clock)
    except pack.PackError as error:
        packs.drop(board)
        raise ProvisionError(error.code)

"""Packs on flash: read, verified against the trust pack, refused when older than one seen before.

A pack lies whole in a file named for its type. Says nothing about what a body means, and does not
receive packs over the air.
"""

import os

from micropython import const
from ronda_protocol import cbor, cose, p256, pack

SKEW_S = const(120)  # a clock this far behind the signer's does not make a pack "future"
_MAX = const(16384)
_VERSIONS = "versions"


def folder(board):
    """Where packs lie."""
    return board.storage + "/packs/"


def replace(path, data):
    """Write a small file so that a power cut leaves the old or the new one."""
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def read(board, pack_type, data=None):
    """The parsed pack of that type, from its file or from `data`; PackError, also "missing"."""
    if data is None:
        path = folder(board) + pack.TYPE_NAMES[pack_type]
        try:
            if os.stat(path)[6] > _MAX:
                raise pack.PackError("too-big")
            with open(path, "rb") as f:
                data = f.read()
        except OSError:
            raise pack.PackError("missing")
    found = pack.parse(data, _MAX)
    if found.manifest.pack_type != pack_type:
        raise pack.PackError("type")
    return found


def admit(board, device, manifest, keep):
    """Refuse a pack for another device, or older than the newest seen of its type, scope, name.

    keep: remember its version, which must be on flash by then: a cut would leave an older one
    that is refused. Whether it is new here."""
    if manifest.scope not in (pack.SITE, device):
        raise pack.PackError("scope")
    if manifest.requires:
        raise pack.PackError("requires")
    path = folder(board) + _VERSIONS
    name = "%d/%s/%s" % (manifest.pack_type, manifest.scope, manifest.name)
    try:
        with open(path, "rb") as f:
            seen = cbor.decode(f.read())
        last = seen.get(name, 0) + 0
    except (OSError, ValueError, AttributeError, TypeError):
        seen, last = {}, 0  # none yet; whoever can damage it can also put an old one back
    if manifest.version < last:
        raise pack.PackError("old")
    if not keep or manifest.version == last:
        return False
    seen[name] = manifest.version
    replace(path, cbor.encode(seen))
    return True


def load(board, trust, clock, pack_type, data=None):
    """(pack, whether its version is new here): of a type, not trust, verified.

    From its file, or from `data` without keeping it. PackError: missing, type, scope, requires,
    old, signer (unknown, revoked, wrong role, not valid now), signature, time (the pack's own
    validity), and those of ronda_protocol.pack."""
    found = read(board, pack_type, data)
    now = clock.utc() if clock.trusted() else None
    public = trust.key(found.sign1.kid, pack.role_for(pack_type), now)
    if public is None:
        raise pack.PackError("signer")
    if not cose.verify(found.sign1, public, p256.verify):
        raise pack.PackError("signature")
    if not trust.valid(found.manifest, now):
        raise pack.PackError("time")
    return found, admit(board, trust.device, found.manifest, data is None)

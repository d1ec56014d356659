"""Packs on flash: read, verified against the trust pack, refused when older than one seen before.

A pack lies whole in a file named for its type. Does not receive packs over the air. Needed at boot
and at the bench only: the app drops this module afterwards, so nothing it returns may keep a class
of it or of ronda_protocol.pack alive.
"""

import os

from micropython import const
from ronda_protocol import cbor, cose, p256, pack, track

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
    try:
        replace(path, cbor.encode(seen))
    except OSError:
        pass  # no room: a later boot remembers it
    return True


def load_trust(trust, data=None):
    """See Trust.load."""
    board = trust.board
    found = read(board, pack.TRUST, data)
    manifest = found.manifest
    root, keys = pack.decode_trust(found.body)
    if cose.thumbprint(root) != board.nv.get("root"):
        raise pack.PackError("root")
    if not cose.verify(found.sign1, root, p256.verify):
        raise pack.PackError("signature")
    fresh = admit(board, trust.device, manifest, data is None)
    trust.window, trust.keys = [manifest.not_before, manifest.not_after], keys
    return manifest, fresh


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
    manifest = found.manifest
    name = pack.TYPE_NAMES[pack_type]
    if not trust.in_time(manifest.not_before, manifest.not_after, now, name):
        raise pack.PackError("time")
    return found, admit(board, trust.device, manifest, data is None)


def take(trust, clock, log):
    """At boot: (Cases or None, [[type, name, version, not before, not after]...]).

    What is refused, missing or new is an event; the rest goes on without it."""
    from handheld.cases import Cases

    cases, taken, kind = None, [], pack.TRUST
    try:
        manifest, fresh = trust.load()
        _taken(manifest, fresh, taken, log)
        kind = pack.CASES
        found, fresh = load(trust.board, trust, clock, kind)
        cases = Cases(found.body, found.manifest.version)
        _taken(found.manifest, fresh, taken, log)
    except pack.PackError as error:
        name = pack.TYPE_NAMES[kind]
        if error.code == "missing":
            log.event(track.PART_MISSING, [name])
        else:
            log.event(track.PACK, [kind, name, 0, 0, error.code])
    return cases, taken


def _taken(manifest, fresh, taken, log):
    kind, name, version = manifest.pack_type, manifest.name, manifest.version
    taken.append([kind, name, version, manifest.not_before, manifest.not_after])
    if fresh:
        log.event(track.PACK, [kind, name, version, 1, ""])

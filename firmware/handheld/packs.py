"""Packs on flash: read, verified, put in force; refused when older than one seen before.

One file a type for this handheld's own pack, one (`.site`) for the site's; its own wins. A pack of
cases has its body encrypted (vault) from the first chunk on, the manifest is in clear. Receives
nothing over the air (inbox does). Needed at boot, at the bench and when a pack comes: whoever
imports it drops it afterwards, so nothing returned may keep a class of it or of
ronda_protocol.pack alive.
"""

import hashlib
import os

from micropython import const
from ronda_protocol import cbor, cose, pack, track

from handheld import forget

_HEAD = const(1024)
_KINDS = (pack.TRUST, pack.CASES, pack.CONFIG)
_MOST = (0, 8192, 61440, 0, 512)  # bytes of a body, by type
_VERSIONS = "versions"
_COMING = "coming"


def folder(board):
    """Where packs lie."""
    return board.storage + "/packs/"


def coming(board):
    """The file of the pack that is arriving, or has arrived and is not verified."""
    return folder(board) + _COMING


def replace(path, data):
    """Write a small file so that a power cut leaves the old or the new one."""
    with open(path + ".new", "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def store(board, path, data):
    """Write a whole pack as it lies on flash: a power cut leaves the old or the new one."""
    at = len(data)
    try:
        sign1, at = cose.parse_first(data)
        at = cbor.head(data, at)[1]
        secret = pack.Manifest.parse(sign1.payload).pack_type == pack.CASES
    except ValueError:
        secret = False  # what is no pack nobody will take for one
    if secret:
        from handheld import vault

        nonce = board.entropy(vault.NONCE)
        data = data[:at] + nonce + vault.pieces(board, nonce, 0, data[at:])
    replace(path, data)


def drop(board):
    """Delete the pack that was arriving."""
    try:
        os.remove(coming(board))
    except OSError:
        pass  # there is none, or the next one overwrites it


def head(f):
    """(COSE_Sign1, manifest, where the body begins) of an open pack file. PackError."""
    data = f.read(_HEAD)
    try:
        sign1, at = cose.parse_first(data)
        manifest = pack.Manifest.parse(sign1.payload)
        (major, n), at = cbor.head(data, at)
    except cose.CoseError as error:
        raise pack.PackError("cose-" + error.code)
    except cbor.CborError as error:
        raise pack.PackError("cbor-" + error.code)
    if major != 2:
        raise pack.PackError("body")
    if n != manifest.length:
        raise pack.PackError("length")
    return sign1, manifest, at


def row_of(sign1, manifest):
    """What outlives this module: [type, name, version, not before, not after, the manifest hash's
    first bytes, scope]."""
    return [
        manifest.pack_type,
        manifest.name,
        manifest.version,
        manifest.not_before,
        manifest.not_after,
        pack.manifest_hash(sign1)[:8],
        manifest.scope,
    ]


def _span(f, path, at, manifest):
    """(nonce or None, bytes of the body that are there) of an open pack file; None: no body."""
    if manifest.pack_type != pack.CASES:
        return None, os.stat(path)[6] - at
    from handheld import vault

    f.seek(at)
    return vault.measure(f)


def arriving(board):
    """(manifest hash, bytes of the body that are there, length, row, nonce) of the pack that is
    arriving, or None. What is no beginning of a pack is deleted."""
    try:
        with open(coming(board), "rb") as f:
            sign1, manifest, at = head(f)
            found = _span(f, coming(board), at, manifest)
        if found and found[1] <= manifest.length:
            name = pack.manifest_hash(sign1)
            return name, found[1], manifest.length, row_of(sign1, manifest), found[0]
    except OSError:
        return None
    except pack.PackError:
        pass
    drop(board)
    return None


def _versions(board):
    """Newest version seen by "type/scope/name"."""
    try:
        with open(folder(board) + _VERSIONS, "rb") as f:
            seen = cbor.decode(f.read())
        if type(seen) is dict and all([type(seen[key]) is int for key in seen]):
            return seen
    except (OSError, ValueError):
        pass  # none yet; whoever can damage it can also put an old one back
    return {}


def _key(kind, scope, name):
    return "%d/%s/%s" % (kind, scope, name)


def admit(trust, manifest):
    """Refuse a pack that is not for this handheld, or older than the newest seen of its type,
    scope and name; whether it is newer. Verifies nothing. PackError: type, scope, name, too-big,
    requires, old."""
    kind = manifest.pack_type
    if kind not in _KINDS:
        raise pack.PackError("type")
    own = manifest.scope == trust.device and kind != pack.TRUST
    if manifest.scope != pack.SITE and not own:
        raise pack.PackError("scope")
    if manifest.name != pack.TYPE_NAMES[kind]:
        raise pack.PackError("name")
    if manifest.length > _MOST[kind]:
        raise pack.PackError("too-big")
    seen = _versions(trust.board)
    for needed, name, lowest in manifest.requires:
        scopes = (pack.SITE, trust.device)
        if max([seen.get(_key(needed, scope, name), 0) for scope in scopes]) < lowest:
            raise pack.PackError("requires")
    last = seen.get(_key(kind, manifest.scope, manifest.name), 0)
    if manifest.version < last:
        raise pack.PackError("old")
    return manifest.version > last


def authenticate(trust, clock, sign1, manifest):
    """PackError: signer (unknown, revoked, wrong role, not valid now), signature, time."""
    now = clock.utc() if clock.trusted() else None
    role = pack.role_for(manifest.pack_type)
    public = trust.key(sign1.kid, role, now) if role else trust.root
    if public is None:
        raise pack.PackError("signer")
    if not _verified(sign1, public):
        raise pack.PackError("signature")
    if not trust.in_time(manifest.not_before, manifest.not_after, now, manifest.name):
        raise pack.PackError("time")


def load(trust, clock, kind, path=None):
    """(row, value, whether its version is new here) of a pack in a file, verified; its own one by
    default. Value: what Trust.use takes; Cases; settings by key.

    PackError: missing, those of admit and authenticate, root, expired, memory, and those of
    ronda_protocol.pack."""
    path = path or folder(trust.board) + pack.TYPE_NAMES[kind]
    try:
        with open(path, "rb") as f:
            sign1, manifest, at = head(f)
            found = _span(f, path, at, manifest)
            if not found:
                raise pack.PackError("unreadable")
            if found[1] != manifest.length:
                raise pack.PackError("cbor-truncated" if found[1] < manifest.length else "body")
            if manifest.pack_type != kind:
                raise pack.PackError("type")
            fresh = admit(trust, manifest)
            if kind == pack.TRUST:
                value = _trust(trust, sign1, manifest, _body(f, at, manifest))
            else:
                authenticate(trust, clock, sign1, manifest)
                if kind == pack.CONFIG:
                    from ronda_protocol import bodies

                    value = bodies.decode_config(_body(f, at, manifest))
                else:
                    value = _cases(trust.board, clock, path, at, manifest)
    except OSError:
        raise pack.PackError("missing")
    except MemoryError:
        raise pack.PackError("memory")
    return row_of(sign1, manifest), value, fresh


def _body(f, at, manifest):
    f.seek(at)
    data = f.read(manifest.length)
    if hashlib.sha256(data).digest() != manifest.sha256:
        raise pack.PackError("hash")
    return data


def _verified(sign1, public):
    """Whether the key signed it; the curve leaves the heap at once."""
    from ronda_protocol import p256

    try:
        return cose.verify(sign1, public, p256.verify)
    finally:
        p256 = None
        forget("ronda_protocol.p256", "ronda_protocol.p256_table")


def _trust(trust, sign1, manifest, body):
    from ronda_protocol import bodies

    root, keys = bodies.decode_trust(body)
    if cose.thumbprint(root) != trust.board.nv.get("root"):
        raise pack.PackError("root")
    if not _verified(sign1, root):
        raise pack.PackError("signature")
    return [manifest.not_before, manifest.not_after], keys, root


def _cases(board, clock, path, at, manifest):
    from handheld.cases import Cases

    cases = Cases(board, path, at, manifest.length, manifest.sha256, manifest.version)
    if clock.trusted() and clock.utc() >= cases.expires_at:
        raise pack.PackError("expired")
    return cases


def holds(trust, sign1, manifest):
    """Whether the pack in its place on flash is this very one."""
    try:
        with open(_place(trust.board, manifest.pack_type, manifest.scope), "rb") as f:
            return pack.manifest_hash(head(f)[0]) == pack.manifest_hash(sign1)
    except (OSError, pack.PackError):
        return False


def _place(board, kind, scope):
    """A pack's file; the site's cases and settings lie beside this handheld's own."""
    path = folder(board) + pack.TYPE_NAMES[kind]
    return path + ".site" if kind != pack.TRUST and scope == pack.SITE else path


def adopt(trust, clock):
    """Verify the pack that has arrived and put it in its place: (row, value). Old or new survives
    a power cut. PackError, OSError: nothing but its own file was touched."""
    board = trust.board
    path = coming(board)
    with open(path, "rb") as f:
        kind = head(f)[1].pack_type
    row, value, _ = load(trust, clock, kind, path)
    place = _place(board, kind, row[6])
    os.rename(path, place)
    if kind == pack.TRUST:
        trust.use(value)
    elif kind == pack.CASES:
        value.path = place  # type: ignore
    return row, value


def settle(board, log, row):
    """Tell the log that a pack is in force, then remember its version; again after a cut."""
    kind, name, version, _, _, mark, scope = row
    if log.event(track.PACK, [kind, name, version, 1, "", mark]) is None:
        return
    seen = _versions(board)
    seen[_key(kind, scope, name)] = version
    try:
        replace(folder(board) + _VERSIONS, cbor.encode(seen))
    except OSError:
        pass  # no room: a later boot remembers it


def find(trust, clock, log, kind, again=False):
    """(row, value) of the pack of a type that is in force, or None. What is new is an event; so is
    what is refused, and missing trust and cases, unless we look `again`."""
    missing = kind != pack.CONFIG and not again
    for scope in ("", pack.SITE):
        try:
            row, value, fresh = load(trust, clock, kind, _place(trust.board, kind, scope))
        except pack.PackError as error:
            if error.code != "missing" and not again:
                missing = False
                log.event(track.PACK, [kind, pack.TYPE_NAMES[kind], 0, 0, error.code])
        else:
            if fresh:
                settle(trust.board, log, row)
            return row, value
        if kind == pack.TRUST:
            break
    if missing:
        log.event(track.PART_MISSING, [pack.TYPE_NAMES[kind]])
    return None


def _ended(board, clock, scope):
    with open(_place(board, pack.CASES, scope), "rb") as f:
        return head(f)[1].not_after < clock.utc()


def over(trust, clock):
    """Whether there are cases on flash, and all of them are past their time or nobody's."""
    there = False
    for scope in ("", pack.SITE):
        try:
            load(trust, clock, pack.CASES, _place(trust.board, pack.CASES, scope))
            return False
        except pack.PackError as error:
            if error.code == "missing":
                continue
            there = True
            early = error.code == "time" and not _ended(trust.board, clock, scope)
            if early or error.code not in ("expired", "time", "unreadable"):
                return False
    return there


def take(trust, clock, log):
    """At boot: (row, value) of each pack in force. Without trust none is."""
    found = []
    for kind in _KINDS:
        one = find(trust, clock, log, kind)
        if one:
            found.append(one)
            if kind == pack.TRUST:
                trust.use(one[1])
        elif kind == pack.TRUST:
            break
    return found

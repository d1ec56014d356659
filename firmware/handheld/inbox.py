"""What comes down now and then: manifests, chunks of packs, resend requests. For one message.

`begin`, `more`, `ask` take the Sync and the message, and say why nothing came of it, or None.
Sync drops this module after each message; what outlives it is in the Sync: `coming` (manifest
hash, bytes that are there, length, link ms of the last progress, the nonce where the body is
encrypted), `want` (what to ask the gateway
for), `told` (packs of which an event was written), `again` (what was asked for again). Verifying a
pack and putting it in its place is packs'. A pack is applied while no other task runs.
"""

import os

from micropython import const
from ronda_protocol import cbor, cose, track

from handheld.sync import add

_STALE_MS = const(30000)  # without progress for so long another pack takes the place
_TOLD = const(8)  # events of refused packs in an hour
_TOLD_MS = const(3600000)
_RATE_MS = const(60000)  # between two resend requests that are answered
_IDS = const(128)  # bytes of the last request ids
_BLOCK = const(4096)
_SPARE = const(16)  # blocks that a pack leaves free, for a visit


def begin(sync, data):
    """A manifest. PackError or CoseError: it is none."""
    from ronda_protocol import pack

    from handheld import packs

    sign1 = cose.parse(data)
    manifest = pack.Manifest.parse(sign1.payload)
    name = pack.manifest_hash(sign1)
    coming, now = sync.coming, sync.board.link_ms()
    if coming:
        if coming[0] == name:  # a cut may have come between its last chunk and the end
            return "repeat" if coming[1] < coming[2] else "whole"
        if sync.board.ticks_diff(now, coming[3]) < _STALE_MS:
            return "busy"
    row = packs.row_of(sign1, manifest)
    try:
        packs.authenticate(sync.trust, sync.clock, sign1, manifest)
        if not packs.admit(sync.trust, manifest):
            if packs.holds(sync.trust, sign1, manifest):
                _tell(sync, row, "")
                return "repeat"
            raise pack.PackError("old")
        if not sync.log.room(manifest.length // _BLOCK + 2 + _SPARE):
            raise pack.PackError("space")
    except pack.PackError as error:
        return _tell(sync, row, error.code)
    start, nonce = bytearray(data), None
    cbor.put_head(start, 0x40, manifest.length)
    if manifest.pack_type == pack.CASES:
        nonce = sync.board.entropy(12)  # vault.NONCE
        start.extend(nonce)
    try:
        with open(packs.coming(sync.board), "wb") as f:
            f.write(start)
    except OSError:
        packs.drop(sync.board)
        return _tell(sync, row, "space")
    sync.want = None
    sync.coming = [name, 0, manifest.length, now, nonce]
    return None if manifest.length else "whole"


def more(sync, data):
    """A chunk. ChunkError: it is none."""
    from ronda_protocol import chunk

    name, offset, part = chunk.decode(data)
    coming = sync.coming
    if not coming or coming[0] != name:
        return "unknown"
    have = coming[1]
    if offset + len(part) > coming[2]:
        return "range"
    if offset > have:
        sync.want = name[:8].hex(), have
        return "hole"
    part = part[have - offset :]
    if not part:
        return "repeat"
    if have // _BLOCK != (have + len(part)) // _BLOCK and not sync.log.room(_SPARE + 1):
        return finish(sync, "space")  # what was free when it began is not any more
    n = len(part)
    if coming[4]:
        from handheld import vault

        part = vault.pieces(sync.board, coming[4], have, part)
    try:
        with open(sync.board.storage + "/packs/coming", "ab") as f:
            f.write(part)
    except OSError:
        return finish(sync, "space")
    coming[1] += n
    coming[3] = sync.board.link_ms()
    sync.want = None
    return "whole" if coming[1] == coming[2] else None


def finish(sync, code=None):
    """All of a pack is there ("whole": the Sync calls this, the message out of the heap), or no
    more of it can come."""
    from handheld import packs

    board = sync.board
    sync.coming = sync.want = None
    found = packs.arriving(board)
    row = found[3] if found else [0, "?", 0, 0, 0, b"", ""]
    try:
        if not code:
            row, value = packs.adopt(sync.trust, sync.clock)
    except OSError:
        code = "space"
    except MemoryError:
        code = "memory"
    except ValueError as error:
        code = getattr(error, "code", "value")
    if code:
        packs.drop(board)
        return _tell(sync, row, code)
    packs.settle(board, sync.log, row)
    sync.told = sync.told[1 - _TOLD :] + [row[5]]
    if row[6] == "site" and row[0] != 1:  # our own may be there: it beats the site's
        row, value = packs.find(sync.trust, sync.clock, sync.log, row[0], True) or (row, None)
    if sync.on_pack:
        sync.on_pack(row, value)
    board.tell("pack", {"name": row[1], "version": row[2], "applied": True, "reason": ""})
    sync.log.seal_track()  # the gateway is waiting for it
    return None


def _tell(sync, row, code):
    """Write the event that a pack was refused, or, without a code, applied before: once a boot for
    each, and a few in an hour, since anybody may say anything. The code."""
    now, told = sync.board.link_ms(), sync.told
    if row[5] in told:
        return code
    if len(told) >= _TOLD:
        if sync.board.ticks_diff(now, sync.told_at) < _TOLD_MS:
            return code
        told.clear()
    told.append(row[5])
    sync.told_at = now
    kind, name, version, _, _, mark, _ = row
    sync.log.event(track.PACK, [kind, name, version, 0 if code else 1, code, mark])
    told = {"name": name, "version": version, "applied": not code, "reason": code}
    sync.board.tell("pack", told)
    sync.log.seal_track()
    return code


def ask(sync, data):
    """A resend request. ReceiptError or CoseError: it is none."""
    from ronda_protocol import receipt

    sign1 = cose.parse(data)
    found = receipt.decode_resend(sign1.payload)
    board = sync.board
    if found.device != board.ident.device_id:
        return "device"
    lane = sync.lane(found.log_id)
    if not lane:
        return "log"
    if found.first > lane.chain.head:
        return "ahead"
    code = sync.gateways(sign1)
    if code:
        return code
    path, now = board.storage + "/resends", board.link_ms()
    known = b""
    try:
        with open(path, "rb") as f:
            known = f.read(_IDS)
    except OSError:
        pass
    for at in range(0, len(known), 8):
        if known[at : at + 8] == found.request_id:
            return "repeat"
    if sync.again:
        return "busy"
    if sync.asked_at is not None and board.ticks_diff(now, sync.asked_at) < _RATE_MS:
        return "rate"
    try:
        with open(path + ".new", "wb") as f:
            f.write((known + found.request_id)[-_IDS:])
        os.rename(path + ".new", path)
    except OSError:
        pass  # it may be answered again after a restart
    sync.asked_at = now
    sync.again = [lane, found.first, min(found.last, lane.chain.head), found.first]
    return None


def again(sync):
    """The next (lane, seq, sealed bytes) of those asked for again, or None; what is not there any
    more is declared lost with its like."""
    lane, seq, last, _ = sync.again
    chain, gone, data = lane.chain, seq, None
    while gone <= last:
        data = chain.read(gone)
        if data:
            break
        oldest = chain.firsts[0] if chain.firsts else last + 1
        gone = max(gone + 1, min(oldest, last + 1))  # nothing older is there
    if gone > seq:
        _lost(sync, lane, seq, gone - 1, "gone")
    sync.again[1] = gone + 1
    if gone >= last:
        sync.again = None
    return (lane, gone, data) if data else None


def unreadable(sync, lane, seq):
    """An unreadable segment becomes an event of the signed log: the gateway need not wait."""
    for span in lane.lost:
        if span[0] <= seq <= span[1]:
            return
    add(lane.lost, seq, True)
    _lost(sync, lane, seq, seq, "unreadable")


def _lost(sync, lane, first, last, reason):
    lost = [first, last, reason]
    if lane.chain.log_id != sync.log.log_id:
        lost.append(lane.chain.log_id)
    sync.log.event(track.LOST, lost)

"""What log, volumes and visits do at boot: find out what is on flash, settle what a cut left.

Apart from them because a handheld has no heap for code that runs once: whoever boots drops this
module afterwards, and it is read again should the flash ever refuse a write.
"""

import os
from struct import pack, unpack_from

from ronda_protocol import cbor, segment, track

from handheld import volumes


def scan(chain, nv_seq=0, nv_hash=None):
    """Read from flash what a Chain has there; `nv_*` is what nv believes, when it knows this log.

    Afterwards head and head_hash are the last segment that is there: by its own bytes, or,
    when those cannot be read any more, by nv's word. `number` is the highest entry number.
    """
    firsts = []
    for name in _names(chain.folder, 0x8000):
        if name[-4:] == ".vol" and len(name) == 12:
            try:
                firsts.append(int(name[:8], 16))
            except ValueError:
                pass
    firsts.sort()
    chain.firsts = firsts
    chain.fresh = False
    chain.last = 0
    chain.seek = (0, 0, 0)
    while firsts and not chain.last:
        _measure(chain)
    _load_cursor(chain)
    _find_head(chain, nv_seq, nv_hash)
    if firsts and chain.released < firsts[0] - 1:
        # Only what has a receipt is ever deleted: the cursor is lost or damaged, not the segments.
        oldest = chain.header(firsts[0])
        if oldest:
            chain.released, chain.released_hash = firsts[0] - 1, oldest.prev


def _names(folder, kind):
    try:
        return [found[0] for found in os.ilistdir(folder) if found[1] == kind]
    except OSError:
        return []


def _measure(chain):
    """Count the frames of the newest volume; one without any is left out of the index."""
    path = chain.path(chain.firsts[-1])
    count = done = 0
    end = volumes.size(path)
    try:
        with open(path, "rb") as f:
            for at, n in volumes.lengths(f, end):
                count += 1
                done = at + n + 8
    except OSError:
        pass
    chain.fresh = done < end
    if count:
        chain.last = chain.firsts[-1] + count - 1
    else:
        chain.firsts.pop()


def _load_cursor(chain):
    data = volumes.first(chain.folder + "/cursor")
    if data and len(data) >= 36:
        chain.released = unpack_from(">I", data)[0]
        chain.released_hash = data[4:36]
        chain.marks = [unpack_from(">II", data, at) for at in range(36, len(data) - 7, 8)]


def _find_head(chain, nv_seq, nv_hash):
    firsts, seq = chain.firsts, chain.last
    lowest = firsts[0] if firsts else 1
    chain.head, chain.head_hash = 0, volumes.ZERO
    while seq >= lowest:
        found = chain.link(seq)
        if found:
            chain.head, chain.head_hash = seq, found[1]
            break
        if nv_hash and seq == nv_seq:  # it was there when nv was written: lost, not absent
            chain.head, chain.head_hash = seq, nv_hash
            break
        seq -= 1
    if seq < chain.last:
        chain.fresh = True
        chain.last = seq
        while firsts and firsts[-1] > seq:
            firsts.pop()
    # Later segments may hold lower numbers: a visit is sealed while a track is open.
    for at in range(seq, max(nv_seq, seq - 16, lowest - 1), -1):
        chain.number = max(chain.number, last_number(chain.header(at)))


def last_number(header):
    """The highest entry number of a segment's header, 0 without a header."""
    return header.numbers[-2] + header.numbers[-1] - 1 if header else 0


# --- the log ---


def open_log(log, reason):
    """Log.open; see there."""
    make_folder(log.folder)
    events = _choose(log)
    for chain in log.chains():
        log.number = max(log.number, chain.number)
    stamp, since, owner, part, bad = log.load()
    events += _number_boot(log, stamp)
    if part:
        # Until it is sealed nothing of this boot may be appended to it.
        log.base, log.open_count = stamp, len(part.numbers)
        log.number = max(log.number, part.numbers[-1])
        log.done = _sealed_to(log, owner or log.log_id, since)
        log.last_utc = _open_utc(log, stamp)
    if bad:
        # Numbers that were given and cannot be read again must not be given twice.
        log.number += 1 + bad // 16
        events.append((track.RECOVERED, ["open", bad]))
    part = None
    log.seal_track()
    log.event(track.BOOT, [reason])
    for code, data in events:
        log.event(code, data)
    log.room()


def _number_boot(log, stamp):
    """No boot is counted twice, although an nv that was put back, or refused to write, says so:
    the newest segment and the open track (its base stamp or None) know better. Events."""
    last = log.chain.header(log.chain.head)
    seen = max(stamp[0] if stamp else 0, last.stamp[0] if last else 0)
    if seen < log.clock.boot:
        return []
    log.clock.boot = seen + 1
    try:
        log.board.nv.set("boot", pack(">I", seen + 1))
    except OSError:
        log.nv_failures += 1
    return [(track.RECOVERED, ["boot", seen])]


def make_folder(path):
    """Whether the folder is there now."""
    try:
        os.mkdir(path)
    except OSError as error:
        return error.errno == 17
    return True


def _choose(log):
    """Take up the current log, or begin one; events to log about it."""
    nv = log.board.nv
    log_id = nv.get("log")
    head = nv.get("head")
    seq, known, owner = 0, None, None
    if head and len(head) == 48:
        seq, log.number = unpack_from(">I", head)[0], unpack_from(">I", head, 36)[0]
        known, owner = head[4:36], head[40:]
    current = _find_chains(log, log_id)
    if log_id is None or len(log_id) != 8:
        if not log.past:
            return _begin(log, owner, seq, known, "missing")
        log.chain = log.past.pop()  # nv has forgotten which log it was
        nv.set("log", log.log_id)
        return [(track.RECOVERED, ["nv"])]
    if owner != log_id:  # no segment of this log was sealed while nv listened
        if not current:
            return _begin(log, owner or log_id, seq, known or volumes.ZERO, "missing")
        seq, known = 0, None
    elif not current:
        return _begin(log, owner, seq, known, "missing")
    scan(current, seq, known)
    there = current.hash_at(seq) if known else None
    if current.head >= seq and there in (known, None):
        log.chain = current
        return []
    if current.head:
        log.past.append(current)
    return _begin(log, owner, seq, known, "tail" if current.head < seq else "fork", current.head)


def _find_chains(log, log_id):
    """Put every older log with segments into log.past; the chain of the current one, or None."""
    current = None
    for name in _names(log.folder, 0x4000):
        try:
            chain = volumes.Chain(
                log.folder + "/" + name, bytes.fromhex(name), log.clock, log.board
            )
        except ValueError:
            continue
        if chain.log_id == log_id:
            current = chain
        elif len(name) == 16:
            scan(chain)
            if chain.head or not drop(chain):
                log.past.append(chain)
    log.past.sort(key=lambda chain: chain.number)
    return current


def _begin(log, owner, seq, known, reason, there=0):  # noqa: PLR0917
    """A new log that names the previous one, if there was any, of which `there` is still here."""
    log_id = log.board.entropy(8)
    folder = log.folder + "/" + log_id.hex()
    log.chain = volumes.Chain(folder, log_id, log.clock, log.board)
    if make_folder(folder):
        try:
            if owner:
                previous = cbor.encode([owner, seq, known, reason])
                volumes.replace(folder + "/previous", previous)
            log.board.nv.set("log", log_id)
        except OSError:
            log.nv_failures += 1
    if not owner or not seq:
        return []
    first = min(there + 1, seq) if reason == "tail" else 1
    return [(track.LOST, [first, seq, reason, owner])]


def _sealed_to(log, log_id, since):
    """The last entry number of the newest track segment after seq `since` of a log, or 0."""
    done = 0
    for chain in log.chains():
        if chain.log_id == log_id:
            for seq in range(since + 1, chain.head + 1):
                header = chain.header(seq)
                if header and header.body == segment.TRACK_BODY:
                    done = last_number(header)
    return done


def drop(chain):
    """Whether an older log, every segment of it receipted, is deleted."""
    if chain.released < chain.head:
        return False
    chain.firsts = []
    try:
        for name in os.listdir(chain.folder):
            os.remove(chain.folder + "/" + name)
        os.rmdir(chain.folder)
    except OSError:
        return False
    return True


# --- visits ---


def open_visits(visits):
    """Visits.open; see there."""
    from ronda_protocol import visit

    from handheld import saving, wipe

    for data, _ in visits.shift_file.each():
        try:
            visits.in_shift, visits.gestor = True, cbor.decode(data)[1]
        except (ValueError, TypeError):
            pass
    for file in (visits.refused_file, visits.visit_file):
        evidence, answers, attempts, first, records = _read(visits, file)
        if evidence and not _is_sealed(visits.log, first[0], first[1], evidence):
            if evidence["ended"] == visit.REFUSED:
                evidence["attempts"] = attempts
            elif visits.in_shift and file is visits.visit_file:
                last = max(evidence["check_in"][2] or 0, _last_utc(visits.log))
                visits.pending = {"fields": evidence, "answers": answers, "records": records}
                visits.pending.update({"last": last, "offered": False, "next_ms": 0})
                continue
            if saving.seal(visits, evidence, answers) is None:
                continue
        file.clear()
    from handheld import vault

    if vault.owed(visits.board):
        from handheld import wipe

        wipe.finish(visits)


def _last_utc(log):
    """Unix seconds of the last entry that was open at the start, or of the beginning of the newest
    sealed track, or 0: when the power went, it was that late at least. Decodes no track: there is
    no heap for one at boot."""
    if log.last_utc:
        return log.last_utc
    for seq in range(log.head, max(0, log.head - 8), -1):
        header = log.chain.header(seq)
        if header and header.body == segment.TRACK_BODY and header.stamp[2]:
            return header.stamp[2]
    return 0


def _open_utc(log, stamp):
    """Unix seconds of the last record of the open track, 0 when they are not known."""
    last = None
    for data, _ in log._records.each():
        last = data or last
    try:
        value = cbor.decode(last)
        return stamp[2] + (value[2] - stamp[1]) // 1000 if value[0] else stamp[2]
    except (ValueError, TypeError, IndexError):
        return 0


def _read(visits, file):
    """(evidence or None, answers, attempts, [log id, head, evidence], highest number of a
    record) of a visit's file. What cannot be read is passed over, as a damaged record is."""
    from ronda_protocol import reading

    from handheld import saving, vault

    evidence, answers, attempts, first, records = None, {}, 1, None, 0
    for data, _ in file.each():
        if not data or len(data) < 3:
            continue
        kind, number = unpack_from(">BH", data)
        begin = 3
        if kind == saving.FIRST:
            begin += vault.NONCE
            file.nonce = data[3:begin]
        elif not file.nonce:
            continue
        at = vault.at(file.nonce, kind << 16 | number)
        which = vault.ANSWERS if kind == saving.ANSWER else vault.EVIDENCE
        try:
            value = cbor.decode(vault.unlock(visits.board, which, b"", at, data[begin:]) or b"")
            if kind == saving.FIRST:
                first, evidence, answers, attempts = value, None, {}, 1
                evidence = reading.decode_evidence(value[2])
            elif kind == saving.ANSWER:
                answers[value[0]] = value[1]
            elif kind == saving.ATTEMPT:
                attempts = number
            elif kind == saving.RESUMED and evidence:
                evidence["resumed"] = value
            records = max(records, number)
        except (ValueError, TypeError):
            pass
    return evidence, answers, attempts, first, records


def _is_sealed(log, log_id, since, evidence):
    """Whether a segment after `since` is this visit: the power went before clear()."""
    from ronda_protocol import reading

    for chain in log.chains():
        if chain.log_id != log_id:
            continue
        for seq in range(since + 1, chain.head + 1):
            header = chain.header(seq)
            if header and header.body == segment.VISIT_BODY:
                data = chain.read(seq)
                if not data:
                    continue
                found = reading.decode_evidence(reading.parse(data).parts[segment.EVIDENCE])
                if all(
                    found[name] == evidence[name] for name in ("case_id", "check_in", "opened")
                ):
                    return True
    return False

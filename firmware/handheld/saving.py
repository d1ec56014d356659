"""What an intent came to, put on flash: an opening, an answer, a close, the end of a shift.

Loaded once `intents` has left the heap, and dropped as it is: a seal needs the room of both.
Decides nothing.
"""

from struct import pack

from micropython import const
from ronda_protocol import cbor

from handheld import forget

_RETRY_MS = const(60000)
_CLOSE_BLOCKS = const(4)  # of a full flash, for the seal: no answer goes there
FIRST, ANSWER, ATTEMPT, RESUMED = 0, 1, 2, 3
"""Kinds of records of a visit's file."""


def _no(code):
    return {"ok": False, "code": code}


def seal(visits, fields, answers=None, promise=None):
    """Seal a visit: (seq, visit id), or None when the flash refuses."""
    from ronda_protocol import visit

    entropy = visits.board.entropy
    parts = [
        visit.encode_evidence(fields),
        visit.encode_answers(entropy(16), answers) if answers else None,
        visit.encode_promise(entropy(16), promise) if promise else None,
    ]
    visit = None
    forget("ronda_protocol.visit")
    return visits.log.seal_visit(visits.clock.stamp(), *parts)


def seal_refused(visits):
    """Seal the refused attempts that wait, if any; later when the flash refuses."""
    if visits.refused:
        if seal(visits, visits.refused) is None:
            visits.refused_ms += _RETRY_MS
            return
        visits.refused = None
        visits.refused_file.clear()


def _write(visits, file, kind, number, value):
    """Whether a record of a visit's file is durable: u8 kind | u16 number | what vault made of
    it. Of the first one the nonce of all stands between."""
    from handheld import vault

    at = vault.at(file.nonce, kind << 16 | number)
    which = vault.ANSWERS if kind == ANSWER else vault.EVIDENCE
    data = vault.lock(visits.board, which, b"", at, cbor.encode(value))
    if kind == FIRST:
        data = file.nonce + data
    vault = None
    forget("handheld.vault")
    return file.append(pack(">BH", kind, number) + data)


def _first(visits, file, fields):
    """Whether the first record is durable; where the log stood tells later whether the visit is
    already sealed."""
    from ronda_protocol import visit

    value = [visits.log.log_id, visits.log.head, visit.encode_evidence(fields)]
    file.nonce = visits.board.entropy(12)  # vault.NONCE
    file.clear()
    return _write(visits, file, FIRST, 0, value)


def start_shift(visits, gestor):
    """Begin a shift."""
    log = visits.log
    visits.shift_file.clear()
    if not visits.shift_file.append(cbor.encode([1, gestor, log.log_id, log.head])):
        return _no("storage_full")
    visits.in_shift, visits.gestor = True, gestor
    visits.used = visits.cases and visits.cases.version
    log.event(7, [gestor])  # SHIFT_START
    return {"ok": True, "code": "shift_started"}


def end_shift(visits):
    """End the shift, and with it the round: its cases are wiped, but a set that came in the
    meantime and was not used yet."""
    if visits.pending:
        if not resume(visits, "seal", "shift_end"):
            return _no("storage_full")
    seal_refused(visits)
    visits.shift_file.clear()
    visits.in_shift = False
    visits.log.event(8, [visits.gestor])  # SHIFT_END
    visits.gestor = None
    cases = visits.cases
    if cases and visits.used in (None, cases.version):
        end_round(visits)
    visits.log.seal_track()
    return {"ok": True, "code": "shift_ended"}


def end_round(visits):
    """Wipe the round's cases. What the flash or nv refuses a later boot does."""
    from handheld import wipe

    try:
        wipe.run(visits, wipe.ROUND)
    except OSError:
        visits.cases = None
    wipe = None
    forget("handheld.wipe", "handheld.vault")


def resume(visits, what, *args):
    """Do a function of `resume`, which leaves the heap at once."""
    from handheld import resume

    try:
        return getattr(resume, what)(visits, *args)
    finally:
        resume = None
        forget("handheld.resume", "handheld.intents", "ronda_protocol.visit")
        if not visits.stay:
            forget("ronda_protocol.fence", "ronda_protocol.polygon")


def resumed(visits, value):
    """Whether it is durable that the pending visit goes on."""
    return _write(visits, visits.visit_file, RESUMED, value[0], value)


def begin(visits, code, fields):
    """Open a visit."""
    seal_refused(visits)
    if not _first(visits, visits.visit_file, fields):
        return _no("storage_full")
    visits.fields, visits.answers, visits.records = fields, {}, 0
    visits.tried, visits.used = None, fields["cases_version"]
    visits.log.event(15, [fields["case_id"]])  # VISIT_STARTED
    verdict = fields["check_in_verdict"]
    return {"ok": True, "code": code, "case_id": fields["case_id"], "verdict": verdict}


def answer(visits, name, value):
    """Keep an answer."""
    visits.records += 1
    log = visits.log
    if log.full and not log.room(_CLOSE_BLOCKS):
        return _no("storage_full")
    if not _write(visits, visits.visit_file, ANSWER, visits.records, [name, value]):
        return _no("storage_full")
    visits.answers[name] = value
    return {"ok": True, "code": "answered"}


def close(visits, fields, answers, promise):
    """Seal the open visit; what it was is forgotten only when that is durable."""
    visits.leave()  # the fence's code has to make room
    forget("ronda_protocol.fence", "ronda_protocol.polygon")
    sealed = seal(visits, fields, answers, promise)
    if sealed is None:
        visits.fields["dwell"] = fields["dwell"]
        return _no("storage_full")
    visits.fields, visits.answers = None, {}
    visits.visit_file.clear()
    return {"ok": True, "code": "saved", "seq": sealed[0], "visit_id": sealed[1]}


def attempt(visits, fields, answer):
    """Count a refused attempt; the first one's facts stand for all."""
    pending = visits.refused
    if pending and (
        pending["case_id"] != fields["case_id"]
        or visits.clock.ms() >= visits.refused_ms + visits.repeat_s * 1000
    ):
        seal_refused(visits)
        pending = None
    if pending:
        pending["attempts"] += 1
        _write(visits, visits.refused_file, ATTEMPT, pending["attempts"], None)
        return answer
    from ronda_protocol import visit

    fields["ended"], fields["opened"] = visit.REFUSED, visit.OPENED_REFUSED
    fields["attempts"] = 1
    # When the flash refuses, the attempt is still held here until it can be sealed.
    _first(visits, visits.refused_file, fields)
    visits.refused, visits.refused_ms = fields, visits.clock.ms()
    return answer


def correct(visits, part, named):
    """Seal the correction of a visit."""
    from ronda_protocol import segment

    parts = {segment.CORRECTION: part}
    sealed = visits.log.seal_alone(visits.clock.stamp(), segment.CORRECTION_BODY, parts)
    if sealed is None:
        return _no("storage_full")
    return {"ok": True, "code": "saved", "seq": sealed[0], "visit_id": named}

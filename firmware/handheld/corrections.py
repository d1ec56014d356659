"""The intent `correct`: one field of a visit of this shift set right, by an entry of its own.

The visit stays as it was sealed. Loaded for one intent and dropped after it, as intents is.
"""

from ronda_protocol import bounds, cbor, correction, reading, segment, visit

from handheld import questionnaire


def correct(visits, get):
    """{visit_id or seq, field, value, reason}: (code, fields).

    saved{part, id}: to be sealed; no_shift; unknown_visit (none of ours, or no longer on flash);
    shift_over (of an earlier shift); not_yours; nothing (refused, or never closed); invalid
    {problems: field, value, reason, or as the questionnaire's}; storage_full.
    """
    if not visits.in_shift:
        return "no_shift", {}
    log = visits.log
    chain, seq = _named(visits, get)
    evidence = _evidence(chain, seq)
    if not evidence:
        return "unknown_visit", {}
    if not _of_this_shift(visits, chain, seq):
        return "shift_over", {}
    if evidence.get("gestor") != visits.gestor:
        return "not_yours", {}
    field, value, reason = get("field"), get("value"), get("reason")
    question = correction.question(field) if isinstance(field, str) else None
    if evidence["ended"] == visit.REFUSED:
        return "nothing", {}
    if question is None and evidence["ended"] != visit.CLOSED:
        return "nothing", {}
    wrong = _problem(field, question, value)
    if not wrong and not bounds.is_text(reason, correction.MAX_REASON):
        wrong = "reason"
    if wrong:
        return "invalid", {"problems": [wrong]}
    if not log.room():
        return "storage_full", {}
    fields = {"log_id": chain.log_id, "seq": seq, "field": field, "value": value}
    fields["reason"], fields["gestor"] = reason, visits.gestor
    part = correction.encode(visits.board.entropy(16), fields)
    named = visit.visit_id(visits.board.ident.device_id, chain.log_id, seq)
    return "saved", {"part": part, "id": named}


def _named(visits, get):
    """(chain, seq) of the visit that is meant, or (None, None)."""
    log, seq, named = visits.log, get("seq"), get("visit_id")
    log_id = log.log_id
    if named is not None:
        try:
            device, log_id, seq = named.split("/")
            log_id, seq = bytes.fromhex(log_id), int(seq)
        except (ValueError, AttributeError):
            return None, None
        if device != visits.board.ident.device_id:
            return None, None
    if bounds.is_uint(seq, bounds.U32, 1):
        for chain in log.chains():
            if chain.log_id == log_id:
                return chain, seq
    return None, None


def _evidence(chain, seq):
    """What a sealed visit says, or None when it is none or cannot be read."""
    data = chain and chain.read(seq)
    try:
        found = data and reading.parse(data)
        if found and found.header.body == segment.VISIT_BODY:
            return reading.decode_evidence(found.parts[segment.EVIDENCE])
    except (ValueError, KeyError):
        pass
    return None


def _of_this_shift(visits, chain, seq):
    """Whether a segment was sealed after the open shift began."""
    for data, _ in visits.shift_file.each():
        try:
            _, _, log_id, head = cbor.decode(data)
        except (ValueError, TypeError):
            continue
        if chain.log_id == log_id:
            return seq > head
        # Another log: its segments are of this shift if it was begun after the shift's.
        order = [each.log_id for each in visits.log.chains()]
        return log_id not in order or order.index(chain.log_id) > order.index(log_id)
    return False


def _problem(field, question, value):
    """None, or the code of what is wrong with the new value."""
    if question is not None:
        if value is None and question in [each[0] for each in questionnaire.questions()]:
            return None
        return questionnaire.problem(question, value)
    if field == correction.OUTCOME:
        return None if value in questionnaire.OUTCOMES.split() else "outcome"
    if field != correction.PROMISE:
        return "field"
    try:
        if value is not None:
            visit.encode_promise(bytes(16), value)
            if value["who"] not in questionnaire.DEBTORS.split():
                return "promise_who"
    except (ValueError, AttributeError):
        return "promise"
    return None

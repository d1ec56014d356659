"""A visit that was open when the power went: offered again at the same door, or sealed.

Within ten minutes of the last that is known of the boot before, by a trusted time, and with fixes
inside its place, the gestor may go on with it; the evidence says so. In any other case it is
sealed as interrupted, at the latest ten minutes after the start. Loaded for its moment.

What is pending is a dict: fields, answers, records as of an open visit; last, the last unix
seconds that are known of the boot before; offered, whether the gestor was told; next_ms, when to
look.
"""

from ronda_protocol import track

from handheld import forget, saving

_BACK_S = 60  # a clock set by another source may be so far behind
# What judging needs is imported in functions: a seal has no room for it beside a page.
_JUDGING = ("handheld.intents", "ronda_protocol.fence", "ronda_protocol.polygon")


def _away(visits):
    """Seconds since the last that is known, or None without a time."""
    clock = visits.clock
    return clock.utc() - visits.pending["last"] if clock.trusted() else None


def _too_late(visits):
    from ronda_protocol import visit

    away = _away(visits)
    if away is None:
        return visits.clock.ms() >= visit.RESUME_S * 1000
    return not -_BACK_S <= away <= visit.RESUME_S - visits.clock.stamp()[4]


def _told(visits, what):
    visits.log.event(track.VISIT_RESUME, [visits.pending["fields"]["case_id"], what])


def _here(visits):
    """(stamp, fixes, verdict, stay) now, at the place of the visit."""
    from handheld import intents

    stamp, fixes = visits.clock.stamp(), intents.window(visits)
    stay = intents.watch(visits, visits.pending["fields"], fixes)
    return stamp, fixes, intents.judged(visits, stay, fixes), stay


def look(visits):
    """Offer it, or seal it, or wait: called now and then while it is pending."""
    if _too_late(visits):
        return seal(visits, "late" if visits.clock.trusted() else "no_time")
    if not visits.clock.trusted():
        return None
    inside = _inside(visits)
    visits.leave()
    if inside is False:
        return seal(visits, "outside")
    if inside and not visits.pending["offered"]:
        visits.pending["offered"] = True
        _told(visits, "offered")
        visits.board.tell("resume", {"case_id": visits.pending["fields"]["case_id"]})
    return None


def _inside(visits):
    """Whether it is at the door now, or None when nobody can tell."""
    from ronda_protocol import fence

    try:
        verdict = _here(visits)[2][0]
    except fence.FenceError:
        return False
    return {fence.INSIDE: True, fence.OUTSIDE: False}.get(verdict)


def seal(visits, why):
    """Seal it as interrupted, for a reason that the log is told; (seq, visit id) or None."""
    pending = visits.pending
    forget("ronda_protocol.visit", *() if visits.stay else _JUDGING)
    sealed = saving.seal(visits, pending["fields"], pending["answers"])
    if sealed:
        _told(visits, why)
        visits.pending = None
        visits.visit_file.clear()
    return sealed


def answer(visits, accept):
    """The gestor's word. Codes: interrupted {seq, visit_id}; resumed {case_id, answers};
    resume_late, resume_outside (it is sealed), resume_wait {remaining_s, missing}, no_resume,
    storage_full."""
    pending = visits.pending
    if not pending:
        return {"ok": False, "code": "no_resume"}
    if not accept:
        return _sealed(visits, "declined", "interrupted", True)
    if _too_late(visits):
        return _sealed(visits, "late", "resume_late", False)
    away = _away(visits)
    if away is None:
        return _wait(visits, "time")
    from ronda_protocol import fence, visit

    stamp, fixes, verdict, stay = _here(visits)
    if verdict[0] != fence.INSIDE:
        visits.leave()
        outside, fence, visit, stay = verdict[0] == fence.OUTSIDE, None, None, None
        if outside:
            return _sealed(visits, "outside", "resume_outside", False)
        return _wait(visits, "fix")
    times = (pending["fields"].get("resumed") or [0])[0] + 1
    resumed = [times, max(0, away), stamp, visit.pack_window(fixes, stamp[1]), verdict]
    if not saving.resumed(visits, resumed):
        visits.leave()
        return {"ok": False, "code": "storage_full"}
    _told(visits, "resumed")
    stay.restart()
    visits.fields, visits.answers = pending["fields"], pending["answers"]
    visits.records, visits.pending = pending["records"], None
    visits.fields["resumed"] = resumed
    answers = sorted(visits.answers)
    return {"ok": True, "code": "resumed", "case_id": visits.case_id, "answers": answers}


def _wait(visits, missing):
    from ronda_protocol import visit

    left = visit.RESUME_S - (_away(visits) or 0)
    return {"ok": False, "code": "resume_wait", "remaining_s": left, "missing": missing}


def _sealed(visits, why, code, ok):
    sealed = seal(visits, why)
    if not sealed:
        return {"ok": False, "code": "storage_full"}
    return {"ok": ok, "code": code, "seq": sealed[0], "visit_id": sealed[1]}

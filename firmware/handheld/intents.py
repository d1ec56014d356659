"""What each intent does: functions of their names, of the visits and the arguments' `get`.

Each gives a dict with `ok` and `code` (a refusal says what to do by its code and fields), or, when
something is to be saved, the name and arguments of a function of `saving`, which comes once this
module has left the heap. What a fence verdict allows is policy's, which answers are right the
questionnaire's. Loaded for one intent and dropped after it, so that it keeps no state.
"""

from ronda_protocol import bounds, fence, track, visit

from handheld import forget


def _no(code, **fields):
    fields["ok"] = False
    fields["code"] = code
    return fields


def _yes(code, **fields):
    fields["ok"] = True
    fields["code"] = code
    return fields


def shift_start(visits, get):
    """{gestor}: shift_started, in_shift, gestor, storage_full."""
    gestor = get("gestor")
    if visits.in_shift:
        return _no("in_shift", gestor=visits.gestor)
    if gestor is not None and not bounds.is_text(gestor, 32):
        return _no("gestor")
    return "start_shift", gestor


def shift_end(visits, _get):
    """{}: shift_ended, no_shift, visit_open."""
    if not visits.in_shift:
        return _no("no_shift")
    if visits.fields:
        return _no("visit_open", case_id=visits.case_id)
    visits.leave()
    visits.portal = None
    return ("end_shift",)


def register_portal(visits, get):
    """{case_id?}: portal_registered, portal_no_fix, portal_unsure, or why not as a check-in."""
    from handheld import portal

    code, fields = portal.register(visits, get("case_id"))
    return (_yes if code == "portal_registered" else _no)(code, **fields)


def correct(visits, get):
    """{visit_id or seq, field, value, reason}: saved, or why not; see corrections."""
    from handheld import corrections

    code, fields = corrections.correct(visits, get)
    if code == "saved":
        return "correct", fields["part"], fields["id"]
    return _no(code, **fields)


def check_in(visits, get):
    """{case_id, acknowledge?}: opened_…, or what is missing."""
    case, code = admit(visits, get("case_id"))
    if not case:
        return _no(code)
    stamp, fixes = visits.clock.stamp(), window(visits)
    place = case["place"]
    try:
        stay = watch(visits, case, fixes)
        verdict = judged(visits, stay, fixes)
    except fence.FenceError:
        return _no("bad_place")
    waited = _waited(visits, case["case_id"], verdict, stamp[1])
    entrance, dwell = None, stay.going_on_s(stamp[1])
    if visits.portal and verdict[0] == fence.UNCERTAIN:
        from handheld import portal

        entrance = portal.at_check_in(visits, case, stay, stamp)
    acknowledged = get("acknowledge") is True
    code, opened = _ask(
        "policy",
        "decide",
        verdict,
        place[1],
        acknowledged,
        waited,
        visits.search_m,
        visits.wait_s,
        entrance,
    )
    if opened == visit.OPENED_INSIDE and dwell < visits.dwell_s:
        return _no("waiting_dwell", remaining_s=visits.dwell_s - dwell)
    fields = {
        "ended": visit.INTERRUPTED,
        "place": place,
        "check_in": stamp,
        "check_in_fixes": visit.pack_window(fixes, stamp[1]),
        "check_in_verdict": verdict,
        "opened": opened,
        "law": [visit.NOT_EVALUATED],
        "battery": _battery(visits),
        "gestor": visits.gestor,
        "form": _ask("questionnaire", "form"),
        "cases_version": visits.cases.version,
        "dwell": [dwell, None],
        "portal": entrance,
    }
    for name in ("case_id", "portfolio", "creditor"):
        fields[name] = case[name]
    if opened:
        stay.restart()
        return "begin", code, fields
    if code == "waiting_fix":
        return _no(code, remaining_s=visits.wait_s - waited)
    if code == "ask_unconfirmed":
        return _no(code, verdict=verdict)
    return "attempt", fields, _no(code, **way(stay, verdict, fixes))


def idle(visits):
    """Why nothing may begin now: already_open, no_shift, or None."""
    if visits.fields:
        return "already_open"
    if visits.pending:
        return "ask_resume"
    return None if visits.in_shift else "no_shift"


def admit(visits, case_id):
    """(case, None), or (None, why no visit to it may begin now)."""
    cases = visits.cases
    utc = visits.clock.utc() if visits.clock.trusted() else None
    code = idle(visits)
    if code:
        return None, code
    if utc is None:
        return None, "no_time"
    if cases is None:
        return None, "no_cases"
    if utc >= cases.expires_at:
        return None, "cases_expired"
    case = cases.get(case_id)
    if case is None:
        return None, "no_case"
    if not visits.log.room():
        return None, "storage_full"
    return case, None


def _waited(visits, case_id, verdict, ms):
    """Seconds since the first try at this case, while there is no fix at all.

    Who comes back after a pause longer than that between two attempts begins to wait anew.
    """
    if verdict[4] != fence.NO_FIX:
        visits.tried = None
        return 0
    tried = visits.tried
    if not tried or tried[0] != case_id or ms - tried[2] > visits.repeat_s * 1000:
        tried = (case_id, ms, ms)
    visits.tried = (case_id, tried[1], ms)
    return (ms - tried[1]) // 1000


def watch(visits, case, fixes):
    """The stay at a case's place since the first try there, with these fixes. FenceError."""
    case_id, place, stay = visits.stay or (None, None, None)
    if case_id != case["case_id"] or place != case["place"]:
        visits.leave()
        stay = fence.Dwell(case["place"][2:])
        visits.stay = (case["case_id"], case["place"], stay)
        if visits.gnss:
            visits.gnss.watch = stay.add
    for fix in fixes:
        stay.add(fix[2], fix[3], fix[4], fix[5], track.fix_flags(fix))
    return stay


def answer(visits, get):
    """{id, value}: answered, invalid, no_visit, storage_full."""
    if not visits.fields:
        return _no("no_visit")
    name, value = get("id"), get("value")
    wrong = _ask("questionnaire", "problem", name, value)
    if wrong:
        return _no("invalid", problems=[wrong])
    return "answer", name, value


def resume(_visits, get):
    """{accept}: what becomes of the visit that was open when the power went; see resume."""
    return "resume", "answer", get("accept") is True


def close(visits, get):
    """{outcome, answers?, promise?, ask_fix?, no_signal?}: saved, or what is missing."""
    if not visits.fields:
        return _no("no_visit")
    answers, promise = dict(visits.answers), get("promise")
    more = get("answers") or {}
    if not isinstance(more, dict):
        return _no("invalid", problems=["answers"])
    answers.update(more)
    wrong = _ask("questionnaire", "validate", answers, get("outcome"), promise)
    if wrong:
        return _no("invalid", problems=wrong)
    fields, stamp = dict(visits.fields), visits.clock.stamp()
    fixes = window(visits)
    stay = watch(visits, fields, fixes)
    verdict = judged(visits, stay, fixes)
    portal = fields["opened"] == visit.OPENED_PORTAL
    if portal and verdict[0] != fence.INSIDE:
        if get("no_signal") is not True:
            return _no("ask_portal_fix", verdict=verdict, **way(stay, verdict, fixes))
        fields["no_signal"] = True
    fields["ended"], fields["close"], fields["outcome"] = visit.CLOSED, stamp, get("outcome")
    fields["battery"] = _battery(visits)
    before, during = fields["dwell"]  # told by a close that the flash refused
    fields["dwell"] = [before, max(during or 0, stay.longest_s())]
    if portal or get("ask_fix"):
        fields["close_fixes"] = visit.pack_window(fixes, stamp[1])
        fields["close_verdict"] = verdict
    return "close", fields, answers, promise


def _ask(module, what, *args):
    """What a function of the policy or the questionnaire says; they leave the heap at once."""
    try:
        return getattr(getattr(__import__("handheld." + module), module), what)(*args)
    finally:
        forget("handheld." + module)


def window(visits):
    """Fix entries of the last 30 s, eight at most."""
    return visits.gnss.window() if visits.gnss else []


def judged(visits, stay, fixes):
    """The fence verdict of fix entries at the place of a stay."""
    return stay.plane.verdict(fence.of_entries(fixes), visits.board.ident.uere_dm)


def way(stay, verdict, fixes):
    """Fields of an answer to one who is outside: metres to the edge, where the centre is."""
    if verdict[0] != fence.OUTSIDE:
        return {}
    last = [fix for fix in fence.of_entries(fixes) if not fix[3] & fence.DISQUALIFYING][-1]
    north, east = fence.offset_dm(stay.plane.center, last[0], last[1])
    direction = fence.compass8(-north, -east)
    return {"metres": -(-verdict[1] // 10), "direction": direction}


def _battery(visits):
    power = visits.board.power
    return list(power.read()) if power else None

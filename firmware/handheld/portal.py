"""Registrar portal: what is heard at a building's entrance, for check-ins upstairs without a sky.

In RAM only: it is good for 20 monotonic minutes of this boot, and a restart ends it whatever the
clock says afterwards. Loaded when a gestor first asks for it; what it allows is policy's.
"""

from ronda_protocol import fence, track, visit

from handheld import intents


def register(visits, case_id):
    """(code, fields) of the intent register_portal; without a case any fix that can be used will
    do, and each check-in judges it against its own place."""
    case, code = None, intents.idle(visits)
    if case_id is not None:
        case, code = intents.admit(visits, case_id)
    if code:
        return code, {}
    stamp, fixes = visits.clock.stamp(), intents.window(visits)
    if not [fix for fix in fixes if fix[5] != 255 and not _disqualified(fix)]:
        return "portal_no_fix", {}
    verdict, dwell = None, 0
    if case:
        try:
            stay = intents.watch(visits, case, fixes)
            verdict = intents.judged(visits, stay, fixes)
        except fence.FenceError:
            return "bad_place", {}
        if verdict[0] == fence.OUTSIDE:
            return "refused_outside", intents.way(stay, verdict, fixes)
        if verdict[0] != fence.INSIDE:
            return "portal_unsure", {"verdict": verdict}
        dwell = stay.going_on_s(stamp[1])
        if dwell < visits.dwell_s:
            return "waiting_dwell", {"remaining_s": visits.dwell_s - dwell}
    visits.portal = (stamp, fixes, case_id, dwell)
    return "portal_registered", {"good_s": visit.PORTAL_MS // 1000, "verdict": verdict}


def at_check_in(visits, case, stay, stamp):
    """The evidence [stamp, fixes, verdict, dwell] if the portal opens this case now, or None."""
    when, fixes, case_id, dwell = visits.portal
    if stamp[0] != when[0] or stamp[1] - when[1] > visit.PORTAL_MS:
        visits.portal = None
        return None
    verdict = intents.judged(visits, stay, fixes)
    if case_id != case["case_id"]:
        row = fence.Dwell(case["place"][2:])
        for fix in fixes:
            row.add(fix[2], fix[3], fix[4], fix[5], track.fix_flags(fix))
        dwell = row.going_on_s(when[1])
    if verdict[0] != fence.INSIDE or dwell < visits.dwell_s:
        return None
    return [when, visit.pack_window(fixes, when[1]), verdict, dwell]


def _disqualified(fix):
    return track.fix_flags(fix) & track.DISQUALIFYING

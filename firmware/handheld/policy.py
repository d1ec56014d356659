"""The check-in policy (protocol.md): may this visit open, and as what. Pure; measures nothing."""

from ronda_protocol import fence, visit


def decide(  # noqa: PLR0917
    verdict, quality, acknowledged, waited_s, search_m=300, wait_s=120, portal=None
):
    """(code, how it opens or None) for a fence verdict and the quality of the case's place.

    `acknowledged`: "ubicación no confirmada" was; `waited_s`: seconds since the first try without
    any fix, of at most `wait_s`; `portal`: the entrance was registered, inside, not long ago. It
    stands in for a verdict that is uncertain, never for one that is outside. Codes:
    opened_inside, opened_portal, opened_unconfirmed, opened_address, ask_unconfirmed,
    waiting_fix, refused_outside.
    """
    found, d, _, _, reason = verdict
    if found == fence.INSIDE:
        return "opened_inside", visit.OPENED_INSIDE
    if found == fence.OUTSIDE:
        if quality == visit.GEOCODED and d <= search_m * 10:
            return "opened_address", visit.OPENED_ADDRESS
        return "refused_outside", None
    if portal:
        return "opened_portal", visit.OPENED_PORTAL
    if reason == fence.NO_FIX and waited_s < wait_s:
        return "waiting_fix", None
    if acknowledged:
        return "opened_unconfirmed", visit.OPENED_UNCONFIRMED
    return "ask_unconfirmed", None

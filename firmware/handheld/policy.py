"""The check-in policy (protocol.md): may this visit open, and as what. Pure; measures nothing."""

from micropython import const
from ronda_protocol import fence, visit

PATIENCE_S = const(120)
SEARCH_DM = const(3000)


def decide(verdict, quality, acknowledged, waited_s, search_dm=SEARCH_DM):
    """(code, how it opens or None) for a fence verdict and the quality of the case's place.

    `acknowledged`: "ubicación no confirmada" was; `waited_s`: seconds since the first try without
    any fix. Codes: opened_inside, opened_unconfirmed, opened_address, ask_unconfirmed,
    waiting_fix, refused_outside.
    """
    found, d, _, _, reason = verdict
    if found == fence.INSIDE:
        return "opened_inside", visit.OPENED_INSIDE
    if found == fence.OUTSIDE:
        if quality == visit.GEOCODED and d <= search_dm:
            return "opened_address", visit.OPENED_ADDRESS
        return "refused_outside", None
    if reason == fence.NO_FIX and waited_s < PATIENCE_S:
        return "waiting_fix", None
    if acknowledged:
        return "opened_unconfirmed", visit.OPENED_UNCONFIRMED
    return "ask_unconfirmed", None

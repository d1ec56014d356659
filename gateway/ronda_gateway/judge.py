"""What the gateway concludes about a visit: fence recomputed, policy checked, reasons named.

Pure. Law is not evaluated yet, so nothing is ever called verified here.
"""

from dataclasses import dataclass, field
from typing import Any

from ronda_protocol import fence, track, visit

from ronda_gateway.fences import BAD_FENCE, Fences

# A fix older than this before its verdict should not have been used (protocol.md, Fence).
_WINDOW_MS = 30_000
# The stamp is taken a moment after the window.
_SLACK_MS = 1_000

# Reasons that make a visit an exception: a human has to look. `portal` is none: what was inside
# at the entrance not long before opens (protocol.md, Check-in policy). `resumed` is none: inside
# again at the same door, ten minutes after the power went at most.
_EXCEPTIONS = frozenset(
    {
        "chain_broken",
        "chain_forked",
        "fence_uncertain",
        "location_unconfirmed",
        "address_to_confirm",
        "fixes_disqualified",
        "fixes_stale",
        "verdict_mismatch",
        "policy_mismatch",
        "portal_close_outside",
        "dwell_short",
        "dwell_mismatch",
        "fence_opinion_differs",
        BAD_FENCE,
    }
)


@dataclass(slots=True)
class Judgement:
    """`verdicts` goes on the feed; `alarms` are the kinds of alert to raise, with details."""

    verdicts: dict[str, Any]
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def judge(
    evidence: dict[str, Any], link: str, uere_dm: int, search_m: int, dwell_s: int = 0
) -> Judgement:
    """Verdicts on a decoded evidence part; `link` is the chain verdict (chain.py), the others
    are the settings of [fence]."""
    reasons: list[str] = [] if link == "linked" else [f"chain_{link}"]
    fences = Fences(evidence, uere_dm)
    reasons += _door_reasons(evidence, fences)
    if _dwell(evidence) < dwell_s and evidence["opened"] in (
        visit.OPENED_INSIDE,
        visit.OPENED_PORTAL,
    ):
        reasons.append("dwell_short")
    alarms = _alarms(evidence, fences, search_m)
    reasons += alarms
    if "verdict_mismatch" in alarms and "dwell" in alarms["verdict_mismatch"]["moment"]:
        reasons.append("dwell_mismatch")
    law = evidence["law"][0]
    reasons.append("law_not_evaluated")
    exception = any(reason in _EXCEPTIONS for reason in reasons)
    verdicts: dict[str, Any] = {
        "signature": "verified",
        "chain": link,
        "fence": fences.check_in,
        "fence_at_close": fences.close,
        "fence_at_portal": fences.portal,
        "place_quality": visit.QUALITY_NAMES[evidence["place"][1]],
        "opened": visit.POLICY_NAMES[evidence["opened"]],
        "law": visit.LAW_NAMES[law] if law < len(visit.LAW_NAMES) else f"law-{law}",
        "overall": "exception" if exception else "unverified",
        "reasons": reasons,
    }
    return Judgement(verdicts, alarms)


def _alarms(evidence: dict[str, Any], fences: Fences, search_m: int) -> dict[str, dict[str, Any]]:
    """Kinds of alert, each a reason too."""
    alarms: dict[str, dict[str, Any]] = {}
    if fences.trouble:
        alarms[BAD_FENCE] = {"why": fences.trouble}
    else:
        for moment in ("check_in", "close", "portal", "resumed"):
            found: dict[str, Any] | None = getattr(fences, moment)
            if found and not found["agrees"]:
                theirs = _told(evidence, moment)
                alarms["verdict_mismatch"] = {
                    "moment": moment,
                    "handheld": theirs,
                    "gateway": found["recomputed"],
                }
        dwell = fences.dwell_trouble()
        if dwell and not alarms:
            alarms["verdict_mismatch"] = dwell
    if not _policy_holds(evidence, search_m):
        alarms["policy_mismatch"] = {
            "opened": visit.POLICY_NAMES[evidence["opened"]],
            "fence": fence.VERDICT_NAMES[evidence["check_in_verdict"][0]],
            "place_quality": visit.QUALITY_NAMES[evidence["place"][1]],
        }
    return alarms


def _told(evidence: dict[str, Any], moment: str) -> Any:
    """The handheld's verdict of a moment."""
    if moment == "portal":
        return evidence["portal"][2]
    return evidence["resumed"][4] if moment == "resumed" else evidence[f"{moment}_verdict"]


def _dwell(evidence: dict[str, Any]) -> int:
    """Seconds inside before the check-in, or at the portal that opened it."""
    portal, dwell = evidence.get("portal"), evidence.get("dwell")
    return int(portal[3] if portal else dwell[0] if dwell else 0)


def _door_reasons(evidence: dict[str, Any], fences: Fences) -> list[str]:
    reasons: list[str] = []
    opened = evidence["opened"]
    decisive = fences.portal or fences.check_in
    assert decisive is not None  # decode_evidence requires a check-in verdict
    if evidence["ended"] == visit.REFUSED:
        reasons.append("refused_at_door")
    if evidence["ended"] == visit.INTERRUPTED:
        reasons.append("interrupted")
    if fences.resumed:
        reasons.append("resumed")
    if opened == visit.OPENED_UNCONFIRMED:
        reasons.append("location_unconfirmed")
    if opened == visit.OPENED_ADDRESS:
        reasons.append("address_to_confirm")
    if opened == visit.OPENED_PORTAL:
        reasons.append("portal")
        if evidence["ended"] == visit.CLOSED:
            reasons += _back_at_the_portal(fences)
    if "uncertain" in (decisive["handheld"], decisive["gateway"]):
        reasons.append("fence_uncertain")
    moments = (fences.check_in, fences.close, fences.portal, fences.resumed)
    opinions = [found for found in moments if found]
    if not all(found["own_agrees"] for found in opinions):
        reasons.append("fence_opinion_differs")
    return reasons + _fix_reasons(evidence, fences)


def _back_at_the_portal(fences: Fences) -> list[str]:
    """Where a visit that began at a building's entrance was closed: it should be there again."""
    told = fences.close["handheld"] if fences.close else "uncertain"
    if told == "outside":
        return ["portal_close_outside"]
    return ["portal_no_signal"] if told == "uncertain" else []


def _fix_reasons(evidence: dict[str, Any], fences: Fences) -> list[str]:
    """What the fixes of the check-in and of the portal are worth."""
    reasons: list[str] = []
    moments = [(fences.fixes["check_in"], evidence["check_in"])]
    if fences.portal:
        moments.append((fences.fixes["portal"], evidence["portal"][0]))
    if any(track.fix_flags(fix) & track.DISQUALIFYING for fixes, _ in moments for fix in fixes):
        reasons.append("fixes_disqualified")
    if any(fixes and at[1] - fixes[0][2] > _WINDOW_MS + _SLACK_MS for fixes, at in moments):
        reasons.append("fixes_stale")
    return reasons


def _policy_holds(evidence: dict[str, Any], search_m: int) -> bool:
    """Whether the handheld opened, or refused, as the check-in policy says for its verdict."""
    kind, d_dm = evidence["check_in_verdict"][:2]
    geocoded = evidence["place"][1] == visit.GEOCODED
    near = d_dm is not None and d_dm <= search_m * 10
    expected = {
        visit.OPENED_INSIDE: kind == fence.INSIDE,
        visit.OPENED_UNCONFIRMED: kind == fence.UNCERTAIN,
        visit.OPENED_ADDRESS: kind == fence.OUTSIDE and geocoded and near,
        visit.OPENED_REFUSED: kind == fence.OUTSIDE and not (geocoded and near),
        visit.OPENED_PORTAL: kind == fence.UNCERTAIN and _portal_holds(evidence),
    }
    return expected[evidence["opened"]] and _resumption_holds(evidence)


def _resumption_holds(evidence: dict[str, Any]) -> bool:
    """Whether a visit that says it was resumed was so inside, in time, in a later boot."""
    if "resumed" not in evidence:
        return True
    _, away_s, stamp, _, verdict = evidence["resumed"]
    inside = verdict[0] == fence.INSIDE
    return inside and away_s <= visit.RESUME_S and stamp[0] > evidence["check_in"][0]


def _portal_holds(evidence: dict[str, Any]) -> bool:
    """Whether the portal was good: inside, in the same boot, not older than 20 minutes; and the
    visit closed there, or "sin señal" was said."""
    portal, check_in = evidence.get("portal"), evidence["check_in"]
    if portal is None:
        return False
    stamp, verdict = portal[0], portal[2]
    age = check_in[1] - stamp[1]
    good = verdict[0] == fence.INSIDE and stamp[0] == check_in[0]
    back = (evidence.get("close_verdict") or [fence.UNCERTAIN])[0] == fence.INSIDE
    left = evidence["ended"] == visit.CLOSED and not back
    return good and 0 <= age <= visit.PORTAL_MS and (not left or "no_signal" in evidence)

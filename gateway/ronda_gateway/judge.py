"""What the gateway concludes about a visit: fence recomputed, policy checked, reasons named.

Pure. Law is not evaluated yet, so nothing is ever called verified here.
"""

from dataclasses import dataclass, field
from typing import Any

from ronda_protocol import fence, track, visit

# A fix older than this before its verdict should not have been used (protocol.md, Fence).
_WINDOW_MS = 30_000
# The stamp is taken a moment after the window.
_SLACK_MS = 1_000

# Reasons that make a visit an exception: a human has to look.
_EXCEPTIONS = frozenset(
    {
        "chain_broken",
        "fence_uncertain",
        "location_unconfirmed",
        "address_to_confirm",
        "fixes_disqualified",
        "fixes_stale",
        "verdict_mismatch",
        "policy_mismatch",
    }
)


@dataclass(slots=True)
class Judgement:
    """`verdicts` goes on the feed; `alarms` are the kinds of alert to raise, with details."""

    verdicts: dict[str, Any]
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def judge(evidence: dict[str, Any], link: str, uere_dm: int, search_m: int) -> Judgement:
    """Verdicts on a decoded evidence part; `link` is the chain verdict (chain.py)."""
    alarms: dict[str, dict[str, Any]] = {}
    reasons: list[str] = []
    if link != "linked":
        reasons.append(f"chain_{link}")
    at_door = _fence(evidence, "check_in", uere_dm)
    at_close = _fence(evidence, "close", uere_dm)
    for moment, found in (("check_in", at_door), ("close", at_close)):
        if found and not found["agrees"]:
            alarms["verdict_mismatch"] = {
                "moment": moment,
                "handheld": evidence[f"{moment}_verdict"],
                "gateway": found["recomputed"],
            }
    assert at_door is not None  # decode_evidence requires a check-in verdict
    reasons += _door_reasons(evidence, at_door)
    if alarms:
        reasons.append("verdict_mismatch")
    if not _policy_holds(evidence, search_m):
        alarms["policy_mismatch"] = {
            "opened": visit.POLICY_NAMES[evidence["opened"]],
            "fence": at_door["handheld"],
            "place_quality": visit.QUALITY_NAMES[evidence["place"][1]],
        }
        reasons.append("policy_mismatch")
    law = evidence["law"][0]
    reasons.append("law_not_evaluated")
    exception = any(reason in _EXCEPTIONS for reason in reasons)
    verdicts: dict[str, Any] = {
        "signature": "verified",
        "chain": link,
        "fence": at_door,
        "fence_at_close": at_close,
        "place_quality": visit.QUALITY_NAMES[evidence["place"][1]],
        "opened": visit.POLICY_NAMES[evidence["opened"]],
        "law": visit.LAW_NAMES[law] if law < len(visit.LAW_NAMES) else f"law-{law}",
        "overall": "exception" if exception else "unverified",
        "reasons": reasons,
    }
    return Judgement(verdicts, alarms)


def _fence(evidence: dict[str, Any], moment: str, uere_dm: int) -> dict[str, Any] | None:
    """The handheld's verdict beside ours from the very same fixes; None where none was taken."""
    theirs: list[Any] | None = evidence.get(f"{moment}_verdict")
    if theirs is None:
        return None
    fixes = visit.unpack_window(evidence[f"{moment}_fixes"], evidence[moment][1])
    ours = fence.verdict(evidence["place"][2:], visit.fence_fixes(fixes), uere_dm)
    return {
        "handheld": _name(theirs),
        "gateway": _name(ours),
        "d_dm": ours[1],
        "r_dm": ours[2],
        "fixes_used": ours[3],
        "reason": fence.REASON_NAMES[ours[4] or 0],
        "agrees": list(theirs) == list(ours),
        "recomputed": list(ours),
    }


def _name(verdict: list[Any]) -> str:
    return fence.VERDICT_NAMES[int(verdict[0])]


def _door_reasons(evidence: dict[str, Any], at_door: dict[str, Any]) -> list[str]:
    reasons: list[str] = []
    opened = evidence["opened"]
    if evidence["ended"] == visit.REFUSED:
        reasons.append("refused_at_door")
    if evidence["ended"] == visit.INTERRUPTED:
        reasons.append("interrupted")
    if opened == visit.OPENED_UNCONFIRMED:
        reasons.append("location_unconfirmed")
    if opened == visit.OPENED_ADDRESS:
        reasons.append("address_to_confirm")
    if "uncertain" in (at_door["handheld"], at_door["gateway"]):
        reasons.append("fence_uncertain")
    fixes = visit.unpack_window(evidence["check_in_fixes"], evidence["check_in"][1])
    if any(track.fix_flags(fix) & track.DISQUALIFYING for fix in fixes):
        reasons.append("fixes_disqualified")
    if fixes and evidence["check_in"][1] - fixes[0][2] > _WINDOW_MS + _SLACK_MS:
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
    }
    return expected[evidence["opened"]]

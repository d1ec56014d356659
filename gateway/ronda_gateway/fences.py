"""A visit's fence verdicts and dwell as the handheld gave them, beside what they come to here.

The same integers from the same fixes (`ronda_protocol.fence`), and our own opinion (`opinion`).
Pure; concludes nothing, that is `judge`.
"""

from typing import Any

from ronda_protocol import fence, reading, track, visit

from ronda_gateway.opinion import opinion

BAD_FENCE = "bad_fence"

Entry = list[Any]


class Fences:
    """The verdicts of one decoded evidence part; each is None where none was given.

    `trouble`: "", or the FenceError code of a place that cannot be judged.
    """

    def __init__(self, evidence: dict[str, Any], uere_dm: int) -> None:
        self._evidence = evidence
        self._uere_dm = uere_dm
        self._fence: list[Any] = evidence["place"][2:]
        self.trouble = ""
        self._plane: fence.Plane | None = None
        try:
            self._plane = fence.Plane(self._fence)
        except fence.FenceError as error:
            self.trouble = error.code
        self.fixes: dict[str, list[Entry]] = {}
        self.check_in = self._moment("check_in")
        self.close = self._moment("close")
        self.portal = self._portal()
        resumed: list[Any] | None = evidence.get("resumed")
        self.resumed = None if resumed is None else self._judged("resumed", *resumed[2:5])

    def _moment(self, name: str) -> dict[str, Any] | None:
        theirs: list[Any] | None = self._evidence.get(f"{name}_verdict")
        if theirs is None:
            return None
        window = self._evidence[f"{name}_fixes"]
        return self._judged(name, self._evidence[name], window, theirs)

    def _portal(self) -> dict[str, Any] | None:
        portal: list[Any] | None = self._evidence.get("portal")
        return None if portal is None else self._judged("portal", *portal[:3])

    def _judged(
        self, name: str, stamp: list[Any], window: list[Any], theirs: list[Any]
    ) -> dict[str, Any]:
        fixes = self.fixes[name] = reading.unpack_window(window, stamp[1])
        seen = fence.of_entries(fixes)
        told: dict[str, Any] = {
            "handheld": fence.VERDICT_NAMES[theirs[0]],
            "gateway": fence.VERDICT_NAMES[fence.UNCERTAIN],
            "d_dm": None,
            "r_dm": None,
            "fixes_used": 0,
            "reason": BAD_FENCE,
            "agrees": False,
            "recomputed": None,
            "own_d_dm": None,
            "own_agrees": True,
        }
        if self._plane is None:
            return told
        try:
            ours = self._plane.verdict(seen, self._uere_dm)
        except fence.FenceError as error:
            self.trouble = error.code
            return told
        own = opinion(self._fence, seen)
        told.update(
            gateway=fence.VERDICT_NAMES[ours[0] or 0],
            d_dm=ours[1],
            r_dm=ours[2],
            fixes_used=ours[3],
            reason=fence.REASON_NAMES[ours[4] or 0],
            agrees=list(theirs) == list(ours),
            recomputed=list(ours),
        )
        if own is not None and ours[1] is not None:
            told.update(own_d_dm=own.d_dm, own_agrees=not own.differs(ours[1]))
        return told

    def dwell_trouble(self) -> dict[str, Any] | None:
        """What in the signed dwell contradicts the signed fixes; None when nothing does."""
        evidence, told = self._evidence, self._evidence.get("dwell")
        if self.trouble:
            return None
        check_in, close, portal = (
            evidence["check_in"],
            evidence.get("close"),
            evidence.get("portal"),
        )
        if portal is not None and not self._row_fits("portal", portal[0][1], portal[3]):
            return {"moment": "portal dwell", "handheld": portal[3]}
        if told is None:
            return None
        fits = self._row_fits("check_in", check_in[1], told[0])
        if close is not None and told[1] is not None:
            # A row that goes on at the check-in counts from its last fix, 10 s before at most;
            # of a visit that was resumed, at that moment.
            begin = evidence["resumed"][2][1] if self.resumed else check_in[1]
            most = close[1] - begin + fence.DWELL_GAP_MS
            row = self._row([fix for fix in self.fixes.get("close", []) if fix[2] > begin])
            fits = fits and row.longest_s() <= told[1] <= most // 1000
        return None if fits else {"moment": "dwell", "handheld": told}

    def _row(self, fixes: list[Entry]) -> fence.Dwell:
        row = fence.Dwell(self._fence)
        for fix in fixes:
            row.add(fix[2], fix[3], fix[4], fix[5], track.fix_flags(fix))
        return row

    def _row_fits(self, moment: str, ms: int, told_s: int) -> bool:
        """Whether a row of `told_s` seconds may go on at `ms`, by the fixes of that moment."""
        fixes = self.fixes[moment]
        usable = [
            fix
            for fix in fixes
            if fix[5] != 255 and not track.fix_flags(fix) & track.DISQUALIFYING
        ]
        if told_s * 1000 > ms:
            return False
        if not usable:
            # Eight unusable ones may have pushed a usable one out of the window.
            return told_s == 0 or len(fixes) == visit.MAX_WINDOW
        row = self._row(fixes)
        ours = row.going_on_s(ms)
        # What began with the first usable fix of the window may have begun before it.
        return told_s >= ours if row.first == usable[0][2] else told_s == ours

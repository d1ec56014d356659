"""The visit machine: intents in, results out. An open visit is on flash from its check-in on.

What an intent does is in `intents`, what of it is saved in `saving`, each loaded for its moment:
code lives in the heap, and between two intents a handheld has other things to do with it. Here is
what stays: the state, and what is due with time. Draws no page and reads no key.
"""

from micropython import const

from handheld import SIGNING, forget
from handheld.volumes import Records

_PORTAL_MS = const(1200000)  # visit.PORTAL_MS of ronda_protocol, which is not kept
_LOOK_MS = const(15000)
INTENTS = "shift_start shift_end register_portal check_in answer close correct resume status"


class Visits:
    """`cases` may be set to a newer Cases; None when there is no valid pack.

    Settings, which a config pack may change: `dwell_s` to stay inside before a check-in opens as
    inside, `search_m` around a place only geocoded, `wait_s` for a first fix, `repeat_s` within
    which refused attempts at one door are one record.
    """

    def __init__(self, board, clock, gnss, log, cases=None):
        self.board = board
        self.clock = clock
        self.gnss = gnss
        self.log = log
        self.cases = cases
        self.dwell_s, self.search_m, self.wait_s, self.repeat_s = 0, 300, 120, 300
        self.in_shift = False
        self.gestor = None
        self.shift_file = Records(board.storage + "/shift")
        self.visit_file = Records(board.storage + "/visit")
        self.refused_file = Records(board.storage + "/refused")
        self.fields = None  # evidence fields of the open visit
        self.pending = None  # one that was open when the power went: see resume.py
        self.used = None  # version of the cases that this shift began with or went by
        self.answers = {}
        self.done = {}  # cases closed in this shift, with what a list shows of them
        self.records = 0
        self.refused = None  # evidence fields of refused attempts not yet sealed
        self.refused_ms = 0
        self.tried = None  # (case id, ms of the first try without any fix, of the last)
        self.stay = None  # (case id, place, fence.Dwell) since the first try at a case
        self.portal = None  # (stamp, fixes, case id or None, dwell): see portal.py

    @property
    def case_id(self):
        """The case of the open visit, or None."""
        return self.fields and self.fields["case_id"]

    def open(self):
        """At boot, after log.open(): go on with the shift, seal what the last boot left."""
        from handheld import recovery

        recovery.open_visits(self)

    async def intent(self, name, args):
        """Do one intent: a dict with `ok` and `code`; a refusal says what to do by its fields."""
        if name not in INTENTS.split() or not isinstance(args, dict):
            return {"ok": False, "code": "unknown_intent"}
        if name == "status":
            return self._status()
        from handheld import intents

        try:
            result = getattr(intents, name)(self, args.get)
        finally:
            intents = None
            if not self.stay:
                forget("ronda_protocol.fence", "ronda_protocol.polygon")
            if name == "correct":
                forget("handheld.corrections", "ronda_protocol.correction")
                forget("ronda_protocol.reading", *SIGNING)
            forget("handheld.intents", "handheld.portal", "ronda_protocol.visit")
        return self.save(*result) if type(result) is tuple else result

    def save(self, what, *args):
        """Do a function of `saving`, which leaves the heap at once."""
        from handheld import saving

        try:
            return getattr(saving, what)(self, *args)
        finally:
            saving = None
            forget("handheld.saving", "ronda_protocol.visit")

    def tick(self):
        """Call every second or so: seals refused attempts and the open track when due."""
        if self.refused and self.clock.ms() >= self.refused_ms + self.repeat_s * 1000:
            self.save("seal_refused")
        pending = self.pending
        if pending and self.clock.ms() >= pending["next_ms"]:
            pending["next_ms"] = self.clock.ms() + _LOOK_MS
            self.save("resume", "look")
        if self.portal and not self.portal_s():
            self.portal = None
        self.log.tick()

    def _status(self):
        log = self.log
        return {
            "ok": True,
            "code": "status",
            "shift": self.in_shift,
            "gestor": self.gestor,
            "visit": self.case_id,
            "resume": self.pending and self.pending["fields"]["case_id"],
            "portal_s": self.portal_s(),
            "answers": len(self.answers),
            "seq": log.head,
            "unsent": log.unsent(),
            "open": log.open_count,
            "full": log.full,
            "counts": log.counts,
        }

    def portal_s(self):
        """For how many seconds more the registered portal is good; 0 without one."""
        if not self.portal:
            return 0
        return max(0, self.portal[0][1] + _PORTAL_MS - self.clock.ms()) // 1000

    def leave(self):
        """Nobody asks any more how long the fixes stay anywhere."""
        self.stay = None
        if self.gnss:
            self.gnss.watch = None

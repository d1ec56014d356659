"""The visit machine: intents in, results out. An open visit is on flash from its check-in on.

What an intent does is in `intents`, loaded for each one and dropped again: code lives in the heap,
and between two intents a handheld has other things to do with it. Here is what stays: the state,
what is due with time, sealing. Draws no page and reads no key.
"""

from micropython import const
from ronda_protocol import cbor, visit

from handheld import forget
from handheld.volumes import Records

_RETRY_MS = const(60000)
INTENTS = "shift_start shift_end register_portal check_in answer close correct status"


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
        self.answers = {}
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
            return getattr(intents, name)(self, args.get)
        finally:
            intents = None
            if not self.stay:
                forget("ronda_protocol.fence", "ronda_protocol.polygon")
            if name == "correct":
                forget("handheld.corrections", "ronda_protocol.correction")
                forget("ronda_protocol.reading")
            forget("handheld.intents", "handheld.portal", "handheld.policy")

    def tick(self):
        """Call every second or so: seals refused attempts and the open track when due."""
        if self.refused and self.clock.ms() >= self.refused_ms + self.repeat_s * 1000:
            self.seal_refused()
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
        return max(0, self.portal[0][1] + visit.PORTAL_MS - self.clock.ms()) // 1000

    def seal_refused(self):
        """Seal the refused attempts that wait, if any; later when the flash refuses."""
        if self.refused:
            if self.seal(self.refused) is None:
                self.refused_ms += _RETRY_MS
                return
            self.refused = None
            self.refused_file.clear()

    # --- flash ---

    def seal(self, fields, answers=None, promise=None):
        """Seal a visit: (seq, visit id), or None when the flash refuses."""
        entropy = self.board.entropy
        return self.log.seal_visit(
            self.clock.stamp(),
            visit.encode_evidence(fields),
            visit.encode_answers(entropy(16), answers) if answers else None,
            visit.encode_promise(entropy(16), promise) if promise else None,
        )

    def first(self, fields):
        """The first record of a visit's file; where the log stood tells later whether it is
        already sealed."""
        return [0, self.log.log_id, self.log.head, visit.encode_evidence(fields)]

    def write(self, file, value, fresh=True):
        """Whether the record is durable."""
        if fresh:
            file.clear()
        return file.append(cbor.encode(value))

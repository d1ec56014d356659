"""The visit machine: intents in, results out. An open visit is on flash from its check-in on.

Every intent gets a dict with `ok` and `code`; a refusal says what to do by its code and fields.
Draws no page and reads no key; what a fence verdict allows is policy's, which answers are right
the questionnaire's, sealing the log's.
"""

from micropython import const
from ronda_protocol import bounds, cbor, fence, track, visit

from handheld import policy, questionnaire
from handheld.volumes import Records

_RETRY_MS = const(60000)
_INTENTS = "shift_start shift_end register_portal check_in answer close status"


def _no(code, **fields):
    fields["ok"] = False
    fields["code"] = code
    return fields


def _yes(code, **fields):
    fields["ok"] = True
    fields["code"] = code
    return fields


class Visits:
    """`cases` may be set to a newer Cases; None when there is no valid pack.

    Settings, which a config pack may change: `dwell_s` to stay inside before a check-in opens as
    inside, `search_m` around a place only geocoded, `wait_s` for a first fix, `repeat_s` within
    which refused attempts at one door are one record.
    """

    def __init__(self, board, clock, gnss, log, cases=None):
        self._board = board
        self.clock = clock
        self._gnss = gnss
        self.log = log
        self.cases = cases
        self.dwell_s, self.search_m, self.wait_s, self.repeat_s = 0, 300, 120, 300
        self.in_shift = False
        self.gestor = None
        self.shift_file = Records(board.storage + "/shift")
        self.visit_file = Records(board.storage + "/visit")
        self.refused_file = Records(board.storage + "/refused")
        self._visit = None  # evidence fields of the open visit
        self._answers = {}
        self._records = 0
        self._refused = None  # evidence fields of refused attempts not yet sealed
        self._refused_ms = 0
        self._tried = None  # (case id, ms) of the first try without any fix
        self._stay = None  # (case id, place, fence.Dwell) since the first try at a case
        self.portal = None  # (stamp, fixes, case id or None, dwell): see portal.py

    @property
    def case_id(self):
        """The case of the open visit, or None."""
        return self._visit and self._visit["case_id"]

    def open(self):
        """At boot, after log.open(): go on with the shift, seal what the last boot left."""
        from handheld import recovery

        recovery.open_visits(self)

    async def intent(self, name, args):
        """Do one intent; the contract of names, arguments and result codes is in docs."""
        if name not in _INTENTS.split() or not isinstance(args, dict):
            return _no("unknown_intent")
        return getattr(self, "_do_" + name)(args.get)

    def tick(self):
        """Call every second or so: seals refused attempts and the open track when due."""
        if self._refused and self.clock.ms() >= self._refused_ms + self.repeat_s * 1000:
            self._seal_refused()
        if self.portal and not self._portal_s():
            self.portal = None
        self.log.tick()

    # --- intents ---

    def _do_shift_start(self, get):
        gestor = get("gestor")
        if self.in_shift:
            return _no("in_shift", gestor=self.gestor)
        if gestor is not None and not bounds.is_text(gestor, 32):
            return _no("gestor")
        if not self._write(self.shift_file, [1, gestor]):
            return _no("storage_full")
        self.in_shift, self.gestor = True, gestor
        self.log.event(7, [gestor])  # SHIFT_START
        return _yes("shift_started")

    def _do_shift_end(self, _get):
        if not self.in_shift:
            return _no("no_shift")
        if self._visit:
            return _no("visit_open", case_id=self.case_id)
        self._seal_refused()
        self._leave()
        self.portal = None
        self.shift_file.clear()
        self.in_shift = False
        self.log.event(8, [self.gestor])  # SHIFT_END
        self.gestor = None
        self.log.seal_track()
        return _yes("shift_ended")

    def _do_status(self, _get):
        log = self.log
        return _yes(
            "status",
            shift=self.in_shift,
            gestor=self.gestor,
            visit=self.case_id,
            portal_s=self._portal_s(),
            answers=len(self._answers),
            seq=log.head,
            unsent=log.unsent(),
            open=log.open_count,
            full=log.full,
            counts=log.counts,
        )

    def _do_register_portal(self, get):
        from handheld import portal

        code, fields = portal.register(self, get("case_id"))
        return (_yes if code == "portal_registered" else _no)(code, **fields)

    def _portal_s(self):
        """For how many seconds more the registered portal is good; 0 without one."""
        if not self.portal:
            return 0
        return max(0, self.portal[0][1] + visit.PORTAL_MS - self.clock.ms()) // 1000

    def _do_check_in(self, get):
        case, code = self.admit(get("case_id"))
        if not case:
            return _no(code)
        stamp, fixes = self.clock.stamp(), self.window()
        place = case["place"]
        try:
            stay = self.watch(case, fixes)
            verdict = self.verdict(stay, fixes)
        except fence.FenceError:
            return _no("bad_place")
        waited = self._waited(case["case_id"], verdict, stamp[1])
        entrance, dwell = None, stay.going_on_s(stamp[1])
        if self.portal and verdict[0] == fence.UNCERTAIN:
            from handheld import portal

            entrance = portal.at_check_in(self, case, stay, stamp)
        acknowledged = get("acknowledge") is True
        code, opened = policy.decide(
            verdict, place[1], acknowledged, waited, self.search_m, self.wait_s, entrance
        )
        if opened == visit.OPENED_INSIDE and dwell < self.dwell_s:
            return _no("waiting_dwell", remaining_s=self.dwell_s - dwell)
        fields = {
            "ended": visit.INTERRUPTED,
            "place": place,
            "check_in": stamp,
            "check_in_fixes": visit.pack_window(fixes, stamp[1]),
            "check_in_verdict": verdict,
            "opened": opened,
            "law": [visit.NOT_EVALUATED],
            "battery": self._battery(),
            "gestor": self.gestor,
            "form": questionnaire.form(),
            "cases_version": self.cases.version,
            "dwell": [dwell, None],
            "portal": entrance,
        }
        for name in ("case_id", "portfolio", "creditor"):
            fields[name] = case[name]
        if opened:
            stay.restart()
            return self._begin(code, fields)
        if code == "waiting_fix":
            return _no(code, remaining_s=self.wait_s - waited)
        if code == "ask_unconfirmed":
            return _no(code, verdict=verdict)
        self._refuse(fields)
        return _no(code, **self.way(stay, verdict, fixes))

    def idle(self):
        """Why nothing may begin now: already_open, no_shift, or None."""
        if self._visit:
            return "already_open"
        return None if self.in_shift else "no_shift"

    def admit(self, case_id):
        """(case, None), or (None, why no visit to it may begin now)."""
        cases = self.cases
        utc = self.clock.utc() if self.clock.trusted() else None
        code = self.idle()
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
        if self._refused and self._refused["case_id"] != case_id:
            self._seal_refused()
        if not self.log.room():
            return None, "storage_full"
        return case, None

    def _waited(self, case_id, verdict, ms):
        """Seconds since the first try at this case, while there is no fix at all."""
        if verdict[4] != fence.NO_FIX:
            self._tried = None
            return 0
        if not self._tried or self._tried[0] != case_id:
            self._tried = (case_id, ms)
        return (ms - self._tried[1]) // 1000

    def watch(self, case, fixes):
        """The stay at a case's place since the first try there, with these fixes. FenceError."""
        case_id, place, stay = self._stay or (None, None, None)
        if case_id != case["case_id"] or place != case["place"]:
            self._leave()
            stay = fence.Dwell(case["place"][2:])
            self._stay = (case["case_id"], case["place"], stay)
            if self._gnss:
                self._gnss.watch = stay.add
        for fix in fixes:
            stay.add(fix[2], fix[3], fix[4], fix[5], track.fix_flags(fix))
        return stay

    def _leave(self):
        """Nobody asks any more how long the fixes stay anywhere."""
        self._stay = None
        if self._gnss:
            self._gnss.watch = None

    def _begin(self, code, fields):
        self._seal_refused()
        if not self._write(self.visit_file, self._first(fields)):
            return _no("storage_full")
        self._visit, self._answers, self._records = fields, {}, 0
        self._tried = None
        self.log.event(15, [fields["case_id"]])  # VISIT_STARTED
        return _yes(code, case_id=fields["case_id"], verdict=fields["check_in_verdict"])

    def _do_answer(self, get):
        if not self._visit:
            return _no("no_visit")
        name, value = get("id"), get("value")
        wrong = questionnaire.problem(name, value)
        if wrong:
            return _no("invalid", problems=[wrong])
        self._records += 1  # no two records alike: see Records
        if not self._write(self.visit_file, [1, self._records, name, value], False):
            return _no("storage_full")
        self._answers[name] = value
        return _yes("answered")

    def _do_close(self, get):
        if not self._visit:
            return _no("no_visit")
        answers, promise = dict(self._answers), get("promise")
        more = get("answers") or {}
        if not isinstance(more, dict):
            return _no("invalid", problems=["answers"])
        answers.update(more)
        wrong = questionnaire.validate(answers, get("outcome"), promise)
        if wrong:
            return _no("invalid", problems=wrong)
        fields, stamp = dict(self._visit), self.clock.stamp()
        fixes = self.window()
        stay = self.watch(fields, fixes)
        verdict = self.verdict(stay, fixes)
        portal = fields["opened"] == visit.OPENED_PORTAL
        if portal and verdict[0] != fence.INSIDE:
            if get("no_signal") is not True:
                return _no("ask_portal_fix", verdict=verdict, **self.way(stay, verdict, fixes))
            fields["no_signal"] = True
        fields["ended"], fields["close"], fields["outcome"] = visit.CLOSED, stamp, get("outcome")
        fields["battery"] = self._battery()
        fields["dwell"] = [fields["dwell"][0], stay.longest_s()]
        if portal or get("ask_fix"):
            fields["close_fixes"] = visit.pack_window(fixes, stamp[1])
            fields["close_verdict"] = verdict
        sealed = self.seal(fields, answers, promise)
        if sealed is None:
            return _no("storage_full")
        self._visit, self._answers = None, {}
        self._leave()
        self.visit_file.clear()
        return _yes("saved", seq=sealed[0], visit_id=sealed[1])

    # --- facts ---

    def window(self):
        """Fix entries of the last 30 s, eight at most."""
        return self._gnss.window() if self._gnss else []

    def verdict(self, stay, fixes):
        """The fence verdict of fix entries at the place of a stay."""
        return stay.plane.verdict(visit.fence_fixes(fixes), self._board.ident.uere_dm)

    def way(self, stay, verdict, fixes):
        """Fields of an answer to one who is outside: metres to the edge, direction of the
        centre."""
        if verdict[0] != fence.OUTSIDE:
            return {}
        last = [fix for fix in visit.fence_fixes(fixes) if not fix[3] & fence.DISQUALIFYING][-1]
        north, east = fence.offset_dm(stay.plane.center, last[0], last[1])
        direction = fence.compass8(-north, -east)
        return {"metres": -(-verdict[1] // 10), "direction": direction}

    def _battery(self):
        power = self._board.power
        return list(power.read()) if power else None

    # --- refused attempts ---

    def _refuse(self, fields):
        """Count an attempt; the first one's facts stand for all."""
        pending = self._refused
        if pending and self.clock.ms() < self._refused_ms + self.repeat_s * 1000:
            pending["attempts"] += 1
            self._write(self.refused_file, [1, pending["attempts"]], False)
            return
        self._seal_refused()
        fields["ended"], fields["opened"] = visit.REFUSED, visit.OPENED_REFUSED
        fields["attempts"] = 1
        # When the flash refuses, the attempt is still held here until it can be sealed.
        self._write(self.refused_file, self._first(fields))
        self._refused, self._refused_ms = fields, self.clock.ms()

    def _seal_refused(self):
        if self._refused:
            if self.seal(self._refused) is None:
                self._refused_ms += _RETRY_MS
                return
            self._refused = None
            self.refused_file.clear()

    # --- flash ---

    def seal(self, fields, answers=None, promise=None):
        entropy = self._board.entropy
        return self.log.seal_visit(
            self.clock.stamp(),
            visit.encode_evidence(fields),
            visit.encode_answers(entropy(16), answers) if answers else None,
            visit.encode_promise(entropy(16), promise) if promise else None,
        )

    def _first(self, fields):
        """The first record of a visit's file; where the log stood tells later whether it is
        already sealed."""
        return [0, self.log.log_id, self.log.head, visit.encode_evidence(fields)]

    def _write(self, file, value, fresh=True):
        """Whether the record is durable."""
        if fresh:
            file.clear()
        return file.append(cbor.encode(value))

"""The visit machine: intents in, results out. An open visit is on flash from its check-in on.

Every intent gets a dict with `ok` and `code`; a refusal says what to do by its code and fields.
Draws no page and reads no key; what a fence verdict allows is policy's, which answers are right
the questionnaire's, sealing the log's.
"""

from micropython import const
from ronda_protocol import bounds, cbor, fence, segment, visit

from handheld import policy, questionnaire
from handheld.volumes import Records

_REPEAT_MS = const(300000)  # refused attempts at one door within 5 minutes are one record
_RETRY_MS = const(60000)
_SAME = ("case_id", "check_in", "opened")
_INTENTS = ("shift_start", "shift_end", "check_in", "answer", "close", "status")


def _no(code, **fields):
    fields["ok"] = False
    fields["code"] = code
    return fields


def _yes(code, **fields):
    fields["ok"] = True
    fields["code"] = code
    return fields


class Visits:
    """`cases` may be set to a newer Cases; None when there is no valid pack."""

    def __init__(self, board, clock, gnss, log, cases=None):
        self._board = board
        self._clock = clock
        self._gnss = gnss
        self._log = log
        self.cases = cases
        self.in_shift = False
        self.gestor = None
        self._shift = Records(board.storage + "/shift")
        self._file = Records(board.storage + "/visit")
        self._refused_file = Records(board.storage + "/refused")
        self._visit = None  # evidence fields of the open visit
        self._answers = {}
        self._records = 0
        self._refused = None  # evidence fields of refused attempts not yet sealed
        self._refused_ms = 0
        self._tried = None  # (case id, ms) of the first try without any fix

    @property
    def case_id(self):
        """The case of the open visit, or None."""
        return self._visit and self._visit["case_id"]

    def open(self):
        """At boot, after log.open(): go on with the shift, seal what the last boot left."""
        for value in self._read(self._shift):
            self.in_shift, self.gestor = bool(value[0]), value[1]
        for file in (self._refused_file, self._file):
            evidence, answers, attempts = self._recover(file)
            if evidence:
                if evidence["ended"] == visit.REFUSED:
                    evidence["attempts"] = attempts
                if self._seal(evidence, answers) is None:
                    continue
            file.clear()

    async def intent(self, name, args):
        """Do one intent; the contract of names, arguments and result codes is in docs."""
        if name not in _INTENTS or not isinstance(args, dict):
            return _no("unknown_intent")
        return getattr(self, "_do_" + name)(args.get)

    def tick(self):
        """Call every second or so: seals refused attempts and the open track when due."""
        if self._refused and self._clock.ms() >= self._refused_ms + _REPEAT_MS:
            self._seal_refused()
        self._log.tick()

    # --- intents ---

    def _do_shift_start(self, get):
        gestor = get("gestor")
        if self.in_shift:
            return _no("in_shift", gestor=self.gestor)
        if gestor is not None and not bounds.is_text(gestor, 32):
            return _no("gestor")
        if not self._write(self._shift, [1, gestor]):
            return _no("storage_full")
        self.in_shift, self.gestor = True, gestor
        self._log.event(7, [gestor])  # SHIFT_START
        return _yes("shift_started")

    def _do_shift_end(self, _get):
        if not self.in_shift:
            return _no("no_shift")
        if self._visit:
            return _no("visit_open", case_id=self.case_id)
        self._seal_refused()
        self._shift.clear()
        self.in_shift = False
        self._log.event(8, [self.gestor])  # SHIFT_END
        self.gestor = None
        self._log.seal_track()
        return _yes("shift_ended")

    def _do_status(self, _get):
        log = self._log
        return _yes(
            "status",
            shift=self.in_shift,
            gestor=self.gestor,
            visit=self.case_id,
            answers=len(self._answers),
            seq=log.head,
            unsent=log.unsent(),
            open=log.open_count,
            full=log.full,
            counts=log.counts,
        )

    def _do_check_in(self, get):
        case, code = self._admit(get("case_id"))
        if not case:
            return _no(code)
        stamp, fixes = self._clock.stamp(), self._window()
        place = case["place"]
        try:
            verdict = self._verdict(place, fixes)
        except fence.FenceError:
            return _no("bad_place")
        waited = self._waited(case["case_id"], verdict, stamp[1])
        code, opened = policy.decide(verdict, place[1], get("acknowledge") is True, waited)
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
        }
        for name in ("case_id", "portfolio", "creditor"):
            fields[name] = case[name]
        if opened:
            return self._begin(code, fields)
        if code == "waiting_fix":
            return _no(code, remaining_s=policy.PATIENCE_S - waited)
        if code == "ask_unconfirmed":
            return _no(code, verdict=verdict)
        self._refuse(fields)
        last = [fix for fix in visit.fence_fixes(fixes) if not fix[3] & fence.DISQUALIFYING][-1]
        north, east = fence.offset_dm(place[2:], last[0], last[1])
        direction = fence.compass8(-north, -east)
        return _no(code, metres=-(-verdict[1] // 10), direction=direction)

    def _admit(self, case_id):
        """(case, None), or (None, why no visit to it may begin now)."""
        cases = self.cases
        utc = self._clock.utc() if self._clock.trusted() else None
        if self._visit:
            return None, "already_open"
        if not self.in_shift:
            return None, "no_shift"
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
        if not self._log.room():
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

    def _begin(self, code, fields):
        self._seal_refused()
        if not self._write(self._file, self._first(fields)):
            return _no("storage_full")
        self._visit, self._answers, self._records = fields, {}, 0
        self._tried = None
        self._log.event(15, [fields["case_id"]])  # VISIT_STARTED
        return _yes(code, case_id=fields["case_id"], verdict=fields["check_in_verdict"])

    def _do_answer(self, get):
        if not self._visit:
            return _no("no_visit")
        name, value = get("id"), get("value")
        wrong = questionnaire.problem(name, value)
        if wrong:
            return _no("invalid", problems=[wrong])
        self._records += 1  # no two records alike: see Records
        if not self._write(self._file, [1, self._records, name, value], False):
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
        fields, stamp = dict(self._visit), self._clock.stamp()
        fields["ended"], fields["close"], fields["outcome"] = visit.CLOSED, stamp, get("outcome")
        fields["battery"] = self._battery()
        if get("ask_fix"):
            fixes = self._window()
            fields["close_fixes"] = visit.pack_window(fixes, stamp[1])
            fields["close_verdict"] = self._verdict(fields["place"], fixes)
        sealed = self._seal(fields, answers, promise)
        if sealed is None:
            return _no("storage_full")
        self._visit, self._answers = None, {}
        self._file.clear()
        return _yes("saved", seq=sealed[0], visit_id=sealed[1])

    # --- facts ---

    def _window(self):
        return self._gnss.window() if self._gnss else []

    def _verdict(self, place, fixes):
        return fence.verdict(place[2:], visit.fence_fixes(fixes), self._board.ident.uere_dm)

    def _battery(self):
        power = self._board.power
        return list(power.read()) if power else None

    # --- refused attempts ---

    def _refuse(self, fields):
        """Count an attempt; the first one's facts stand for all."""
        pending = self._refused
        if pending and self._clock.ms() < self._refused_ms + _REPEAT_MS:
            pending["attempts"] += 1
            self._write(self._refused_file, [1, pending["attempts"]], False)
            return
        self._seal_refused()
        fields["ended"], fields["opened"] = visit.REFUSED, visit.OPENED_REFUSED
        fields["attempts"] = 1
        # When the flash refuses, the attempt is still held here until it can be sealed.
        self._write(self._refused_file, self._first(fields))
        self._refused, self._refused_ms = fields, self._clock.ms()

    def _seal_refused(self):
        if self._refused:
            if self._seal(self._refused) is None:
                self._refused_ms += _RETRY_MS
                return
            self._refused = None
            self._refused_file.clear()

    # --- flash ---

    def _seal(self, fields, answers=None, promise=None):
        entropy = self._board.entropy
        return self._log.seal_visit(
            self._clock.stamp(),
            visit.encode_evidence(fields),
            visit.encode_answers(entropy(16), answers) if answers else None,
            visit.encode_promise(entropy(16), promise) if promise else None,
        )

    def _first(self, fields):
        """The first record of a visit's file; where the log stood tells later whether it is
        already sealed."""
        return [0, self._log.log_id, self._log.head, visit.encode_evidence(fields)]

    def _write(self, file, value, fresh=True):
        """Whether the record is durable."""
        data = cbor.encode(value)
        try:
            if fresh:
                file.clear()
            file.append(data)
        except OSError:
            return data in file.load()[0]
        return True

    def _read(self, file):
        """The readable records of a file."""
        found = []
        for data in file.load()[0]:
            try:
                found.append(cbor.decode(data))
            except ValueError:
                pass
        return found

    def _recover(self, file):
        """(evidence or None, answers, attempts) of a file that is not sealed yet."""
        evidence, answers, attempts, first = None, {}, 1, None
        for value in self._read(file):
            if value[0] == 0:
                first, evidence, answers, attempts = value, None, {}, 1
                try:
                    evidence = visit.decode_evidence(value[3])
                except ValueError:
                    pass
            elif len(value) == 4:
                answers[value[2]] = value[3]
            else:
                attempts = value[1]
        if evidence and self._is_sealed(first[1], first[2], evidence):
            evidence = None
        return evidence, answers, attempts

    def _is_sealed(self, log_id, since, evidence):
        """Whether a segment after `since` is this visit: the power went before clear()."""
        for chain in self._log.chains():
            if chain.log_id != log_id:
                continue
            for seq in range(since + 1, chain.head + 1):
                header = chain.header(seq)
                if header and header.body == segment.VISIT_BODY:
                    part = segment.parse(chain.read(seq)).parts[segment.EVIDENCE]
                    found = visit.decode_evidence(part)
                    if all(found[name] == evidence[name] for name in _SAME):
                        return True
        return False

"""Peak heap and erases by phase of the day, under RONDA_SIM_MEASURE: it collects at every look.

Phases: boot until the first grant; visit while an intent is in hand; sync while a network
operation is awaited; round otherwise. seal is the peak of the step or intent in which a segment
was sealed, so it lies within one of the others.
"""

import gc


class Measure:
    """Watches a Board through what it calls and what calls it."""

    def __init__(self, board):
        self._board = board
        self._peaks = {}
        self._erases = {}
        self._before = self._step = self._grant = self._reads = 0
        self._intent = None
        board._flash.looks.append(self._look_now_and_then)
        self._put, board.intents.put = board.intents.put, self._began
        self._answer, board.intents.answer = board.intents.answer, self._answered
        self._tell, board.tell = board.tell, self._told
        if board.signer:
            self._sign, board.signer.sign = board.signer.sign, self._signed

    def _signed(self, digest):
        """The curve arithmetic is in the heap while it signs, and reads no flash."""
        signature = self._sign(digest)
        self._look()
        return signature

    def _look_now_and_then(self):
        """At every third read of the flash: a collection is slow, and reads come in rows."""
        self._reads += 1
        if self._reads % 3 == 0:
            self._look()

    def _look(self):
        gc.collect()
        board = self._board
        used = gc.mem_alloc()
        board._peak = max(board._peak, used)
        if board._grants != self._grant:
            self._grant, self._step = board._grants, 0
        self._step = max(self._step, used)
        if self._intent:
            phase = "visit"
        elif not board._grants:
            phase = "boot"
        else:
            phase = "sync" if board._outstanding else "round"
        self._note(phase, used)

    def _note(self, phase, used):
        self._peaks[phase] = max(self._peaks.get(phase, 0), used)

    def _count(self, phase):
        erases = self._board._flash.erases
        self._erases[phase] = self._erases.get(phase, 0) + erases - self._before
        self._before = erases

    def _began(self, name, args):
        self._count("round" if self._board._grants else "boot")
        self._step = 0
        # Only what a gestor does at a door: sync and status are the network's.
        self._intent = name if name in ("check_in", "answer", "close") else None
        self._put(name, args)

    def _answered(self, result):
        self._look()
        self._count("visit" if self._intent else "round")
        self._intent = None
        self._answer(result)

    def _told(self, name, fields):
        if name == "sealed":
            self._look()
            self._note("seal", self._step)
        self._tell(name, fields)

    def report(self, report):
        """Add what was seen to the final report."""
        self._count("round")
        report["heap"]["phases"] = self._peaks
        report["flash"]["phases"] = self._erases

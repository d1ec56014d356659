"""Destroys debtor data: the key first, then the files; what a cut leaves of it the next boot ends.

ROUND ends a round: its cases, whatever set is on flash or arriving. What was said at the door
stays readable, unsent and as grace, because saved means saved. ALL is for a handheld that changes
hands or is gone: answers, promises and corrections too, sent or not, and all grace. Of an unsent
visit the header and the evidence stay and are sent; its answers are withheld for ever, and so it
is declared lost as well.
"""

import os

from ronda_protocol import track

from handheld import vault

ROUND, ALL = 1, 2
_NAMES = ("", "round", "all")


def destroy(board, what):
    """The keys, and the files of the round; finish() is owed. For a bench, which has no log."""
    keys = (vault.ROUND,) if what == ROUND else (vault.ROUND, vault.ANSWERS)
    vault.make(board, keys, max(what, vault.owed(board)))
    _files(board)


def _files(board):
    folder = board.storage + "/packs/"
    for name in ("cases", "cases.site", "coming"):
        try:
            os.remove(folder + name)
        except OSError:
            pass  # it is not there; or its key is not


def run(visits, what):
    """Destroy now, and tell the log."""
    destroy(visits.board, what)
    finish(visits)


def _declare(log, chain):
    """A gateway gives no receipt for a segment without all of its parts: what is not receipted
    and has lost some is declared lost, besides being sent."""
    for seq in range(chain.released + 1, chain.head + 1):
        header = chain.header(seq)
        if header and header.body != 1 and len(header.parts) + (header.body == 3) > 1:
            lost = [seq, seq, "wiped"]
            log.event(track.LOST, lost if chain is log.chain else lost + [chain.log_id])


def finish(visits):
    """Do what a wipe that was begun still owes; nothing without one."""
    board, log = visits.board, visits.log
    what = vault.owed(board)
    if not what:
        return
    _files(board)
    visits.cases = None
    if what == ALL:
        if visits.fields:
            from handheld import saving

            if saving.seal(visits, visits.fields):
                visits.fields, visits.answers = None, {}
                visits.visit_file.clear()
        for chain in log.chains():
            while chain.evict():
                pass
            _declare(log, chain)
    log.event(track.WIPED, [_NAMES[what]])
    vault.settle(board)

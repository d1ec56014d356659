"""Wires a handheld from its Board and keeps its tasks alive; decides nothing about a visit itself.

Every part may be missing or refuse to start: that is an event in the log, and the rest goes on. A
task that dies is an event too and starts again; one that keeps dying ends the run, with the reason
in the report. What is only needed at boot is imported there.
"""

import asyncio
import gc
import sys

from micropython import const
from ronda_protocol import bounds, cbor, track

from handheld import SIGNING, forget, log
from handheld.battery import Battery
from handheld.clock import Clock
from handheld.gnss import Gnss
from handheld.trust import Trust
from handheld.visits import Visits

_DEATHS = const(8)  # in a row, each within 10 minutes of the last: then the run ends
_LIVED_MS = const(600000)
_DRAIN_MS = const(60000)  # link time without progress, after which "finish" gives up
_CHECK_S = const(60)
_BODIES = ("ronda_protocol.pack", "ronda_protocol.bodies", "ronda_protocol.rounds") + SIGNING


def run(board):
    """Run until the board says that it is over; the board gets the report as its last call."""
    return asyncio.run(main(board))


async def main(board):
    """The run, for a loop that is already there. Returns the report."""
    sim = board.ident.profile == "sim"
    report, app = {"ended": "unprovisioned"}, None
    try:
        if board.signer and board.ident.device_id:
            app = App(board)
    except Exception as error:
        if sim:  # a bug is loud there, and so are uncaught errors: the board ends the process
            raise
        report["ended"] = "boot " + type(error).__name__
    if app:
        if not sim:
            asyncio.get_event_loop().set_exception_handler(app.uncaught)
        tasks = [asyncio.create_task(app.keep(name, task)) for name, task in app.tasks()]
        await app.over.wait()
        report = app.report()
        for task in tasks:
            task.cancel()
    board.done(report)
    return report


class App:
    """The parts of one boot. `over` is set when the run is to end, `ended` says why."""

    def __init__(self, board):
        self.board = board
        self.over = asyncio.Event()
        self.ended = None
        self.offset_min = -300  # local time on the screen, minutes east of UTC: Lima's
        head = board.nv.get("head") or bytes(4)
        self.clock = Clock(board, log.next_boot(board.nv))
        self.log = log.Log(board, self.clock)
        self.log.open()
        if int.from_bytes(board.nv.get("boot") or b"", "big") != self.clock.boot:
            self._missing("nv")  # the next boot may have this one's number
        self.config = self._config()
        self.trust = Trust(board)
        self._over = None
        self._packs, self._told_future = [], 0  # rows of the packs in force (packs.row_of)
        # Unix seconds at ms 0, when packs were last looked at by it; None: by no time at all.
        self._zero = self.clock.utc()
        self.gnss = Gnss(board, self.clock, self.log)
        self.visits = Visits(board, self.clock, self.gnss, self.log)
        self.battery = Battery(board, self.log)
        self._set({})
        self.visits.open()
        forget("handheld.recovery", "handheld.saving", "handheld.vault", "ronda_protocol.visit")
        forget("handheld.wipe")
        forget("ronda_protocol.reading", *SIGNING)
        from handheld import packs

        for row, value in packs.take(self.trust, self.clock, self.log):
            self._use(row, value)
        self.sync = None
        if board.net is None:
            self._missing("net")
        elif 3 in self.config:
            from handheld.sync import Sync

            # What open() has just sealed nobody can have seen before.
            born = int.from_bytes(head[:4], "big") if head[40:] == self.log.log_id else 0
            found = packs.arriving(board)
            coming = found and list(found[:3]) + [board.link_ms() - _LIVED_MS, found[4]]
            self.sync = Sync(
                board, self.clock, self.log, self.trust, self.config, born, self._use, coming
            )
        forget("handheld.packs", "handheld.vault", *_BODIES)

    def tasks(self):
        """(name, function) of every task of this board."""
        found = [
            ("tick", self._tick),
            ("gnss", self.gnss.run),
            ("battery", self.battery.run),
            ("finished", self._finished),
        ]
        if self.sync:
            found.append(("sync", self.sync.run))
        if self.board.intents:
            found.append(("intents", self._intents))
        if self.board.display and self.board.keys:
            from handheld.ui import Ui

            ui = Ui(self)
            found.append(("screen", ui.run))
            found.append(("keys", ui.keys))
        return found

    # --- boot ---

    def _missing(self, *what):
        self.log.event(track.PART_MISSING, list(what))

    def _config(self):
        try:
            with open(self.board.storage + "/config", "rb") as f:
                config = cbor.decode(f.read())
            if bounds.is_map(config):
                return config
        except (OSError, ValueError):
            pass
        self._missing("config")
        return {}

    # --- packs ---

    def _set(self, found):
        """Settings: the handheld's own, the config pack's over them, defaults for the rest."""
        config = dict(self.config)
        config.update(found)
        get = config.get
        self.gnss.sample_ms = get(4, 15) * 1000 - 100
        self.battery.ms = get(7, 15) * 60000
        visits = self.visits
        visits.dwell_s, visits.search_m = get(6, 0), get(8, 300)
        visits.wait_s, visits.repeat_s = get(9, 120), get(10, 300)

    def _use(self, row, value):
        """Put a verified pack in force, or with value None its absence."""
        kind = row[0]
        self._packs = [found for found in self._packs if found[0] != kind]
        if value is not None:
            self._packs.append(row)
        if kind == 2:  # CASES, CONFIG of ronda_protocol.pack, which is not kept
            self.visits.cases = value
        elif kind == 4:
            self._set(value or {})

    # --- tasks ---

    async def keep(self, name, task):
        """Run a task for ever; its deaths are events, too many of them in a row the end."""
        board, deaths = self.board, 0
        while True:
            began = self.clock.ms()
            try:
                await task()
                return  # it has nothing to do on this board
            except Exception as error:
                why = type(error).__name__
                if board.ident.profile == "sim":
                    sys.print_exception(error, sys.stderr)  # type: ignore
            gc.collect()
            deaths = 1 if self.clock.ms() - began > _LIVED_MS else deaths + 1
            board.tell("died", {"task": name, "why": why})
            try:
                self._missing(name, why)
            except Exception:
                deaths = _DEATHS  # not even the log works
            if deaths >= _DEATHS:
                self._end(name + " " + why)
            await board.sleep_ms(1000)

    def uncaught(self, _loop, context):
        """A task that a part started for itself died: its part is not whole any more."""
        why = type(context["exception"]).__name__
        self._missing("task", why)
        self._end("task " + why)

    def _end(self, why):
        self.ended = self.ended or why
        self.over.set()

    async def _finished(self):
        await self.board.finished()
        self._end("finished")

    async def _tick(self):
        """Housekeeping, once a second of device time."""
        board, checked, since = self.board, False, 0
        while True:
            await board.sleep_ms(1000)
            self.clock.ms()
            self.visits.tick()
            if self.log.broken:
                self._end("log")
            if board.wdt:
                board.wdt.feed()
            since += 1
            if self.clock.trusted() and (since >= _CHECK_S or not checked):
                since, checked = 0, True
                self._check_time()

    def _look(self, kind):
        """Use what lies on flash of a type, if it may be used now."""
        from handheld import packs

        found = packs.find(self.trust, self.clock, self.log, kind, True)
        forget("handheld.packs", "handheld.vault", *_BODIES)
        if found:
            self._use(*found)

    def _check_time(self):
        """A pack that has ended is not used any more; one from the future is told (sim only)."""
        for found in list(self._packs):
            kind, name, version, first, last, mark, _ = found
            if not self.trust.in_time(first, last, self.clock.utc(), name):
                self.log.event(track.PACK, [kind, name, version, 0, "time", mark])
                self._use(found, None)
                if kind != 1:  # the site's, where it was ours that has ended
                    self._look(kind)
        zero = self.clock.utc() - self.clock.ms() // 1000
        if self._zero is not None and abs(zero - self._zero) > _CHECK_S:
            # A clock that was wrong may have ended the day's packs, or refused them at boot.
            for kind in (2, 4):
                if kind not in [found[0] for found in self._packs]:
                    self._look(kind)
        self._zero = zero
        self._end_round()
        future = self.trust.future[self._told_future :]
        if future:
            self._told_future += len(future)
            self.log.event(track.FUTURE_PACK, future)

    def _end_round(self):
        """Wipe cases that are over, once they have been so for ten minutes of this boot: a clock
        that was wrong for a moment destroys nothing."""
        cases, ms = self.visits.cases, self.clock.ms()
        if cases and self.clock.utc() < cases.expires_at:
            self._over = None
        elif self._over is None:
            self._over = ms + _LIVED_MS
        elif 0 < self._over <= ms:
            self._over = 0  # once a boot is enough
            from handheld import packs

            if packs.over(self.trust, self.clock):
                self.visits.save("end_round")
            forget("handheld.packs", "handheld.vault", *_BODIES)

    async def intent(self, name, args):
        """Do one intent, a script's or a page's; its answer."""
        if name == "finish":
            result = await self._finish()
        elif name == "sync":
            self.log.seal_track()
            result = {"ok": True, "code": "sealed"}
        else:
            result = await self.visits.intent(name, args)
        if name == "shift_end" and self.sync and not self.visits.cases:
            self.sync.coming = self.sync.want = None  # its file is gone
        if name == "shift_start" and result["ok"]:
            self.battery.note()
        if name in ("sync", "status"):
            result["seq"], result["unsent"] = self.log.head, self.log.unsent()
        return result

    async def _intents(self):
        """One intent after another, each with one answer."""
        intents = self.board.intents
        while True:
            name, args = await intents.next()
            head = self.log.head
            try:
                result = await self.intent(name, args)
            except Exception as error:
                if self.log.head != head:  # it was sealed, and not all of what follows was done
                    self._end("intents")
                intents.answer({"ok": False, "code": "failed", "why": type(error).__name__})
                raise
            intents.answer(result)

    async def _finish(self):
        """End the day: the shift, what is unsealed, what is unsent. The answer is the report."""
        if self.visits.in_shift:
            await self.visits.intent("shift_end", {})
        self.log.seal_track()
        board, last, since = self.board, None, 0
        while self.sync and board.net.up() and self.log.unsent():
            if self.log.unsent() != last:
                last, since = self.log.unsent(), board.link_ms()
            elif board.ticks_diff(board.link_ms(), since) >= _DRAIN_MS:
                break
            await board.link_sleep_ms(50)
        result = self.report()
        result["ok"], result["code"] = not result["unsent"], "finished"
        return result

    def report(self):
        """What the simulator prints at the end."""
        found = self.log
        report = {
            "ended": self.ended,
            "gnss": self.gnss.report(),
            "counts": found.counts,
            "dropped": found.dropped,
            "head": found.head,
            "released": found.released,
            "unsent": found.unsent(),
            "log": found.log_id.hex(),
            "open_visit": self.visits.case_id is not None,
        }
        if self.sync:
            for name in ("published", "repeated", "receipts", "links", "refused"):
                report[name] = getattr(self.sync, name)
        return report

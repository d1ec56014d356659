"""The handheld of the fault laboratory: obeys the host line by line, one boot after another.

A line in is a list in JSON, [step, arguments…]; the line out is `@R` with JSON, or `@C` with the
number of operations when the power went during the step, or `@X` with what else was raised. What
is on flash goes to the file of facts, not to the lines. See lab_board.py and cut_device.py of
the host.
"""

import gc
import json
import os
import sys
from struct import pack

gc.threshold(8192)  # as main.py

import vfs
from handheld import app, forget
from handheld.volumes import Records
from lab_board import Board, Facts, Flash, Power, PowerCut, umount
from ronda_protocol import cbor, p256, track

_START = 1789477200
_DOOR = (-121191427, -770349046)
_BALLAST = b"\xa5" * 512
_known = {}
_verify = p256.verify


def _remembered(public, digest, signature):
    """Packs are verified at every boot, 13 ms each: what was verified once needs it no more."""
    key = public[:8] + digest[:8] + signature[:8]
    if key not in _known:
        if len(_known) > 8:
            _known.clear()
        _known[key] = _verify(public, digest, signature)
    return _known[key]


p256.verify = _remembered


class Gnss:
    """Stands at a door as a step says."""

    def __init__(self, clock):
        self.clock = clock
        self.metres = 0
        self.door = 0
        self.watch = None

    def window(self):
        ms = self.clock.ms() - 4000
        lat = _DOOR[0] + self.door * 9000 + self.metres * 90
        return [
            [track.FIX, 0, ms + i * 1000, lat + 5 * i, _DOOR[1], 9, 10, 3, None] for i in range(4)
        ]


class Device:
    """One storage folder and the boots on it."""

    def __init__(self):
        self.power = self.board = self.app = None

    def off(self):
        """The power is off, whatever was open."""
        if self.power:
            self.power.gone = self.power.over = True
        self.app = None
        if self.board:
            umount()
            self.board.flash.close()
            self.board.facts._file.close()
        self.board = None
        gc.collect()

    def on(self, folder, blocks, cut_at=0, mode=0, tracing=False, hold=False):
        """Power on: mount what is there."""
        self.off()
        facts = Facts(folder + "/facts")
        self.power = Power(facts, cut_at, mode, _hold if hold else None)
        self.power.tracing = tracing
        self.board = self.make(folder, blocks, facts)
        vfs.mount(vfs.VfsLfs2(self.board.flash), "/flash")
        return None

    def make(self, folder, blocks, facts):
        """The board of this boot."""
        return Board(folder, blocks, self.power, facts)

    def do_threshold(self, n):
        """How much may be allocated between two collections."""
        gc.threshold(n)

    def do_on(self, *args):
        return self.on(*args)

    def do_cut(self, after, mode):
        """The power goes at the `after`-th operation from here."""
        self.power.cut_at, self.power.mode = self.power.count + after, mode
        return self.power.count

    def do_boot(self, late_s):
        """Start the firmware, `late_s` seconds after the first day began."""
        board = self.board
        self.app = None
        gc.collect()
        started = app.App(board)
        board.log = started.log
        board.ms += 20000
        started.clock.on_gateway(_START + late_s)
        self.app = started
        started.visits.gnss = Gnss(started.clock)
        return self._state()

    def _state(self):
        visits, log = self.app.visits, self.app.log
        return {
            "head": log.head,
            "number": log.number,
            "full": log.full,
            "shift": visits.in_shift,
            "released": log.released,
            "ops": self.power.count,
            "logs": len(log.chains()),
        }

    def do_state(self):
        return self._state()

    def do_pass(self, ms):
        """Time goes by, and what is due is done."""
        self.board.ms += ms
        self.app.visits.tick()
        return None

    def do_fix(self, i):
        """A fix, 15 s after the last."""
        self.board.ms += 15000
        lat, lon = _DOOR[0] + i * 31, _DOOR[1] - i * 17
        quality = [12, 90, 110, 38, 30, 9, 0] if i % 4 == 0 else None
        ms = self.app.clock.ms()
        number = self.app.log.fix([track.FIX, 0, ms, lat, lon, 9, 11, 3, quality])
        self.app.visits.tick()
        return number

    def do_battery(self):
        return self.app.log.battery(3912, 77, 1)

    def do_event(self, code):
        return self.app.log.event(code)

    def do_seal(self):
        return self.app.log.seal_track()

    def do_intent(self, name, args, door=0, metres=0):
        """An intent; what it promises is a fact from the moment of its answer."""
        visits, facts = self.app.visits, self.board.facts
        visits.gnss.door, visits.gnss.metres = door, metres
        facts.put(b"i", json.dumps([name, args]))
        running = visits.intent(name, args)
        try:
            while True:
                running.send(None)
        except StopIteration as done:
            result = done.value
        if result["ok"] and not self.power.gone:
            told = [name, args]
            if name == "check_in":
                stamp = visits.fields["check_in"]
                told += [stamp[0], stamp[1]]
            facts.put(b"a", json.dumps(told))
        result.pop("verdict", None)
        return result

    def do_release(self, back):
        """A receipt for all but the last `back` segments of each log; released in all."""
        log = self.app.log
        for chain in log.chains():
            upto = chain.head - back
            if upto > chain.released:
                chain_hash = chain.hash_at(upto)
                self.board.facts.put(b"g", pack(">I", upto), chain.log_id)
                if log.release(upto, chain_hash, chain.log_id):
                    if not self.power.gone:
                        self.board.facts.put(b"G", pack(">I", upto), chain.log_id)
        return log.released

    def do_room(self, blocks):
        return self.app.log.room(blocks)

    def do_free(self):
        """Free blocks as littlefs counts them."""
        stat = os.statvfs("/flash")
        return 0 if stat[3] > stat[2] else stat[3]

    def do_ballast(self, leave):
        """Take blocks away until so many are free, as packs and old logs do; what is free now."""
        self.power.quiet = True
        try:
            for _ in range(3):  # a file needs a block now and then to find its others by
                count = self.do_free() - leave
                if count > 0:
                    with open("/flash/ballast", "ab") as f:
                        for _ in range(count * 8):
                            f.write(_BALLAST)
        except OSError:
            pass
        self.power.quiet = False
        return self.do_free()

    def do_unballast(self):
        os.remove("/flash/ballast")
        return self.do_free()

    def do_dump(self, since):
        """Everything the handheld can still read: of the current log from seq `since` + 1 on."""
        log, put = self.app.log, self.board.facts.put
        put(b"D", log.log_id)
        for chain in log.chains():
            low = max(chain.firsts[0] if chain.firsts else 1, since + 1)
            marks = pack(">III", chain.head, chain.released, low)
            put(b"H", chain.log_id, marks, chain.head_hash)
            for seq in range(low, chain.head + 1):
                data = chain.read(seq)
                put(b"R" if data else b"r", pack(">I", seq), chain.log_id, data or b"")
            gc.collect()
        for data, _ in Records(log.folder + "/open").each():
            put(b"O", data or b"")
        visits = self.app.visits
        open_visit, fields, answers = None, visits.fields, visits.answers
        if visits.pending:  # offered to go on with
            fields, answers = visits.pending["fields"], visits.pending["answers"]
        if fields:
            stamp = fields["check_in"]
            open_visit = [fields["case_id"], stamp[0], stamp[1], answers]
        elif visits.pending:  # it was open when the power went: offered, or sealed in time
            stamp = visits.pending["fields"]["check_in"]
            name = visits.pending["fields"]["case_id"]
            open_visit = [name, stamp[0], stamp[1], visits.pending["answers"]]
        put(b"V", cbor.encode([visits.in_shift, visits.gestor, open_visit]))
        return self._state()

    def do_write(self):
        """The next boot is writable: a reading, and a seal after it."""
        log = self.app.log
        return [log.battery(3700, 31, 1), log.seal_track()]

    def do_heap(self):
        gc.collect()
        return [gc.mem_alloc(), gc.mem_alloc() + gc.mem_free()]

    def do_make(self, folder, blocks, device, root, trust, cases):
        """Format, provision, install: the state a handheld leaves the bench in."""
        from handheld import provision

        self.off()
        blank = b"\xff" * 1024
        with open(folder + "/flash.img", "wb") as f:
            for _ in range(blocks * 4):
                f.write(blank)
        quiet = Power(None, 0, 0, None)
        flash = Flash(folder + "/flash.img", blocks, quiet)
        vfs.VfsLfs2.mkfs(flash)
        flash.close()
        self.on(folder, blocks)
        public = provision.provision(self.board, device, bytes.fromhex(root))
        provision.configure(self.board, {1: "127.0.0.1", 2: 1883, 3: "ronda/sim"})
        with open(trust, "rb") as f:
            first = f.read()
        with open(cases, "rb") as f:
            provision.install(self.board, device, first, f.read())
        forget("handheld.provision", "handheld.packs", "handheld.inbox")
        self.off()
        return public.hex()

    def do_off(self):
        self.off()
        return None


def _hold():
    """The host kills this process here."""
    sys.stdout.write("@K\n")
    while True:
        if not sys.stdin.buffer.read(1):
            sys.exit(1)


def main(device=None):
    """Obey until the host has no more to say."""
    device = device or Device()
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        step = json.loads(line)
        answer = "@R null\n"
        try:
            result = getattr(device, "do_" + step[0])(*step[1:])
            answer = "@R " + json.dumps(result) + "\n"
        except PowerCut:
            answer = "@C %d\n" % device.power.count
        except Exception as error:
            if device.power and device.power.gone:
                answer = "@C %d\n" % device.power.count
            else:
                sys.print_exception(error, sys.stderr)
                answer = "@X " + json.dumps([type(error).__name__, str(error)]) + "\n"
        sys.stdout.write(answer)
        if answer[1] == "C":
            device.off()

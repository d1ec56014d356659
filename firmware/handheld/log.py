"""The device log: numbers every entry, keeps the open track on flash, seals, recovers at boot.

An entry is saved when its number is returned: it is durable then, and the board was told. None
means that it is not saved. Sending and judging receipts is sync's work; bytes on flash, volumes'.

Sealing: the segment is durable in its volume, then nv "head" is set, then the open file emptied.
A power cut between any two of these is settled by open(). nv "head" is seq u32, chain hash,
highest entry number u32, log id: what a flash that lost its end or was put back is found out by.
"""

import asyncio
import hashlib
import os
from struct import pack

from micropython import const
from ronda_protocol import cbor, track

from handheld import SIGNING, forget
from handheld.volumes import ZERO, Chain, Records, first

try:
    from build_id import HASH, VERSION  # pyright: ignore[reportMissingImports]
except ImportError:  # run from its sources, not from a build
    HASH, VERSION = bytes(16), "source"

_SEAL_FIXES = const(60)
_SEAL_ENTRIES = const(120)
_MAX_ENTRIES = const(240)  # what one seal has heap for: when it must wait, or nobody waits for it
_SEAL_MS = const(900000)
_BEHIND = const(4)  # segments without a receipt: with more of them nobody waits for the next one,
_BEHIND_MS = const(28800000)  # and with fewer, fuller ones a month fits: docs/flash.md
_RETRY_MS = const(60000)
_VISIT_BLOCKS = const(16)  # free blocks below which no new visit may begin
_TRACK_BLOCKS = const(8)  # below which no entry is taken: the rest is for closing the open visit


def next_boot(nv):
    """Count this boot in nv; its number."""
    boot = int.from_bytes(nv.get("boot") or b"", "big") + 1
    try:
        nv.set("boot", pack(">I", boot))
    except OSError:
        pass  # the app finds the old number there, and says so
    return boot


def _drop(chain):
    from handheld import recovery

    return recovery.drop(chain)


class Log:
    """The log of this device; see the module. `counts` is by kind since boot, `full` says that no
    new visit may begin, `sealed` is set at each seal, `dropped` counts entries not saved."""

    def __init__(self, board, clock):
        self.board = board
        self.clock = clock
        self.folder = board.storage + "/log"
        self._records = Records(self.folder + "/open")
        self.chain = Chain(self.folder, ZERO[:8], clock, board)
        self.past = []
        self.last_utc = 0  # of the track that a boot found open
        self.base = None  # base stamp of the open track, and its entries: saved, not sealed
        self.open_count = self._fixes = 0
        self._last_ms = self._retry = self._looked = 0
        self.done = 0  # entries up to this number are in a segment
        self._free = _VISIT_BLOCKS
        self._told_full = (
            board.nv.get("full") == b"1"
        )  # or each boot on a full flash took more of it
        self.number = 0
        self.dropped = self.nv_failures = 0
        self.broken = False  # a seal was interrupted by want of heap: only a boot knows how far
        self.full = False
        self.counts = {}
        for name in track.NAMES.values():
            self.counts[name] = 0
        self.sealed = asyncio.Event()

    # --- what sync and others see ---

    def chains(self):
        """Chains with segments to send, the current one last."""
        return self.past + [self.chain]

    @property
    def log_id(self):
        return self.chain.log_id

    @property
    def head(self):
        return self.chain.head

    @property
    def head_hash(self):
        return self.chain.head_hash

    @property
    def released(self):
        return self.chain.released

    def unsent(self):
        """Sealed segments without a receipt, those of older logs too."""
        return sum([chain.unsent() for chain in self.chains()])

    def read(self, seq):
        """Sealed bytes of the current log; None when they cannot be read."""
        return self.chain.read(seq)

    def release(self, upto, chain_hash, log_id=None):
        """Whether the log (the current one by default) has that hash at `upto`."""
        found = False
        for chain in self.chains():
            if chain.log_id == (log_id or self.chain.log_id):
                found = chain.release(upto, chain_hash)
            elif chain.is_over() and self.chain.head and _drop(chain):
                self.past.remove(chain)
        return found

    # --- boot ---

    def open(self, reason="power"):
        """Find out what is on flash, seal what an earlier boot left open, log this boot."""
        from handheld import recovery

        recovery.open_log(self, reason)

    # --- entries ---

    def fix(self, entry):
        """Save a fix [1, any number, ms, …]; its number, or None when it was not saved."""
        return self._add(list(entry))

    def battery(self, mv, percent, source):
        """Save a battery reading, mV and percent or None; its number or None."""
        return self._add([track.BATTERY, 0, self.clock.ms(), mv, percent, source])

    def event(self, code, data=None):
        """Save an event of track's codes; its number or None."""
        return self._add([track.EVENT, 0, self.clock.ms(), code, data])

    def _add(self, entry, last=False):
        stamp = self.base
        if self.broken or self._free < _TRACK_BLOCKS and not last:
            self.dropped += 1
            return None
        if self.open_count >= _MAX_ENTRIES or (stamp and stamp[0] != self.clock.stamp()[0]):
            if self.clock.ms() < self._retry or self.seal_track() is None:
                self.dropped += 1
                return None
        entry[1] = number = self.number + 1
        entry[2] = ms = max(entry[2], self._last_ms)
        # What could not be sealed later must not be saved now: TrackError to the caller.
        track.encode_track([entry], ms)
        data = cbor.encode(entry)
        if not self._append(data, ms):
            self.dropped += 1
            return None
        self.number, self._last_ms = number, ms
        self.open_count += 1
        self._fixes += entry[0] == track.FIX
        self._saved(entry[0], number, hashlib.sha256(data).digest())
        full = self.open_count >= _SEAL_ENTRIES or self._fixes >= _SEAL_FIXES
        self.tick(full and self.chain.unsent() <= _BEHIND)
        return number

    def _append(self, data, ms):
        """Whether the entry is durable; the first one brings the segment's base stamp along."""
        stamp = self.base
        records = [data]
        if not self.open_count:
            stamp = self.clock.stamp()
            if stamp[2] is not None:
                stamp[2] -= (stamp[1] - ms + 500) // 1000
            stamp[1] = ms
            records.insert(0, cbor.encode([0, stamp, self.chain.head, self.chain.log_id]))
        if not self._records.append(*records):
            self._full()
            return False
        self.base = stamp
        return True

    def _saved(self, kind, number, digest):
        name = track.NAMES[kind]
        self.counts[name] += 1
        self.board.saved(name, number, digest)

    def load(self):
        """(base stamp, head and log id when it was begun, its part or None, unreadable bytes) of
        the open track; without entries that are in a segment already."""
        stamp, since, owner, part, bad = None, max(0, self.chain.head - 16), None, None, 0
        done = self.done
        for data, n in self._records.each():
            try:
                value = cbor.decode(data)
                if value[0] == 0:  # what came before it is sealed
                    _, stamp, since, owner = value
                    part = None
                elif value[1] > done:  # nor may a tail that is in both files count twice
                    done = value[1]
                    if not stamp:  # the first record is unreadable: boot and time are not known
                        stamp = [0, value[2], None, 0, 0]
                    if not part:
                        part = track.Track(stamp[1])
                    part.add(value)
            except (ValueError, TypeError, IndexError):
                bad += n
        return stamp, since, owner, part if part and part.numbers else None, bad

    # --- seals ---

    def tick(self, now=False):
        """Seal the open track when it is 15 minutes old, or 8 hours while what was sealed before
        waits for receipts (call this every second or so)."""
        ms = self.clock.ms()
        if self.open_count and ms >= self._retry:
            age = ms - self.base[1]
            if now or age >= _SEAL_MS and (age >= _BEHIND_MS or self.chain.unsent() <= _BEHIND):
                self.seal_track()
        if self.full and ms - self._looked >= _RETRY_MS:
            self.room()

    def seal_track(self):
        """Seal the open track; its seq, or None when there is none or the flash refuses."""
        if self.broken:
            return None
        stamp, _, _, part, _ = self.load()
        seq = None
        if part:
            from ronda_protocol import segment

            numbers = segment.ranges(part.numbers)
            parts = {segment.TRACK: part.part()}
            seq = self._seal(stamp, numbers, segment.TRACK_BODY, parts)
            if seq is None:
                self._retry = self.clock.ms() + _RETRY_MS
                return None
            self.done = numbers[-2] + numbers[-1] - 1
        self._records.clear()
        self.base = None
        self.open_count = self._fixes = self._retry = 0
        self.broken = False
        self.room()
        return seq

    def seal_visit(self, stamp, evidence, answers=None, promise=None):
        """Seal a finished visit at `stamp`, now; (seq, visit id), or None when it is not saved."""
        from ronda_protocol import segment

        parts = {segment.EVIDENCE: evidence}
        if answers:
            parts[segment.ANSWERS] = answers
        if promise:
            parts[segment.PROMISE] = promise
        return self.seal_alone(stamp, segment.VISIT_BODY, parts)

    def seal_alone(self, stamp, body, parts):
        """Seal a visit or a correction, an entry of its own; as seal_visit."""
        if self.broken:
            return None
        number = self.number + 1
        stamp = stamp[:1] + [max(stamp[1], self._last_ms)] + stamp[2:]
        hashes = {}
        seq = self._seal(stamp, [number, 1], body, parts, hashes)
        if seq is None:
            return None
        self.number, self._last_ms = number, stamp[1]
        self.broken = False
        kind = body + 2  # VISIT, CORRECTION
        self._saved(kind, number, track.entry_digest([kind, number, hashes]))
        self.room()
        return seq, "%s/%s/%d" % (self.board.ident.device_id, self.log_id.hex(), seq)

    def _seal(self, stamp, numbers, body, parts, hashes=None):
        chain = self.chain
        sealed, digest = self._signed(stamp, numbers, body, parts, hashes)
        forget(*SIGNING)
        self.broken = True
        try:
            chain.append(sealed, digest)
        except OSError:
            from handheld import recovery

            recovery.scan(chain, chain.head, chain.head_hash)
            if chain.head_hash != digest:
                self.broken = False
                self._full()
                return None
        number = max(self.number, numbers[-2] + numbers[-1] - 1)
        self._remember("head", pack(">I", chain.head) + digest + pack(">I", number) + chain.log_id)
        self.sealed.set()
        self.board.tell("sealed", {"seq": chain.head, "body": body})
        return chain.head

    def _signed(self, stamp, numbers, body, parts, hashes):
        """The next segment and its chain hash; the parts' hashes go into `hashes`."""
        from ronda_protocol import cose, segment

        chain = self.chain
        previous = None
        if not chain.head:
            found = first(chain.folder + "/previous")
            previous = cbor.decode(found) if found else None
        header = segment.Header(
            self.board.ident.device_id,
            VERSION,
            HASH,
            chain.log_id,
            chain.head + 1,
            chain.head_hash,
            stamp,
            numbers,
            body,
            None,
            previous,
        )
        sealed = segment.seal(header, parts, self.board.signer)
        if hashes is not None:
            hashes.update(header.parts)
        signed = cose.parse_first(sealed)[0]
        return sealed, segment.chain_hash(signed.protected, signed.payload)

    def _remember(self, name, word):
        try:
            self.board.nv.set(name, word)
        except OSError:
            self.nv_failures += 1

    # --- space ---

    def room(self, blocks=_VISIT_BLOCKS):
        """Whether so many blocks are free, by default what a new visit may begin with: deletes
        what is receipted, oldest first, to make room."""
        self._free = self._blocks()
        self._looked = self.clock.ms()
        for chain in self.chains():
            while self._free < blocks and chain.evict():
                self._free = self._blocks()
            # The next log names it in its first segment.
            if self._free < blocks and chain in self.past and self.chain.head and _drop(chain):
                self.past.remove(chain)
                self._free = self._blocks()
        self._full(self._free < _VISIT_BLOCKS)
        return self._free >= blocks

    def _blocks(self):
        """Free blocks; littlefs says 2^32-1 when it is over-full."""
        try:
            stat = os.statvfs(self.board.storage)
        except OSError:
            return 0
        return 0 if stat[3] > stat[2] else stat[3]

    def _full(self, full=True):
        """Say that it is full, or no more: on the console at once, in the log when it can be, and
        in the state that sync sends."""
        if full != self.full:
            self.full = full
            self.board.tell("storage", {"full": full, "free": self._free})
            self.sealed.set()
        if full != self._told_full:
            self._told_full = full
            data = None if full else [self._free]
            if self._add([track.EVENT, 0, self.clock.ms(), track.STORAGE_FULL, data], True):
                self._remember("full", b"1" if full else b"0")
            else:
                self._told_full = not full

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
from struct import pack, unpack_from

from micropython import const
from ronda_protocol import cbor, cose, segment, track

from handheld.volumes import ZERO, Chain, Records, frames, replace

try:
    from build_id import HASH, VERSION
except ImportError:  # run from its sources, not from a build
    HASH, VERSION = bytes(16), "source"

_SEAL_FIXES = const(60)
_SEAL_ENTRIES = const(120)
_MAX_ENTRIES = const(240)  # the open file when it cannot be sealed: what one seal has heap for
_SEAL_MS = const(900000)
_RETRY_MS = const(60000)
_VISIT_BLOCKS = const(16)  # free blocks below which no new visit may begin
_FIX_BLOCKS = const(8)  # below which no fix is taken: the rest is for closing the open visit


def next_boot(nv):
    """Count this boot in nv; its number."""
    boot = int.from_bytes(nv.get("boot") or b"", "big") + 1
    nv.set("boot", pack(">I", boot))
    return boot


class Log:
    """The log of this device; see the module. `counts` is by kind since boot, `full` says that no
    new visit may begin, `sealed` is set at each seal, `dropped` counts entries not saved."""

    def __init__(self, board, clock):
        self._board = board
        self._clock = clock
        self._folder = board.storage + "/log"
        self._records = Records(self._folder + "/open")
        self.chain = Chain(self._folder, ZERO[:8], clock)
        self._past = []
        self._stamp = None  # base stamp of the open track
        self._count = self._fixes = 0
        self._last_ms = self._retry = 0
        self._free = _VISIT_BLOCKS
        self._told_full = False
        self.number = 0
        self.dropped = self.nv_failures = 0
        self.full = False
        self.counts = {}
        for name in track.NAMES.values():
            self.counts[name] = 0
        self.sealed = asyncio.Event()

    # --- what sync and others see ---

    def chains(self):
        """Chains with segments to send, the current one last."""
        return self._past + [self.chain]

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

    @property
    def open_count(self):
        """Entries of the open track: saved, not yet sealed."""
        return self._count

    def unsent(self):
        """Sealed segments without a receipt, those of older logs too."""
        return sum([chain.unsent() for chain in self.chains()])

    def read(self, seq):
        """Sealed bytes of the current log; None when they cannot be read."""
        return self.chain.read(seq)

    def release(self, upto, chain_hash, log_id=None):
        """Whether the log (the current one by default) has that hash at `upto`."""
        for chain in self.chains():
            if chain.log_id == (log_id or self.chain.log_id):
                return chain.release(upto, chain_hash)
        return False

    # --- boot ---

    def open(self, reason="power"):
        """Find out what is on flash, seal what an earlier boot left open, log this boot."""
        self._mkdir(self._folder)
        events = self._choose()
        for chain in self.chains():
            self.number = max(self.number, chain.number)
        stamp, entries, bad = self._load()
        if entries:
            self.number = max(self.number, entries[-1][1])
        if bad:
            # Numbers that were given and cannot be read again must not be given twice.
            self.number += 1 + bad // 16
            events.append((track.RECOVERED, ["open", bad]))
        if entries:
            self._stamp, self._count = stamp, len(entries)
            self.seal_track()
        else:
            self._records.clear()
        self.event(track.BOOT, [reason])
        for code, data in events:
            self.event(code, data)
        self.room()

    def _mkdir(self, path):
        try:
            os.mkdir(path)
        except OSError as error:
            return error.errno == 17
        return True

    def _choose(self):
        """Take up the current log, or begin one; events to log about it."""
        nv = self._board.nv
        log_id = nv.get("log")
        head = nv.get("head")
        seq, known, number, owner = 0, None, 0, None
        if head and len(head) == 48:
            seq, number = unpack_from(">I", head)[0], unpack_from(">I", head, 36)[0]
            known, owner = head[4:36], head[40:]
        self.number = number
        current = None
        for name in self._folders():
            try:
                chain = Chain(self._folder + "/" + name, bytes.fromhex(name), self._clock)
            except ValueError:
                continue
            if chain.log_id == log_id:
                current = chain
            else:
                chain.scan()
                if chain.head or not chain.drop():
                    self._past.append(chain)
        self._past.sort(key=lambda chain: chain.number)
        if log_id is None or len(log_id) != 8:
            return self._without_nv(owner, seq, known)
        if owner != log_id:  # no segment of this log was sealed while nv listened
            owner, known = owner or log_id, known or ZERO
            if current:
                current.scan()
                self.chain = current
                return []
            return self._begin(owner, seq, known, "missing")
        if current is None:
            return self._begin(owner, seq, known, "missing")
        current.scan(seq, known)
        there = current.hash_at(seq)
        if current.head >= seq and there in (known, None):
            self.chain = current
            return []
        if current.head:
            self._past.append(current)
        return self._begin(owner, seq, known, "tail" if current.head < seq else "fork", current)

    def _folders(self):
        try:
            names = [found[0] for found in os.ilistdir(self._folder) if found[1] == 0x4000]
        except OSError:
            names = []
        return [name for name in names if len(name) == 16]

    def _without_nv(self, owner, seq, known):
        """nv has no log id: go on with the log on flash, or begin the first one."""
        if self._past:
            self.chain = self._past.pop()
            self._board.nv.set("log", self.chain.log_id)
            return [(track.RECOVERED, ["nv"])]
        return self._begin(owner, seq, known, "missing")

    def _begin(self, owner, seq, known, reason, old=None):
        """A new log that names the previous one, if there was any."""
        log_id = self._board.entropy(8)
        folder = self._folder + "/" + log_id.hex()
        self.chain = Chain(folder, log_id, self._clock)
        if self._mkdir(folder):
            try:
                if owner:
                    replace(folder + "/previous", cbor.encode([owner, seq, known, reason]))
                self._board.nv.set("log", log_id)
            except OSError:
                self.nv_failures += 1
        if not owner:
            return []
        first = (old.head if old and reason == "tail" else 0) + 1
        return [(track.LOST, [min(first, seq), seq, reason])] if seq else []

    # --- entries ---

    def fix(self, entry):
        """Save a fix [1, any number, ms, …]; its number, or None when it was not saved."""
        if self._free < _FIX_BLOCKS:
            self.dropped += 1
            return None
        return self._add(list(entry))

    def battery(self, mv, percent, source):
        """Save a battery reading, mV and percent or None; its number or None."""
        return self._add([track.BATTERY, 0, self._clock.ms(), mv, percent, source])

    def event(self, code, data=None):
        """Save an event of track's codes; its number or None."""
        return self._add([track.EVENT, 0, self._clock.ms(), code, data])

    def _add(self, entry):
        stamp = self._stamp
        if self._count >= _MAX_ENTRIES or (stamp and stamp[0] != self._clock.stamp()[0]):
            if self._clock.ms() < self._retry or self.seal_track() is None:
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
        self._count += 1
        self._fixes += entry[0] == track.FIX
        self._saved(entry[0], number, hashlib.sha256(data).digest())
        if self._fixes >= _SEAL_FIXES or self._count >= _SEAL_ENTRIES:
            self.tick(True)
        else:
            self.tick()
        return number

    def _append(self, data, ms):
        """Whether the entry is durable; the first one brings the segment's base stamp along."""
        stamp = self._stamp
        records = [data]
        if not self._count:
            stamp = self._clock.stamp()
            if stamp[2] is not None:
                stamp[2] -= (stamp[1] - ms + 500) // 1000
            stamp[1] = ms
            records.insert(0, cbor.encode([0, stamp, self.chain.head, self.chain.log_id]))
        try:
            self._records.append(*records)
        except OSError:
            if data not in self._records.load()[0]:
                self._full()
                return False
        self._stamp = stamp
        return True

    def _saved(self, kind, number, digest):
        name = track.NAMES[kind]
        self.counts[name] += 1
        self._board.saved(name, number, digest)

    def _load(self):
        """(base stamp, entries not yet in a segment, unreadable bytes) of the open file."""
        payloads, bad = self._records.load()
        stamp, since, owner, entries = None, max(0, self.chain.head - 16), None, []
        for data in payloads:
            try:
                value = cbor.decode(data)
                if value[0] == 0:  # what came before it is sealed
                    _, stamp, since, owner = value
                    entries = []
                elif not entries or value[1] > entries[-1][1]:
                    track.encode_track([value], value[2])
                    entries.append(value)
            except (ValueError, TypeError, IndexError):
                bad += len(data)
        done = 0
        for chain in self.chains():
            if entries and chain.log_id == (owner or self.chain.log_id):
                for seq in range(since + 1, chain.head + 1):
                    header = chain.header(seq)
                    if header and header.body == segment.TRACK_BODY:
                        done = header.numbers[-2] + header.numbers[-1] - 1
        entries = [entry for entry in entries if entry[1] > done]
        if entries and not stamp:  # its first record is unreadable: boot and time are not known
            stamp = [0, entries[0][2], None, 0, 0]
        return stamp, entries, bad

    # --- seals ---

    def tick(self, now=False):
        """Seal the open track when it is 15 minutes old (call this every second or so)."""
        ms = self._clock.ms()
        if self._count and ms >= self._retry and (now or ms - self._stamp[1] >= _SEAL_MS):
            self.seal_track()

    def seal_track(self):
        """Seal the open track; its seq, or None when there is none or the flash refuses."""
        stamp, entries, _ = self._load()
        seq = None
        if entries:
            part = track.encode_track(entries, stamp[1])
            numbers = segment.ranges([entry[1] for entry in entries])
            entries = None
            seq = self._seal(stamp, numbers, segment.TRACK_BODY, {segment.TRACK: part})
            if seq is None:
                self._retry = self._clock.ms() + _RETRY_MS
                return None
        self._records.clear()
        self._stamp = None
        self._count = self._fixes = self._retry = 0
        self.room()
        return seq

    def seal_visit(self, stamp, evidence, answers=None, promise=None):
        """Seal a finished visit at `stamp`, now; (seq, visit id), or None when it is not saved."""
        parts = {segment.EVIDENCE: evidence}
        if answers:
            parts[segment.ANSWERS] = answers
        if promise:
            parts[segment.PROMISE] = promise
        number = self.number + 1
        stamp = stamp[:1] + [max(stamp[1], self._last_ms)] + stamp[2:]
        hashes = {}
        seq = self._seal(stamp, [number, 1], segment.VISIT_BODY, parts, hashes)
        if seq is None:
            return None
        self.number, self._last_ms = number, stamp[1]
        self._saved(track.VISIT, number, track.entry_digest([track.VISIT, number, hashes]))
        self.room()
        return seq, "%s/%s/%d" % (self._board.ident.device_id, self.log_id.hex(), seq)

    def _seal(self, stamp, numbers, body, parts, hashes=None):
        chain = self.chain
        previous = None
        if not chain.head:
            found = frames(chain.folder + "/previous")[0]
            previous = cbor.decode(found[0]) if found else None
        header = segment.Header(
            self._board.ident.device_id,
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
        sealed = segment.seal(header, parts, self._board.signer)
        signed = cose.parse_first(sealed)[0]
        digest = segment.chain_hash(signed.protected, signed.payload)
        try:
            chain.append(sealed, digest)
        except OSError:
            chain.scan(chain.head, chain.head_hash)
            if chain.head_hash != digest:
                self._full()
                return None
        if hashes is not None:
            hashes.update(header.parts)
        number = max(self.number, numbers[-2] + numbers[-1] - 1)
        word = pack(">I", chain.head) + digest + pack(">I", number) + chain.log_id
        try:
            self._board.nv.set("head", word)
        except OSError:
            self.nv_failures += 1
        self.sealed.set()
        return chain.head

    # --- space ---

    def room(self):
        """Whether a new visit may begin: deletes what is receipted, oldest first, to make room."""
        self._free = self._blocks()
        for chain in self.chains():
            while self._free < _VISIT_BLOCKS and chain.evict():
                self._free = self._blocks()
        for chain in list(self._past):
            if self._free < _VISIT_BLOCKS and self.chain.head and chain.drop():
                self._past.remove(chain)
                self._free = self._blocks()
        self._full(self._free < _VISIT_BLOCKS)
        return not self.full

    def _blocks(self):
        """Free blocks; littlefs says 2^32-1 when it is over-full."""
        try:
            stat = os.statvfs(self._board.storage)
        except OSError:
            return 0
        return 0 if stat[3] > stat[2] else stat[3]

    def _full(self, full=True):
        self.full = full
        if full and not self._told_full:
            self._told_full = True
            self._told_full = self.event(track.STORAGE_FULL) is not None
        elif not full:
            self._told_full = False

"""Sealed segments on flash: volume files of framed segments, and how far they are receipted.

A frame is u16 length | its complement | bytes | CRC-32 of the bytes, started from the length; the
complement keeps a flipped bit in a length from hiding what follows. One file a segment would waste
a 4 KiB block each, so a volume holds up to 32 KiB of them; its name is its first seq.
The open track and the open visit are kept as frames too (Records). What lies behind the header of
a visit or a correction is encrypted (vault); headers and tracks are not, so that a boot reads the
chain without a key. Does not sign, and decides neither when a segment is sealed nor whether a
receipt is genuine.
"""

import os
from binascii import crc32
from struct import pack, unpack_from

from micropython import const
from ronda_protocol import cbor

from handheld import forget

# Eight blocks of littlefs, which begins block n with one to four pointers back: a volume that is
# as large as its blocks wastes none of them.
_VOLUME = const(32724)
_INLINE = const(128)  # littlefs keeps a file of up to 128 bytes in its folder: no block erased
_GRACE_S = const(604800)  # 7 days
_DAY_S = const(86400)
_MARKS = const(7)

_TRACK = b"\x82\x01"  # how part 1 begins

ZERO = bytes(32)


def frame(payload):
    """The framed record of 1 to 65,535 bytes."""
    n = len(payload)
    return pack(">HH", n, n ^ 0xFFFF) + payload + pack(">I", crc32(payload, n))


def size(path):
    """Length of a file in bytes; 0 when there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def lengths(f, end, at=0):
    """Yield (offset, payload length) of each frame from `at`; stops where a length is absurd."""
    while True:
        n, other = _lengths(f, at)
        if n != other:
            after, same = _lengths(f, at + n + 8)
            if after != same and at + n + 8 != end:
                n = other
        if not n or at + n + 8 > end:
            return
        yield at, n
        at += n + 8


def _lengths(f, at):
    """The length at an offset as its two copies say it; past the end they differ."""
    f.seek(at)
    data = f.read(4)
    if len(data) < 4:
        return 0, 0xFFFF
    n, other = unpack_from(">HH", data)
    return n, other ^ 0xFFFF


def payload(f, at, n):
    """The payload of the frame at an offset, or None when its CRC fails."""
    f.seek(at + 4)
    data = f.read(n)
    return data if f.read(4) == pack(">I", crc32(data, n)) else None


def frames(path):
    """Yield (payload, bytes) of each frame of a file; payload None for bytes nobody can read."""
    end = size(path)
    done = 0
    try:
        with open(path, "rb") as f:
            for at, n in lengths(f, end):
                yield payload(f, at, n), n + 8
                done = at + n + 8
    except OSError:
        pass
    if done < end:
        yield None, end - done


def first(path):
    """The payload of a file of one frame, or None."""
    found = None
    for data, _ in frames(path):
        found = found or data
    return found


def replace(path, data):
    """Put a small file in place of another: the old or the new one survives a power cut."""
    with open(path + ".new", "wb") as f:
        f.write(frame(data))
    os.rename(path + ".new", path)


def remove(path):
    """Whether the file is gone, or was never there."""
    try:
        os.remove(path)
    except OSError as error:
        return error.errno == 2
    return True


def _behind(data):
    """Where the parts of a segment begin; 0 for what is none."""
    try:
        return cbor.decode_first(data, 0, len(data), 4, 16)[1] if data else 0
    except ValueError:
        return 0


class Records:
    """An append-only file of framed records, each durable when append() says so.

    Small records gather in `<path>.tail`, which littlefs keeps inside its folder, and move to
    `path` when 128 bytes are full: a third of the erases of appending each to one file.
    """

    def __init__(self, path):
        self.path = path
        self._tail = path + ".tail"
        self.nonce = None  # of encrypted records, by who encrypts them

    def append(self, *payloads):
        """Whether the records are durable: all of them, or none."""
        data = b"".join([frame(p) for p in payloads])
        try:
            path = self._tail
            if size(path) + len(data) > _INLINE:
                self._settle()
                if len(data) > _INLINE:
                    path = self.path
            with open(path, "ab") as f:
                f.write(data)
        except OSError:  # what "failed" may be there all the same
            return payloads[-1] in [found for found, _ in self.each()]
        return True

    def _settle(self):
        """Move the tail behind the file. A cut between the two leaves the tail in both."""
        if size(self._tail):
            if not self._settled():
                with open(self._tail, "rb") as f:
                    data = f.read()
                with open(self.path, "ab") as f:
                    f.write(data)
            with open(self._tail, "wb"):
                pass

    def _settled(self):
        """Whether the file ends in the tail already."""
        n = size(self._tail)
        end = size(self.path)
        if end < n:
            return False
        try:
            with open(self._tail, "rb") as f, open(self.path, "rb") as g:
                g.seek(end - n)
                return f.read() == g.read()
        except OSError:
            return False

    def each(self):
        """Yield (payload, bytes) as frames() does, in the order they were appended."""
        yield from frames(self.path)
        if not self._settled():
            yield from frames(self._tail)

    def clear(self):
        """Empty it, the oldest records first: a cut between leaves records without their first."""
        return remove(self.path) & remove(self._tail)


class Chain:
    """The sealed segments of one log id; see Log for the current one."""

    def __init__(self, folder, log_id, clock, board):
        self._clock, self._board = clock, board
        self.folder = folder
        self.log_id = log_id
        self.head = self.released = self.number = 0
        self.head_hash = ZERO
        self.released_hash = ZERO
        self.marks = []  # [released up to, utc]: about one a day
        self.firsts = []  # first seq of each volume, ascending
        self.last = 0  # last seq a volume has room for: readable or not
        self.fresh = False  # the newest volume ends in bytes that no frame may follow
        self.seek = (0, 0, 0)  # volume, seq, offset: reading in order does not start anew

    def path(self, volume):
        return "%s/%08x.vol" % (self.folder, volume)

    def link(self, seq):
        """(header, chain hash) of a segment; None when it cannot be read."""
        data = self._raw(seq)
        if data:
            from ronda_protocol import cose, segment

            try:
                signed = cose.parse_first(data, 0)[0]
                header = segment.Header.parse(signed.payload)
            except ValueError:
                return None
            if header.seq == seq and header.log_id == self.log_id:
                return header, segment.chain_hash(signed.protected, signed.payload)
        return None

    def header(self, seq):
        """The header of a segment, or None when it cannot be read."""
        found = self.link(seq)
        return found and found[0]

    def read(self, seq):
        """The sealed bytes of a segment; None when it is not there or its bytes are damaged. What
        a wipe has made unreadable for good is left out: its header still tells its hash."""
        data = self._raw(seq)
        at = _behind(data)
        if not at or at == len(data) or data[at : at + 2] == _TRACK:
            return data if at else None
        return self._vault("show", seq, data, at)

    def _vault(self, what, seq, data, at):
        from handheld import vault

        try:
            return getattr(vault, what)(self._board, self.log_id + pack(">I", seq), data, at)
        finally:
            vault = None
            forget("handheld.vault")

    def _raw(self, seq):
        """A segment as it lies on flash."""
        volume = 0
        for start in self.firsts:
            if start <= seq:
                volume = start
        if not volume or seq > self.last:
            return None
        path = self.path(volume)
        of, at_seq, start = self.seek
        if of != volume or at_seq > seq:
            at_seq, start = volume, 0
        try:
            with open(path, "rb") as f:
                for at, n in lengths(f, size(path), start):
                    if at_seq == seq:
                        self.seek = (volume, seq, at)
                        return payload(f, at, n)
                    at_seq += 1
        except OSError:
            pass
        return None

    def append(self, sealed, chain_hash):
        """Make the next segment durable; OSError when the flash refuses: then scan()."""
        volume = 0 if self.fresh or not self.firsts else self.firsts[-1]
        seq = self.head + 1
        at = _behind(sealed)
        if sealed[at : at + 2] != _TRACK:
            sealed = self._vault("hide", seq, sealed, at)
        n = len(sealed)
        fresh = not volume or size(self.path(volume)) + n + 8 > _VOLUME
        with open(self.path(seq if fresh else volume), "wb" if fresh else "ab") as f:
            f.write(pack(">HH", n, n ^ 0xFFFF))
            f.write(sealed)
            f.write(pack(">I", crc32(sealed, n)))
        if fresh:
            self.firsts.append(seq)
            self.fresh = False
        self.head = self.last = seq
        self.head_hash = chain_hash

    def unsent(self):
        """Segments without a receipt."""
        return self.head - self.released

    def hash_at(self, seq):
        """The chain hash of a segment; None when neither it nor its successor can be read."""
        if seq == self.released:
            return self.released_hash
        if seq == self.head:
            return self.head_hash
        found = self.link(seq)
        if found:
            return found[1]
        found = self.link(seq + 1)
        return found and found[0].prev

    def release(self, upto, chain_hash):
        """Whether this chain has that hash at `upto`; then nothing up to there is needed here.

        What is released stays as grace, for 7 days or until space is needed.
        """
        if not 0 <= upto <= self.head or self.hash_at(upto) != chain_hash:
            return False
        utc = self._clock.utc()
        if upto > self.released:
            marks = self.marks
            if utc and (not marks or utc - marks[-1][1] >= _DAY_S):
                marks = marks[1 - _MARKS :] + [(upto, utc)]
            data = pack(">I", upto) + chain_hash
            for mark in marks:
                data += pack(">II", mark[0], mark[1])
            try:
                replace(self.folder + "/cursor", data)
            except OSError:
                return False
            self.released, self.released_hash, self.marks = upto, chain_hash, marks
        if utc:
            self._expire(utc)
        return True

    def is_over(self):
        """Whether all of an older log has been grace for longer than that lasts."""
        utc, marks = self._clock.utc(), self.marks
        late = _GRACE_S + _DAY_S  # the last receipts of a day leave no mark
        return utc and marks and self.released >= self.head and utc - marks[-1][1] > late

    def _expire(self, utc):
        for upto, at in self.marks:
            while utc - at > _GRACE_S and self.evict(upto):
                pass

    def evict(self, upto=0xFFFFFFFF):
        """Delete the oldest volume if it is receipted, up to `upto`, and not the newest."""
        firsts = self.firsts
        if len(firsts) < 2 or firsts[1] - 1 > min(self.released, upto):
            return False
        if not remove(self.path(firsts[0])):
            return False
        firsts.pop(0)
        return True

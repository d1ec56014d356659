"""Sealed segments on flash: volume files of framed segments, and how far they are receipted.

A frame is u16 length | its complement | bytes | CRC-32 of the bytes, started from the length; the
complement keeps a flipped bit in a length from hiding what follows. One file a segment would waste
a 4 KiB block each, so a volume holds about 32 KiB of them; its name is its first seq.
The open track and the open visit are kept as frames too (Records). Does not sign, and decides
neither when a segment is sealed nor whether a receipt is genuine.
"""

import os
from binascii import crc32
from struct import pack, unpack_from

from micropython import const
from ronda_protocol import cose, segment

_ROTATE = const(32768)  # a volume larger than this gets no more segments
_INLINE = const(128)  # littlefs keeps a file of up to 128 bytes in its folder: no block erased
_GRACE_S = const(604800)  # 7 days
_DAY_S = const(86400)
_MARKS = const(7)

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
    """(payloads, bytes that cannot be read) of a small file of frames."""
    found = []
    bad = 0
    end = size(path)
    if end:
        try:
            with open(path, "rb") as f:
                done = 0
                for at, n in lengths(f, end):
                    data = payload(f, at, n)
                    if data is None:
                        bad += n + 8
                    else:
                        found.append(data)
                    done = at + n + 8
                bad += end - done
        except OSError:
            bad = bad or end
    return found, bad


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


class Records:
    """An append-only file of framed records, each durable when append() returns.

    Small records gather in `<path>.tail`, which littlefs keeps inside its folder, and move to
    `path` when 128 bytes are full: a third of the erases of appending each to one file.
    """

    def __init__(self, path):
        self.path = path
        self._tail = path + ".tail"

    def append(self, *payloads):
        """Append records, all of them or none; OSError when the flash refuses: then load()."""
        data = b"".join([frame(p) for p in payloads])
        if size(self._tail) + len(data) <= _INLINE:
            with open(self._tail, "ab") as f:
                f.write(data)
            return
        self._settle()
        with open(self._tail if len(data) <= _INLINE else self.path, "ab") as f:
            f.write(data)

    def _settle(self):
        """Move the tail behind the file. A cut between the two leaves the tail in both."""
        if size(self._tail):
            with open(self._tail, "rb") as f:
                data = f.read()
            if not self._settled(data):
                with open(self.path, "ab") as f:
                    f.write(data)
            with open(self._tail, "wb"):
                pass

    def _settled(self, tail):
        end = size(self.path)
        if end < len(tail):
            return False
        with open(self.path, "rb") as f:
            f.seek(end - len(tail))
            return f.read() == tail

    def load(self):
        """(payloads in order, unreadable bytes). Never raises."""
        found, bad = frames(self.path)
        tail, more = frames(self._tail)
        n = len(tail)
        if n and found[-n:] != tail:
            found += tail
        return found, bad + more

    def clear(self):
        """Empty it, the oldest records first: a cut between leaves records without their first."""
        return remove(self.path) & remove(self._tail)


class Chain:
    """The sealed segments of one log id; see Log for the current one."""

    def __init__(self, folder, log_id, clock):
        self._clock = clock
        self.folder = folder
        self.log_id = log_id
        self.head = self.released = self.number = 0
        self.head_hash = ZERO
        self._released_hash = ZERO
        self._marks = []  # [released up to, utc]: about one a day
        self._firsts = []  # first seq of each volume, ascending
        self._last = 0  # last seq a volume has room for: readable or not
        self._fresh = False  # the newest volume ends in bytes that no frame may follow
        self._seek = (0, 0, 0)  # volume, seq, offset: reading in order does not start anew

    def _path(self, first):
        return "%s/%08x.vol" % (self.folder, first)

    def scan(self, nv_seq=0, nv_hash=None):
        """Read from flash what there is; `nv_*` is what nv believes, when it knows this log.

        Afterwards head and head_hash are the last segment that is there: by its own bytes, or,
        when those cannot be read any more, by nv's word. `number` is the highest entry number.
        """
        firsts = []
        try:
            for found in os.ilistdir(self.folder):
                name = found[0]
                if name[-4:] == ".vol" and len(name) == 12:
                    try:
                        firsts.append(int(name[:8], 16))
                    except ValueError:
                        pass
        except OSError:
            pass
        firsts.sort()
        self._firsts = firsts
        self._fresh = False
        self._last = 0
        self._seek = (0, 0, 0)
        while firsts and not self._last:
            self._measure()
        self._load_cursor()
        self._find_head(nv_seq, nv_hash)

    def _measure(self):
        """Count the frames of the newest volume; one without any is left out of the index."""
        path = self._path(self._firsts[-1])
        end = size(path)
        count = done = 0
        try:
            with open(path, "rb") as f:
                for at, n in lengths(f, end):
                    count += 1
                    done = at + n + 8
        except OSError:
            pass
        self._fresh = done < end
        if count:
            self._last = self._firsts[-1] + count - 1
        else:
            self._last = 0
            self._firsts.pop()

    def _find_head(self, nv_seq, nv_hash):
        seq = self._last
        first = self._firsts[0] if self._firsts else 1
        self.head, self.head_hash = 0, ZERO
        while seq >= first:
            header = self._header(seq)
            if header:
                self.head, self.head_hash = seq, header[1]
                break
            if nv_hash and seq == nv_seq:  # it was there when nv was written: lost, not absent
                self.head, self.head_hash = seq, nv_hash
                break
            seq -= 1
        if seq < self._last:
            self._fresh = True
            self._last = seq
        # Later segments may hold lower numbers: a visit is sealed while a track is open.
        for at in range(seq, max(nv_seq, seq - 16, first - 1), -1):
            header = self._header(at)
            if header:
                self.number = max(self.number, header[0].numbers[-2] + header[0].numbers[-1] - 1)

    def _header(self, seq):
        """(header, chain hash) of a segment; None when it cannot be read."""
        data = self.read(seq)
        if data:
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
        found = self._header(seq)
        return found and found[0]

    def read(self, seq):
        """The sealed bytes of a segment; None when it is not there or its bytes are damaged."""
        first = 0
        for start in self._firsts:
            if start <= seq:
                first = start
        if not first or seq > self._last:
            return None
        path = self._path(first)
        volume, at_seq, start = self._seek
        if volume != first or at_seq > seq:
            at_seq, start = first, 0
        try:
            with open(path, "rb") as f:
                for at, n in lengths(f, size(path), start):
                    if at_seq == seq:
                        self._seek = (first, seq, at)
                        return payload(f, at, n)
                    at_seq += 1
        except OSError:
            pass
        return None

    def append(self, sealed, chain_hash):
        """Make the next segment durable; OSError when the flash refuses: then scan()."""
        first = 0 if self._fresh or not self._firsts else self._firsts[-1]
        seq = self.head + 1
        fresh = not first or size(self._path(first)) > _ROTATE
        n = len(sealed)
        with open(self._path(seq if fresh else first), "wb" if fresh else "ab") as f:
            f.write(pack(">HH", n, n ^ 0xFFFF))
            f.write(sealed)
            f.write(pack(">I", crc32(sealed, n)))
        if fresh:
            self._firsts.append(seq)
            self._fresh = False
        self.head = self._last = seq
        self.head_hash = chain_hash

    def unsent(self):
        """Segments without a receipt."""
        return self.head - self.released

    def hash_at(self, seq):
        """The chain hash of a segment; None when neither it nor its successor can be read."""
        if seq == self.released:
            return self._released_hash
        if seq == self.head:
            return self.head_hash
        found = self._header(seq)
        if found:
            return found[1]
        found = self._header(seq + 1)
        return found and found[0].prev

    def release(self, upto, chain_hash):
        """Whether this chain has that hash at `upto`; then nothing up to there is needed here.

        What is released stays as grace, for 7 days or until space is needed.
        """
        if not 0 <= upto <= self.head or self.hash_at(upto) != chain_hash:
            return False
        utc = self._clock.utc()
        if upto > self.released:
            marks = self._marks
            if utc and (not marks or utc - marks[-1][1] >= _DAY_S):
                marks = marks[1 - _MARKS :] + [(upto, utc)]
            data = pack(">I", upto) + chain_hash
            for mark in marks:
                data += pack(">II", mark[0], mark[1])
            try:
                replace(self.folder + "/cursor", data)
            except OSError:
                return False
            self.released, self._released_hash, self._marks = upto, chain_hash, marks
        if utc:
            self._expire(utc)
        return True

    def _load_cursor(self):
        found = frames(self.folder + "/cursor")[0]
        if found and len(found[0]) >= 36:
            data = found[0]
            self.released = unpack_from(">I", data)[0]
            self._released_hash = data[4:36]
            self._marks = [unpack_from(">II", data, at) for at in range(36, len(data) - 7, 8)]

    def _expire(self, utc):
        for upto, at in self._marks:
            while utc - at > _GRACE_S and self.evict(upto):
                pass

    def evict(self, upto=0xFFFFFFFF):
        """Delete the oldest volume if it is receipted, up to `upto`, and not the newest."""
        firsts = self._firsts
        if len(firsts) < 2 or firsts[1] - 1 > min(self.released, upto):
            return False
        if not remove(self._path(firsts[0])):
            return False
        firsts.pop(0)
        return True

    def drop(self):
        """Delete an older log once every segment of it is receipted."""
        if self.released < self.head:
            return False
        while self._firsts:
            if not remove(self._path(self._firsts[0])):
                return False
            self._firsts.pop(0)
        try:
            for found in os.ilistdir(self.folder):
                os.remove(self.folder + "/" + found[0])
            os.rmdir(self.folder)
        except OSError:
            return False
        return True

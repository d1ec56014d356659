"""Debtor data at rest: AES-128-CBC, then HMAC-SHA-256 cut to 16 bytes, under keys kept in `nv`.

Three secrets, so that each can be destroyed at its own time (`wipe`): ROUND for cases, ANSWERS for
what was said at the door, EVIDENCE for the visit itself, which outlives every wipe until it is
receipted. A record is u16 length | ciphertext | tag, its IV the cipher of a nonce and a counter
(NIST SP 800-38A, C). Loaded for its moment. Not bound to a PIN: there is none yet. Knows nothing
of files; says None for whatever was not written by these keys.
"""

import hashlib
from struct import pack, unpack_from

import cryptolib
from micropython import const
from ronda_protocol import cbor
from ronda_protocol.bounds import PackError

ROUND, ANSWERS, EVIDENCE = 0, 1, 2
NONCE = const(12)
PIECE = const(512)  # longest record of a file that is read a piece at a time
_NAME = "rest"  # in nv
_SECRET = const(16)
_LENGTH = const(49)  # three secrets, and the wipe that is owed
_TAG = const(16)
_MARK = const(4)


def make(board, which=(ROUND, ANSWERS, EVIDENCE), owed=0):
    """Make new secrets: what was written under the old ones nobody can read any more. OSError.

    The new ones are a hash of the old and fresh randomness: never worse than either alone. In the
    same write: the wipe that is `owed` from now on."""
    old = board.nv.get(_NAME) or b""
    fresh = _derive(old, board.entropy(32))
    data, all_new = bytearray(old), len(old) != _LENGTH
    if all_new:
        data = bytearray(_LENGTH)
    for n in range(3):
        if all_new or n in which:
            data[n * _SECRET : (n + 1) * _SECRET] = _derive(bytes([n]), fresh)[:_SECRET]
    data[-1] = owed
    board.nv.set(_NAME, bytes(data))


def owed(board):
    """The wipe that was begun and not ended, 0 for none."""
    data = board.nv.get(_NAME)
    return data[-1] if data and len(data) == _LENGTH else 0


def settle(board):
    """No wipe is owed any more. OSError."""
    board.nv.set(_NAME, board.nv.get(_NAME)[:-1] + b"\0")


def _derive(label, secret):
    return hashlib.sha256(label + secret).digest()


def _secret(board, which):
    data = board.nv.get(_NAME)
    if not data or len(data) != _LENGTH:
        make(board)
        data = board.nv.get(_NAME)
    return data[which * _SECRET : (which + 1) * _SECRET]


def mark(board, which):
    """Tells one secret from the next: 4 bytes that give nothing of it away."""
    return _derive(b"mark", _secret(board, which))[:_MARK]


def _tag(key, data):
    inner = hashlib.sha256(bytes([c ^ 0x36 for c in key]) + b"\x36" * 32)
    inner.update(data)
    outer = hashlib.sha256(bytes([c ^ 0x5C for c in key]) + b"\x5c" * 32)
    outer.update(inner.digest())
    return outer.digest()[:_TAG]


def _cipher(secret, at):
    key = _derive(b"aes", secret)[:16]
    return cryptolib.aes(key, 2, cryptolib.aes(key, 1).encrypt(at))


def at(nonce, counter):
    """What a record is locked at, once: a nonce of 12 random bytes and a counter."""
    return nonce + pack(">I", counter)


def lock(board, which, where, at, data):
    """The record of up to 65,535 bytes; `where` (any bytes) and `at` are authenticated too."""
    secret = _secret(board, which)
    n = len(data)
    record = pack(">H", n)
    if n:
        record += _cipher(secret, at).encrypt(data + bytes(-n % 16))
    return record + _tag(_derive(b"mac", secret), where + at + record)


def unlock(board, which, where, at, record):
    """What was locked, or None: another key, another place, changed or cut short."""
    secret = _secret(board, which)
    if len(record) < 2 or len(record) != length(record):
        return None
    if _tag(_derive(b"mac", secret), where + at + record[:-_TAG]) != record[-_TAG:]:
        return None
    n = unpack_from(">H", record)[0]
    if not n:
        return b""
    return _cipher(secret, at).decrypt(record[2:-_TAG])[:n]


def length(record):
    """Bytes of the record that begins with these two."""
    return 2 + (unpack_from(">H", record)[0] + 15 & ~15) + _TAG


# --- sealed segments: the COSE_Sign1 in clear, then one byte string: nonce, mark, two records ---


def hide(board, where, sealed, begin):
    """A sealed segment as it lies on flash; its parts begin at `begin`."""
    kept, said, nonce = b"", b"", board.entropy(NONCE)
    part = begin
    while part < len(sealed):
        end = cbor.decode_first(sealed, part)[1]
        if sealed[part + 1] == 2:  # segment.EVIDENCE
            kept += sealed[part:end]
        else:
            said += sealed[part:end]
        part = end
    data = nonce + mark(board, ANSWERS) + lock(board, EVIDENCE, where, at(nonce, 0), kept)
    if said:
        data += lock(board, ANSWERS, where, at(nonce, 1), said)
    return sealed[:begin] + cbor.encode(data)


def show(board, where, data, begin):
    """The sealed segment again, without what was said where its key was destroyed; None when it is
    not what was written."""
    try:
        hidden = cbor.decode(data[begin:])
        first = NONCE + _MARK
        end = first + length(hidden[first:])
    except (ValueError, TypeError):
        return None
    nonce = hidden[:NONCE]
    kept = unlock(board, EVIDENCE, where, at(nonce, 0), hidden[first:end])
    if kept is None:
        return None
    said = b""
    if end < len(hidden) and hidden[NONCE:first] == mark(board, ANSWERS):
        said = unlock(board, ANSWERS, where, at(nonce, 1), hidden[end:])
        if said is None:
            return None
    return data[:begin] + kept + said


# --- the body of a cases pack: a nonce, then records; the counter is the offset ---


def pieces(board, nonce, offset, data):
    """The records of a body's bytes from `offset`."""
    found = b""
    for i in range(0, len(data), PIECE):
        found += lock(board, ROUND, b"", at(nonce, offset + i), data[i : i + PIECE])
    return found


def measure(f):
    """(nonce, bytes of the body) of what begins where the file stands, or None."""
    nonce, have = f.read(NONCE), 0
    if len(nonce) < NONCE:
        return None
    while True:
        head = f.read(2)
        if not head:
            return nonce, have
        if len(head) < 2:
            return None
        left = length(head) - 2
        if len(f.read(left)) < left:
            return None
        have += unpack_from(">H", head)[0]


class Body:
    """Reads a body, `read(n)` at most n bytes; PackError("unreadable") is what is not ours."""

    def __init__(self, board, f):
        self._board, self._f = board, f
        self._nonce = f.read(NONCE)
        self._offset = 0
        self._data = b""

    def read(self, n):
        if not self._data:
            head = self._f.read(2)
            if not head:
                return b""
            record = head + self._f.read(length(head) - 2) if len(head) == 2 else head
            data = unlock(self._board, ROUND, b"", at(self._nonce, self._offset), record)
            if not data:
                raise PackError("unreadable")
            self._data = data
            self._offset += len(data)
        found = self._data[:n]
        self._data = self._data[n:]
        return found

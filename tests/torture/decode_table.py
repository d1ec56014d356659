"""Every decoder of bytes from outside, behind one door: run by D14 on CPython and in the VM.

`decode(kind, data)` gives (code, check): code is "ok" or the decoder's word for its refusal,
check a CRC-32 of what was understood, the same on both VMs. A decoder that raises anything else,
or whose value does not encode to the same bytes again, raises. Modules are imported when their
kind is first asked for: a handheld does not hold them all at once either.
"""

from binascii import crc32

from ronda_protocol import cbor
from ronda_protocol.bounds import WireError

# In two halves for a small heap: what comes down to a handheld, and what its log holds.
DOWN = ["cbor", "sequence", "cose", "key", "message", "receipt", "resend", "chunk", "manifest"]
DOWN += ["pack", "trust", "config", "cases"]
LOG = ["header", "outline", "segment", "track", "fixes", "evidence", "answers", "promise"]
LOG += ["correction"]
KINDS = DOWN + LOG

NUMBERS = [1, 10]
BASE_MS = 60000
"""What a track part is read against when it comes without its header."""


class Differs(Exception):
    """What was accepted does not encode to the bytes that it came as."""


def _check(value):
    return crc32(cbor.encode(value))


def _same(encoded, data):
    if encoded != data:
        raise Differs(data.hex())


def _cbor(data):
    value = cbor.decode(data)
    _same(cbor.encode(value), data)
    return crc32(data)


def _sequence(data):
    at, check = 0, 0
    while at < len(data):
        value, end = cbor.decode_first(data, at)
        _same(cbor.encode(value), data[at:end])
        at, check = end, crc32(data[at:end], check)
    return check


def _cose(data):
    from ronda_protocol import cose

    found = cose.parse(data)
    value = [found.protected, {}, found.payload, found.signature]
    _same(cbor.encode(cbor.Tagged(18, value)), data)
    _same(cbor.encode({1: -7, 4: found.kid}), found.protected)
    return crc32(data)


def _key(data):
    from ronda_protocol import cose

    _same(cose.cose_key(cose.parse_key(data)), data)
    return crc32(data)


def _message(data):
    from ronda_protocol import signed

    return signed.message(data)


def _receipt(data):
    from ronda_protocol import issuing, receipt

    r = receipt.decode_receipt(data)
    fields = r.device, r.log_id, r.upto, r.head, r.ranges, r.dispositions, r.now, r.nonce
    _same(issuing.encode_receipt(*fields), data)
    return crc32(data)


def _resend(data):
    from ronda_protocol import issuing, receipt

    r = receipt.decode_resend(data)
    _same(issuing.encode_resend(r.device, r.log_id, r.first, r.last, r.request_id), data)
    return crc32(data)


def _chunk(data):
    from ronda_protocol import chunk

    _same(chunk.encode(*chunk.decode(data)), data)
    return crc32(data)


def _manifest(data):
    from ronda_protocol import issuing, pack

    _same(issuing.manifest_payload(pack.Manifest.parse(data)), data)
    return crc32(data)


def _pack(data):
    from ronda_protocol import pack

    found = pack.parse(data)
    s = found.sign1
    front = cbor.encode(cbor.Tagged(18, [s.protected, {}, s.payload, s.signature]))
    _same(front + cbor.encode(found.body), data)
    return crc32(pack.manifest_hash(s))


def _trust(data):
    from ronda_protocol import bodies, cose

    root, keys = bodies.decode_trust(data)
    listed = [[k[0], cose.cose_key(k[1])] + k[2:] for k in keys]
    known = {1: cose.cose_key(root), 2: listed}
    _same(cbor.encode(_overlaid(data, known)), data)
    return _check([root, keys])


def _config(data):
    from ronda_protocol import bodies

    found = bodies.decode_config(data)
    _same(cbor.encode(_overlaid(data, found)), data)
    return _check(found)


def _overlaid(data, known):
    """The map that data is, with what was understood of it written over it: keys of a later
    version are passed over and kept, everything else must be what it was."""
    value = cbor.decode(data)
    value.update(known)
    return value


def _cases(data):
    from ronda_protocol import pack

    round_id, as_of, expires, cases = pack.decode_cases(data)
    return _check(
        [round_id, as_of, expires, [[case[name] for name in pack.CASE] for case in cases]]
    )


def _header(data):
    from ronda_protocol import segment

    _same(segment.Header.parse(data).payload(), data)
    return crc32(data)


def _outline(data):
    from ronda_protocol import reading

    return _check(reading.outline(data))


def _segment(data):
    from ronda_protocol import reading, segment, track

    found = reading.parse(data)
    _same(segment.assemble(found.signed, found.parts), data)
    check = crc32(found.chain_hash())
    if found.header.body == segment.TRACK_BODY:
        entries = found.entries()
        check = crc32(cbor.encode(entries), check)
        if entries and not _later(found.parts[segment.TRACK]):
            again = track.encode_track(entries, found.header.stamp[1])
            _same(again, found.parts[segment.TRACK])
    return check


def _later(part):
    """Whether a track part has keys of a later version."""
    return any(key not in (1, 2, 3) for key in cbor.decode(part, 65536, 8, 16384))


def _track(data):
    from ronda_protocol import reading, segment, track

    entries = reading.decode_track(data, segment.expand(NUMBERS), BASE_MS)
    if not _later(data):
        _same(track.encode_track(entries, BASE_MS), data)
    return _check(entries)


def _fixes(data):
    from ronda_protocol import reading, track

    fixes = reading.unpack_fixes(data, BASE_MS)
    _same(track.pack_fixes(fixes, BASE_MS), data)
    return _check(fixes)


def _evidence(data):
    from ronda_protocol import reading, visit

    _same(visit.encode_evidence(reading.decode_evidence(data)), data)
    return crc32(data)


def _answers(data):
    from ronda_protocol import reading, visit

    _same(visit.encode_answers(*reading.decode_answers(data)), data)
    return crc32(data)


def _promise(data):
    from ronda_protocol import reading, visit

    _same(visit.encode_promise(*reading.decode_promise(data)), data)
    return crc32(data)


def _correction(data):
    from ronda_protocol import correction

    salt, fields = correction.decode(data)
    known = cbor.decode(correction.encode(salt, fields)[16:])
    _same(salt + cbor.encode(_overlaid(data[16:], known)), data)
    return _check([fields[name] for name in sorted(fields)])


def decode(kind, data):
    """(code, check) of bytes read as a kind; raises what no decoder may raise."""
    try:
        check = globals()["_" + kind](data)
    except WireError as error:
        return error.code, 0
    except cbor.CborError as error:
        return "cbor:" + error.code, 0
    except ValueError as error:
        # cose is not imported here: a handheld's half may not need it.
        if type(error).__name__ != "CoseError":
            raise
        return "cose:" + error.code, 0
    return "ok", check

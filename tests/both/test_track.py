"""Packed fixes and track parts: the vectors, round trips, and that damage is refused by name."""

import vectors
from ronda_protocol import reading, segment, track

HEAP = "2m"
CODES = "shape kind range time order count varint non-minimal".split()
FUZZ = 1200


def code_of(call, *args):
    """The code of the TrackError raised by a call, or None."""
    try:
        call(*args)
    except track.TrackError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code.startswith("cbor-"), error.code
        return error.code
    return None


def test_fixes_have_one_packing():
    for case in vectors.load("track")["fixes"]:
        fixes, base, data = case["fixes"], case["base_ms"], bytes.fromhex(case["hex"])
        assert track.pack_fixes(fixes, base) == data, case["name"]
        numbers = [fix[1] for fix in fixes]
        assert vectors.same(reading.unpack_fixes(data, base, numbers), fixes), case["name"]
        at = 0
        for i, record in enumerate(case["records"]):
            at += len(record) // 2
            head = track.pack_fixes(fixes[: i + 1], base)
            assert head == data[:at], (case["name"], i)
        assert at == len(data)


def test_unnumbered_fixes_are_numbered_0():
    case = vectors.load("track")["fixes"][-1]
    found = reading.unpack_fixes(bytes.fromhex(case["hex"]), case["base_ms"])
    assert [fix[1] for fix in found] == [0] * 60
    assert [fix[2:] for fix in found] == [fix[2:] for fix in case["fixes"]]


def test_refused_fixes():
    for case in vectors.load("track")["refused_fixes"]:
        count = case["count"]
        numbers = None if count is None else list(range(1, count + 1))
        data = bytes.fromhex(case["hex"])
        code = code_of(reading.unpack_fixes, data, case["base_ms"], numbers)
        assert code == case["code"], (case["name"], code)
    assert code_of(reading.unpack_fixes, "text", 0) == "shape"
    assert code_of(track.pack_fixes, [[1, 0, 0, 0, 0, 9, 9, 3, None]] * 1025, 0) == "count"


def test_tracks_and_entry_digests():
    for case in vectors.load("track")["tracks"]:
        entries = vectors.value(case["entries"])
        data = bytes.fromhex(case["hex"])
        numbers = segment.expand(case["numbers"])
        assert track.encode_track(entries, case["base_ms"]) == data, case["name"]
        found = reading.decode_track(data, numbers, case["base_ms"])
        assert vectors.same(found, entries), case["name"]
        digests = [track.entry_digest(entry).hex() for entry in found]
        assert digests == case["digests"], case["name"]
        assert segment.ranges([entry[1] for entry in entries]) == case["numbers"]


def test_refused_tracks():
    for case in vectors.load("track")["refused_tracks"]:
        numbers = segment.expand(case["numbers"])
        code = code_of(reading.decode_track, bytes.fromhex(case["hex"]), numbers, 60000)
        assert code == case["code"], (case["name"], code)
    late = track.encode_track([[2, 1, 100, 3900, 80, 1]], 0)
    assert code_of(reading.decode_track, late, [1], 0x1FFFFFFFFFFFFF // 100 * 100) == "range"


def test_entries_that_cannot_be_saved():
    for case in vectors.load("track")["unencodable"]:
        entries = vectors.value(case["entries"])
        code = code_of(track.encode_track, entries, case["base_ms"])
        assert code == case["code"], (case["name"], code)
    one = [[1, i + 1, 0, 0, 0, 9, 9, 3, None] for i in range(1025)]
    assert code_of(track.encode_track, one, 0) == "count"


def test_the_fullest_track():
    """1024 events with three items each: what can be written can be read."""
    entries = [[3, i + 1, 0, 12, [1, 2, "x"]] for i in range(track.MAX_ENTRIES)]
    part = track.encode_track(entries, 0)
    entries = None
    assert len(reading.decode_track(part, list(range(1, 1025)), 0)) == 1024


def test_a_refused_entry_leaves_no_trace():
    good = [1, 1, 60000, 10, 10, 9, 9, 3, None]
    part = track.Track(60000)
    part.add(good)
    for bad in (good, [1, 2, 59900, 0, 0, 9, 9, 3, None], [2, 2, 60000, -1, 0, 0], [9, 2, 0, 0]):
        assert code_of(part.add, bad)
    assert part.numbers == [1]
    assert part.part() == track.encode_track([good], 60000)


def test_keys_of_a_later_version_are_passed_over():
    case = vectors.load("track")["unknown_keys"]
    found = reading.decode_track(bytes.fromhex(case["hex"]), case["numbers"][:1], case["base_ms"])
    assert found == case["entries"]


def test_names_and_flags():
    for code, name in vectors.load("track")["events"]:
        assert reading.event_name(code) == name
    assert track.fix_flags([1, 0, 0, 0, 0, 9, 9, 3, None]) == 0
    assert track.fix_flags([1, 0, 0, 0, 0, 9, 9, 3, [None] * 6 + [track.FROZEN]]) == track.FROZEN
    assert reading.event_name(track.PART_MISSING) == "part_missing"
    for i, name in enumerate(reading.flag_names(0xFFF)):
        assert getattr(track, name.upper()) == 1 << i, name
    assert reading.flag_names(track.ESTIMATED | 4096) == ["estimated", "flag-4096"]
    assert reading.flag_names(0) == [] and track.DISQUALIFYING == track.FROZEN


def test_damaged_fixes_unpack_to_what_packs_alike_or_are_refused():
    chance = vectors.Chance(11)
    cases = [c for c in vectors.load("track")["fixes"] if 0 < len(c["fixes"]) < 20]
    accepted = 0
    for i in range(FUZZ):
        case = cases[i % len(cases)]
        data = chance.damaged(bytes.fromhex(case["hex"]))
        try:
            fixes = reading.unpack_fixes(data, case["base_ms"])
        except track.TrackError as error:
            assert error.code in CODES, error.code
            continue
        accepted += 1
        assert track.pack_fixes(fixes, case["base_ms"]) == data
    assert accepted > FUZZ // 20


def test_damaged_tracks_decode_to_what_encodes_or_are_refused():
    chance = vectors.Chance(12)
    cases = vectors.load("track")["tracks"]
    for i in range(FUZZ):
        case = cases[i % len(cases)]
        data = chance.damaged(bytes.fromhex(case["hex"]))
        if i % 9 == 0:
            data = chance.octets(chance.below(40))
        try:
            entries = reading.decode_track(data, segment.expand(case["numbers"]), case["base_ms"])
        except track.TrackError as error:
            assert error.code in CODES or error.code.startswith("cbor-"), error.code
            continue
        again = track.encode_track(entries, case["base_ms"])
        same = reading.decode_track(again, segment.expand(case["numbers"]), case["base_ms"])
        assert vectors.same(same, entries)

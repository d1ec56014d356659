"""A visit's parts: the vectors both ways, refusals by field name, damaged bytes."""

import vectors
from ronda_protocol import fence, reading, visit
from ronda_protocol.bounds import is_place

unhex = bytes.fromhex
CODES = ["shape", "salt", "answers", "promise", "fixes"] + visit.FIELDS.split()
FUZZ = 800


def code_of(call, *args):
    """The code of the VisitError raised by a call, or None."""
    try:
        call(*args)
    except visit.VisitError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code.startswith("cbor-"), error.code
        return error.code
    return None


def test_visit_id():
    device, log_id, seq, text = vectors.load("visit")["visit_id"]
    assert visit.visit_id(device, unhex(log_id), seq) == text


def test_evidence_has_one_encoding():
    for case in vectors.load("visit")["evidence"]:
        fields = vectors.value(case["fields"])
        data = unhex(case["hex"])
        assert visit.encode_evidence(fields) == data, case["name"]
        assert vectors.same(reading.decode_evidence(data), fields), case["name"]
        fields["attempts" if "attempts" not in fields else "gestor"] = None
        again = dict(fields)
        assert len(visit.encode_evidence(again)) <= len(data), case["name"]


def test_keys_of_a_later_version_are_kept():
    case = vectors.load("visit")["unknown_keys"]
    fields = reading.decode_evidence(unhex(case["hex"]))
    assert vectors.same(fields["unknown"], vectors.value(case["unknown"]))
    assert visit.encode_evidence(fields) == unhex(case["hex"])


def test_refused_evidence():
    for case in vectors.load("visit")["refused_evidence"]:
        data = unhex(case["hex"]) + bytes(case.get("zeros", 0))
        code = code_of(reading.decode_evidence, data)
        assert code == case["code"], (case["name"], code)


def test_the_fixes_of_a_moment():
    good = vectors.load("visit")["evidence"][0]
    fields = vectors.value(good["fields"])
    fixes = reading.unpack_window(fields["check_in_fixes"], fields["check_in"][1])
    assert len(fixes) == visit.MAX_WINDOW and fixes[-1][2] == fields["check_in"][1]
    assert visit.pack_window(fixes, fields["check_in"][1]) == fields["check_in_fixes"]
    assert visit.pack_window([], 0) == [0, b""] and reading.unpack_window([0, b""], 0) == []
    assert fence.of_entries(fixes)[0] == (fixes[0][3], fixes[0][4], fixes[0][5], 0)
    late = fixes[-1][2]
    assert code_of(visit.pack_window, fixes, late - 100) == "fixes"
    assert code_of(visit.pack_window, fixes, late + 60100) == "fixes"
    assert code_of(visit.pack_window, fixes + fixes[-1:], late) == "fixes"
    assert code_of(visit.pack_window, [fixes[0][:8]], late) == "fixes"
    assert visit.pack_window(fixes, late + 53000)[0] == 600


def test_answers():
    content = vectors.load("visit")["answers"]
    salt = unhex(content["salt"])
    for case in content["good"]:
        value = vectors.value(case["value"])
        assert visit.encode_answers(salt, value).hex() == case["hex"], case["name"]
        assert vectors.same(reading.decode_answers(unhex(case["hex"]))[1], value), case["name"]
        assert reading.decode_answers(unhex(case["hex"]))[0] == salt
    for case in content["refused"]:
        code = code_of(reading.decode_answers, unhex(case["hex"]))
        assert code == case["code"], (case["name"], code)
    assert code_of(visit.encode_answers, bytes(15), {}) == "salt"


def promise_of(value):
    """The dict that encode_promise takes."""
    names = ("currency", "kind", "pairs", "who", "limits")
    return {names[i]: value[i] for i in range(5)}


def test_promises():
    content = vectors.load("visit")["promises"]
    salt = unhex(content["salt"])
    for case in content["good"]:
        promise = promise_of(vectors.value(case["value"]))
        assert visit.encode_promise(salt, promise).hex() == case["hex"], case["name"]
        found = reading.decode_promise(unhex(case["hex"]))
        assert found[0] == salt and vectors.same(found[1], promise), case["name"]
        for name in promise:
            less = dict(promise)
            less[name] = None
            assert code_of(visit.encode_promise, salt, less) == "promise"
    for case in content["refused"]:
        code = code_of(reading.decode_promise, unhex(case["hex"]))
        assert code == case["code"], (case["name"], code)


def test_days():
    for day in (20000101, 20240229, 20280229, 20261231, 20991231, 20260430):
        assert visit.is_day(day), day
    for day in (20260229, 20260431, 20260632, 20261300, 20260100, 0, -20260101, True, "20260101"):
        assert not visit.is_day(day), day


def test_places():
    good = [1, 2, 0, -121191000, -770282000, 300]
    assert is_place(good)
    for i, bad in ((0, -1), (0, True), (1, 3), (2, 1), (3, 800000001), (4, None), (5, 99)):
        assert not is_place(good[:i] + [bad] + good[i + 1 :]), (i, bad)
    assert not is_place(good[:5]) and not is_place(None)
    corners = [-121191000, -770282000, 900, 0, 0, 900]
    assert is_place([1, 2, 1, corners]) and is_place([1, 2, 1, corners + [-300, 5] * 29])
    for bad in ([], corners[:4], corners + [1], corners + [-300, 5] * 30, corners + [True, 5], 7):
        assert not is_place([1, 2, 1, bad]), bad
    assert not is_place([1, 2, 0, corners]) and not is_place([1, 2, True, corners])


def test_damaged_parts():
    content = vectors.load("visit")
    chance = vectors.Chance(31)
    evidence = [unhex(case["hex"]) for case in content["evidence"]]
    answers = [unhex(case["hex"]) for case in content["answers"]["good"]]
    promises = [unhex(case["hex"]) for case in content["promises"]["good"]]
    for i in range(FUZZ):
        data = chance.damaged(evidence[i % len(evidence)])
        try:
            fields = reading.decode_evidence(data)
        except visit.VisitError as error:
            assert error.code in CODES or error.code.startswith("cbor-"), error.code
        else:
            assert visit.encode_evidence(fields) == data
        code_of(reading.decode_answers, chance.damaged(answers[i % len(answers)]))
        code_of(reading.decode_promise, chance.damaged(promises[i % len(promises)]))
        code_of(reading.decode_evidence, chance.octets(chance.below(30)))

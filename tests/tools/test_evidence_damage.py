"""One changed byte is found and its field named; more than one, or another's key, is no guess."""

import base64
import json
from pathlib import Path

import pytest
import typer
from ronda_gateway.keys import make, public_pem
from ronda_protocol import cose, reading, segment
from ronda_tools import cli_evidence, evidence_damage
from ronda_tools.evidence_damage import locate, place_of
from sealed import track_segment, visit_segment
from typer.testing import CliRunner

RAW, SIGNER = visit_segment()
SIGNED = len(reading.parse(RAW).signed)


def changed(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def offset(content: bytes, within: bytes = RAW) -> int:
    assert within.count(content) == 1
    return within.index(content)


def test_every_field_is_named_by_its_bytes() -> None:
    """The whole map of a segment, offset by offset, against where each value is known to lie."""
    parsed = reading.parse(RAW)
    header = parsed.header
    for content, field in (
        (header.device.encode(), "device"),
        (header.fw_version.encode(), "firmware_version"),
        (header.log_id, "log_id"),
        (header.prev, "previous_hash"),
        (header.parts[2], "parts"),
    ):
        at = offset(content)
        assert {place_of(RAW, at + k) for k in range(len(content))} == {("header", field)}
    for content, where in (
        (parsed.sign1.protected, ("protected", "")),
        (parsed.sign1.signature, ("signature", "")),
        (b"C-1", ("evidence", "case_id")),
        (b"promesa", ("evidence", "outcome")),
        (b"titular\x01", ("promise", "who")),
        (b"PEN", ("promise", "currency")),
        (b"gtitular", ("answers", "who")),
    ):
        assert place_of(RAW, RAW.index(content)) == where, content
    for at in (0, 1, 2, SIGNED, SIGNED + 1):
        assert place_of(RAW, at) == ("framing", "")
    sections = [place_of(RAW, at)[0] for at in range(len(RAW))]
    assert set(sections) == {
        *("framing", "protected", "header", "signature", "evidence", "answers", "promise"),
    }
    track, _ = track_segment()
    fields = {place_of(track, at) for at in range(len(track))}
    assert {("track", "fixes"), ("track", "batteries"), ("track", "events")} <= fields


@pytest.mark.parametrize("at", range(0, len(RAW), 17))
def test_a_changed_bit_is_found_wherever_it_is(at: int) -> None:
    found = locate(changed(RAW, at, 0x10), SIGNER.public)
    assert found is not None
    assert (found.at, found.was) == (at, RAW[at : at + 1])
    assert (found.section, found.field) == place_of(RAW, at)


def test_any_other_byte_and_a_letter_of_base64() -> None:
    for at in (offset(b"C-1"), offset(b"PEN")):
        found = locate(changed(RAW, at, 0xFF), SIGNER.public)
        assert found is not None and found.at == at and found.was == RAW[at : at + 1]
    text = base64.b64encode(RAW)
    for letter in (13, 14, 15, SIGNED * 4 // 3 + 40):
        other = b"A" if text[letter : letter + 1] != b"A" else b"Z"
        damaged = base64.b64decode(text[:letter] + other + text[letter + 1 :])
        found = locate(damaged, SIGNER.public)
        assert found is not None
        assert damaged[: found.at] + found.was + damaged[found.at + len(found.was) :] == RAW


def test_what_is_not_one_change_is_not_guessed() -> None:
    assert locate(RAW, SIGNER.public) is None
    assert locate(RAW, make().public) is None
    two = changed(changed(RAW, offset(b"C-1"), 1), offset(b"PEN"), 1)
    assert locate(two, SIGNER.public) is None
    assert locate(RAW[:40], SIGNER.public) is None
    assert locate(b"", SIGNER.public) is None
    assert locate(changed(RAW, 60, 1), SIGNER.public, budget_s=0) is None
    # Enough junk to be slow if each try looked at all of it.
    assert locate(b"\xd2" * 60000, SIGNER.public) is None


@pytest.fixture
def verify(tmp_path: Path):
    """Runs `ronda evidence verify FILE --json` on bytes; the report."""
    app = typer.Typer()
    app.add_typer(cli_evidence.app, name="evidence")

    def go(data: bytes, *more: str) -> tuple[int, dict, str]:
        (tmp_path / "e").write_bytes(data)
        (tmp_path / "k").write_bytes(public_pem(SIGNER.public))
        given = ["evidence", "verify", str(tmp_path / "e"), "--key", str(tmp_path / "k")]
        as_json = CliRunner().invoke(app, [*given, "--json"])
        text = CliRunner().invoke(app, given)
        assert as_json.exit_code == text.exit_code
        return text.exit_code, json.loads(as_json.stdout), text.stdout

    return go


def told(report: dict, name: str) -> list[dict]:
    return [check for check in report["checks"] if check["check"] == name]


def test_the_command_points_at_header_field_signature_and_part(verify) -> None:
    seq = offset(reading.parse(RAW).header.log_id) + 9
    for at, section, field, words in (
        (seq, "header", "seq", "la cabecera, campo seq"),
        (offset(b"eq-1"), "header", "device", "la cabecera, campo device"),
        (SIGNED - 1, "signature", "", "la firma"),
        (offset(b"promesa"), "evidence", "outcome", "la parte evidence, campo outcome"),
        (10, "protected", "", "la cabecera protegida"),
    ):
        code, report, text = verify(changed(RAW, at, 2))
        assert code == 1
        (found,) = told(report, "change")
        assert found["fields"]["at"] == at
        assert (found["fields"]["section"], found["fields"]["field"]) == (section, field)
        assert words in text


def test_with_parts_withheld_the_rest_is_still_pointed_at(verify) -> None:
    raw = segment.assemble(RAW[:SIGNED], {2: reading.parse(RAW).parts[2]})
    code, report, _ = verify(raw)
    assert code == 0 and not told(report, "change")
    code, report, _ = verify(changed(raw, raw.index(b"promesa"), 1))
    assert code == 1
    assert told(report, "change")[0]["fields"]["field"] == "outcome"


def test_more_than_a_byte_is_said_to_be_more(verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_damage, "BUDGET_S", 0.5)
    code, report, text = verify(RAW.replace(b"eq-1", b"zz-9"))
    assert code == 1
    (found,) = told(report, "change")
    assert found["result"] is None
    assert "no se puede señalar" in text


def test_a_changed_event_names_the_field_by_its_path(verify) -> None:
    from desk_device import DeskDevice
    from ronda_gateway import feed, pipeline

    device = DeskDevice("eq-1")
    device.signer = SIGNER
    raw = device.seal_visit(gestor="G-07")
    known = pipeline.Device(device.id, "enabled", {SIGNER.kid: SIGNER.public})
    accepted = pipeline.judge_bytes(device.id, raw, lambda _: known)
    assert isinstance(accepted, pipeline.Accepted)
    row = feed.Feed("ronda/lima").visit(accepted, {"overall": "unverified"}, 1789480000)
    event = json.loads(row[-1])  # type: ignore[arg-type]
    assert verify(json.dumps(event).encode())[0] == 0
    for path, value in (
        (("place", "lat_e7"), 1),
        (("check_in", "fixes", 0, "lon_e7"), 5),
        (("check_in", "verdict", 0), 2),
        (("clocks", "handheld", "utc"), 7),
        (("battery", "mv"), 1),
        (("outcome",), "convenio"),
    ):
        wrong = json.loads(json.dumps(event))
        at = wrong["data"]
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        code, report, _ = verify(json.dumps(wrong).encode())
        assert code == 1
        (found,) = told(report, "event")
        dotted = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)[1:]
        assert found["fields"]["field"] == dotted
    # What is the gateway's own word may differ.
    event["data"]["clocks"]["gateway"] += 5
    event["data"]["parts"]["answers"] = "withheld"
    assert verify(json.dumps(event).encode())[0] == 0


def test_a_wrong_key_is_not_searched_for(verify, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, _ = visit_segment()
    assert cose.parse_first(raw)[0].kid != SIGNER.kid
    code, report, text = verify(raw)
    assert code == 1 and "otro equipo" in text
    assert told(report, "change")[0]["result"] is None

"""Several segments of one log: whole, one taken out, changed, added, forked, or begun anew."""

import base64
import json
from pathlib import Path

import pytest
import typer
from desk_device import DeskDevice, withhold
from ronda_gateway.keys import public_pem
from ronda_protocol import segment, track
from ronda_tools import cli_evidence
from typer.testing import CliRunner


@pytest.fixture
def day() -> tuple[DeskDevice, list[bytes]]:
    device = DeskDevice("eq-1")
    return device, device.day(3)


@pytest.fixture
def verify(tmp_path: Path):
    """Runs `ronda evidence verify FILE… --json` on one file a segment; (exit code, output)."""
    app = typer.Typer()
    app.add_typer(cli_evidence.app, name="evidence")

    def go(device: DeskDevice, raws: list[bytes], *more: str) -> tuple[int, dict, str]:
        key = tmp_path / "k"
        key.write_bytes(public_pem(device.public))
        files = []
        for index, raw in enumerate(raws):
            files.append(str(tmp_path / f"{index}"))
            Path(files[-1]).write_bytes(raw)
        given = ["evidence", "verify", *files, "--key", str(key), *more]
        as_json = CliRunner().invoke(app, [*given, "--json"])
        text = CliRunner().invoke(app, given)
        assert as_json.exit_code == text.exit_code, text.output
        return text.exit_code, json.loads(as_json.stdout), text.stdout

    return go


def codes(report: dict) -> list[str]:
    return [check["code"].removeprefix("evidence.log_") for check in report["chain"]]


def lines(raws: list[bytes]) -> bytes:
    events = [{"data": {"evidence": base64.b64encode(raw).decode()}} for raw in raws]
    return "\n".join(json.dumps(event) for event in events).encode()


def test_a_whole_log_in_any_order(day, verify) -> None:
    device, raws = day
    code, report, text = verify(device, raws[::-1], "--complete")
    assert code == 0 and report["valid"] is True
    assert codes(report) == ["summary"]
    assert report["chain"][0]["fields"]["linked"] == 5
    assert "6 segmentos, del 1 al 6; 5 enlaces comprobados" in text


@pytest.mark.parametrize("taken", range(5))
def test_a_segment_taken_out_is_named(day, verify, taken: int) -> None:
    """But for the last: what was cut from the end shows only against a receipt."""
    device, raws = day
    left = raws[:taken] + raws[taken + 1 :]
    code, report, text = verify(device, left)
    assert code == 0  # it may never have been handed over
    gap = next(check for check in report["chain"] if "gap" in check["code"])
    assert gap["fields"]["log"] == device.log_id.hex()
    assert (gap["fields"]["first"], gap["fields"]["last"]) == (taken + 1, taken + 1)
    assert f"registro {device.log_id.hex()} de eq-1: falta el segmento {taken + 1}" in text
    code, report, _ = verify(device, left, "--complete")
    assert code == 1 and report["valid"] is False


def test_several_in_one_feed_file(day, verify) -> None:
    device, raws = day
    code, report, _ = verify(device, [lines(raws[:2] + raws[4:])], "--all")
    assert code == 0
    gap = next(check for check in report["chain"] if check["code"] == "evidence.log_gap")
    assert (gap["fields"]["first"], gap["fields"]["last"]) == (3, 4)
    code, _, text = verify(device, [lines(raws[:1]), *raws[1:]], "--all", "--complete")
    assert code == 0, text


def test_a_link_that_does_not_fit_and_a_fork(day, verify) -> None:
    device, raws = day
    other = DeskDevice("eq-1", device.log_id, seed=2)
    other.signer = device.signer
    twins = other.day(3)
    code, report, _ = verify(device, [raws[0], raws[1], twins[2]])
    assert code == 1
    assert codes(report) == ["unlinked", "summary"]
    assert report["chain"][0]["fields"]["seq"] == 3
    code, report, _ = verify(device, [raws[0], twins[0]])
    assert code == 1 and codes(report)[0] == "fork"


def claiming(device: DeskDevice, *data: object) -> bytes:
    entries = device.entries(1, 0, 0)
    event = [track.EVENT, device.next_numbers(1)[0], entries[-1][2], track.LOST, list(data)]
    return device.seal_track([*entries, event])


def test_what_the_device_declared_lost_is_told_in_words(day, verify) -> None:
    device, raws = day
    last = claiming(device, 2, 4, "unreadable")
    left = [raws[0], raws[4], raws[5], last]
    code, report, text = verify(device, left, "--complete")
    assert code == 0 and codes(report) == ["lost", "summary"]
    told = report["chain"][0]
    assert told["result"] is None
    assert {k: told["fields"][k] for k in ("first", "last", "by", "reason")} == {
        "first": 2,
        "last": 4,
        "by": 7,
        "reason": "unreadable",
    }
    assert "los segmentos 2 a 4 los declaró perdidos el propio equipo" in text
    # What it does not name is a gap as before; what is its own or still to come it cannot name.
    code, report, _ = verify(device, [raws[0], raws[5], last], "--complete")
    assert code == 1 and codes(report)[:2] == ["lost", "gap_one"]
    more = claiming(device, 8, 9, "hostile")
    device.seal_track()
    after = device.seal_track()
    code, report, _ = verify(device, [*raws, last, more, after], "--complete")
    assert code == 1 and codes(report)[0] == "gap_one"
    # Nobody else's word counts.
    other = DeskDevice("eq-1", device.log_id, seed=3)
    other.seq, other.prev = 6, raws[5][:32]
    code, report, _ = verify(device, [*left[:3], claiming(other, 2, 4, "x")], "--complete")
    assert code == 1 and "lost" not in codes(report)


def test_the_lost_end_of_an_older_log(day, verify) -> None:
    device, raws = day
    previous = [device.log_id, device.seq, device.prev, "format"]
    new = DeskDevice("eq-1", b"new-log!")
    new.signer, new.number = device.signer, device.number
    first = new.seal_track(previous_log=previous)
    second = claiming(new, 6, 6, "unreadable", device.log_id)
    code, report, _ = verify(device, [*raws[:-1], first, second], "--complete")
    assert code == 0 and "lost" in codes(report) and "tail" not in codes(report)


def test_parts_withheld_hurt_no_link(day, verify) -> None:
    device, raws = day
    bare = [withhold(raw, segment.ANSWERS, segment.TRACK) for raw in raws]
    code, report, _ = verify(device, bare, "--complete")
    assert code == 0 and codes(report) == ["summary"]
    # The same segment twice, once with less, is one segment.
    code, report, _ = verify(device, [*raws, *bare], "--complete")
    assert code == 0 and report["chain"][0]["fields"]["count"] == 6


def test_a_log_that_goes_on_from_another(day, verify) -> None:
    device, raws = day
    last, head = device.seq, device.prev
    new = DeskDevice("eq-1", b"new-log!")
    new.signer, new.number = device.signer, device.number
    previous = [device.log_id, last, head, "format"]
    first = new.seal_track(previous_log=previous)
    code, report, _ = verify(device, [*raws, first], "--complete")
    assert code == 0 and "continues" in codes(report)
    code, report, _ = verify(device, [*raws[:-1], first])
    assert code == 1 and "tail" in codes(report)


def test_one_alone_needs_no_company_unless_asked(day, verify) -> None:
    device, raws = day
    code, report, _ = verify(device, [raws[3]])
    assert code == 0 and "chain" not in report
    code, report, _ = verify(device, [raws[3]], "--complete")
    assert code == 1
    assert [check["fields"].get("last") for check in report["chain"]] == [3, 4]

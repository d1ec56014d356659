"""`ronda evidence` proves what it says: every flipped byte shows, withheld parts do not hurt."""

import base64
import json
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from ronda_gateway.keys import public_pem
from ronda_protocol import cbor, cose, reading, segment
from ronda_tools import cli_evidence
from ronda_tools.evidence import examine
from ronda_tools.evidence_file import Held
from sealed import track_segment, visit_segment
from typer.testing import CliRunner, Result


@pytest.fixture
def run(tmp_path: Path):
    """Runs `ronda evidence …` on bytes written to a file, with a device's public key."""
    app = typer.Typer()
    app.add_typer(cli_evidence.app, name="evidence")

    def go(what: str, data: bytes | None, key: bytes | None, *more: str) -> Result:
        file = tmp_path / "evidence"
        if data is not None:
            file.write_bytes(data)
        arguments = ["evidence", what, str(file), *more]
        if key is not None:
            (tmp_path / "key").write_bytes(key)
            arguments += ["--key", str(tmp_path / "key")]
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result

    return go


def event(raw: bytes, **data: object) -> dict[str, object]:
    """A feed event as the gateway makes one."""
    evidence = base64.b64encode(raw).decode()
    body = {"device": "eq-1", "seq": 2, "evidence": evidence, **data}
    return {"specversion": "1.0", "id": "eq-1/0001020304050607/2", "data": body}


def test_a_visit_is_valid_as_bytes_base64_event_and_json_lines(run) -> None:
    raw, signer = visit_segment()
    key = public_pem(signer.public)
    packed = base64.b64encode(raw)
    wrapped = b"\n".join(packed[i : i + 64] for i in range(0, len(packed), 64))
    one = json.dumps(event(raw)).encode()
    alert = json.dumps({"id": "alert/1", "type": "x.alert", "data": {"kind": "gap"}}).encode()
    urlsafe = base64.urlsafe_b64encode(raw).rstrip(b"=")
    pretty = json.dumps(event(raw), indent=2).encode()
    lines = alert + b"\n" + one + b"\n" + one + b"\n"
    for data in (raw, packed, wrapped, urlsafe, one, pretty, lines):
        result = run("verify", data, key)
        assert result.exit_code == 0, result.output
        assert "VÁLIDA: eq-1/0001020304050607/2" in result.output
        assert "No prueba" in result.output


def test_keys_are_taken_as_pem_jwk_and_cose_key(run) -> None:
    raw, signer = visit_segment()

    def text(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    x, y = signer.public[:32], signer.public[32:]
    jwk = json.dumps({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)}).encode()
    for key in (public_pem(signer.public), jwk, cose.cose_key(signer.public)):
        assert run("verify", raw, key).exit_code == 0


def test_every_flipped_byte_shows(run) -> None:
    raw, signer = visit_segment()
    assert examine(Held(raw), signer.public).valid
    for index in range(len(raw)):
        for bit in (0, 7):
            damaged = bytearray(raw)
            damaged[index] ^= 1 << bit
            assert not examine(Held(bytes(damaged)), signer.public).valid, (index, bit)
    damaged = bytearray(raw)
    damaged[len(raw) // 2] ^= 1
    result = run("verify", bytes(damaged), public_pem(signer.public))
    assert result.exit_code == 1
    assert "NO VÁLIDA" in result.output


def test_every_truncation_shows() -> None:
    raw, signer = visit_segment()
    whole = {len(segment.assemble(reading.parse(raw).signed, {}))}
    for length in range(len(raw)):
        report = examine(Held(raw[:length]), signer.public)
        # A cut between two parts is a segment with parts withheld, and says so.
        if report.valid:
            assert report.withheld, length
            whole.add(length)
    assert len(whole) <= 3


def test_withheld_parts_are_named_and_hurt_nothing(run) -> None:
    raw, signer = visit_segment(withhold=(segment.ANSWERS, segment.PROMISE))
    result = run("verify", raw, public_pem(signer.public))
    assert result.exit_code == 0
    assert "parte answers: no está" in result.output
    assert "parte promise: no está" in result.output
    shown = json.loads(run("verify", raw, public_pem(signer.public), "--json").stdout)
    assert shown["withheld"] == ["answers", "promise"]
    assert shown["valid"] is True
    raw, signer = visit_segment(withhold=(segment.EVIDENCE,))
    assert run("verify", raw, public_pem(signer.public)).exit_code == 1


def test_a_track_verifies_too(run) -> None:
    raw, signer = track_segment()
    result = run("verify", raw, public_pem(signer.public))
    assert result.exit_code == 0, result.output
    assert "5 entradas, de la 1 a la 5" in result.output


def test_another_devices_key_is_not_this_evidences(run) -> None:
    raw, _ = visit_segment()
    _, other = visit_segment()
    result = run("verify", raw, public_pem(other.public))
    assert result.exit_code == 1
    assert "otro equipo" in result.output


def test_a_foreign_part_is_refused() -> None:
    raw, signer = visit_segment(withhold=(segment.PROMISE,))
    report = examine(Held(raw + cbor.encode([segment.PROMISE, b"x" * 20])), signer.public)
    assert not report.valid
    report = examine(Held(raw + cbor.encode([9, b"x"])), signer.public)
    assert not report.valid


def test_high_s_is_refused() -> None:
    raw, signer = visit_segment()
    tagged, end = cbor.decode_first(raw)
    r, s = tagged.value[3][:32], int.from_bytes(tagged.value[3][32:], "big")
    high = (int.from_bytes(cose.N, "big") - s).to_bytes(32, "big")
    tagged.value[3] = r + high
    report = examine(Held(cbor.encode(tagged) + raw[end:]), signer.public)
    assert not report.valid
    assert report.checks[0].fields["why"] == "high-s"


def test_an_event_that_tells_another_story_is_refused(run) -> None:
    raw, signer = visit_segment()
    key = public_pem(signer.public)
    for wrong in (
        {**event(raw), "id": "eq-1/0001020304050607/3"},
        event(raw, device="eq-2"),
        event(raw, case_id="C-2"),
    ):
        result = run("verify", json.dumps(wrong).encode(), key)
        assert result.exit_code == 1, result.output
        assert "se firmó" in result.output


def test_several_need_a_choice(run) -> None:
    first, signer = visit_segment()
    second, _ = visit_segment(signer, seq=5, number=9)
    key = public_pem(signer.public)
    other = {**event(second, seq=5), "id": "eq-1/0001020304050607/5"}
    lines = "\n".join(json.dumps(e) for e in (event(first), other)).encode()
    refused = run("verify", lines, key)
    assert refused.exit_code == 2
    assert "--all" in refused.stderr
    assert run("verify", lines, key, "--id", "eq-1/0001020304050607/5").exit_code == 0
    assert run("verify", lines, key, "--id", "nobody").exit_code == 2
    every = run("verify", lines, key, "--all", "--json")
    assert every.exit_code == 0
    assert [e["seq"] for e in json.loads(every.stdout)["evidence"]] == [2, 5]
    damaged = lines + b'\n{"id": "torn'
    assert run("verify", damaged, key, "--all").exit_code == 1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 2),
        (b" \n ", 2),
        (b"{}", 2),
        (b"[1, 2]", 2),
        (b'{"data": {"kind": "alert"}}', 2),
        (b"{" * 100000, 1),
        (b"[" * 100000, 1),
        (bytes(range(256)) * 4, 1),
        (b"\xd2" + b"\x9f" * 1000, 1),
        (b"\xd2\x84" + b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 1),
        (b"aGVsbG8=", 1),
        (b"a", 1),
        (b"hello world, this is no evidence!", 1),
        ("¡hola!".encode(), 1),
        (b"\xd2" * 200000, 1),
        (b'{"data": {"evidence": "\xc3\xa1"}}', 1),
        (b'{"data": {"evidence": "@@@@"}}', 1),
        (b'{"data": [1], "evidence": 5}', 2),
    ],
)
def test_bad_files_end_with_a_line_and_never_a_traceback(run, data: bytes, code: int) -> None:
    _, signer = visit_segment()
    result = run("verify", data, public_pem(signer.public))
    assert result.exit_code == code, result.output
    assert result.output.strip()


def test_bad_paths_and_bad_keys(run, tmp_path: Path) -> None:
    raw, signer = visit_segment()
    key = public_pem(signer.public)
    assert run("verify", None, key).exit_code == 2
    (tmp_path / "evidence").mkdir()
    assert run("verify", None, key).exit_code == 2
    (tmp_path / "evidence").rmdir()
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    foreign = rsa.generate_private_key(65537, 2048).public_key()
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for bad in (
        b"",
        b"\x00\xff" * 50,
        b"x" * 100000,
        private,
        foreign.public_bytes(*pem),
        p384.public_bytes(*pem),
        b"{}",
        b'{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}',
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        cose.cose_key(bytes(64)),
    ):
        result = run("verify", raw, bad)
        assert result.exit_code == 2, (bad[:40], result.output)
        assert result.stderr.strip()


def test_show_tells_the_visit_without_a_key_and_says_it_is_not_verified(run) -> None:
    raw, signer = visit_segment()
    result = run("show", raw, None)
    assert result.exit_code == 0, result.output
    for words in ("Caso C-1", "dentro, a 25,0 m del borde", "PEN 1.250,00", "Nada de esto"):
        assert words in result.output
    assert "Nada de esto" not in run("show", raw, public_pem(signer.public)).output
    data = json.loads(run("show", raw, None, "--json").stdout)
    assert data["visit"]["case_id"] == "C-1"
    assert data["ended"] == "closed"
    assert data["valid"] is False


def test_english(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDA_LANG", "en")
    raw, signer = visit_segment()
    result = run("verify", raw, public_pem(signer.public))
    assert "VALID: eq-1" in result.output
    assert "Not proved" in result.output

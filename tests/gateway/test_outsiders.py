"""Our output in outsiders' hands: COSE by pycose and cwt, and the page docs/verify.md run as it is
printed. CDDL by zcbor is test_cddl.py; CBOR by cbor2 and ECDSA by cryptography are
test_protocol_crypto.py; keys in three forms are test_keys.py."""

import ast
import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cwt import COSE, COSEKey
from cwt.exceptions import VerifyError
from desk_device import DeskDevice, withhold
from pycose.algorithms import Es256
from pycose.headers import KID, Algorithm
from pycose.keys import CoseKey, EC2Key
from pycose.messages import CoseMessage, Sign1Message
from ronda_gateway import fleet, keys, site
from ronda_gateway.packs import cases_pack, trust_pack
from ronda_gateway.store import open_store
from ronda_protocol import cose, issuing, pack, reading, segment
from ronda_tools import cli
from typer.testing import CliRunner

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify.md"
NOW = 1789480000
PROMISE = {"currency": "PEN", "kind": 1, "pairs": [[125000, 20260930]], "who": "titular"}


def messages() -> list[tuple[str, bytes, keys.Signer]]:
    """One COSE_Sign1 of every kind that we sign, with its signer."""
    device, gateway, root = DeskDevice(), keys.make(), keys.make()
    case = {"case_id": "C-1", "portfolio": "banco-a", "creditor": "A", "order": 1}
    case |= {"place": [1, 1, 0, -121191427, -770349046, 300], "currency": "PEN"}
    log = device.log_id
    told = issuing.encode_receipt(device.id, log, 0, bytes(32), [], [], NOW, bytes(8))
    again = issuing.encode_resend(device.id, log, 1, 2, bytes(8))
    trust = trust_pack(root, [(gateway.public, pack.GATEWAY)], NOW)
    cases = cases_pack(gateway, device.id, "r-1", [case], NOW, NOW + 86400)
    return [
        ("track", reading.parse(device.seal_track()).signed, device.signer),
        ("visit", reading.parse(device.seal_visit()).signed, device.signer),
        ("receipt", cose.sign(told, gateway), gateway),
        ("resend", cose.sign(again, gateway), gateway),
        ("trust", trust[: cose.parse_first(trust, 0)[1]], root),
        ("cases", cases[: cose.parse_first(cases, 0)[1]], gateway),
    ]


MESSAGES = messages()
every = pytest.mark.parametrize(
    ("message", "signer"), [m[1:] for m in MESSAGES], ids=[m[0] for m in MESSAGES]
)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@every
def test_pycose_verifies_it(message: bytes, signer: keys.Signer) -> None:
    key = CoseKey.decode(cose.cose_key(signer.public))
    assert isinstance(key, EC2Key)
    decoded = CoseMessage.decode(message)
    assert isinstance(decoded, Sign1Message)
    assert decoded.phdr == {Algorithm: Es256, KID: signer.kid}
    assert decoded.uhdr == {}
    assert decoded.payload == cose.parse(message).payload
    decoded.key = key
    assert decoded.verify_signature()
    for at in (message.index(decoded.payload) + 3, len(message) - 1):
        changed = CoseMessage.decode(flipped(message, at))
        changed.key = key
        assert not changed.verify_signature()
    decoded.key = CoseKey.decode(cose.cose_key(keys.make().public))
    assert not decoded.verify_signature()


@every
def test_cwt_verifies_it(message: bytes, signer: keys.Signer) -> None:
    key = COSEKey.from_pem(keys.public_pem(signer.public), kid=signer.kid, alg="ES256")
    payload = cose.parse(message).payload
    assert COSE.new().decode(message, key) == payload
    with pytest.raises(VerifyError):
        COSE.new().decode(flipped(message, len(message) - 1), key)
    with pytest.raises(VerifyError):
        COSE.new().decode(flipped(message, message.index(payload) + 3), key)


def test_we_verify_what_pycose_and_cwt_sign() -> None:
    """Where they give a high s it is refused as such: we take one form only."""
    signer = keys.make()
    key = serialization.load_pem_private_key(signer.pem(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    cose_key = EC2Key(crv="P_256", x=signer.public[:32], y=signer.public[32:], d=secret)
    cwt_key = COSEKey.from_pem(signer.pem(), kid=signer.kid, alg="ES256")
    half = int.from_bytes(cose.HALF_N, "big")
    low = [0, 0]
    for turn in range(16):  # pycose signs deterministically: other payloads, other signatures
        payload = bytes([turn])
        theirs = Sign1Message(phdr={Algorithm: Es256, KID: signer.kid}, payload=payload)
        theirs.key = cose_key
        protected = {1: -7, 4: signer.kid}
        by_cwt = COSE.new().encode_and_sign(payload, cwt_key, protected)
        for who, message in enumerate((theirs.encode(), by_cwt)):
            if int.from_bytes(message[-32:], "big") > half:
                with pytest.raises(cose.CoseError, match="high-s"):
                    cose.parse(message)
                continue
            sign1 = cose.parse(message)
            assert sign1.payload == payload
            assert cose.verify(sign1, signer.public, keys.verify_digest)
            low[who] += 1
    assert min(low) > 0


def test_a_handhelds_key_in_three_forms(tmp_path: Path) -> None:
    """`ronda fleet show --key` prints what cryptography, cwt and pycose read, and we ourselves."""
    device = DeskDevice()
    made = site.init(tmp_path / "s", "lima", port=1, now=NOW)
    with closing(open_store(made.settings.database_path)) as store:
        fleet.enrol(store, device.id, device.public, NOW)

    def show(*more: str) -> bytes:
        given = ["fleet", "show", device.id, "--config", str(made.config), *more]
        done = CliRunner().invoke(cli.build(given), given)
        assert done.exit_code == 0, done.output
        return done.stdout_bytes

    forms = {form: show("--key", form) for form in ("pem", "jwk", "cose")}
    for raw in forms.values():
        assert keys.load_public(raw) == device.public
    pem = serialization.load_pem_public_key(forms["pem"])
    assert isinstance(pem, ec.EllipticCurvePublicKey)
    assert keys.public_bytes(pem) == device.public
    message = reading.parse(device.seal_visit()).signed
    jwk = json.loads(forms["jwk"])
    assert jwk["kid"] == device.signer.kid.hex()
    fields = cbor2.loads(forms["cose"])
    for theirs in (
        COSEKey.from_jwk({**jwk, "kid": device.signer.kid, "alg": "ES256"}),
        COSEKey.new({**fields, 2: device.signer.kid, 3: -7}),
        COSEKey.from_pem(forms["pem"], kid=device.signer.kid, alg="ES256"),
    ):
        assert COSE.new().decode(message, theirs) == cose.parse(message).payload
    decoded = CoseMessage.decode(message)
    decoded.key = CoseKey.decode(forms["cose"])
    assert decoded.verify_signature()
    told = json.loads(show("--key", "cose", "--json"))
    assert bytes.fromhex(told["key"]) == forms["cose"]
    assert told["kid"] == device.signer.kid.hex()
    assert json.loads(show("--key", "jwk", "--json"))["key"] == jwk
    for wrong in (["--key", "der"], ["--key", ""]):
        given = ["fleet", "show", device.id, "--config", str(made.config), *wrong]
        assert CliRunner().invoke(cli.build(given), given).exit_code == 2
    given = ["fleet", "show", "nobody", "--key", "pem", "--config", str(made.config)]
    done = CliRunner().invoke(cli.build(given), given)
    assert done.exit_code == 2 and "nobody" in done.stderr


# ---- the page -----------------------------------------------------------------------------------


def program() -> str:
    """The program on the page."""
    (found,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    return found


def test_the_program_is_short_and_needs_two_packages_only() -> None:
    text = program()
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 99
    roots = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            roots |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").split(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"cbor2", "cryptography"}


@pytest.fixture(scope="module")
def sealed() -> tuple[bytes, bytes]:
    """(a visit with answers and a promise, its device's key as PEM)."""
    device = DeskDevice()
    device.seal_track()
    raw = device.seal_visit(promise={**PROMISE, "limits": 1})
    return raw, keys.public_pem(device.public)


Run = Callable[[bytes, bytes], subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the page's program in a process of its own on an evidence and a key."""

    def go(data: bytes, pem: bytes) -> subprocess.CompletedProcess[str]:
        for name, content in (("verify.py", program().encode()), ("e", data), ("k.pem", pem)):
            (tmp_path / name).write_bytes(content)
        command = [sys.executable, "-I", "verify.py", "e", "k.pem"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return go


def event(raw: bytes, name: str = "evidence") -> bytes:
    data = {"case_id": "C-1", name: base64.b64encode(raw).decode()}
    return json.dumps({"specversion": "1.0", "type": "ronda.visit", "data": data}).encode()


def test_it_verifies_every_form_of_evidence(sealed: tuple[bytes, bytes], run: Run) -> None:
    raw, pem = sealed
    chain = reading.parse(raw).chain_hash().hex()
    forms = (raw, base64.b64encode(raw), base64.encodebytes(raw), event(raw), event(raw, "sealed"))
    for data in forms:
        done = run(data, pem)
        assert done.returncode == 0, done.stderr
        assert "VALID: 'desk-01'/" in done.stdout
        assert chain in done.stdout
        assert done.stdout.count("as signed") == 3
    assert run(withhold(raw), pem).returncode == 0


def test_parts_may_be_withheld(sealed: tuple[bytes, bytes], run: Run) -> None:
    raw, pem = sealed
    done = run(withhold(raw, segment.ANSWERS, segment.PROMISE), pem)
    assert done.returncode == 0, done.stderr
    assert "part answers: withheld" in done.stdout
    assert "part promise: withheld" in done.stdout


def test_it_refuses_another_key_and_a_changed_byte(
    sealed: tuple[bytes, bytes], run: Run, tmp_path: Path
) -> None:
    raw, pem = sealed
    done = run(raw, keys.public_pem(keys.make().public))
    assert done.returncode == 1
    assert "NOT VALID" in done.stderr and "another key" in done.stderr
    done = run(flipped(raw, len(raw) - 3), pem)
    assert done.returncode == 1
    assert "part promise is not the one that was signed" in done.stderr
    done = run(raw, b"no key")
    assert done.returncode == 1 and "NOT VALID" in done.stderr


def test_every_changed_byte_is_refused(sealed: tuple[bytes, bytes]) -> None:
    """In this process, for speed: the same program up to where it reads its arguments."""
    raw, pem = sealed
    scope: dict[str, object] = {"print": lambda *_: None}
    exec(compile(program().split("\ntry:\n")[0], str(PAGE), "exec"), scope)
    verify = scope["verify"]
    assert callable(verify)
    verify(raw, pem)
    for at in range(len(raw)):
        for bit in (0x01, 0x20, 0x80, 0xFF):
            changed = raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]
            with pytest.raises(Exception):  # noqa: B017
                verify(changed, pem)
    for length in range(len(raw)):
        try:
            verify(raw[:length], pem)
        except Exception:
            continue
        # A cut between parts is a segment with parts withheld, and printed as such.
        assert reading.parse(raw[:length]).withheld

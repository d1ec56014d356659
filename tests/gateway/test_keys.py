"""Key files in every form, and everything that is no key: one clear problem each."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from ronda_gateway import keys
from ronda_gateway.wording import SetupError
from ronda_protocol import cose

PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.PrivateFormat.PKCS8
CLEAR = serialization.NoEncryption()


def jwk(public: bytes, **changes: object) -> bytes:
    def b64(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    value: dict[str, object] = {"kty": "EC", "crv": "P-256"}
    value |= {"x": b64(public[:32]), "y": b64(public[32:])}
    return json.dumps(value | changes).encode()


def test_one_public_key_in_three_forms(tmp_path: Path) -> None:
    public = keys.make().public
    file = tmp_path / "k"
    for form in (keys.public_pem(public), jwk(public), cose.cose_key(public)):
        assert keys.load_public(form) == public
        file.write_bytes(form)
        assert keys.load_public(file) == keys.load_public(str(file)) == public
    assert keys.load_public(b"\r\n" + keys.public_pem(public) + b"\n\n") == public


def test_a_private_key_signs_what_the_public_one_verifies(tmp_path: Path) -> None:
    made = keys.make()
    file = tmp_path / "k.pem"
    file.write_bytes(made.pem())
    signer = keys.load_private(file)
    assert signer.kid == made.kid == cose.kid(made.public)
    sign1 = cose.parse(cose.sign(b"payload", signer))
    assert cose.verify(sign1, made.public, keys.verify_digest)
    assert not cose.verify(sign1, keys.make().public, keys.verify_digest)


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, b"", b"\x01", bytes(32) + b"\1"])
def test_hostile_signatures_are_false(signature: bytes) -> None:
    assert keys.verify_digest(keys.make().public, bytes(32), signature) is False
    assert keys.verify_digest(bytes(64), bytes(32), signature) is False


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def wrong_publics() -> list[tuple[bytes, str]]:
    public = keys.make().public
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(PEM, SPKI)
    edwards = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(PEM, SPKI)
    return [
        (b"", "key-empty"),
        (b" \n\n", "key-empty"),
        (bytes(range(256)), "key-format"),
        (b"x" * 20000, "key-too-big"),
        (b"-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n", "key-format"),
        (b"-----BEGIN PUBLIC KEY-----", "key-format"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "key-format"),
        (keys.public_pem(public)[:90], "key-format"),
        (p384, "key-not-p256"),
        (edwards, "key-not-p256"),
        (rsa_key().public_key().public_bytes(PEM, SPKI), "key-not-p256"),
        (keys.make().pem(), "key-private-given"),
        (jwk(public, d="AAAA"), "key-private-given"),
        (jwk(public, crv="P-384"), "key-not-p256"),
        (jwk(public, kty="RSA"), "key-not-p256"),
        (jwk(public, x="short"), "key-format"),
        (jwk(public, x=7), "key-format"),
        (jwk(public, y="A" * 43), "key-format"),
        (b"{", "key-format"),
        (b"{" * 15000, "key-format"),
        (cose.cose_key(public)[:-1], "key-format"),
        (cose.cose_key(bytes(64)), "key-format"),
    ]


@pytest.mark.parametrize(("raw", "code"), wrong_publics())
def test_what_is_no_public_key(raw: bytes, code: str) -> None:
    with pytest.raises(SetupError) as caught:
        keys.load_public(raw, where="--key")
    (found,) = caught.value.problems
    assert found.code == code
    assert "--key" in found.text("es") and "--key" in found.text("en")


def test_what_is_no_private_key(tmp_path: Path) -> None:
    password = serialization.BestAvailableEncryption(b"secret")
    private = ec.generate_private_key(ec.SECP256R1())
    cases = [
        (private.private_bytes(PEM, PKCS8, password), "key-encrypted"),
        (keys.public_pem(keys.make().public), "key-public-given"),
        (rsa_key().private_bytes(PEM, PKCS8, CLEAR), "key-not-p256"),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(PEM, PKCS8, CLEAR),
            "key-not-p256",
        ),
        (b"\x00\x01", "key-format"),
        (b"", "key-empty"),
    ]
    for raw, code in cases:
        with pytest.raises(SetupError) as caught:
            keys.load_private(raw)
        assert caught.value.problems[0].code == code
    with pytest.raises(SetupError) as caught:
        keys.load_private(tmp_path / "absent.pem", where="keys.gateway")
    assert caught.value.problems[0].code == "key-missing"
    with pytest.raises(SetupError) as caught:
        keys.load_public(tmp_path)
    assert caught.value.problems[0].code == "key-unreadable"


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "k.pem"
    file.write_bytes(keys.make().pem())
    file.chmod(0o600)
    assert not keys.exposed(file)
    file.chmod(0o640)
    assert keys.exposed(file)
    assert not keys.exposed(tmp_path / "absent")

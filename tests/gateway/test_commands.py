"""Commands of the back office: only what an office key signed, for us, now, and once."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import feed_schemas
import pytest
from conftest import NOW, Bench
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ronda_gateway import check, commands, keys, packs, schemas, site
from ronda_gateway.commands import OfficeKeys, Refused, read_confirm
from ronda_gateway.keys import Signer
from ronda_gateway.settings import Settings
from ronda_gateway.wording import SetupError
from ronda_protocol import issuing, pack
from ronda_tools.feed_confirm import batches, command

ROOT = "ronda/lima"
IDS = ["desk-01/0badcafe00112233/7", "alert/gap/x"]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(
    signer: Signer, claims: object, header: dict[str, Any] | None = None, **more: Any
) -> bytes:
    """A flattened JWS without the library that reads it (RFC 7515 §5.1)."""
    protected = b64(
        json.dumps(
            {"alg": "ES256", "kid": signer.kid.hex()} if header is None else header
        ).encode()
    )
    payload = b64(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    key = load_pem_private_key(signer.pem(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(
        key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    )
    signature = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    told = {"protected": protected, "payload": payload, "signature": signature}
    return json.dumps(told | more).encode()


def claims(**more: object) -> dict[str, object]:
    told = {"cmd": "confirm", "aud": ROOT, "iat": NOW, "exp": NOW + 300, "jti": "j" * 12}
    return {**told, "ids": IDS, **more}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> site.Site:
    return site.init(tmp_path_factory.mktemp("s") / "site", "lima", now=NOW)


@pytest.fixture(scope="module")
def office(made: site.Site) -> OfficeKeys:
    return OfficeKeys(made.settings.trust_path)


def refusal(raw: bytes, office: OfficeKeys | None, now: int = NOW, unsigned: bool = False) -> str:
    with pytest.raises(Refused) as caught:
        read_confirm(raw, ROOT, office, now, unsigned=unsigned)
    assert caught.value.reason in commands.REASONS
    return caught.value.reason


def test_what_the_office_signed_is_obeyed(made: site.Site, office: OfficeKeys) -> None:
    signer = made.signer("office")
    for raw in (command(signer, ROOT, IDS, NOW), by_hand(signer, claims())):
        found = read_confirm(raw, ROOT, office, NOW, unsigned=False)
        assert found.ids == tuple(IDS) and found.kid == signer.kid.hex() and found.exp > NOW
        assert feed_schemas.validator("confirm").is_valid(json.loads(raw))
    twice = by_hand(signer, claims(ids=[*IDS, *IDS]))
    assert read_confirm(twice, ROOT, office, NOW, unsigned=False).ids == tuple(IDS)


def test_the_schema_says_what_the_parts_hold(made: site.Site) -> None:
    signed = schemas.schema("confirm")["anyOf"][0]["properties"]
    shared = {"$defs": schemas.schema("confirm")["$defs"]}
    raw = json.loads(command(made.signer("office"), ROOT, IDS, NOW))
    for part in ("payload", "protected"):
        inner = Draft202012Validator({**signed[part]["contentSchema"], **shared})
        told = json.loads(base64.urlsafe_b64decode(raw[part] + "=="))
        assert list(inner.iter_errors(told)) == []
        assert not inner.is_valid({**told, "ids": [], "alg": "none"})


Change = Callable[[Signer], bytes]
HOSTILE: dict[str, list[Change]] = {
    commands.NOT_JSON: [
        lambda s: b"",
        lambda s: b"\xff\x00",
        lambda s: b"[]",
        lambda s: b"[" * 60000,
        lambda s: b"1" * 5000,
        lambda s: by_hand(s, claims())[:-1],
    ],
    commands.TOO_BIG: [lambda s: b"{" + b" " * commands.MAX_BYTES],
    commands.UNSIGNED: [lambda s: b"{}", lambda s: json.dumps(claims()).encode()],
    commands.FORM: [
        lambda s: b'{"payload":1,"protected":2,"signature":3}',
        lambda s: b'{"payload":"","protected":"","signature":"\xc3\xb1"}',
        lambda s: by_hand(s, claims(), header={}),
        lambda s: by_hand(s, claims(), header={"alg": "ES256"}),
        lambda s: by_hand(s, claims(), header={"alg": "ES256", "kid": 7}),
        lambda s: by_hand(s, claims(), header={"kid": s.kid.hex()}),
        lambda s: by_hand(
            s,
            claims(),
            header={"alg": "ES256", "kid": s.kid.hex(), "jwk": keys.public_jwk(s.public)},
        ),
        lambda s: by_hand(
            s, claims(), header={"alg": "ES256", "kid": s.kid.hex(), "crit": ["b64"], "b64": False}
        ),
        # A kid or alg outside of what is signed.
        lambda s: by_hand(s, claims(), header={"alg": "ES256"}, header_={}),
        lambda s: by_hand(s, claims(), unprotected={"kid": s.kid.hex()}),
        lambda s: json.dumps({"payload": "e30", "signatures": []}).encode(),
    ],
    commands.ALGORITHM: [
        lambda s, alg=alg: by_hand(s, claims(), header={"alg": alg, "kid": s.kid.hex()})
        for alg in ("none", "None", "HS256", "ES384", "RS256", "es256")
    ]
    + [lambda s: by_hand(s, claims(), header={"alg": ["ES256"], "kid": s.kid.hex()})],
    commands.UNKNOWN_KEY: [
        lambda s: by_hand(keys.make(), claims()),
        lambda s: by_hand(s, claims(), header={"alg": "ES256", "kid": "\ud800" * 16}),
        lambda s: by_hand(s, claims(), header={"alg": "ES256", "kid": s.kid.hex().upper() + "'"}),
    ],
    commands.SIGNATURE: [
        lambda s: by_hand(keys.make(), claims(), header={"alg": "ES256", "kid": s.kid.hex()}),
        lambda s: by_hand(s, claims()).replace(b'"signature": "', b'"signature": "AAAA'),
        lambda s: json.dumps({**json.loads(by_hand(s, claims())), "signature": ""}).encode(),
        lambda s: json.dumps({**json.loads(by_hand(s, claims())), "signature": "A" * 86}).encode(),
        lambda s: json.dumps({**json.loads(by_hand(s, claims())), "payload": "e30"}).encode(),
        lambda s: json.dumps({**json.loads(by_hand(s, claims())), "payload": "%%"}).encode(),
    ],
    commands.CLAIMS: [
        lambda s: by_hand(s, b"\xff"),
        lambda s: by_hand(s, b""),
        lambda s: by_hand(s, []),
        lambda s: by_hand(s, {}),
        lambda s: by_hand(s, claims(cmd="wipe")),
        lambda s: by_hand(s, claims(jti="short")),
        lambda s: by_hand(s, claims(jti="with spaces")),
        lambda s: by_hand(s, claims(jti=["j" * 12])),
        lambda s: by_hand(s, claims(iat=True)),
        lambda s: by_hand(s, claims(iat=NOW + 0.5)),
        lambda s: by_hand(s, claims(exp=-1)),
        lambda s: by_hand(s, claims(exp=10**30)),
        lambda s: by_hand(s, claims(ids=[])),
        lambda s: by_hand(s, claims(ids="x")),
        lambda s: by_hand(s, claims(ids=[1])),
        lambda s: by_hand(s, claims(ids=["x" * 161])),
        lambda s: by_hand(s, claims(ids=["\ud800"])),
        lambda s: by_hand(s, claims(ids=[f"i{n}" for n in range(501)])),
    ],
    commands.AUDIENCE: [lambda s: by_hand(s, claims(aud="ronda/quito"))],
    commands.EXPIRED: [lambda s: by_hand(s, claims(iat=NOW - 400, exp=NOW - 61))],
    commands.FUTURE: [lambda s: by_hand(s, claims(iat=NOW + 61, exp=NOW + 90))],
    commands.LIFE: [
        lambda s: by_hand(s, claims(exp=NOW)),
        lambda s: by_hand(s, claims(exp=NOW + 86401)),
    ],
}


@pytest.mark.parametrize("reason", sorted(HOSTILE))
def test_whatever_else_comes_is_refused(reason: str, made: site.Site, office: OfficeKeys) -> None:
    for make in HOSTILE[reason]:
        assert refusal(make(made.signer("office")), office) == reason


def test_every_reason_is_tried() -> None:
    elsewhere = {commands.RETAINED, commands.ROLE, commands.REVOKED, commands.KEY_TIME}
    assert set(HOSTILE) | elsewhere | {commands.REPLAYED} == set(commands.REASONS)


@pytest.mark.parametrize("name", ["gateway", "release"])
def test_another_role_may_not(name: str, made: site.Site, office: OfficeKeys) -> None:
    assert refusal(by_hand(made.signer(name), claims()), office) == commands.ROLE


def trust(made: site.Site, office_key: Signer, now: int, *, revoked: bool, end: int) -> bytes:
    """A newer trust pack with one office key."""
    root = made.signer("root")
    listed = [[office_key.public, pack.OFFICE, NOW - 1000, end, revoked]]
    body = issuing.encode_trust(root.public, listed)
    manifest = pack.Manifest(pack.TRUST, pack.SITE, "trust", now, NOW - 1000, NOW + 10**8)
    return issuing.seal(manifest, body, root)


def put(path: Path, raw: bytes, at: int) -> None:
    path.write_bytes(raw)
    os.utime(path, ns=(at, at))


def test_a_newer_trust_pack_counts_at_once(tmp_path: Path) -> None:
    made = site.init(tmp_path / "site", "lima", now=NOW)
    path = made.settings.trust_path
    signer, other = made.signer("office"), keys.make()
    office = OfficeKeys(path)
    assert office.offices == 1
    put(path, trust(made, signer, NOW + 1, revoked=True, end=NOW + 10**6), 10**9)
    assert refusal(by_hand(signer, claims()), office) == commands.REVOKED
    assert office.offices == 0
    put(path, trust(made, signer, NOW + 2, revoked=False, end=NOW - 1), 2 * 10**9)
    assert refusal(by_hand(signer, claims()), office) == commands.KEY_TIME
    put(path, trust(made, other, NOW + 3, revoked=False, end=NOW + 10**6), 3 * 10**9)
    assert refusal(by_hand(signer, claims()), office) == commands.UNKNOWN_KEY
    assert read_confirm(by_hand(other, claims()), ROOT, office, NOW, unsigned=False)
    # Rubbish, another's pack or no file at all: what was good stays in force.
    stranger = keys.make()
    listed = [(stranger.public, pack.OFFICE)]
    forged = bytearray(packs.trust_pack(stranger, listed, NOW))
    forged[40] ^= 1
    for at, raw in enumerate((b"", b"\xa0", bytes(forged)), 4):
        put(path, raw, at * 10**9)
        assert read_confirm(by_hand(other, claims()), ROOT, office, NOW, unsigned=False)
    path.unlink()
    assert read_confirm(by_hand(other, claims()), ROOT, office, NOW, unsigned=False)
    with pytest.raises(SetupError) as caught:
        OfficeKeys(path)
    assert caught.value.problems[0].code == "trust-unreadable"


def test_the_edges_of_time(made: site.Site, office: OfficeKeys) -> None:
    signer = made.signer("office")
    for told in (
        claims(iat=NOW + 60, exp=NOW + 61),
        claims(iat=NOW - 400, exp=NOW - 60),
        claims(exp=NOW + 86400),
    ):
        assert read_confirm(by_hand(signer, told), ROOT, office, NOW, unsigned=False)


def test_unsigned_only_where_it_was_allowed(made: site.Site, office: OfficeKeys) -> None:
    plain = command(None, ROOT, IDS)
    assert refusal(plain, office) == commands.UNSIGNED
    assert feed_schemas.validator("confirm").is_valid(json.loads(plain))
    found = read_confirm(plain, ROOT, None, NOW, unsigned=True)
    assert found == (tuple(IDS), "", "", 0)
    # A signature that is there must be right all the same.
    forged = by_hand(keys.make(), claims())
    assert refusal(forged, office, unsigned=True) == commands.UNKNOWN_KEY
    assert refusal(forged, None, unsigned=True) == commands.UNKNOWN_KEY
    assert refusal(b'{"ids":[]}', None, unsigned=True) == commands.CLAIMS


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200) | st.text().map(str.encode) | st.just(b"{}"), data=st.data())
def test_any_bytes_are_a_command_or_refused(
    raw: bytes, data: st.DataObject, made: site.Site, office: OfficeKeys
) -> None:
    good = bytearray(command(made.signer("office"), ROOT, IDS, NOW))
    for _ in range(data.draw(st.integers(0, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    for tried in (raw, bytes(good)):
        for unsigned in (False, True):
            try:
                found = read_confirm(tried, ROOT, office, NOW, unsigned=unsigned)
            except Refused as why:
                assert why.reason in commands.REASONS
            else:
                assert found.ids


def changed(found: Settings, **sections: dict[str, Any]) -> Settings:
    for section, values in sections.items():
        part = getattr(found, section).model_copy(update=values)
        found = found.model_copy(update={section: part}).at(found.folder)
    return found


def test_check_refuses_unsigned_commands_beyond_loopback(bench: Bench) -> None:
    def codes(**sections: dict[str, Any]) -> list[str]:
        return [p.code for p in check.check(changed(bench.settings, **sections)).problems]

    on = {"unsigned": True}
    assert codes(commands=on) == []
    assert codes(commands=on, broker={"host": "10.0.0.1"}) == ["commands-not-loopback"]
    away = {"host": "mqtt.example", "port": 1883}
    assert codes(commands=on, feed=away) == ["commands-not-loopback"]
    assert codes(feed={"confirm": True}) == []
    assert codes(feed={"confirm": True}, keys={"trust": "none"}) == ["trust-unreadable"]
    # Unsigned ones need no keys.
    assert codes(feed={"confirm": True}, commands=on, keys={"trust": "none"}) == []


def test_batches_hold_each_id_once() -> None:
    assert batches(["a", "b", "a", "c"], 2) == [["a", "b"], ["c"]]

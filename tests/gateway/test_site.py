"""A site's folder: all of it or nothing, keys guarded, trust as the handheld will check it."""

import shutil
import stat
from pathlib import Path

import pytest
from ronda_gateway import keys, packs, site, store
from ronda_gateway.wording import SetupError
from ronda_protocol import bodies, cose, pack

NOW = 1789477200


def code(caught: pytest.ExceptionInfo[SetupError]) -> str:
    return caught.value.problems[0].code


def test_a_site_and_its_trust_pack(tmp_path: Path) -> None:
    made = site.init(tmp_path / "deep" / "s", "lima", "broker.example", 8883, NOW)
    assert (made.name, made.settings.broker.host, made.settings.broker.port) == (
        "lima",
        "broker.example",
        8883,
    )
    sealed = pack.parse(made.trust_pack)
    assert cose.verify(sealed.sign1, made.root_public, keys.verify_digest)
    assert cose.thumbprint(made.root_public) == made.root_thumbprint
    assert sealed.manifest.pack_type == pack.TRUST and sealed.manifest.version == NOW
    root, listed = bodies.decode_trust(sealed.body)
    assert root == made.root_public == made.signer("root").public
    roles = {key[1]: key[2] for key in listed}
    assert roles == {
        made.signer("gateway").public: pack.GATEWAY,
        made.signer("office").public: pack.OFFICE,
        made.signer("release").public: pack.RELEASE,
    }
    assert all(key[3] <= NOW <= key[4] and key[5] is False for key in listed)
    assert len(set(made.kids)) == 4
    for file in made.folder.rglob("*.pem"):
        public = file.name.endswith(".pub.pem")
        assert stat.S_IMODE(file.stat().st_mode) == (0o644 if public else 0o600), file
    store.open_store(made.settings.database_path).close()
    # The offline keys are taken away; the rest works on.
    shutil.rmtree(made.folder / "offline")
    assert site.load(made.folder).kids == made.kids
    with pytest.raises(SetupError) as caught:
        made.signer("root")
    assert code(caught) == "key-missing"


def test_a_cases_pack_for_one_device(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=NOW)
    case = {
        "case_id": "C-1",
        "portfolio": "banco-a",
        "creditor": "banco-a",
        "place": [1, 1, 0, -121191427, -770349046, 300],
        "order": 1,
        "currency": "PEN",
    }
    raw = packs.cases_pack(made.signer(), "desk-01", "R-1", [case], NOW, NOW + 86400)
    sealed = pack.parse(raw)
    assert cose.verify(sealed.sign1, made.signer().public, keys.verify_digest)
    assert sealed.manifest.scope == "desk-01" and sealed.manifest.not_after == NOW + 86400
    assert pack.decode_cases(sealed.body) == ("R-1", NOW, NOW + 86400, [case])
    again = packs.cases_pack(
        made.signer(), "desk-01", "R-1", [], NOW - 50, NOW, last_version=sealed.manifest.version
    )
    assert pack.parse(again).manifest.version == sealed.manifest.version + 1


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "note").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (used, file):
        with pytest.raises(SetupError) as caught:
            site.init(folder, "lima", now=NOW)
        assert code(caught) == "site-exists"
    empty = tmp_path / "empty"
    empty.mkdir()
    site.init(empty, "lima", now=NOW)
    with pytest.raises(SetupError):
        site.init(empty, "lima", now=NOW)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "used"]


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("Lima", "127.0.0.1", 1883),
        ("", "127.0.0.1", 1883),
        ("a/b", "127.0.0.1", 1883),
        ("x" * 25, "127.0.0.1", 1883),
        ("lima", 'a"\nport = 2', 1883),
        ("lima", "", 1883),
        ("lima", "127.0.0.1", 0),
        ("lima", "127.0.0.1", 70000),
    ],
)
def test_wrong_arguments_make_nothing(tmp_path: Path, name: str, host: str, port: int) -> None:
    with pytest.raises(SetupError):
        site.init(tmp_path / "s", name, host, port, NOW)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(SetupError) as caught:
        site.init(file / "s", "lima", now=NOW)
    assert code(caught) == "site-cannot-write"


def test_a_damaged_site(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=NOW)
    whole = made.trust_pack
    for raw in (b"", whole[:-1], bytes(100), whole[:40] + b"\x00" + whole[41:]):
        (made.folder / "trust.pack").write_bytes(raw)
        with pytest.raises(SetupError) as caught:
            site.load(made.folder)
        assert code(caught) == "site-broken"
    (made.folder / "trust.pack").unlink()
    with pytest.raises(SetupError):
        site.load(made.folder)

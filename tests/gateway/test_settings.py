"""gateway.toml: every wrong setting explained at once, every setting documented."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from ronda_gateway import check, settings, site
from ronda_gateway.settings import Settings
from ronda_gateway.settings_words import SPANISH
from ronda_gateway.wording import TEXTS, Problem, SetupError, say


def problems(path: Path) -> list[str]:
    with pytest.raises(SetupError) as caught:
        settings.load(path)
    for problem in caught.value.problems:
        assert problem.text("es") and problem.text("en")
    return [problem.code for problem in caught.value.problems]


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults_and_paths(tmp_path: Path) -> None:
    found = settings.load(written(tmp_path, '[site]\nname = "lima"\n'))
    assert found.topic_root == "ronda/lima"
    assert found.client_id == "ronda-gateway-lima"
    assert found.database_path == tmp_path / "gateway.db"
    assert found.key_path == tmp_path / "keys" / "gateway.pem"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[site]\nname = "lima"\n[broker]\nhost = "a.example"\nport = 1\n')
    monkeypatch.setenv("RONDA_BROKER__PORT", "2")
    monkeypatch.setenv("RONDA_LANG", "en")
    monkeypatch.setenv("RONDA_CONFIG", "x")
    found = settings.load(path)
    assert (found.broker.host, found.broker.port) == ("a.example", 2)
    monkeypatch.setenv("RONDA_BROKER__PORT", "many")
    assert problems(path) == ["setting-wrong"]
    assert settings.load_around(path)[0] is None
    monkeypatch.setenv("RONDA_BROKER", "{broken")
    monkeypatch.setenv("RONDA_FEED", "too")
    assert problems(path) == ["environment-wrong", "environment-wrong"]
    assert settings.load_around(path)[0] is None


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [site]
        name = "Lima Centro"
        [broker]
        host = ""
        port = 99999
        topic_root = "ronda/+/x"
        embedded = "perhaps"
        colour = 1
        [ingest]
        group = 0
        [nonsense]
        a = 1
        """,
    )
    with pytest.raises(SetupError) as caught:
        settings.load(path)
    where = {str(p.fields["where"]): p.code for p in caught.value.problems}
    assert where == {
        "site.name": "setting-wrong",
        "broker.host": "setting-wrong",
        "broker.port": "setting-wrong",
        "broker.topic_root": "setting-wrong",
        "broker.embedded": "setting-wrong",
        "broker.colour": "setting-unknown",
        "ingest.group": "setting-wrong",
        "nonsense": "setting-unknown",
    }


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", ["setting-missing"]),
        ("site = 3", ["setting-wrong"]),
        ("[site]", ["setting-missing"]),
        ("[site\nname", ["config-not-toml"]),
        ("a = " + "[" * 5000, ["config-not-toml"]),
        ("a = " + "9" * 5000, ["config-not-toml"]),
        (bytes(range(256)), ["config-not-text"]),
        (b"\x00" * 100, ["config-not-toml"]),
        (b"#" * (2 << 20), ["config-too-big"]),
    ],
)
def test_hostile_files(tmp_path: Path, text: str | bytes, codes: list[str]) -> None:
    assert problems(written(tmp_path, text)) == codes


def test_no_file_or_a_folder(tmp_path: Path) -> None:
    assert problems(tmp_path / "absent.toml") == ["config-missing"]
    assert problems(tmp_path) == ["config-unreadable"]


def test_every_setting_is_documented() -> None:
    for section, field in Settings.model_fields.items():
        assert field.description
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, inner in kind.model_fields.items():
            described = inner.description or ""
            assert len(described) > 10 and described.endswith("."), f"{section}.{name}"
            assert settings.describe(f"{section}.{name}") == described


def test_every_setting_is_documented_in_spanish_too() -> None:
    named = set(Settings.model_fields)
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        named |= {f"{section}.{name}" for name in kind.model_fields}
    assert set(SPANISH) == named
    for text in SPANISH.values():
        assert len(text) > 7 and text.endswith(".")


def test_a_wrong_value_is_explained_in_one_language(tmp_path: Path) -> None:
    """No English inside a Spanish sentence: every kind of fault that a setting can have."""
    path = written(
        tmp_path,
        """
        site = 3
        [broker]
        host = 5
        port = 1.5
        topic_root = "a b"
        embedded = "perhaps"
        username = "{}"
        client_id = 1
        keepalive_s = 4
        [database]
        file = ""
        busy_ms = "soon"
        [feed]
        window = 1001
        max_bytes = {}
        [log]
        format = "loud"
        """.format("u" * 300, "9" * 30),
    )
    with pytest.raises(SetupError) as caught:
        settings.load(path)
    assert len(caught.value.problems) == 13
    for problem in caught.value.problems:
        es, en = problem.text("es"), problem.text("en")
        for word in (" should ", " be ", " the ", " of ", "valid", " or "):
            assert word not in es, es
        assert "no sirve" in es and "will not do" in en


def test_both_languages_say_every_text() -> None:
    import string

    for code, (es, en) in TEXTS.items():
        named = [{f for _, f, _, _ in string.Formatter().parse(t) if f} for t in (es, en)]
        assert named[0] == named[1], code
        filled = dict.fromkeys(named[0], "x\x1b[2J\n")
        assert "\x1b" not in say(code, "es", **filled)


# ---- check: what the settings point to ---------------------------------------------------------


def changed(path: Path, old: str, new: str) -> Settings:
    path.write_text(path.read_text().replace(old, new))
    return settings.load(path)


def test_check_finds_a_fresh_site_in_order(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=1)
    assert check.check(made.settings) == check.Findings([], [])


def test_check_explains_all_of_it_at_once(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", host="192.0.2.1", now=1, embedded=True)
    (made.folder / "keys" / "gateway.pem").write_bytes(b"\xff")
    (made.folder / "gateway.db").write_bytes(b"not a database, but long enough" * 99)
    found = changed(
        made.config,
        "[database]",
        '[feed]\nhost = "bo.example"\nusername = "u"\npassword_file = "nowhere"\n[database]',
    )
    findings = check.check(found)
    assert {p.code for p in findings.problems} == {
        "embedded-not-loopback",
        "feed-half-set",
        "key-format",
        "db-not-a-database",
        "secret-unreadable",
    }
    assert (made.folder / "gateway.db").read_bytes().startswith(b"not a database")


def test_check_goes_on_around_wrong_settings(tmp_path: Path) -> None:
    """What the right settings point to is looked at although others are wrong."""
    made = site.init(tmp_path / "s", "lima", now=1)
    (made.folder / "keys" / "gateway.pem").write_bytes(b"")
    text = made.config.read_text()
    made.config.write_text(
        text.replace('"lima"', '"Lima Centro"').replace("port = 1883", "port = 0\ncolour = 1")
    )
    findings = check.around(*_around(made.config))
    assert [p.code for p in findings.problems] == [
        *("setting-wrong", "setting-wrong", "setting-unknown"),
        "key-empty",
    ]
    assert findings.warnings == []  # nothing is said about a port that is not one
    made.config.write_text(text.replace('"gateway.db"', "5").replace('"keys/gateway.pem"', "6"))
    findings = check.around(*_around(made.config))
    assert [p.code for p in findings.problems] == ["setting-wrong", "setting-wrong"]


def _around(path: Path) -> tuple[Settings, list[Problem]]:
    found, wrong = settings.load_around(path)
    assert found
    return found, wrong


def test_check_warns_of_readable_secrets(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=1)
    (made.folder / "keys" / "gateway.pem").chmod(0o644)
    assert [p.code for p in check.check(made.settings).warnings] == ["key-exposed"]


def test_an_event_larger_than_the_embedded_broker_takes(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=1, embedded=True)
    found = changed(made.config, "[database]", "[feed]\nmax_bytes = 2000000\n[database]")
    assert [p.code for p in check.check(found).problems] == ["outbox-too-big"]


def test_credentials(tmp_path: Path) -> None:
    made = site.init(tmp_path / "s", "lima", now=1)
    assert check.credentials(made.settings, "broker") is None
    (made.folder / "pw").write_text("s3cret\nmore\n")
    found = changed(made.config, "[database]", 'username = "gw"\npassword_file = "pw"\n[database]')
    assert check.credentials(found, "broker") == ("gw", "s3cret")
    (made.folder / "pw").write_bytes(b"\xff\xfe")
    assert [p.code for p in check.check(found).problems] == ["secret-unreadable"]

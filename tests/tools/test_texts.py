"""The catalogue: both languages say the same things, and every code that is used exists."""

import ast
import importlib
import string
from pathlib import Path

import pytest
import typer
from ronda_gateway.wording import setup_error
from ronda_tools import texts
from ronda_tools.texts import Text, UsedWrong

TOOLS = Path(texts.__file__).parent


def modules() -> list[Path]:
    """The files of the tools, all imported so that their own texts are in the catalogue."""
    paths = sorted(TOOLS.glob("*.py"))
    for path in paths:
        if path.stem != "__init__":
            importlib.import_module(f"ronda_tools.{path.stem}")
    return paths


def fields(sentence: str) -> set[str]:
    """Names of the fields of a format string."""
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_both_languages_name_the_same_fields() -> None:
    modules()
    for code, text in texts.codes().items():
        assert text.es and text.en, code
        assert fields(text.es) == fields(text.en), code
        assert fields(text.do_es) == fields(text.do_en), code
        assert bool(text.do_es) == bool(text.do_en), code
        assert fields(text.do_es) <= fields(text.es) | fields(text.do_es), code


def test_every_code_that_is_used_exists() -> None:
    known = None
    for path in modules():
        known = known or texts.codes()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            if name in {"say", "fail", "explain", "remedy", "UsedWrong"} and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    assert code.value in known, f"{path.name}:{node.lineno} {code.value}"


def test_spanish_unless_english_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONDA_LANG", raising=False)
    assert texts.language() == "es"
    monkeypatch.setenv("RONDA_LANG", "en_US.UTF-8")
    assert texts.language() == "en"
    assert texts.say("cli.interrupted") == "Interrupted."
    texts.use("es")
    assert texts.say("cli.interrupted") == "Interrumpido."
    texts.use_from_arguments(["--lang", "en", "demo"])
    assert texts.language() == "en"
    texts.use_from_arguments(["demo", "--lang=es"])
    assert texts.language() == "es"
    texts.use_from_arguments(["--lang"])
    assert texts.language() == "es"


def test_two_texts_under_one_code_are_refused() -> None:
    texts.add({"cli.interrupted": texts.codes()["cli.interrupted"]})
    with pytest.raises(ValueError, match="two texts"):
        texts.add({"cli.interrupted": Text("otra", "other")})


def test_errors_say_what_to_do_and_cannot_scroll_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDA_LANG", "en")
    with pytest.raises(typer.Exit) as stopped, texts.reported():
        raise UsedWrong("file.missing", file="a\x1b[2Jb")
    assert stopped.value.exit_code == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "-> check the path" in said
    with pytest.raises(typer.Exit), texts.reported():
        raise UsedWrong("file.missing", file="a", exit_code=1)
    with pytest.raises(typer.Exit) as stopped, texts.reported():
        raise setup_error("config-missing", path="x.toml")
    assert stopped.value.exit_code == 2

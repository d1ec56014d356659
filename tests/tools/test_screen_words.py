"""The handheld's words and letters: every code of the pages is there, and every letter drawn."""

import re
from pathlib import Path

import pytest
from ronda_tools import font, screen_texts

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
CATALOGUE = screen_texts.read(FIRMWARE / "texts.toml")


def _sources() -> str:
    pages = [*(FIRMWARE / "handheld" / "pages").glob("*.py"), FIRMWARE / "handheld" / "ui.py"]
    return "\n".join(page.read_text() for page in pages)


def test_every_code_that_a_page_names_has_its_words() -> None:
    codes = set(re.findall(r'(?:\bt|hint)\(\s*"([a-z_]+\.[a-z_0-9]+)"', _sources()))
    assert len(codes) > 30
    assert codes <= set(CATALOGUE)


def test_every_word_has_a_use() -> None:
    text = _sources()
    groups = set(re.findall(r'"([a-z]+)\." ?\+|"(way)\.%d', text))
    composed = {name for pair in groups for name in pair if name}
    unused = [
        code
        for code in CATALOGUE
        if f'"{code}"' not in text and code.split(".")[0] not in composed
    ]
    assert not unused


def test_refusals_of_the_intents_have_words() -> None:
    """Codes that an intent of the pages may answer with."""
    source = (FIRMWARE / "handheld" / "intents.py").read_text()
    source += (FIRMWARE / "handheld" / "policy.py").read_text()
    wanted = set(re.findall(r'_no\("([a-z_]+)"', source)) | set(
        re.findall(r'return (?:None, )?"([a-z_]+)"$', source, re.M)
    )
    assert len(wanted) > 15
    pages = {"gestor", "ask_portal_fix", "invalid"}  # asked for otherwise, or by a page's own text
    assert {f"no.{code}" for code in wanted - pages} <= set(CATALOGUE)


def test_questionnaire_has_words() -> None:
    source = (FIRMWARE / "handheld" / "questionnaire.py").read_text()
    scope: dict[str, object] = {}
    exec(
        "\n".join(
            re.findall(r"^(?:QUESTIONS|OUTCOMES|PROMISED) = .*?(?=^\w|\Z)", source, re.M | re.S)
        ),
        scope,
    )
    promised = str(scope["PROMISED"]).split()
    options: list[str] = [o for o in str(scope["OUTCOMES"]).split() if o not in promised]
    for line in str(scope["QUESTIONS"]).split("\n"):
        name, kind, choices, *_ = line.split("|")
        if kind == "one":
            assert f"ask.{name}" in CATALOGUE
            options += choices.split()
    assert {f"answer.{option}" for option in options} <= set(CATALOGUE)


def test_every_letter_is_drawn() -> None:
    drawn = font.read((FIRMWARE / "font.txt").read_text("utf-8"))
    said = {c for texts in CATALOGUE.values() for text in texts.values() for c in text}
    assert said <= set(drawn)


def test_the_packed_font_is_the_drawn_one() -> None:
    packed = (FIRMWARE / "handheld" / "glyphs.py").read_text("utf-8")
    assert packed == font.module((FIRMWARE / "font.txt").read_text("utf-8")), "make font"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[a]\nb = { es = "x" }\n', "needs es, en"),
        ('[a]\nb = { es = "{}", en = "x" }\n', "not the same"),
    ],
)
def test_a_bad_catalogue_is_refused(text: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "texts.toml"
    path.write_text(text)
    with pytest.raises(screen_texts.TextsError, match=wrong):
        screen_texts.read(path)


def test_a_long_text_is_refused() -> None:
    with pytest.raises(screen_texts.TextsError, match="255"):
        screen_texts.pack({"a.b": {"es": "ñ" * 128, "en": ""}}, "es")


@pytest.mark.parametrize("rows", [7, 9])
def test_a_bad_letter_is_refused(rows: int) -> None:
    with pytest.raises(font.FontError, match="rows"):
        font.read("= A\n" + "#.\n" * rows)

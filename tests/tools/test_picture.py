"""The README's picture: there, small, well-formed, and fetching nothing from anywhere."""

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "img" / "demo.svg"


def test_the_picture_of_the_demo() -> None:
    raw = PICTURE.read_bytes()
    assert len(raw) < 300_000
    assert ElementTree.fromstring(raw).tag == "{http://www.w3.org/2000/svg}svg"
    addresses = set(re.findall(rb"https?://[^\"') <]+", raw))
    assert addresses <= {b"http://www.w3.org/2000/svg", b"https://www.textualize.io"}
    assert b"@font-face" not in raw


def test_the_readme_shows_it_and_a_target_makes_it() -> None:
    assert "docs/img/demo.svg" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^picture:.*##", (ROOT / "Makefile").read_text(), flags=re.M)

"""Makes the files of words that a handheld's pages read, from firmware/texts.toml.

What the words say is the catalogue's business; that every page's code is there, a test's.
"""

import tomllib
import zlib
from pathlib import Path

LANGUAGES = ("es", "en")
_LONGEST = 255


class TextsError(ValueError):
    """A catalogue that cannot be packed; names the code and says why."""


def read(path: Path) -> dict[str, dict[str, str]]:
    """Texts by code and language: every code in every language, with as many {} in each."""
    found: dict[str, dict[str, str]] = {}
    for group, codes in tomllib.loads(path.read_text("utf-8")).items():
        for name, texts in codes.items():
            code = f"{group}.{name}"
            if set(texts) != set(LANGUAGES):
                raise TextsError(f"{code}: needs {', '.join(LANGUAGES)}, has {', '.join(texts)}")
            if len({text.count("{}") for text in texts.values()}) > 1:
                raise TextsError(f"{code}: not the same {{}} in each language")
            found[code] = texts
    return found


def pack(catalogue: dict[str, dict[str, str]], language: str) -> bytes:
    """The file of one language; see handheld/texts.py for its form."""
    rows: list[tuple[int, bytes]] = []
    for code, texts in catalogue.items():
        data = texts[language].encode()
        if len(data) > _LONGEST:
            raise TextsError(f"{code}: {len(data)} bytes, {_LONGEST} at most")
        rows.append((zlib.crc32(code.encode()), bytes([len(data)]) + data))
    rows.sort()
    if len({key for key, _ in rows}) < len(rows):
        raise TextsError("two codes have the same CRC-32: rename one")
    head, body = bytearray(len(rows).to_bytes(2, "big")), bytearray()
    start = 2 + 6 * len(rows)
    for key, data in rows:
        head += key.to_bytes(4, "big") + (start + len(body)).to_bytes(2, "big")
        body += data
    return bytes(head + body)


def assets(root: Path) -> dict[str, bytes]:
    """What a build puts beside the modules, by path: the words in each language."""
    path = root / "firmware" / "texts.toml"
    if not path.exists():  # a firmware without pages
        return {}
    catalogue = read(path)
    return {f"handheld/texts.{name}": pack(catalogue, name) for name in LANGUAGES}

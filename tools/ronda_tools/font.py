"""The handheld's screen font: packs the drawings of firmware/font.txt into handheld/glyphs.py.

`python -m ronda_tools.font` writes the module (`make font`); a test holds the two together.
"""

from pathlib import Path

from ronda_tools.vm import device_root

ROWS = 8
_ASCII = [chr(code) for code in range(32, 127)]
_SPACE = "SPACE"


class FontError(ValueError):
    """A drawing that cannot be packed; says which letter and why."""


def read(text: str) -> dict[str, list[str]]:
    """Drawings by letter: eight rows of `#` and `.`, all as wide as the first."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("= "):
            name = " " if line[2:] == _SPACE else line[2:]
            if len(name) != 1 or name in found:
                raise FontError(f"{line!r}: one letter, once")
            found[name] = []
        elif line and name:
            found[name].append(line)
    for letter, rows in found.items():
        widths = {len(row) for row in rows}
        if len(rows) != ROWS or len(widths) != 1 or set("".join(rows)) - set("#."):
            raise FontError(f"{letter!r}: {ROWS} rows of # and dots, of one width")
    absent = [letter for letter in _ASCII if letter not in found]
    if absent:
        raise FontError(f"not drawn: {''.join(absent)}")
    return found


def pack(drawings: dict[str, list[str]]) -> tuple[str, bytes, bytes]:
    """(letters beyond ASCII, columns, starts): a column is a byte, its lowest bit on top; starts
    are u16 big-endian, one more than there are letters."""
    others = "".join(sorted(set(drawings) - set(_ASCII)))
    columns, starts = bytearray(), bytearray()
    for letter in [*_ASCII, *others]:
        starts += len(columns).to_bytes(2, "big")
        rows = drawings[letter]
        for x in range(len(rows[0])):
            columns.append(sum(1 << y for y in range(ROWS) if rows[y][x] == "#"))
    starts += len(columns).to_bytes(2, "big")
    return others, bytes(columns), bytes(starts)


def module(text: str) -> str:
    """The source of handheld/glyphs.py for a font.txt."""
    others, columns, starts = pack(read(text))
    return (
        '"""The screen font, packed from firmware/font.txt by `make font`: change it there."""\n\n'
        "# fmt: off\n"
        f'OTHERS = "{others}"  # letters after the printable ASCII\n'
        "# A byte a column, lowest bit on top; where each letter starts, two bytes each.\n"
        f"COLUMNS = {_literal(columns)}\n"
        f"STARTS = {_literal(starts)}\n"
    )


def _literal(data: bytes) -> str:
    lines = [data[at : at + 20].hex() for at in range(0, len(data), 20)]
    spelt = ["".join("\\x" + line[i : i + 2] for i in range(0, len(line), 2)) for line in lines]
    return "(\n" + "".join(f'    b"{line}"\n' for line in spelt) + ")"


def main() -> None:
    """Write the module of this checkout."""
    folder = device_root() / "firmware"
    target = folder / "handheld" / "glyphs.py"
    target.write_text(module((folder / "font.txt").read_text("utf-8")), "utf-8")
    print(Path(target).name)


if __name__ == "__main__":
    main()

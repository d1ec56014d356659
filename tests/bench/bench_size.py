"""Bytes of .mpy that a board loads, by room, against boards/<id>/budget.toml."""

import tomllib
from pathlib import Path

from figures import ROOT, Figure

TITLE = "Size of the firmware (.mpy)"
ROOMS = ("protocol", "handheld", "board")


def boards() -> list[str]:
    """Every board that has a budget."""
    return sorted(path.parent.name for path in (ROOT / "boards").glob("*/budget.toml"))


def budget(board: str) -> dict[str, int]:
    """The board's limits in bytes: total, largest, and each room."""
    path = ROOT / "boards" / board / "budget.toml"
    limits: dict[str, int] = tomllib.loads(path.read_text(encoding="utf-8"))["mpy"]
    return limits


def sizes(board: str) -> dict[str, int]:
    """Bytes of each .mpy of a board's build, by its name as imported."""
    from ronda_tools import vm

    folder = vm.build(board).path
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*.mpy"))
    }


def by_room(found: dict[str, int]) -> dict[str, int]:
    """Bytes by room, with the total and the largest file."""
    rooms = dict.fromkeys(ROOMS, 0)
    for name, size in found.items():
        first = Path(name).parts[0]
        rooms[{"ronda_protocol": "protocol", "handheld": "handheld"}.get(first, "board")] += size
    return {**rooms, "total": sum(found.values()), "largest": max(found.values())}


def table(board: str) -> str:
    """What is used of each limit, and every file, largest first."""
    found, limits = sizes(board), budget(board)
    rooms = by_room(found)
    lines = [f"{board}: {'bytes':>8} {'budget':>8}"]
    for name, limit in limits.items():
        over = "  OVER" if rooms[name] > limit else ""
        lines.append(
            f"  {name:<12} {rooms[name]:>8,} {limit:>8,} {rooms[name] / limit:>5.0%}{over}"
        )
    for name, size in sorted(found.items(), key=lambda item: -item[1]):
        lines.append(f"    {name:<30} {size:>7,}")
    return "\n".join(lines)


def measure(quick: bool) -> list[Figure]:
    """Each board's rooms beside their budget."""
    figures: list[Figure] = []
    for board in boards():
        rooms, limits = by_room(sizes(board)), budget(board)
        figures += [
            Figure(f"{board}: {name}", rooms[name], "B", f"≤ {limit:,}")
            for name, limit in limits.items()
        ]
    return figures


if __name__ == "__main__":
    for each in boards():
        print(table(each))

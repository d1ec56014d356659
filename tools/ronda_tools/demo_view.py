"""The demo as a live picture in the terminal: handhelds, the feed, a map. Shows, decides nothing.

`Board` is a Watcher: it keeps what was told. `render` makes of it a page of a width and height, so
that the same page is drawn live, tested, and exported as a picture.
"""

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from ronda_gateway import feed
from ronda_gateway.wording import printable

from ronda_tools import feed_words
from ronda_tools import visit_words as words
from ronda_tools.demo import Round, Scene
from ronda_tools.demo_city import Metres, lima, to_metres
from ronda_tools.demo_day import START_UNIX, local_time
from ronda_tools.demo_rounds import END_MS
from ronda_tools.metres import distance_m
from ronda_tools.receiver import Heard
from ronda_tools.texts import say

_FEED_KEPT = 200
_MAP_COLUMNS = 40
_MAP_FROM = 118  # columns of a terminal from which a map has room
_CARDS_FROM = 76  # columns from which a handheld's line holds everything
_VERDICT = {"inside": "green", "outside": "red", "uncertain": "yellow"}
_MARKS = ("bright_cyan", "bright_magenta", "bright_yellow")


@dataclass
class Seen:
    """What is known of one handheld now."""

    round: Round
    heard: Heard | None = None
    connected: bool = False
    network: bool = True
    sealed: int = 0
    receipted: int = 0
    done: int = 0
    refused: int = 0
    left: set[str] = field(default_factory=set[str])
    visiting: str = ""

    @property
    def unsent(self) -> int:
        """Sealed segments without a receipt."""
        return max(0, self.sealed - self.receipted)


class Board:
    """A Watcher that remembers; every method from any thread."""

    def __init__(self) -> None:
        self.scene: Scene | None = None
        self.seen: dict[str, Seen] = {}
        self.events: deque[Mapping[str, Any]] = deque(maxlen=_FEED_KEPT)
        self.alerts: deque[Mapping[str, Any]] = deque(maxlen=_FEED_KEPT)
        self.lock = threading.Lock()

    def opening(self, scene: Scene) -> None:
        """The parts begin to start."""
        with self.lock:
            self.scene = scene
            self.seen = {each.device: Seen(each) for each in scene.rounds}

    def provisioned(self, round_: Round) -> None:
        """Nothing to show of it."""

    def gestor(self, round_: Round, moment: str, fields: Mapping[str, Any]) -> None:
        """Count visits, and remember which one is open."""
        seen, case = self.seen[round_.device], str(fields.get("case_id", ""))
        with self.lock:
            if moment == "left":
                seen.left.add(case)
                seen.visiting = ""
            elif fields.get("code") == "saved":
                seen.done += 1
                seen.visiting = ""
            elif fields.get("code") == "refused_outside":
                seen.refused += 1
            elif moment == "check_in" and fields.get("ok"):
                seen.visiting = case

    def told(self, round_: Round, fields: Mapping[str, Any]) -> None:
        """What the firmware told: seals, receipts, its connection."""
        seen = self.seen[round_.device]
        with self.lock:
            match fields.get("t"):
                case "sealed":
                    seen.sealed = int(fields["seq"])
                case "receipt":
                    seen.receipted = int(fields["upto"])
                case "link":
                    seen.connected = bool(fields.get("up"))
                case _:
                    pass

    def network(self, round_: Round, up: bool, ms: int) -> None:
        """The network of the place."""
        del ms
        self.seen[round_.device].network = up

    def feed(self, event: Mapping[str, Any]) -> None:
        """Visits and alerts, as the back office receives them."""
        with self.lock:
            if event.get("type") in (feed.VISIT, feed.VISIT_VERDICT):
                self.events.append(event)
            elif event.get("type") == feed.ALERT:
                self.alerts.append(event)


# ---- the page ----------------------------------------------------------------------------------


def render(board: Board, width: int, height: int) -> RenderableType:
    """The page for a terminal of so many columns and lines; fits in both."""
    with board.lock:
        scene, seen = board.scene, list(board.seen.values())
        events, alerts = list(board.events), list(board.alerts)
    if scene is None:
        return Text(say("view.starting"))
    now = scene.now_ms()
    head = _head(scene, now, width)
    rows = height - len(head)
    with_map = width >= _MAP_FROM and height >= 24
    inner = width - (_MAP_COLUMNS + 4 if with_map else 0)
    fleet_rows = min(2 * len(seen) + 2, max(4, rows * 2 // 3))
    fleet = _fleet(seen, now, inner, fleet_rows)
    alert_rows = 3 if alerts and rows - fleet_rows > 8 else 0
    parts: list[RenderableType] = [fleet, _feed(events, inner, rows - fleet_rows - alert_rows)]
    if alert_rows:
        parts.append(_alerts(alerts, inner))
    if not with_map:
        return Group(*head, *parts)
    grid = Table.grid(padding=0)
    grid.add_column(width=inner)
    grid.add_column(width=_MAP_COLUMNS + 4)
    grid.add_row(Group(*parts), _map(seen, now, rows))
    return Group(*head, grid)


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style, no_wrap=True, overflow="ellipsis", end="")


def _head(scene: Scene, now: int, width: int) -> list[RenderableType]:
    """Clock, how much of the day is over, and where else to look."""
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(" RONDA ", "bold reverse")
    title.append(f" {local_time(now)} ", "bold")
    if width >= 60:
        title.append(say("view.day") + " ", "dim")
    room = max(0, min(30, width - title.cell_len - 8))
    full = min(room, room * now // END_MS)
    title.append("━" * full, "green")
    title.append("━" * (room - full), "grey35")
    if scene.speed and width >= 60:
        title.append(f" x{scene.speed:g}", "dim")
    rows: list[RenderableType] = [title]
    if width >= 60:
        tail = f" ronda feed tail --broker {scene.url}"
        ends = f"   Ctrl-C {say('view.ends')}"
        rows.append(_fitted(width, [_Piece([tail], "dim"), _Piece([ends, ""], "dim")], (1,)))
    if scene.speed and width >= 118:
        push = f" ronda cases push FILE --device demo-01 --config {scene.config}"
        rows.append(Text(push, no_wrap=True, overflow="ellipsis", style="dim"))
    return rows


def _fleet(seen: list[Seen], now: int, width: int, rows: int) -> RenderableType:
    """Two lines a handheld where there is room for all, else one."""
    lines: list[Text] = []
    short = rows - 2 < 2 * len(seen)
    for number, each in enumerate(seen):
        told = _handheld(each, number, now, width - 4)
        lines += told[:1] if short else told
    if len(lines) > rows - 2:
        hidden = len(lines) - (rows - 3)
        lines = [*lines[: rows - 3], Text(say("view.more", count=hidden), "dim")]
    return Panel(Group(*lines), title=say("view.handhelds"), height=rows, border_style="grey42")


def _handheld(each: Seen, number: int, now: int, width: int) -> list[Text]:
    """Who, where, and how it is; the first line alone must do on a small screen."""
    day = each.round.day
    link, link_style = _link(each)
    sizes = ("", "_short") if width >= _CARDS_FROM - 10 else ("_short",)
    counts = {"done": each.done, "refused": each.refused, "left": _pending(each)}
    visits = [say(f"view.visits{size}", **counts) for size in (*sizes, "_least")]
    unsent = [say(f"view.unsent{size}", count=each.unsent) + " " for size in sizes]
    first = _fitted(
        width,
        [
            _Piece(["● "], _MARKS[number % len(_MARKS)]),
            _Piece([f"{each.round.device} "], "bold"),
            _Piece([f"{day.gestor} " if width >= _CARDS_FROM - 4 else ""], "dim"),
            _Piece([f"{link} "], link_style),
            _Piece(unsent, "yellow" if each.unsent > 4 else ""),
            _Piece(visits),
        ],
        shorten=(5, 4, 5),
    )
    return [first, _second(each, now, width)]


def _second(each: Seen, now: int, width: int) -> Text:
    """Sky, battery, place, and where he is going; on a small screen that first."""
    heard, day = each.round.day.walk.heard, each.round.day
    millivolts = day.battery.at(now)
    place = day.walk.position_at(now)
    named = lima().where(place) or f"{place[0] / 1e7:.5f} {place[1] / 1e7:.5f}"
    ahead = next((s for s in day.stops if s.case_id not in each.left), None)
    going, style = [""], "dim"
    if each.visiting:
        going = [say(f"view.visiting{size}", case=each.visiting) for size in ("", "_short")]
        style = "bold green"
    elif ahead is not None:
        far = round(distance_m(heard.where or place, ahead.door))
        told = {"case": ahead.case_id, "far": far}
        going = [say(f"view.next{size}", **told) for size in ("", "_short")]
    sky, sky_style = _sky(heard)
    return _fitted(
        width,
        [
            _Piece(["  "]),
            _Piece(sky, sky_style),
            _Piece([f" {millivolts / 1000:.2f} V", ""], "red" if millivolts < 3550 else ""),
            _Piece([f" {named}", f" {named.partition(',')[0]}", ""], "cyan"),
            _Piece([f"  {text}" if text else "" for text in going], style),
        ],
        shorten=(3, 1, 2, 4, 3),
    )


def _pending(each: Seen) -> int:
    return len(each.round.day.stops) - len(each.left)


def _link(each: Seen) -> tuple[str, str]:
    if not each.network:
        return say("view.no_network"), "red"
    return (say("view.linked"), "green") if each.connected else (say("view.linking"), "yellow")


def _sky(heard: Heard) -> tuple[list[str], str]:
    """The satellites, long and short, and the style."""
    if heard.where is None or heard.hdop is None:
        return [say("view.no_fix"), say("view.no_fix_short")], "red"
    style = "green" if heard.hdop < 1.5 else "yellow" if heard.hdop < 3 else "red"
    told = {"used": heard.used, "seen": heard.in_view, "hdop": f"{heard.hdop:.1f}"}
    return [say("view.sky", **told), say("view.sky_short", **told)], style


class _Piece(NamedTuple):
    """A part of a line in its forms, from the longest to the shortest, and its style."""

    forms: list[str]
    style: str = ""


def _fitted(width: int, pieces: list[_Piece], shorten: Sequence[int]) -> Text:
    """A line whose pieces take shorter forms, in the order of `shorten`, until it fits."""
    taken = [0] * len(pieces)

    def line() -> Text:
        made = Text(no_wrap=True, overflow="ellipsis")
        for piece, form in zip(pieces, taken, strict=True):
            made.append(printable(piece.forms[form]), piece.style)
        return made

    for number in shorten:
        if line().cell_len <= width:
            break
        taken[number] = min(taken[number] + 1, len(pieces[number].forms) - 1)
    return line()


def _feed(events: list[Mapping[str, Any]], width: int, rows: int) -> RenderableType:
    """The newest visits, oldest first; each one line."""
    lines = [_visit(event, width - 4) for event in events[-max(1, rows - 2) :]]
    body = Group(*lines) if lines else Text(say("view.nothing"), "dim")
    return Panel(body, title=say("view.feed"), height=max(3, rows), border_style="grey42")


def _visit(event: Mapping[str, Any], width: int) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    if event.get("type") == feed.VISIT_VERDICT:
        return _change(event, width)
    try:
        data = event["data"]
        verdicts, utc = data["verdicts"], data["check_in"]["utc"]
        when = local_time((utc - START_UNIX) * 1000)[:5] if utc else "--:--"
        told = feed_words.fence(verdicts["fence"])
        short = say(f"word.short.{verdicts['fence']['gateway']}")
        ended = f" · {words.outcome(data['outcome'])}"
        if not data["outcome"]:
            ended = f" · {say('word.ended.' + data['ended'])}"
        fence = _VERDICT.get(verdicts["fence"]["gateway"], "")
        pieces = [
            _Piece([f"{when} "], "dim"),
            _Piece([f"{data['device']} " if width >= 56 else ""]),
            _Piece([f"{data['case_id']} "], "bold"),
            _Piece([told, short] if width >= 100 else [short], fence),
            _Piece([ended]),
        ]
        if verdicts["overall"] == "exception":
            mark = f" · {say('demo.overall.exception')}"
            why = words.reasons(verdicts["reasons"])
            forms = [f"{mark}: {why}" if why else mark, mark]
            # Before what it ends with: that may be cut, this not.
            pieces.insert(4, _Piece([*forms, " !"], "yellow"))
            return _fitted(width, pieces, shorten=(3, 4, 4))
        return _fitted(width, pieces, shorten=(3,))
    except (KeyError, TypeError, ValueError, IndexError):
        line.append(say("view.unreadable"), "red")
    return line


def _change(event: Mapping[str, Any], width: int) -> Text:
    """A later change of a visit: what a correction sets right, or why its verdict is another."""
    line = Text(no_wrap=True, overflow="ellipsis")
    try:
        data = event["data"]
        line.append(f"{local_time((data['at'] - START_UNIX) * 1000)[:5]} ", "dim")
        if width >= 56:
            line.append(printable(f"{str(data['visit_id']).partition('/')[0]} "))
        told = data.get("correction")
        if told:
            named = {"case": str(data["case_id"]), "field": words.field(told["field"])}
            for name in ("original", "value"):
                named[name] = words.field_value(told["field"], told[name])
            forms = [say(f"view.corrected{size}", **named) for size in ("", "_short")]
            style = "cyan" if told["accepted"] else "yellow"
            head = _Piece([line.plain], "dim")
            return _fitted(width, [head, _Piece(forms, style)], shorten=(1,))
        else:
            why = say(f"feed.why.{data['reason']}")
            line.append(say("view.changed", case=str(data["case_id"]), why=why), "yellow")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        line.append(say("view.unreadable"), "red")
    return line


def _alerts(alerts: list[Mapping[str, Any]], width: int) -> RenderableType:
    data: Any = alerts[-1].get("data")
    text = str(data.get("text", "")) if isinstance(data, dict) else ""  # type: ignore[reportUnknownMemberType]
    told = _line(f"{len(alerts)}: {text}", "bold red")
    del width
    return Panel(told, title=say("view.alerts"), height=3, border_style="red")


# ---- the map -----------------------------------------------------------------------------------


def _map(seen: list[Seen], now: int, rows: int) -> RenderableType:
    """Streets in dots, eight to a character; handhelds where they truly are."""
    columns, lines = _MAP_COLUMNS, rows - 2
    city = lima()
    corners = [to_metres(point) for street in city.streets for point in street.points]
    left, right = min(p.x for p in corners), max(p.x for p in corners)
    low, high = min(p.y for p in corners), max(p.y for p in corners)
    scale = max((right - left) / (2 * columns - 1), (high - low) / (4 * lines - 1))

    def dot(at: Metres) -> tuple[int, int]:
        return int((at.x - left) / scale), int((high - at.y) / scale)

    cells = [[0] * columns for _ in range(lines)]
    for street in city.streets:
        for a, b in zip(street.points, street.points[1:], strict=False):
            _stroke(cells, dot(to_metres(a)), dot(to_metres(b)))
    picture = [Text("".join(chr(0x2800 + bits) for bits in row), "grey50") for row in cells]
    for each in seen:
        for stop in each.round.day.stops:
            x, y = dot(to_metres(stop.door))
            style = "grey70" if stop.case_id in each.left else "white"
            _put(picture, x // 2, y // 4, "·" if stop.case_id in each.left else "▫", style)
    for number, each in enumerate(seen):
        x, y = dot(to_metres(each.round.day.walk.position_at(now)))
        _put(picture, x // 2, y // 4, "●", f"bold {_MARKS[number % len(_MARKS)]}")
    return Panel(Group(*picture), title=say("view.map"), height=rows, border_style="grey42")


_DOTS = ((1, 8), (2, 16), (4, 32), (64, 128))


def _stroke(cells: list[list[int]], a: tuple[int, int], b: tuple[int, int]) -> None:
    """Dots of braille from one to another."""
    steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
    for k in range(steps + 1):
        x, y = a[0] + (b[0] - a[0]) * k // steps, a[1] + (b[1] - a[1]) * k // steps
        if 0 <= y // 4 < len(cells) and 0 <= x // 2 < len(cells[0]):
            cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]


def _put(picture: list[Text], column: int, row: int, letter: str, style: str) -> None:
    if 0 <= row < len(picture) and 0 <= column < len(picture[row]):
        line = picture[row]
        picture[row] = Text.assemble(line[:column], (letter, style), line[column + 1 :])


def export_svg(board: Board, path: Path, width: int = 130, height: int = 36) -> None:
    """Write the page as a picture (SVG) that names no other address."""
    with path.open("w") as nowhere:
        console = Console(
            record=True, width=width, height=height, file=nowhere, force_terminal=True
        )
        console.print(render(board, width, height))
        picture = console.export_svg(title="ronda demo")
    # Without the fonts that it would fetch from elsewhere: any monospace one does.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))

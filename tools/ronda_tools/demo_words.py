"""The demo told sentence by sentence, and its reconciliation as a page. Decides nothing."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ronda_tools import visit_words as words
from ronda_tools.demo_day import START_UNIX, UTC_OFFSET_S
from ronda_tools.feed_words import sentence
from ronda_tools.texts import codes, say

Line = Callable[[str], None]


def local_time(ms: int) -> str:
    """The clock on the wall in Lima at a simulated ms: "08:20:13"."""
    seconds = (START_UNIX + UTC_OFFSET_S + ms // 1000) % 86400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _local_text(unix: int | None) -> str:
    return "" if unix is None else local_time((unix - START_UNIX) * 1000)


class Narrator:
    """Says what happens, one line a sentence, from any thread. `now_ms` is simulated time."""

    def __init__(self, line: Line, now_ms: Callable[[], int]) -> None:
        self._line = line
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._link: bool | None = None
        self._last_ms = 0

    def say(self, code: str, /, **fields: object) -> None:
        """A sentence of the catalogue, now."""
        self._tell(say(code, **fields), self._now_ms())

    def opening(self, url: str, speed: float) -> None:
        """Where to look, before anything happens."""
        with self._lock:
            self._line(say("demo.started", url=url))
            self._line(say("demo.follow", url=url))
            self._line(say("demo.speed_is", speed=f"{speed:g} s"))

    def _tell(self, text: str, at_ms: int) -> None:
        with self._lock:
            # Threads tell of one moment in any order; the clock of the story does not go back.
            self._last_ms = max(self._last_ms, at_ms)
            self._line(f"{local_time(self._last_ms)}  {text}")

    def gestor(self, moment: str, fields: Mapping[str, Any]) -> None:
        """What the gestor did and what the handheld answered (demo_day)."""
        code = f"demo.{fields.get('code')}"
        if code not in codes():
            code = "demo.other"
        told: dict[str, object] = {
            **fields,
            "moment": moment,
            "case": fields.get("case_id", ""),
            "verdict": words.verdict(fields.get("verdict")),
            "outcome": words.outcome(str(fields.get("outcome", ""))),
            "problems": ", ".join(str(problem) for problem in fields.get("problems") or ()),
        }
        if "direction" in fields:
            told["direction"] = words.direction(fields["direction"])
        self.say(code, **told)

    def handheld(self, fields: Mapping[str, Any]) -> None:
        """What the firmware told."""
        match fields.get("t"):
            case "fix":
                code = "demo.fix_found" if fields.get("found") else "demo.fix_lost"
            case "sealed":
                code = "demo.sealed_visit" if fields.get("body") == 2 else "demo.sealed_track"
            case "link":
                up = bool(fields.get("up"))
                if up == self._link:  # another failed attempt of the same outage
                    return
                self._link = up
                code = "demo.link_up" if up else "demo.link_down"
            case "receipt":
                code = "demo.receipt"
            case "died":
                code = "demo.died"
            case _:
                return
        at = fields.get("ms")
        self._tell(say(code, **fields), at if isinstance(at, int) else self._now_ms())

    def network(self, up: bool, at_ms: int) -> None:
        """The street's network, as the conductor has it."""
        self._tell(say("demo.network_back" if up else "demo.network_lost"), at_ms)

    def feed(self, event: Mapping[str, Any]) -> None:
        """A feed event as the back office received it."""
        self._tell(say("demo.feed", sentence=sentence(event, _local_text)), self._now_ms())


def page(outcome: Mapping[str, Any]) -> list[str]:
    """The reconciliation for people; `outcome` as printed by --json."""
    kinds = ("visit", "fix", "battery", "event")
    heads = [say(f"demo.kind.{kind}") for kind in kinds]
    lines = [say("demo.page"), " " * 12 + "".join(f"{head:>12}" for head in heads)]
    for book in ("recorded", "stored", "forwarded"):
        row = "".join(f"{outcome[book][kind]:>12}" for kind in kinds)
        lines.append(f"{say(f'demo.book.{book}'):<12}{row}")
    lines.append(
        say(
            "demo.totals",
            **{name: outcome[name] for name in ("lost", "doubled", "repeated", "unrecorded")},
        )
    )
    lines += [_visit_line(row) for row in outcome["visits"]]
    lines += [f"  ! {wrong}" for wrong in outcome["wrong"]]
    lines.append(say("demo.balanced" if outcome["balanced"] else "demo.not_balanced"))
    return lines


def _visit_line(row: Mapping[str, Any]) -> str:
    verdicts = row["verdicts"]
    return say(
        "demo.visit",
        case=row["case_id"],
        ended=say(f"word.ended.{row['ended']}"),
        fence=say(f"word.short.{verdicts['fence']['gateway']}"),
        outcome=words.outcome(row["outcome"]) if row["outcome"] else "-",
        signature=say("demo.signed" if row["signature_verified"] else "demo.unsigned"),
        overall=say(f"demo.overall.{verdicts['overall']}"),
        id=row["id"],
    )

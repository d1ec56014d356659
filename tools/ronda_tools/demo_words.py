"""The demo told sentence by sentence, and its reconciliation as a page. Decides nothing."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ronda_protocol import cose

from ronda_tools import visit_words as words
from ronda_tools.demo import Round, Scene
from ronda_tools.demo_day import START_UNIX, local_time
from ronda_tools.feed_words import sentence
from ronda_tools.texts import codes, say

Line = Callable[[str], None]

_FEW = 5  # handhelds whose visits are all listed
_SEALED = {2: "demo.sealed_visit", 3: "demo.sealed_correction"}  # by body type
_SILENT = {"left"}  # moments that are nothing to tell


def _local_text(unix: int | None) -> str:
    return "" if unix is None else local_time((unix - START_UNIX) * 1000)


def moment_text(moment: str, fields: Mapping[str, Any]) -> str:
    """What a gestor did and what the handheld answered, as a sentence."""
    code = f"demo.{fields.get('code')}"
    if moment == "correct" and fields.get("ok"):
        code = "demo.corrected"
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
    if "field" in fields:
        told["field"] = words.field(fields["field"])
        told["value"] = words.field_value(fields["field"], fields.get("value"))
    if "direction" in fields:
        told["direction"] = words.direction(fields["direction"])
    return say(code, **told)


class Narrator:
    """A Watcher that says what happens, one line a sentence, from any thread.

    With several handhelds each line names the one that it is about.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._scene: Scene | None = None
        self._several = False
        self._link: dict[str, bool] = {}
        self._last_ms = 0

    def opening(self, scene: Scene) -> None:
        """Where to look, before anything happens."""
        self._scene = scene
        self._several = len(scene.rounds) > 1
        with self._lock:
            self._line(say("demo.started", url=scene.url))
            self._line(say("demo.follow", url=scene.url))
            if scene.speed:
                self._line(say("demo.push", config=str(scene.config)))
            if scene.speed:
                self._line(say("demo.speed_is", speed=f"{scene.speed:g} s"))

    def _tell(self, text: str, at_ms: int | None = None, about: Round | None = None) -> None:
        now = self._scene.now_ms() if self._scene else 0
        with self._lock:
            # Threads tell of one moment in any order; the clock of the story does not go back.
            self._last_ms = max(self._last_ms, now if at_ms is None else at_ms)
            who = f"{about.device}  " if about and self._several else ""
            self._line(f"{local_time(self._last_ms)}  {who}{text}")

    def provisioned(self, round_: Round) -> None:
        """A handheld has its key and its round."""
        kid, cases = cose.kid(round_.public).hex(), len(round_.day.stops)
        self._tell(say("demo.provisioned", device=round_.device, kid=kid, cases=cases))

    def gestor(self, round_: Round, moment: str, fields: Mapping[str, Any]) -> None:
        """What the gestor did and what the handheld answered (demo_day)."""
        if moment not in _SILENT:
            self._tell(moment_text(moment, fields), about=round_)

    def told(self, round_: Round, fields: Mapping[str, Any]) -> None:
        """What the firmware told."""
        match fields.get("t"):
            case "fix":
                code = "demo.fix_found" if fields.get("found") else "demo.fix_lost"
            case "sealed":
                code = _SEALED.get(fields.get("body", 1), "demo.sealed_track")
            case "link":
                up = bool(fields.get("up"))
                if up == self._link.get(round_.device):  # a further attempt of the same outage
                    return
                self._link[round_.device] = up
                code = "demo.link_up" if up else "demo.link_down"
            case "receipt":
                code = "demo.receipt"
            case "died":
                code = "demo.died"
            case _:
                return
        at = fields.get("ms")
        self._tell(say(code, **fields), at if isinstance(at, int) else None, round_)

    def network(self, round_: Round, up: bool, ms: int) -> None:
        """The street's network, as the conductor has it."""
        self._tell(say("demo.network_back" if up else "demo.network_lost"), ms, round_)

    def feed(self, event: Mapping[str, Any]) -> None:
        """A feed event as the back office received it."""
        self._tell(say("demo.feed", sentence=sentence(event, _local_text)))


def page(outcome: Mapping[str, Any], *, so_far: bool = False) -> list[str]:
    """The reconciliation for people; `outcome` as printed by --json.

    `so_far`: of a day that was broken off, where what did not arrive is still on its way.
    """
    kinds = list(outcome["recorded"])
    heads = [say(f"demo.kind.{kind}") for kind in kinds]
    lines = [say("demo.page"), " " * 12 + "".join(f"{head:>12}" for head in heads)]
    for book in ("recorded", "stored", "forwarded"):
        row = "".join(f"{outcome[book][kind]:>12}" for kind in kinds)
        lines.append(f"{say(f'demo.book.{book}'):<12}{row}")
    handhelds = outcome["handhelds"]
    if len(handhelds) > 1:
        lines += [_handheld_line(row) for row in handhelds]
    totals = {name: outcome[name] for name in ("lost", "doubled", "repeated", "unrecorded")}
    lines.append(say("demo.totals_so_far" if so_far else "demo.totals", **totals))
    if len(handhelds) <= _FEW:
        for row in outcome["visits"]:
            lines.append(_visit_line(row))
            lines += [_correction_line(told) for told in row["corrections"]]
    else:
        lines.append(_visits_in_short(outcome["visits"]))
    if so_far:
        good = not (outcome["doubled"] or outcome["unrecorded"])
        lines.append(say("demo.broken_off" if good else "demo.not_balanced"))
        return lines
    lines += [f"  ! {wrong}" for wrong in outcome["wrong"]]
    lines.append(say("demo.balanced" if outcome["balanced"] else "demo.not_balanced"))
    return lines


def _handheld_line(row: Mapping[str, Any]) -> str:
    books = row["books"]
    entries = {book: sum(books[book].values()) for book in ("recorded", "stored", "forwarded")}
    return say(
        "demo.handheld",
        device=row["device"],
        gestor=row["gestor"],
        visits=books["visits"],
        **entries,
    )


def _visits_in_short(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many of each fence verdict, where each visit by itself would be a page."""
    found = Counter(row["verdicts"]["fence"]["gateway"] for row in rows)
    told = [f"{found[kind]} {say(f'word.short.{kind}')}" for kind in sorted(found)]
    verified = sum(row["signature_verified"] for row in rows)
    return say("demo.visits", count=len(rows), verdicts=", ".join(told), verified=verified)


def _correction_line(told: Mapping[str, Any]) -> str:
    return say(
        "demo.correction",
        field=words.field(told["field"]),
        original=words.field_value(told["field"], told["original"]),
        value=words.field_value(told["field"], told["value"]),
        reason=told["reason"],
        signature=say("demo.signed" if told["signature_verified"] else "demo.unsigned"),
        accepted=say("demo.accepted" if told["accepted"] else "demo.not_accepted"),
    )


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

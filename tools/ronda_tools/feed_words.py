"""One feed event as one sentence. Pure; judges nothing, and says so where it cannot read one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from ronda_gateway import feed
from ronda_protocol import reading

from ronda_tools import visit_words as words
from ronda_tools.evidence_words import degrees
from ronda_tools.texts import codes, say

_KINDS = {"inside": 1, "outside": 2, "uncertain": 3}
_REASONS = {
    "ok": 0,
    "no_fix": 1,
    "disqualified": 2,
    "hdop_unknown": 3,
    "bad_fence": words.BAD_FENCE,
}
_OPENED = {"refused": 0, "inside": 1, "unconfirmed": 2, "address_to_confirm": 3, "portal": 4}
_ENDED = {"closed": 1, "interrupted": 2, "refused": 3}


When = Callable[[int | None], str]
"""How unix seconds are told; "" for a time nobody knew."""


def sentence(event: Mapping[str, Any], when: When = words.clock_text) -> str:
    """The sentence of a CloudEvent."""
    data: Any = event.get("data")
    teller = _TELLERS.get(str(event.get("type")))
    try:
        if teller is None or not isinstance(data, Mapping):
            raise KeyError
        return teller(cast(Mapping[str, Any], data), when)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        kind, id = str(event.get("type", "?")), str(event.get("id", "?"))
        return say("feed.unknown", type=kind, id=id)


def fence(verdict: Mapping[str, Any] | None) -> str:
    """A verdict of the feed (`verdicts.fence`) in words; both where the two sides differ."""
    if verdict is None:
        return words.verdict(None)
    told = words.verdict(
        [
            _KINDS[verdict["gateway"]],
            verdict["d_dm"],
            verdict["r_dm"],
            verdict["fixes_used"],
            _REASONS[verdict["reason"]],
        ]
    )
    if verdict["agrees"]:
        return told
    return say("feed.disagree", verdict=told, theirs=say(f"word.short.{verdict['handheld']}"))


def _visit(data: Mapping[str, Any], when: When) -> str:
    verdicts = data["verdicts"]
    outcome = data["outcome"]
    parts = [
        say(
            "feed.visit",
            when=when(data["check_in"]["utc"]) or say("word.no_stamp"),
            device=data["device"],
            case=data["case_id"],
            portfolio=data["portfolio"],
            ended=words.ended(_ENDED[data["ended"]]),
        ),
        say("feed.at_door", verdict=fence(verdicts["fence"])),
        words.opened(_OPENED[data["opened"]]),
    ]
    if verdicts.get("fence_at_portal"):
        parts.append(say("feed.at_portal", verdict=fence(verdicts["fence_at_portal"])))
    if data.get("dwell"):
        before, during = data["dwell"]["before_s"], data["dwell"]["during_s"]
        parts.append(say("feed.dwell", before=before, during=during or 0))
    if data["attempts"]:
        parts.append(say("feed.attempts", count=data["attempts"]))
    if data["close"] is not None:
        parts.append(say("feed.at_close", verdict=fence(verdicts["fence_at_close"])))
    if data.get("no_signal"):
        parts.append(say("feed.no_signal"))
    if outcome:
        parts.append(say("feed.outcome", outcome=words.outcome(outcome)))
    if data["promise"]:
        parts.append(words.promise(data["promise"]))
    moments = [data["check_in"], data.get("portal"), data["close"]]
    flags = words.flags(_flags(fix for moment in moments if moment for fix in moment["fixes"]))
    if flags:
        parts.append(say("feed.flags", flags=flags))
    parts.append(overall(verdicts))
    return "; ".join(parts) + "."


def overall(verdicts: Mapping[str, Any]) -> str:
    """What the gateway concludes, and for an exception why."""
    told = say(f"feed.overall.{verdicts['overall']}")
    why = words.reasons(verdicts["reasons"])
    if verdicts["overall"] != "exception" or not why:
        return told
    return say("feed.because", overall=told, reasons=why)


def _flags(fixes: Iterable[Mapping[str, Any]]) -> list[int]:
    """The detector flags of each fix."""
    return [fix["quality"][6] if fix["quality"] else 0 for fix in fixes]


def _verdict(data: Mapping[str, Any], _when: When) -> str:
    why = say(f"feed.why.{data['reason']}")
    if data.get("correction"):
        why += "; " + _correction(data["correction"])
    return say(
        "feed.verdict",
        visit=data["visit_id"],
        case=data["case_id"],
        portfolio=data["portfolio"],
        version=data["version"],
        why=why,
        overall=overall(data["verdicts"]),
    )


def _correction(found: Mapping[str, Any]) -> str:
    """A correction with what the visit says and what it should say."""
    told = say(
        "feed.correction",
        gestor=found["gestor"] or "?",
        field=words.field(found["field"]),
        original=words.field_value(found["field"], found["original"]),
        value=words.field_value(found["field"], found["value"]),
        reason=found["reason"],
    )
    refused = words.refused_for(found.get("refused_for") or ())
    return f"{told}; {say('feed.refused_for', reasons=refused)}" if refused else told


def _positions(data: Mapping[str, Any], when: When) -> str:
    rows: Sequence[Mapping[str, Any]] = data["entries"]
    last, flags = rows[-1], words.flags(_flags(rows))
    told = say(
        "feed.positions",
        device=data["device"],
        count=len(rows),
        seq=data["seq"],
        lat=degrees(last["lat_e7"]),
        lon=degrees(last["lon_e7"]),
        when=when(last["utc"]) or say("word.no_stamp"),
    )
    return f"{told[:-1]}; {say('feed.flags', flags=flags)}." if flags else told


def _battery(data: Mapping[str, Any], _when: When) -> str:
    last = data["entries"][-1]
    percent = last["percent"]
    return say(
        "feed.battery",
        device=data["device"],
        mv=last["mv"],
        percent="?" if percent is None else percent,
        source=say(f"word.power.{last['source'] if last['source'] in (0, 1, 2) else 0}"),
        count=len(data["entries"]),
    )


def _events(data: Mapping[str, Any], when: When) -> str:
    told = [
        say(
            "feed.event",
            name=event_words(row["code"]),
            when=when(row["utc"]) or say("word.no_stamp"),
        )
        for row in data["entries"]
    ]
    return say("feed.events", device=data["device"], events="; ".join(told))


def event_words(code: int) -> str:
    """A log event's code in words."""
    name = reading.event_name(code)
    known = f"word.event.{name}"
    return say(known) if known in codes() else name


def _alert(data: Mapping[str, Any], _when: When) -> str:
    return say(
        "feed.alert",
        severity=say(f"feed.severity.{data['severity']}"),
        device=data["device"],
        text=data["text"],
        todo=data["todo"],
    )


_TELLERS = {
    feed.VISIT: _visit,
    feed.VISIT_VERDICT: _verdict,
    feed.POSITIONS: _positions,
    feed.BATTERY: _battery,
    feed.EVENTS: _events,
    feed.ALERT: _alert,
}

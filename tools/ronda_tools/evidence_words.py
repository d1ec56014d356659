"""Tells an evidence report in lines for people, and as data for programs. Decides nothing."""

from collections.abc import Sequence
from typing import Any

from ronda_protocol import reading, track, visit

from ronda_tools import visit_words as words
from ronda_tools.evidence import Check, Report
from ronda_tools.texts import say

_MARK = {True: "+", False: "!", None: "-"}


def line(check: Check) -> str:
    """One check in one line: + holds, ! does not, - could not be looked at."""
    return f" {_MARK[check.result]} {say(check.code, **check.fields)}"


def verdict(report: Report) -> list[str]:
    """What was checked, the outcome, and what it proves and does not prove."""
    name = report.visit_id or say("evidence.unknown_visit")
    lines = [line(check) for check in report.checks]
    lines.append(say("evidence.valid" if report.valid else "evidence.invalid", visit=name))
    if report.valid:
        lines += [say("evidence.proves", kid=report.kid), say("evidence.not_proved")]
    return lines


def sentences(report: Report) -> list[str]:
    """What the evidence says, then what was checked of it."""
    told: list[str] = []
    if report.header is not None:
        header = report.header
        told.append(
            say(
                "show.segment",
                device=header.device,
                log=header.log_id.hex(),
                seq=header.seq,
                firmware=header.fw_version,
                hash=header.fw_hash.hex(),
            )
        )
    if report.evidence is not None:
        told += _visit(report, report.evidence)
    if report.entries is not None:
        told += _entries(report.entries)
    if report.correction is not None:
        told.append(_correction(report.correction))
    told += [line(check) for check in report.checks]
    if not report.signature_verified:
        told.append(say("show.unverified"))
    return told


def _visit(report: Report, fields: dict[str, Any]) -> list[str]:
    place = fields["place"]
    told = [
        say("show.visit", visit=report.visit_id, ended=words.ended(fields["ended"])),
        say(
            "show.case",
            case=fields["case_id"],
            portfolio=fields["portfolio"],
            creditor=fields["creditor"],
            quality=words.quality(place[1]),
            version=place[0],
            shape=words.shape(place[2:]),
        ),
        say("show.check_in", stamp=words.stamp(fields["check_in"])),
        say(
            "show.verdict",
            verdict=words.verdict(fields["check_in_verdict"]),
            opened=words.opened(fields["opened"]),
        ),
    ]
    if fields.get("portal"):
        stamp, _, found, dwell = fields["portal"]
        told.append(
            say(
                "show.portal",
                stamp=words.stamp(stamp),
                verdict=words.verdict(found),
                dwell=dwell,
            )
        )
    if fields.get("dwell"):
        before, during = fields["dwell"]
        code = "show.dwell_open" if during is None else "show.dwell"
        told.append(say(code, before=before, during=during))
    if fields.get("close"):
        told.append(say("show.close", stamp=words.stamp(fields["close"])))
        told.append(say("show.close_verdict", verdict=words.verdict(fields.get("close_verdict"))))
    if fields.get("no_signal"):
        told.append(say("show.no_signal"))
    if fields.get("attempts"):
        told.append(say("show.attempts", count=fields["attempts"]))
    told += _flags(fields)
    if fields.get("outcome"):
        told.append(say("show.outcome", outcome=words.outcome(fields["outcome"])))
    if fields.get("gestor"):
        told.append(say("show.gestor", gestor=fields["gestor"]))
    if report.answers is not None:
        told += [
            say("show.answer", question=question, answer=str(answer))
            for question, answer in sorted(report.answers.items())
        ]
    if report.promise is not None:
        told.append(say("show.promise", promise=words.promise(report.promise)))
    told.append(say("show.law" if fields["law"][0] == 0 else "show.law_other"))
    return told


def _flags(fields: dict[str, Any]) -> list[str]:
    """The detector flags of the fixes that a visit carries, by the moment they were taken."""
    portal = fields.get("portal")
    windows = {
        "check_in": (fields["check_in"], fields.get("check_in_fixes")),
        "portal": (portal[0], portal[1]) if portal else (None, None),
        "close": (fields.get("close"), fields.get("close_fixes")),
    }
    told: list[str] = []
    for moment, (stamp, window) in windows.items():
        if stamp is None or window is None:
            continue
        fixes = reading.unpack_window(window, stamp[1])
        flags = words.flags(track.fix_flags(fix) for fix in fixes)
        if flags:
            named = say(f"show.moment.{moment}")
            told.append(say("show.flags", moment=named, flags=flags))
    return told


def _correction(found: dict[str, Any]) -> str:
    """What a correction says; the original is in the visit's own evidence."""
    return say(
        "show.correction",
        visit=found["visit_id"],
        gestor=found["gestor"] or "?",
        field=words.field(found["field"]),
        value=words.field_value(found["field"], found["value"]),
        reason=found["reason"],
    )


def _entries(entries: Sequence[Sequence[Any]]) -> list[str]:
    counts = [
        (track.NAMES[kind], sum(entry[0] == kind for entry in entries))
        for kind in (track.FIX, track.BATTERY, track.EVENT)
    ]
    told = [say("show.entries", **dict(counts))]
    fixes = [entry for entry in entries if entry[0] == track.FIX]
    for entry in fixes[:1] + fixes[1:][-1:]:
        told.append(say("show.fix", number=entry[1], lat=degrees(entry[3]), lon=degrees(entry[4])))
    flags = words.flags(track.fix_flags(list(entry)) for entry in fixes)
    if flags:
        told.append(say("show.flags", moment=say("show.moment.track"), flags=flags))
    told += [
        say("show.event", number=entry[1], name=reading.event_name(entry[3]), data=str(entry[4]))
        for entry in entries
        if entry[0] == track.EVENT
    ]
    return told


def degrees(e7: int) -> str:
    """Degrees in units of 1e-7 as a decimal number with seven places; exact."""
    whole, part = divmod(abs(e7), 10_000_000)
    return f"{'-' if e7 < 0 else ''}{whole}.{part:07d}"


def as_json(report: Report, content: bool = False) -> dict[str, object]:
    """The report for programs; with `content` what the evidence says too."""
    header = report.header
    data: dict[str, object] = {
        "valid": report.valid,
        "signature_verified": report.signature_verified,
        "visit_id": report.visit_id if report.evidence is not None else None,
        "device": header.device if header else None,
        "log": header.log_id.hex() if header else None,
        "seq": header.seq if header else None,
        "kid": report.kid or None,
        "chain_hash": report.chain_hash or None,
        "withheld": report.withheld,
        "checks": [check_json(check) for check in report.checks],
    }
    if content:
        data["visit"] = _plain(report.evidence)
        data["ended"] = visit.ENDED_NAMES[report.evidence["ended"]] if report.evidence else None
        data["answers"] = report.answers
        data["promise"] = report.promise
        data["entries"] = _plain(report.entries)
        data["correction"] = _plain(report.correction)
    return data


def check_json(check: Check) -> dict[str, object]:
    """A check for programs: its name, result, sentence, and what the sentence was made of."""
    told = {"check": check.name, "result": check.result, "code": check.code}
    return {**told, "text": say(check.code, **check.fields), "fields": _plain(dict(check.fields))}


def _plain(value: Any) -> Any:
    """A decoded value as JSON takes it: byte strings in hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple():
            return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value

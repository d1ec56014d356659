"""Words for what a visit says: verdicts in metres, policies, compass, stamps. Pure; no sentence of
its own is a verdict.

Takes the integers of `ronda_protocol.visit` as decoded; unknown codes are told as numbers.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ronda_protocol import reading

from ronda_tools import catalogue_words, texts
from ronda_tools.texts import codes, language, say

texts.add(catalogue_words.TEXTS)

COMPASS = ("n", "ne", "e", "se", "s", "sw", "w", "nw")
_VERDICT = {1: "inside", 2: "outside", 3: "uncertain"}
_REASON = {1: "no_fix", 2: "disqualified", 3: "hdop"}
BAD_FENCE = -1
"""A reason of the gateway's own: the place is no fence."""
_ENDED = {1: "closed", 2: "interrupted", 3: "refused"}
_OPENED = {0: "refused", 1: "inside", 2: "unconfirmed", 3: "address", 4: "portal"}
_QUALITY = {0: "geocoded", 1: "confirmed", 2: "corrected"}
_SOURCE = {0: "none", 1: "gnss", 2: "gateway", 3: "rtc"}


def metres(decimetres: int) -> str:
    """A length with one decimal, in the language's own writing: "12,3 m"."""
    whole, tenth = divmod(abs(decimetres), 10)
    return f"{whole}{'.' if language() == 'en' else ','}{tenth} m"


def verdict(value: Sequence[Any] | None) -> str:
    """A fence verdict [verdict, d dm, r dm, used, reason] in words."""
    if not value:
        return say("word.not_asked")
    kind, d, r, used, reason = (list(value) + [None] * 5)[:5]
    if reason == BAD_FENCE:
        return say("word.bad_fence")
    if d is None or r is None:
        text = say("word.uncertain_blind")
    else:
        code = f"word.{_VERDICT.get(kind, 'uncertain')}"
        text = say(code, d=metres(d), r=metres(r), used=used)
    why = _REASON.get(reason)
    return f"{text} ({say(f'word.reason.{why}')})" if why else text


def shape(fence: Sequence[Any]) -> str:
    """A fence [0, lat, lon, radius dm] or [1, corners] in words."""
    if fence[0] == 0:
        return say("word.circle", radius=metres(fence[3]))
    return say("word.polygon", corners=len(fence[1]) // 2)


def direction(compass8: int) -> str:
    """One of eight directions: 0 north, 2 east, 4 south, 6 west."""
    return say(f"word.compass.{COMPASS[compass8 % 8]}")


def ended(code: int) -> str:
    """How a visit ended."""
    return _word("ended", _ENDED, code)


def opened(code: int) -> str:
    """How a check-in opened."""
    return _word("opened", _OPENED, code)


def quality(code: int) -> str:
    """How well the door's place is known."""
    return _word("quality", _QUALITY, code)


def outcome(code: str) -> str:
    """An outcome of the built-in questionnaire in words, any other as it is."""
    known = f"word.outcome.{code}"
    return say(known) if known in codes() else code


def flags(of_fixes: Iterable[int]) -> str:
    """The detector flags of some fixes: what each means, and how many have it; "" for none."""
    every = list(of_fixes)
    found = Counter(name for value in every for name in reading.flag_names(value))
    order = reading.flag_names(0xFFFF)
    told = [
        say("word.flag.share", flag=_flag(name), count=found[name], all=len(every))
        for name in sorted(found, key=order.index)
    ]
    return "; ".join(told)


def _flag(name: str) -> str:
    known = f"word.flag.{name}"
    return say(known) if known in codes() else say("word.flag.other", name=name)


def reasons(found: Iterable[str]) -> str:
    """Why a verdict is as it is; what holds for every visit of today is left out."""
    told = [reason for reason in found if reason != "law_not_evaluated"]
    return ", ".join(_known("why", reason) for reason in told)


def refused_for(found: Iterable[str]) -> str:
    """Why a correction does not hold."""
    return ", ".join(_known("refused", reason) for reason in found)


def _known(group: str, name: str) -> str:
    code = f"word.{group}.{name}"
    return say(code) if code in codes() else name


def field(name: str) -> str:
    """What a correction corrects: outcome, promise, answers.<question>."""
    if name.startswith("answers."):
        return say("word.field.answer", question=name.removeprefix("answers."))
    known = f"word.field.{name}"
    return say(known) if known in codes() else name


def field_value(name: str, value: Any) -> str:
    """What such a field says; "-" for nothing."""
    if value is None:
        return "-"
    if name == "promise" and isinstance(value, Mapping):
        return promise(cast(Mapping[str, Any], value))
    return outcome(str(value)) if name == "outcome" else str(value)


def _word(group: str, names: Mapping[int, str], code: int) -> str:
    name = names.get(code)
    return say(f"word.{group}.{name}") if name else str(code)


def clock_text(unix: int | None) -> str:
    """Unix seconds as date and time in UTC; "" for none, the number beyond the year 9999."""
    if unix is None:
        return ""
    if not 0 <= unix < 253402300800:
        return str(unix)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix))


def stamp(value: Sequence[Any] | None) -> str:
    """A stamp [boot, ms, utc, source, uncertainty] in words."""
    if not value:
        return say("word.no_stamp")
    boot, ms, utc, source, uncertainty = value
    since = f"{ms // 1000} s"
    if utc is None:
        return say("word.stamp_untimed", boot=boot, since=since)
    return say(
        "word.stamp",
        time=clock_text(utc),
        source=_word("source", _SOURCE, source),
        uncertainty=uncertainty,
        boot=boot,
        since=since,
    )


def money(amount: int, currency: str) -> str:
    """Minor units with two decimals, in the language's own writing: "PEN 1.250,00"."""
    whole, cents = divmod(abs(amount), 100)
    grouped = f"{whole:,}"
    if language() == "en":
        text = f"{grouped}.{cents:02d}"
    else:
        text = f"{grouped.replace(',', '.')},{cents:02d}"
    return f"{currency} {'-' if amount < 0 else ''}{text}"


def day(yyyymmdd: int) -> str:
    """A date told as 20260930: "2026-09-30"."""
    text = f"{yyyymmdd:08d}"
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def promise(value: Mapping[str, Any]) -> str:
    """A promise of payment in words."""
    pairs = "; ".join(
        say("word.promise.pair", amount=money(amount, value["currency"]), day=day(date))
        for amount, date in value["pairs"]
    )
    kind = say("word.promise.all" if value["kind"] == 1 else "word.promise.partial")
    return say("word.promise", kind=kind, pairs=pairs, who=value["who"])

"""Finds sealed evidence in a file: raw bytes, base64 text, a feed event's JSON, or JSON lines.

Only finds it. Whether it is true is `evidence`'s question; a file that is no file of that kind
raises UsedWrong, one that was damaged is handed on with the problem named.
"""

import base64
import binascii
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ronda_tools.texts import UsedWrong

# A day's feed of a hundred handhelds is about 30 MB; one sealed segment is at most 64 KiB.
MAX_FILE = 64 << 20
COSE_SIGN1 = 0xD2  # the byte of CBOR tag 18, which begins every sealed segment
_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")


@dataclass(frozen=True)
class Held:
    """Evidence as found: the sealed bytes, the feed event around them, or what is wrong."""

    sealed: bytes
    event: dict[str, Any] | None = None
    problem: str = ""

    @property
    def event_id(self) -> str:
        """The id of the event around it, or ""."""
        return str((self.event or {}).get("id", ""))


def load(path: str, wanted_id: str | None = None, every: bool = False) -> list[Held]:
    """The evidence in a file ("-" is standard input): one, or all with `every`.

    A file that holds several needs `wanted_id` (an event's id) or `every`. Copies of one event
    count once. UsedWrong for anything that is not a file with evidence in it.
    """
    found = list(_find(_read(path), path))
    distinct = list({(held.event_id, held.sealed, held.problem): held for held in found}.values())
    if wanted_id is not None:
        chosen = [held for held in distinct if held.event_id == wanted_id]
        if not chosen:
            raise UsedWrong("evidence.no_such_id", id=wanted_id, file=path)
        return chosen
    if not distinct:
        raise UsedWrong("evidence.none", file=path)
    if len(distinct) > 1 and not every:
        raise UsedWrong("evidence.choose", file=path, count=len(distinct), id=distinct[0].event_id)
    return distinct


def held_in(event: dict[str, Any]) -> list[Held]:
    """The evidence in one feed event: one, or none."""
    return list(_in_event(event))


def _read(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            if Path(path).is_dir():
                raise UsedWrong("file.directory", file=path)
            with Path(path).open("rb") as file:
                data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise UsedWrong("file.missing", file=path) from None
    except (OSError, ValueError) as error:
        raise UsedWrong("file.unreadable", file=path, why=_why(error)) from None
    if len(data) > MAX_FILE:
        raise UsedWrong("file.huge", file=path, limit=MAX_FILE >> 20)
    if not data.strip():
        raise UsedWrong("file.empty", file=path)
    return data


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _find(data: bytes, path: str) -> Iterator[Held]:
    if data[0] == COSE_SIGN1:
        yield Held(data)
        return
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if text[:1] in (b"{", b"["):
        yield from _in_json(text, path)
        return
    packed = b"".join(text.split())
    if _BASE64.issuperset(packed):
        yield _from_base64(packed, None)
    else:
        yield Held(data)  # neither: the structure check will say so


def _from_base64(text: bytes, event: dict[str, Any] | None) -> Held:
    standard = text.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        padded = standard + b"=" * (-len(standard) % 4)
        return Held(base64.b64decode(padded, validate=True), event)
    except binascii.Error:
        return Held(b"", event, "base64")


def _in_json(text: bytes, path: str) -> Iterator[Held]:
    whole = _parse(text)
    if whole is not _BROKEN:
        values = cast(list[Any], whole) if isinstance(whole, list) else [whole]
    else:
        values = [_parse(line) for line in text.splitlines() if line.strip()]
    for value in values:
        if value is _BROKEN:
            yield Held(b"", None, "json")
        elif isinstance(value, dict):
            yield from _in_event(cast(dict[str, Any], value))
        else:
            raise UsedWrong("evidence.none", file=path)


def _in_event(event: dict[str, Any]) -> Iterator[Held]:
    data: Any = event.get("data")
    inner = cast(dict[str, Any], data) if isinstance(data, dict) else event
    told: Any = inner.get("correction")
    if isinstance(told, dict):
        # A change of a visit: the correction is what was signed, not the verdicts around it.
        inner = {**cast(dict[str, Any], told), "visit_id": inner.get("visit_id")}
        event = {"id": event.get("id"), "type": event.get("type"), "data": inner}
    sealed = inner.get("evidence", inner.get("sealed"))
    if isinstance(sealed, str) and sealed:
        if sealed.isascii():
            yield _from_base64(sealed.encode(), event)
        else:
            yield Held(b"", event, "base64")


_BROKEN = object()


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN

"""How several sealed segments hang together: gaps, forks, broken links, by log. Decides by bytes.

What it is given are reports of single segments (`evidence.examine`). A segment that is not there
may never have been handed over: a gap is named, and decides only where all were asked for. What
the device itself declared lost, in a segment whose signature holds, is told as that and is no gap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ronda_gateway import declared
from ronda_protocol import segment, track

from ronda_tools.evidence import Check, Report


@dataclass(frozen=True)
class _Seen:
    header: segment.Header
    chain: bytes


def examine_chain(reports: Sequence[Report], *, complete: bool = False) -> list[Check]:
    """The checks between segments, log by log, for logs of which two or more were given.

    With `complete` also for a single one, and every gap is a failure: then what was given must
    be a log from its first segment on. What lies behind its last cannot show here.
    """
    logs: dict[tuple[str, bytes], dict[int, _Seen]] = {}
    lost: dict[tuple[str, bytes], list[_Lost]] = {}
    checks: list[Check] = []
    for report in reports:
        if report.header is None:
            continue
        header, seen = report.header, _Seen(report.header, bytes.fromhex(report.chain_hash))
        for claim in _claims(report, header):
            lost.setdefault((header.device, claim.log_id), []).append(claim)
        found = logs.setdefault((header.device, header.log_id), {})
        other = found.setdefault(header.seq, seen)
        if other.chain != seen.chain:
            checks.append(_check(False, "evidence.log_fork", header, seq=header.seq))
    for (device, log_id), found in sorted(logs.items()):
        if complete or len(found) > 1:
            claims = sorted(lost.get((device, log_id), ()))
            checks += _one_log(found, claims, complete=complete)
        first = found.get(1)
        if first and first.header.previous_log:
            older = logs.get((device, first.header.previous_log[0]))
            if older:
                claims = lost.get((device, first.header.previous_log[0]), [])
                checks.append(_continues(first.header, first.header.previous_log, older, claims))
    return checks


class _Lost(NamedTuple):
    """What a device declares lost of a log, in which of its segments."""

    first: int
    last: int
    reason: str
    log_id: bytes
    by: int


def _claims(report: Report, header: segment.Header) -> Iterator[_Lost]:
    """What counts: signed, and of its own log sealed before it."""
    if not report.signature_verified:
        return
    for entry in report.entries or ():
        if entry[0] != track.EVENT or entry[3] != track.LOST:
            continue
        claim = declared.read(entry[4], header.log_id)
        if claim and (claim.log_id != header.log_id or claim.last < header.seq):
            yield _Lost(claim.first, claim.last, claim.reason, claim.log_id, header.seq)


def _check(result: bool | None, code: str, header: segment.Header, **fields: object) -> Check:
    said = {"device": header.device, "log": header.log_id.hex(), **fields}
    return Check("chain", result, code, said)


def _gap(
    header: segment.Header, first: int, last: int, claims: list[_Lost], *, complete: bool
) -> Iterator[Check]:
    """What is missing from first to last, and what of it is declared lost; claims ascend."""
    at = first
    for claim in [*claims, None]:
        low = max(claim.first, at) if claim else last + 1
        high = min(claim.last, last) if claim else last
        if claim and low > high:
            continue
        if low > at:
            code = "evidence.log_gap" if low > at + 1 else "evidence.log_gap_one"
            yield _check(False if complete else None, code, header, first=at, last=low - 1)
        if claim:
            yield _lost(header, header.log_id, low, high, claim)
            at = high + 1


def _lost(header: segment.Header, log_id: bytes, first: int, last: int, claim: _Lost) -> Check:
    said = {"first": first, "last": last, "by": claim.by, "reason": claim.reason}
    fields = {"device": header.device, "log": log_id.hex(), **said}
    return Check("chain", None, "evidence.log_lost", fields)


def _one_log(found: dict[int, _Seen], claims: list[_Lost], *, complete: bool) -> list[Check]:
    checks: list[Check] = []
    last, linked = 0, 0
    before: _Seen | None = None
    for seq in sorted(found):
        here = found[seq]
        if seq > last + 1:
            checks += _gap(here.header, last + 1, seq - 1, claims, complete=complete)
        elif before is not None and here.header.prev != before.chain:
            code = "evidence.log_unlinked"
            checks.append(_check(False, code, here.header, seq=seq, before=last))
        elif before is not None:
            linked += 1
        last, before = seq, here
    if before is not None:
        whole = not checks
        counted = {"count": len(found), "linked": linked, "first": min(found), "last": last}
        checks.append(
            _check(whole or None, "evidence.log_summary", before.header, **counted),
        )
    return checks


def _continues(
    header: segment.Header, previous: list[Any], older: dict[int, _Seen], claims: list[_Lost]
) -> Check:
    """Whether a log goes on from the end of the one that it names."""
    log_id, seq, head, reason = previous
    end = max(older)
    fits = end == seq and older[end].chain == head
    said = {"older": log_id.hex(), "seq": seq, "reason": reason}
    if fits:
        return _check(True, "evidence.log_continues", header, **said)
    for claim in claims:
        if claim.first <= end + 1 and seq <= claim.last and end < seq:
            return _lost(header, log_id, end + 1, seq, claim)
    return _check(False, "evidence.log_tail", header, end=end, **said)

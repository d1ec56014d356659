"""How several sealed segments hang together: gaps, forks, broken links, by log. Decides by bytes.

What it is given are reports of single segments (`evidence.examine`). A segment that is not there
may never have been handed over: a gap is named, and decides only where all were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ronda_protocol import segment

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
    checks: list[Check] = []
    for report in reports:
        if report.header is None:
            continue
        header, seen = report.header, _Seen(report.header, bytes.fromhex(report.chain_hash))
        found = logs.setdefault((header.device, header.log_id), {})
        other = found.setdefault(header.seq, seen)
        if other.chain != seen.chain:
            checks.append(_check(False, "evidence.log_fork", header, seq=header.seq))
    for (device, _), found in sorted(logs.items()):
        if complete or len(found) > 1:
            checks += _one_log(found, complete=complete)
        first = found.get(1)
        if first and first.header.previous_log:
            older = logs.get((device, first.header.previous_log[0]))
            if older:
                checks.append(_continues(first.header, first.header.previous_log, older))
    return checks


def _check(result: bool | None, code: str, header: segment.Header, **fields: object) -> Check:
    said = {"device": header.device, "log": header.log_id.hex(), **fields}
    return Check("chain", result, code, said)


def _one_log(found: dict[int, _Seen], *, complete: bool) -> list[Check]:
    checks: list[Check] = []
    last, linked = 0, 0
    before: _Seen | None = None
    for seq in sorted(found):
        here = found[seq]
        if seq > last + 1:
            code = "evidence.log_gap" if seq > last + 2 else "evidence.log_gap_one"
            missing = {"first": last + 1, "last": seq - 1}
            checks.append(_check(False if complete else None, code, here.header, **missing))
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


def _continues(header: segment.Header, previous: list[Any], older: dict[int, _Seen]) -> Check:
    """Whether a log goes on from the end of the one that it names."""
    log_id, seq, head, reason = previous
    end = max(older)
    fits = end == seq and older[end].chain == head
    said = {"older": log_id.hex(), "seq": seq, "reason": reason}
    if fits:
        return _check(True, "evidence.log_continues", header, **said)
    return _check(False, "evidence.log_tail", header, end=end, **said)

"""The report of a torture run, as text and as one HTML page without anything from outside.

Leaves out the judging: it counts what `laboratory.py` remembered.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import lab

Known = Mapping[str, Mapping[str, object]]


@dataclass
class Row:
    """One suite in the report."""

    id: str
    title: str
    planned: int = 0
    held: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[Mapping[str, object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        if self.violations:
            return "BROKEN"
        if self.planned and self.held == self.planned:
            return "held"
        return "in part" if self.held else "not run"


def rows(
    suites: Mapping[str, lab.Suite], known: Known, skipped: Mapping[str, str], size: str
) -> list[Row]:
    """One row a suite, from the results of these sources."""
    found: list[Row] = []
    for name, suite in suites.items():
        row = Row(name, suite.title)
        found.append(row)
        lacking = skipped.get(name) or suite.lacking()
        if lacking:
            row.notes.append(f"skipped: {lacking}")
            continue
        plan = suite.plan(size)
        row.planned = len(plan)
        for case in plan:
            _add(row, known.get(case))
        missing = row.planned - row.held - len(row.violations)
        if missing:
            row.notes.append(f"{missing} cases not run with these sources")
    return found


def _add(row: Row, result: Mapping[str, object] | None) -> None:
    if result is None:
        return
    row.seconds += float(str(result.get("seconds", 0)))
    if not result["ok"]:
        row.violations.append(result)
        return
    row.held += 1
    if result.get("skipped"):
        row.notes.append(f"{result['case']} skipped: {result['skipped']}")
    counts = result.get("counts")
    for key, value in counts.items() if isinstance(counts, dict) else ():
        largest = key.startswith("max ")
        old = row.counts.get(key, 0)
        row.counts[key] = max(old, int(value)) if largest else old + int(value)


def _counts(row: Row) -> str:
    return ", ".join(f"{value:,} {key}" for key, value in row.counts.items())


def _took(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def text(found: list[Row], size: str) -> str:
    """The report for a terminal."""
    lines = [f"Ronda torture, size {size}", ""]
    for row in found:
        lines.append(f"{row.id:5}{row.word:8}{row.held:5}/{row.planned:<5}{_took(row.seconds):>7}")
        lines[-1] += f"  {row.title}"
        if row.counts:
            lines.append(f"{'':13}{_counts(row)}")
        for note in row.notes:
            lines.append(f"{'':13}{note}")
        for result in row.violations:
            said = f"{result.get('invariant') or 'failed'}: {result.get('text')}"
            lines.append(f"{'':13}{said}")
            lines.append(f"{'':13}ronda-torture ID={result.get('id') or result['case']}")
    broken = sum(len(row.violations) for row in found)
    spent = sum(row.seconds for row in found)
    held = sum(row.held for row in found)
    lines += ["", f"{held} cases held, {broken} violations, {_took(spent)} of process time"]
    return "\n".join(lines)


_STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5c6675;--paper:#fbfbfa;--card:#fff;
--line:#dfe3e8;--good:#1a7f4b;--bad:#c02f2f;--wait:#8a6100}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b5;--paper:#14171c;
--card:#1b1f26;--line:#2c323c;--good:#5fd39a;--bad:#ff8a80;--wait:#e8bf5a}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}main{max-width:72rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;margin:0 0 .25rem}p{margin:.25rem 0;color:var(--soft)}
.sum{display:flex;gap:2rem;flex-wrap:wrap;margin:1.5rem 0}.sum b{display:block;font-size:1.6rem;
color:var(--ink);font-variant-numeric:tabular-nums}.sum span{color:var(--soft)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;
padding:.6rem .9rem;border-top:1px solid var(--line)}thead th{border-top:0;color:var(--soft);
font-weight:600;font-size:.85rem}td.n{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}td small{color:var(--soft);display:block}
.held{color:var(--good)}.BROKEN{color:var(--bad)}.part{color:var(--wait)}
td b{white-space:nowrap}pre{background:var(--paper);border:1px solid var(--line);
border-radius:6px;padding:.6rem;overflow-x:auto;font-size:.85rem;margin:.5rem 0 0}
"""


def page(found: list[Row], size: str) -> str:
    """The report as one HTML page, light or dark as the reader's system is."""
    said = html.escape
    body: list[str] = []
    for row in found:
        word = row.word if row.word in ("held", "BROKEN") else "part"
        notes = "".join(f"<small>{said(note)}</small>" for note in row.notes)
        for result in row.violations:
            named = f"{result.get('invariant') or 'failed'}: {result.get('text')}"
            repeat = f"make torture ID={result.get('id') or result['case']}"
            notes += f"<pre>{said(named)}\n{said(repeat)}</pre>"
        counts = f"<small>{said(_counts(row))}</small>" if row.counts else ""
        body.append(
            f"<tr><td><b>{said(row.id)}</b></td><td>{said(row.title)}{counts}{notes}</td>"
            f'<td><b class="{word}">{said(row.word)}</b></td>'
            f'<td class="n">{row.held} / {row.planned}</td>'
            f'<td class="n">{_took(row.seconds)}</td></tr>'
        )
    broken = sum(len(row.violations) for row in found)
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    figures = [
        (f"{sum(row.held for row in found)}", "cases held"),
        (f"{broken}", "violations"),
        (f"{sum(1 for row in found if row.word == 'held')} of {len(found)}", "suites complete"),
        (_took(sum(row.seconds for row in found)), "of process time"),
    ]
    cards = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in figures)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Ronda torture</title><style>{_STYLE}</style><main><h1>Ronda torture</h1>"
        f"<p>Size {said(size)}, {when}. Every failure names the command that repeats it.</p>"
        f'<div class="sum">{cards}</div><div class="wide"><table><thead><tr><th>Suite</th>'
        "<th>What was tried</th><th>Result</th><th>Cases</th><th>Time</th></tr></thead><tbody>"
        f"{''.join(body)}</tbody></table></div></main></html>\n"
    )


def write(
    suites: Mapping[str, lab.Suite],
    known: Known,
    skipped: Mapping[str, str],
    size: str,
    folder: Path,
) -> str:
    """Write report.txt, report.html and report.json into the folder; the text."""
    found = rows(suites, known, skipped, size)
    said = text(found, size)
    (folder / "report.txt").write_text(said + "\n")
    (folder / "report.html").write_text(page(found, size))
    figures = {
        row.id: {
            "title": row.title,
            "held": row.held,
            "planned": row.planned,
            "seconds": round(row.seconds, 1),
            "counts": row.counts,
            "violations": len(row.violations),
        }
        for row in found
    }
    (folder / "report.json").write_text(json.dumps(figures, indent=1) + "\n")
    return said

"""Runs the torture suites: `tests/torture/laboratory.py [--suite D1] [--id ID] [--size full]`.

Each case is a process of its own, bounded in time, with all it started killed afterwards. What
held is remembered in build/torture/results.jsonl under the case and a hash of the sources, so that
a run that was interrupted goes on where it was; `--fresh` forgets. A case that fails prints
`ronda-torture ID=<case id>`, which `make torture ID=<case id>` repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import lab
import report

_RESULTS = lab.RESULTS / "results.jsonl"
_MARK = "@RESULT "


@dataclass
class Running:
    """One case under way in a process group of its own."""

    case: str
    suite: lab.Suite
    process: subprocess.Popen[str]
    output: Path
    begun: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        return self.process.poll() is not None

    def late(self) -> bool:
        return time.monotonic() - self.begun > self.suite.limit_s

    def end(self) -> dict[str, object]:
        """Its result; whatever of its group still runs is killed."""
        late = not self.over()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        text = self.output.read_text(errors="replace")
        self.output.unlink()
        found = [line for line in text.splitlines() if line.startswith(_MARK)]
        result: dict[str, object] = {"case": self.case, "ok": False, "id": self.case}
        if found and not late:
            result = json.loads(found[-1][len(_MARK) :])
        elif late:
            result.update(invariant="I8", text=f"not over after {self.suite.limit_s} s")
        else:
            result.update(invariant="", text=f"ended with {self.process.returncode}")
        if not result["ok"]:
            result.setdefault("trace", text[-4000:])
        result["seconds"] = round(time.monotonic() - self.begun, 2)
        return result


def start(case: str, suite: lab.Suite, number: int) -> Running:
    """Start a case in its own process."""
    folder = lab.RESULTS / "output"
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{os.getpid()}-{number}.txt"
    with output.open("w") as f:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--one", case],
            stdout=f,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    return Running(case, suite, process, output)


def one(case: str) -> int:
    """Run a case in this process and print its result as the last line."""
    result = lab.execute(case, lab.suite_of(case), loud=True)
    print(_MARK + json.dumps(result, default=str), flush=True)
    return 0 if result["ok"] else 1


class Results:
    """results.jsonl: one line a case, the last one counts."""

    def __init__(self, size: str) -> None:
        self.size, self.sources = size, lab.sources()
        self.known: dict[str, dict[str, object]] = {}
        lab.RESULTS.mkdir(parents=True, exist_ok=True)
        self._torn = False
        if _RESULTS.exists():
            text = _RESULTS.read_text()
            self._torn = bool(text) and text[-1] != "\n"
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # a run was killed while it wrote: that case is run again
                if entry["sources"] == self.sources:
                    self.known[entry["case"]] = entry

    def add(self, result: dict[str, object], suite: str) -> None:
        entry = {**result, "suite": suite, "size": self.size, "sources": self.sources}
        self.known[str(result["case"])] = entry
        with _RESULTS.open("a") as f:
            f.write("\n" * self._torn + json.dumps(entry) + "\n")
        self._torn = False

    def held(self, case: str) -> bool:
        return bool(self.known.get(case, {}).get("ok"))


class Progress:
    """One line that is written over on a terminal, a line for each tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed, self.tenth = total, 0, 0, 0
        self.begun = time.monotonic()

    def show(self, running: Sequence[Running]) -> None:
        names = ", ".join(r.case for r in running)
        spent = int(time.monotonic() - self.begun)
        text = (
            f"{self.done}/{self.total} cases, {self.failed} failed, {spent // 60}:{spent % 60:02}"
        )
        if sys.stdout.isatty():
            print(f"\r\033[K{text}  {names[:60]}", end="", flush=True)
        elif self.done * 10 // max(1, self.total) > self.tenth:
            self.tenth = self.done * 10 // self.total
            print(text, flush=True)

    def line(self, text: str) -> None:
        print(("\r\033[K" if sys.stdout.isatty() else "") + text, flush=True)


def tell(result: dict[str, object], progress: Progress) -> None:
    """A case that failed: what broke, and how to repeat it."""
    progress.failed += 1
    named = f"{result.get('invariant') or 'failed'}: {result.get('text')}"
    progress.line(f"{result['case']}: {named}")
    if os.environ.get("RONDA_TORTURE_TRACE"):
        progress.line(str(result.get("trace", "")))
    progress.line(f"ronda-torture ID={result.get('id') or result['case']}")


def run(cases: Sequence[tuple[str, lab.Suite]], results: Results, jobs: int) -> int:
    """Run what has not held yet, `jobs` at once; the number of cases that failed."""
    waiting = [(case, suite) for case, suite in cases if not results.held(case)]
    if len(waiting) < len(cases):
        print(f"{len(cases) - len(waiting)} cases held already with these sources (--fresh)")
    progress = Progress(len(waiting))
    running: list[Running] = []
    number = 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                case, suite = waiting.pop(0)
                number += 1
                running.append(start(case, suite, number))
            time.sleep(0.05)
            for entry in [r for r in running if r.over() or r.late()]:
                running.remove(entry)
                result = entry.end()
                results.add(result, entry.suite.id)
                progress.done += 1
                if not result["ok"]:
                    tell(result, progress)
            progress.show(running)
    finally:
        for entry in running:
            entry.end()
    progress.show([])
    print()
    return progress.failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Ronda's torture suites")
    parser.add_argument("--suite", default="", help="one suite (D1), several with commas")
    parser.add_argument("--id", default="", help="one case, always run anew, with its trace")
    parser.add_argument("--size", choices=lab.SIZES, default="full")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once")
    parser.add_argument("--fresh", action="store_true", help="forget what held before")
    parser.add_argument("--list", action="store_true", help="print the suites and their cases")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    parser.add_argument("assignments", nargs="*", help="SUITE=D1 or ID=…, as make passes them")
    asked = parser.parse_args(arguments)
    for word in asked.assignments:
        name, _, value = word.partition("=")
        if name not in ("SUITE", "ID", "SIZE") or not value:
            parser.error(f"{word} is not SUITE=…, ID=… or SIZE=…")
        setattr(asked, name.lower(), value)
    if asked.one:
        return one(asked.one)
    return chosen(asked, parser)


def chosen(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run what was asked for; 0 when all held, 1 on a violation, 2 when asked wrongly."""
    if asked.id:
        try:
            suite = lab.suite_of(asked.id)
        except KeyError as error:
            parser.error(str(error.args[0]))
        if why := lab.wrong_id(asked.id, suite):
            parser.error(why)
        return repeat(asked.id, suite)
    try:
        suites = lab.discover([name for name in asked.suite.split(",") if name])
    except KeyError as error:
        parser.error(str(error.args[0]))
    names = list(suites)
    if asked.list:
        for name in names:
            plan = suites[name].plan(asked.size)
            print(f"{name:5} {len(plan):5} cases  {suites[name].title}")
        return 0
    if asked.fresh:
        _RESULTS.unlink(missing_ok=True)
    results = Results(asked.size)
    cases: list[tuple[str, lab.Suite]] = []
    skipped: dict[str, str] = {}
    for name in names:
        lacking = suites[name].lacking()
        if lacking:
            skipped[name] = lacking
            print(f"{name} skipped: {lacking}")
            continue
        cases += [(case, suites[name]) for case in suites[name].plan(asked.size)]
    print(f"{len(cases)} cases of {len(names) - len(skipped)} suites, {asked.jobs} at once")
    try:
        failed = run(cases, results, asked.jobs)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here")
        return 130
    text = report.write(suites, results.known, skipped, asked.size, lab.RESULTS)
    print(text)
    return 1 if failed else 0


def repeat(case: str, suite: lab.Suite) -> int:
    """Run one case anew, showing all it says; its folder stays when it fails."""
    if suite.lacking():
        print(f"{suite.id} skipped: {suite.lacking()}")
        return 2
    running = start(case, suite, 0)
    while not running.over() and not running.late():
        time.sleep(0.05)
    text = running.output.read_text(errors="replace")
    print("\n".join(line for line in text.splitlines() if not line.startswith(_MARK)))
    result = running.end()
    if result["ok"]:
        skipped = result.get("skipped")
        counts = cast("dict[str, int]", result.get("counts") or {})
        if counts and not skipped and not any(counts.values()):
            print(f"{case}: nothing was tried, there is no such point")
            return 2
        print(f"{case}: {skipped or 'held'} {counts or ''} in {result['seconds']} s")
        return 0
    print(result.get("trace", ""))
    print(f"{case}: {result.get('invariant') or 'failed'}: {result.get('text')}")
    print(f"its folder: {result.get('folder', 'none')}")
    print(f"ronda-torture ID={result.get('id') or case}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

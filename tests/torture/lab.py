"""The fault laboratory's frame: suites, their cases, the bench a case runs on.

Leaves out how cases are spread over processes and what is remembered of them (`laboratory.py`),
and what a history has to satisfy (`history.py`).

A suite is a module `suite_*.py` beside this file with a `SUITE = Suite(...)`. A case is named by
an id, `D1:torn:0-99`: the suite, words and numbers separated by colons. The id decides all: what
the case does, the chance in it, its folder. A last word `a-b` is a batch of points, `a` alone is
one point: a suite plans batches and runs both, so that a failure is repeated by its own point.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for _folder in (str(HERE), str(HERE.parent)):
    if _folder not in sys.path:
        sys.path.insert(0, _folder)

from history import History, Violation

RESULTS = ROOT / "build" / "torture"
SIZES = ("short", "full")


class Absent(Exception):
    """What the suite needs is not on this machine; the text says what."""


class Bench:
    """What a case works with: a fresh folder, its own chance, a history, a place to talk.

    `folder` is removed when the case holds, kept when it does not. `rng` is seeded by the case
    id; everything that is drawn is drawn from it.
    """

    def __init__(self, case: str, folder: Path, *, loud: bool = False) -> None:
        self.case = case
        self.folder = folder
        self.loud = loud
        self.rng = random.Random(case)
        self.history = History(folder / "history.jsonl")

    def say(self, text: str) -> None:
        """A line for whoever watches one case; a whole run does not show it."""
        if self.loud:
            print(f"  {text}", flush=True)


Plan = Callable[[str], list[str]]
Run = Callable[[str, Bench], Mapping[str, int]]


@dataclass(frozen=True)
class Suite:
    """One scenario of the fault table.

    `plan(size)` gives case ids for "short" or "full"; `run(case, bench)` gives counts for the
    report or raises Violation (or AssertionError). `needs` are programs that must be on the PATH.
    `limit_s` bounds one case: afterwards it is killed and counts as a violation of I8.
    """

    id: str
    title: str
    plan: Plan
    run: Run
    needs: tuple[str, ...] = ()
    limit_s: int = 600

    def lacking(self) -> str:
        """What is not here of what the suite needs; empty when it can run."""
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        missing = [name for name in self.needs if not shutil.which(name, path=path)]
        return "not on this machine: " + ", ".join(missing) if missing else ""


def names() -> dict[str, str]:
    """Module of each suite by the suite's id, in the order of their numbers: the file name says
    the id, `suite_d06_gateway_kill.py` is D6."""
    found: dict[str, str] = {}
    for path in HERE.glob("suite_*.py"):
        word = path.stem.split("_")[1]
        letters = word.rstrip("0123456789")
        name = letters.upper() + word[len(letters) :].lstrip("0")
        if name in found:
            raise ValueError(f"two suites are called {name}")
        found[name] = path.stem
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def discover(only: Iterable[str] = ()) -> dict[str, Suite]:
    """The suites beside this file by id, all or those named; KeyError says which there are."""
    modules = names()
    found: dict[str, Suite] = {}
    for name in list(only) or modules:
        if name not in modules:
            raise KeyError(f"no suite {name}: there are {', '.join(modules) or 'none'}")
        suite: Suite = importlib.import_module(modules[name]).SUITE
        if suite.id != name:
            raise ValueError(f"{modules[name]}.py holds {suite.id}, its name says {name}")
        found[name] = suite
    return found


def suite_of(case: str) -> Suite:
    """The suite that a case id belongs to; KeyError says which there are."""
    name = case.split(":", 1)[0]
    return discover([name])[name]


def wrong_id(case: str, suite: Suite) -> str:
    """What is wrong with the form of a case id; empty when the suite may know it. A number as its
    first word (a seed) and points beyond the plan are the suite's to judge."""
    words = case.split(":")[1:]
    low, dash, high = words[-1].partition("-") if words else ("", "", "")
    planned = [known.split(":")[1:] for size in SIZES for known in suite.plan(size)]
    example = f"as {suite.id}:{':'.join(planned[0])}" if planned else ""
    if not low.isdigit() or (dash and not (high.isdigit() and int(low) <= int(high))):
        return f"{case} does not end in a point or in points a-b, {example}"
    first = {known[0] for known in planned}
    if len(words) > 1 and words[0] not in first and not words[0].isdigit():
        return f"{case}: {suite.id} has no {words[0]}, but {', '.join(sorted(first))}"
    return ""


def points(case: str) -> tuple[list[str], range]:
    """A case id without suite and points, and its points: `D1:torn:0-99` → ["torn"], 0 … 99."""
    words = case.split(":")[1:]
    low, _, high = words[-1].partition("-")
    return words[:-1], range(int(low), int(high or low) + 1)


def batches(prefix: str, count: int, size: int, step: int = 1) -> list[str]:
    """Ids that cover the points 0 … count-1 in batches of `size`: `D1:torn:0-99`, …; only every
    `step`-th batch when a short plan takes a sample."""
    every = [f"{prefix}:{at}-{min(at + size, count) - 1}" for at in range(0, count, size)]
    return every[::step]


def execute(case: str, suite: Suite, *, loud: bool = False) -> dict[str, object]:
    """Run one case in this process: {"case", "ok", "counts"} or with "invariant", "text", "id"
    (what repeats it) and "trace". The folder of a case that failed stays."""
    folder = RESULTS / "cases" / hashlib.sha256(case.encode()).hexdigest()[:12]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    bench = Bench(case, folder, loud=loud)
    result: dict[str, object] = {"case": case, "ok": False, "folder": str(folder)}
    try:
        result["counts"] = dict(suite.run(case, bench))
        result["ok"] = True
    except Absent as absent:
        result.update(ok=True, counts={}, skipped=str(absent))
    except Violation as broken:
        result.update(invariant=broken.invariant, text=broken.text, id=broken.case or case)
        result["trace"] = traceback.format_exc()
    except Exception as broken:  # an assertion, or the case itself is wrong: both are failures
        result.update(invariant="", text=f"{type(broken).__name__}: {broken}", id=case)
        result["trace"] = traceback.format_exc()
    finally:
        bench.history.close()
    if result["ok"]:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def sources() -> str:
    """A hash over everything a result depends on: product, suites, and what the tests share."""
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _source_files() -> Iterator[Path]:
    for name in ("boards", "firmware", "gateway", "protocol/ronda_protocol", "tests", "tools"):
        for path in sorted((ROOT / name).rglob("*.py")):
            if "tests" not in path.parts or path.parent in (HERE, HERE.parent):
                yield path

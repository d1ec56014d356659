"""Every suite's short plan, as tests: `make test-all` runs them, `make test` does not.

Each case runs in a process of its own, as in `make torture`; a failure prints the id that repeats
it.
"""

from __future__ import annotations

import time

import lab
import laboratory
import pytest

SUITES = lab.discover()
CASES = [(case, name) for name, suite in SUITES.items() for case in suite.plan("short")]


@pytest.mark.torture
@pytest.mark.timeout(700)
@pytest.mark.parametrize(("case", "name"), CASES, ids=[case for case, _ in CASES])
def test_case(case: str, name: str) -> None:
    suite = SUITES[name]
    if suite.lacking():
        pytest.skip(suite.lacking())
    running = laboratory.start(case, suite, abs(hash(case)))
    try:
        while not running.over() and not running.late():
            time.sleep(0.02)
    finally:
        result = running.end()
    if result.get("skipped"):
        pytest.skip(str(result["skipped"]))
    repeat = f"ronda-torture ID={result.get('id') or case}"
    named = f"{result.get('invariant') or 'failed'}: {result.get('text')}"
    assert result["ok"], f"{named}\n{result.get('trace', '')}\n{repeat}"

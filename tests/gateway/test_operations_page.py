"""docs/operations.md names every alert with the words of this version."""

from pathlib import Path

from ronda_gateway.alerts import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_alert_is_on_the_page_as_it_is_told() -> None:
    rows = {
        line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line[:3] == "| `"
    }
    for kind, (severity, what, todo) in KINDS.items():
        assert rows.get(kind) == f"| `{kind}` | {severity} | {what[1]} | {todo[1]} |", kind

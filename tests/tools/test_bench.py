"""The benches still run, and the firmware keeps to each board's budget. No time is judged."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import bench_size
import run
from figures import Figure


@pytest.mark.parametrize("board", bench_size.boards())
def test_the_firmware_keeps_to_its_budget(board: str) -> None:
    rooms, limits = bench_size.by_room(bench_size.sizes(board)), bench_size.budget(board)
    print(bench_size.table(board))
    assert set(limits) == {*bench_size.ROOMS, "total", "largest"}
    for name, limit in limits.items():
        assert rooms[name] <= limit, f"{name} is over budget\n{bench_size.table(board)}"


def test_every_board_has_a_budget() -> None:
    boards = {path.parent.name for path in (BENCH.parents[1] / "boards").glob("*/board.toml")}
    assert boards == set(bench_size.boards())


@pytest.mark.parametrize("name", run.BENCHES)
def test_a_bench_runs(name: str) -> None:
    found = run.run(name, quick=True)
    assert found["figures"]
    told = run.page({name: found})
    for row in found["figures"]:
        figure = Figure(**row)
        assert figure.name in told
        assert figure.told()
    assert f"make bench BENCH={name}" in told


def test_the_page_is_in_the_docs_with_every_bench() -> None:
    text = (BENCH.parents[1] / "docs" / "bench.md").read_text(encoding="utf-8")
    for name in run.BENCHES:
        assert f"make bench BENCH={name}`" in text

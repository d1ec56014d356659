"""`ronda bench load` against a scratch gateway and a bare broker; what it counts is true."""

import json

import pytest
from ronda_protocol import reading, segment
from ronda_tools import bench_load, cli
from ronda_tools.broker import Broker, free_port
from typer.testing import CliRunner, Result


def bench(*arguments: str) -> Result:
    given = ["bench", "load", *arguments]
    done = CliRunner().invoke(cli.build(given), given)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_small_load_is_receipted_whole() -> None:
    done = bench(
        "--embedded",
        "--devices",
        "3",
        "--rate",
        "30",
        "--seconds",
        "1",
        "--entries",
        "5",
        "--json",
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["sent"] == told["answered"] == 30
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]


def test_another_consumer_is_measured_by_its_pubacks() -> None:
    with Broker() as broker:
        done = bench(
            *("--broker", f"{broker.url}/some/root", "--devices", "2", "--rate", "0"),
            *("--seconds", "1", "--json"),
        )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["sent"] == told["answered"] == 40


@pytest.mark.parametrize("url", [f"mqtt://127.0.0.1:{free_port()}", "nonsense://x", "mqtt://"])
def test_no_broker_is_one_line(url: str) -> None:
    done = bench("--broker", url, "--devices", "1", "--rate", "0", "--seconds", "1")
    assert done.exit_code == 2
    assert "ronda:" in done.stderr and "->" in done.stderr


def test_what_it_sends_is_a_handhelds_log() -> None:
    [device] = bench_load.fleet(1, 3, 30, 1789477200)
    before = segment.FIRST_PREV
    for seq, raw in enumerate(device.sealed, 1):
        parsed = reading.parse(raw)
        assert (parsed.header.seq, parsed.header.prev) == (seq, before)
        assert len(parsed.entries()) == 30
        before = parsed.chain_hash()


def test_percentiles() -> None:
    result = bench_load.LoadResult(4, 4, 2.0, [4.0, 1.0, 3.0, 2.0])
    assert (result.percentile(0.5), result.percentile(0.99), result.rate) == (3.0, 4.0, 2.0)
    assert bench_load.LoadResult(1, 0, 0.0, []).percentile(0.5) == 0.0

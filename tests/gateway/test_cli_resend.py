"""`ronda gateway resend|resends`: queued, listed, and what is wrong explained."""

import json
from pathlib import Path
from typing import Any

import pytest
from desk_device import DeskDevice
from ronda_gateway import fleet, resend, site
from ronda_gateway.clock import SystemClock
from ronda_gateway.feed import Feed
from ronda_gateway.pipeline import Message
from ronda_gateway.recorder import Recorder
from ronda_gateway.store import open_store
from ronda_tools.cli import build
from typer.testing import CliRunner


class Desk:
    """A site with one device of which two segments are stored."""

    def __init__(self, folder: Path) -> None:
        self.site = site.init(folder / "site", "lima")
        self.device = DeskDevice()
        settings = self.site.settings
        store = open_store(settings.database_path)
        fleet.enrol(store, self.device.id, self.device.public, 1)
        fleet.enable(store, self.device.id, 1)
        feed = Feed(settings.topic_root)
        recorder = Recorder(store, settings, self.site.signer(), SystemClock(), feed)
        topic = f"{settings.topic_root}/up/{self.device.id}"
        recorder.record([Message(topic, self.device.id, raw, 1) for raw in self.device.day(1)])
        fleet.enrol(store, "desk-02", DeskDevice("desk-02").public, 1)
        store.close()

    def ronda(self, *arguments: str) -> tuple[int, str]:
        words = ["gateway", *arguments, "--config", str(self.site.config)]
        result = CliRunner().invoke(build(words), words)
        return result.exit_code, result.output

    def data(self, *arguments: str) -> Any:
        code, output = self.ronda(*arguments, "--json")
        assert code == 0, output
        return json.loads(output)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_request_is_queued_and_listed(desk: Desk) -> None:
    code, output = desk.ronda("resends")
    assert (code, "Ninguna" in output) == (0, True)
    made = desk.data("resend", desk.device.id, "3", "7")
    assert made["state"] == "waiting" and made["why"] == "operator"
    assert made["log"] == desk.device.log_id.hex() and (made["first"], made["last"]) == (3, 7)
    assert desk.data("resend", desk.device.id, "4", "5")["id"] == made["id"]
    other = desk.data("resend", desk.device.id, "1", "2", "--log", "00" * 8)
    assert other["log"] == "00" * 8 and other["id"] != made["id"]
    assert [one["id"] for one in desk.data("resends")] == [other["id"], made["id"]]
    assert desk.data("resends", "--device", "desk-02") == []
    code, output = desk.ronda("resends")
    assert code == 0 and "3-7" in output and "a mano" in output
    code, output = desk.ronda("resend", desk.device.id, "8", "9")
    assert code == 0 and "en cola" in output and "esperando" in output
    store = open_store(desk.site.settings.database_path)
    assert len(resend.listing(store)) == 3
    store.close()


@pytest.mark.parametrize(
    "words",
    [
        ("desk-01", "0", "4"),
        ("desk-01", "7", "4"),
        ("desk-01", "x", "4"),
        ("desk-01", "1", "4294967296"),
        ("nobody", "1", "2"),
        ("desk-02", "1", "2"),
        ("desk-01", "1", "2", "--log", "zz"),
        ("desk-01", "1", "2", "--log", "0011"),
        ("desk-01", "1"),
    ],
)
def test_what_cannot_be_asked_is_explained(desk: Desk, words: tuple[str, ...]) -> None:
    code, output = desk.ronda("resend", *words)
    assert code == 2 and output.strip() and "Traceback" not in output
    assert desk.data("resends") == []

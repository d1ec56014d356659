"""`ronda config`, `ronda site trust`, `ronda trust`: queued, listed, what is wrong explained."""

import json
from pathlib import Path
from typing import Any

import pytest
from desk_device import DeskDevice
from ronda_gateway import deliveries, fleet, keys, site
from ronda_gateway.store import open_store
from ronda_protocol import bodies, cose, pack
from ronda_tools.cli import build
from typer.testing import CliRunner


class Desk:
    """A site with two enabled devices and one that is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = site.init(folder / "site", "lima")
        store = open_store(self.site.settings.database_path)
        for device in ("desk-01", "desk-02", "desk-03"):
            fleet.enrol(store, device, DeskDevice(device).public, 1)
            if device != "desk-03":
                fleet.enable(store, device, 1)
        store.close()

    def ronda(self, *words: str, config: bool = True) -> tuple[int, str]:
        whole = [*words, "--config", str(self.site.config)] if config else list(words)
        result = CliRunner().invoke(build(whole), whole)
        return result.exit_code, result.output

    def data(self, *words: str, config: bool = True) -> Any:
        code, output = self.ronda(*words, "--json", config=config)
        assert code == 0, output
        return json.loads(output)

    def refused(self, *words: str, config: bool = True) -> str:
        code, output = self.ronda(*words, config=config)
        assert code == 2 and output.strip() and "Traceback" not in output, output
        return output


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


PUSH = ("config", "push", "--wait", "0")


def test_settings_are_queued_and_listed(desk: Desk) -> None:
    assert "Ningún" in desk.ronda("config", "list")[1]
    told = desk.data(*PUSH, "--site", "search_m=200", "sample_s=30")
    assert told["values"] == {"search_m": 200, "sample_s": 30}
    assert [one["device"] for one in told["deliveries"]] == ["desk-01", "desk-02"]
    assert {one["state"] for one in told["deliveries"]} == {"waiting"}
    path = desk.folder / "settings.json"
    path.write_text('{"search_m": 150}')
    own = desk.data(*PUSH, "--device", "desk-03", str(path), "wait_s=60")
    assert [one["device"] for one in own["deliveries"]] == ["desk-03"]
    assert own["values"] == {"search_m": 150, "wait_s": 60}
    listed = desk.data("config", "list")
    assert [(one["pack"], one["device"]) for one in listed] == [
        (own["pack"], "desk-03"),
        (told["pack"], "desk-01"),
        (told["pack"], "desk-02"),
    ]
    assert desk.data("config", "list", "--device", "desk-03") == own["deliveries"]
    code, output = desk.ronda(*PUSH, "--site", "search_m=0")
    assert code == 0 and "2 equipos" in output and "ronda config list" in output
    assert "config" in desk.ronda("config", "list")[1]
    assert desk.data("trust", "list") == [] and desk.data("cases", "list") == []


def test_what_a_handheld_answers_is_told(desk: Desk) -> None:
    told = desk.data(*PUSH, "--device", "desk-01", "search_m=200")
    store = open_store(desk.site.settings.database_path)
    for state, exit_code in ((deliveries.APPLIED, 0), (deliveries.REFUSED, 1)):
        from ronda_gateway import schema
        from ronda_tools import cli_deliveries

        with store.write() as connection:
            table = schema.deliveries
            connection.execute(table.update().values(state=state, reason="", decided_at=5))
        (found,) = cli_deliveries.decided(store, told["pack"], 60)
        assert found.state == state
        if exit_code:
            import typer

            with pytest.raises(typer.Exit) as caught:
                cli_deliveries.exit_refused([found])
            assert caught.value.exit_code == exit_code
        else:
            cli_deliveries.exit_refused([found])
    store.close()


@pytest.mark.parametrize(
    "words",
    [
        ("search_m=200",),
        ("search_m=200", "--site", "--device", "desk-01"),
        ("--site",),
        ("--site", "search_m=2001"),
        ("--site", "search_m=-1"),
        ("--site", "search_m="),
        ("--site", "search_m=1e3"),
        ("--site", "search_m=²"),
        ("--site", "sample_s=0"),
        ("--site", "broker=1"),
        ("--site", "=5"),
        ("--site", "search_m=1", "search_m=1"),
        ("--site", "no-such-file.json"),
        ("--site", "search_m=1", "--days", "0"),
        ("--device", "nobody", "search_m=1"),
    ],
)
def test_settings_that_cannot_be_sent_are_explained(desk: Desk, words: tuple[str, ...]) -> None:
    desk.refused(*PUSH, *words)
    assert desk.data("config", "list") == []


@pytest.mark.parametrize(
    "content",
    ["", "[", "7", "[1]", '{"search_m": "200"}', '{"search_m": true}', '{"x": 1}', "[" * 9999],
)
def test_files_that_are_no_settings_are_explained(desk: Desk, content: str) -> None:
    path = desk.folder / "settings.json"
    path.write_text(content)
    desk.refused(*PUSH, "--site", str(path))
    assert desk.data("config", "list") == []


# ---- trust -------------------------------------------------------------------------------------


def test_a_new_trust_pack_is_made_and_queued(desk: Desk) -> None:
    folder = str(desk.site.folder)
    bench = desk.folder / "bench.pub.pem"
    bench.write_bytes(keys.public_pem(DeskDevice().public))
    office = desk.site.signer("office").kid.hex()
    before = pack.parse(desk.site.trust_pack).manifest.version
    words = ("--add", f"bench={bench}", "--revoke", office)
    made = desk.data("site", "trust", folder, *words, config=False)
    assert made["version"] > before and made["revoked"] == [office] and len(made["kids"]) == 4
    raw = (desk.site.folder / "trust.pack").read_bytes()
    root, listed = bodies.decode_trust(pack.parse(raw).body)
    assert cose.verify(pack.parse(raw).sign1, root, keys.verify_digest)
    assert {key[2] for key in listed} == {1, 2, 3, 4}
    told = desk.data("trust", "push", "--wait", "0")
    assert told["version"] == made["version"]
    assert [one["device"] for one in told["deliveries"]] == ["desk-01", "desk-02"]
    assert desk.data("trust", "push", "--wait", "0")["pack"] == told["pack"]
    assert len(desk.data("trust", "list")) == 2
    code, output = desk.ronda("trust", "push", "--wait", "0", str(desk.site.folder / "trust.pack"))
    assert code == 0 and "2 equipos" in output
    old = desk.folder / "old.pack"
    old.write_bytes(desk.site.trust_pack)
    assert "más nuevo" in desk.refused("trust", "push", str(old))
    # Provisioning and `ronda fleet enrol` go on with the site as it is now.
    assert site.load(desk.site.folder).trust_pack == raw


def test_a_trust_pack_that_no_handheld_should_get_is_refused(desk: Desk) -> None:
    other = site.init(desk.folder / "other", "cusco")
    path = desk.folder / "x.pack"
    mine = desk.site.signer("gateway").kid.hex()
    for content in (b"", b"junk", desk.site.trust_pack[:-1], desk.site.trust_pack + b"\x00"):
        path.write_bytes(content)
        desk.refused("trust", "push", str(path))
    path.write_bytes(other.trust_pack)
    assert "raíz" in desk.refused("trust", "push", str(path))
    desk.data("site", "trust", str(desk.site.folder), "--revoke", mine, config=False)
    assert mine in desk.refused("trust", "push")
    desk.refused("trust", "push", str(desk.folder / "none"))
    assert desk.data("trust", "list") == []


def test_a_trust_pack_that_cannot_be_made_is_explained(desk: Desk) -> None:
    folder, before = desk.site.folder, desk.site.trust_pack
    office = folder / "keys" / "office.pub.pem"
    for words in (
        ("--revoke", "zz"),
        ("--revoke", "00" * 8),
        ("--add", "office"),
        ("--add", "office="),
        ("--add", f"king={office}"),
        ("--add", f"office={office}"),
        ("--add", f"office={folder / 'none'}"),
        ("--add", f"office={folder / 'keys' / 'office.pem'}"),
        ("--add", f"bench={folder / 'offline' / 'root.pub.pem'}"),
    ):
        desk.refused("site", "trust", str(folder), *words, config=False)
    desk.refused("site", "trust", str(desk.folder / "none"), config=False)
    root = folder / "offline" / "root.pem"
    root.write_bytes(keys.make().pem())
    desk.refused("site", "trust", str(folder), config=False)
    root.unlink()
    desk.refused("site", "trust", str(folder), config=False)
    assert (folder / "trust.pack").read_bytes() == before

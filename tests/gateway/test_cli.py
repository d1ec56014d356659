"""`ronda site|gateway|fleet` as an operator types them: output, exit codes, both languages."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
import structlog
from ronda_gateway import keys
from ronda_tools import cli
from typer.testing import CliRunner

RONDA = Path(sys.executable).with_name("ronda")


class Done(NamedTuple):
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def ronda(*arguments: str | Path, cwd: Path | None = None, **env: str) -> Done:
    """Run a command in this process: the same code as the program, without its start."""
    given = [str(argument) for argument in arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RONDA_")}
    with mock.patch.dict(os.environ, clean | env, clear=True), contextlib.chdir(cwd or Path()):
        done = CliRunner().invoke(cli.build(given), given)
    structlog.reset_defaults()
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = ronda("site", "init", tmp_path / "s", "--site", "lima", "--port", "1")
    assert made.returncode == 0, made.stderr
    assert "LLÉVESE" in made.stdout
    return tmp_path / "s"


def test_site_init_once(folder: Path) -> None:
    again = ronda("site", "init", folder, "--site", "lima", "--json")
    assert again.returncode == 2 and not again.stdout
    assert len(again.stderr.strip().splitlines()) == 1 and "no está vacío" in again.stderr
    said = ronda("site", "init", folder.parent / "b", "--site", "b", "--json")
    found = json.loads(said.stdout)
    assert len(found["root_thumbprint"]) == 64 and set(found["kids"]) == {
        "gateway",
        "office",
        "root",
        "release",
    }


def test_check(folder: Path) -> None:
    fine = ronda("gateway", "check", cwd=folder)
    assert fine.returncode == 0 and "Todo en orden" in fine.stdout
    assert "nadie responde en 127.0.0.1:1" in fine.stdout
    path = folder / "gateway.toml"
    path.write_text(path.read_text().replace("port = 1", 'port = "x"\ncolour = 2'))
    for lang, word in (("es", "no existe"), ("en", "no such")):
        wrong = ronda("gateway", "check", cwd=folder, RONDA_LANG=lang)
        assert wrong.returncode == 1 and wrong.stdout.count("\n") == 2
        assert "broker.port" in wrong.stdout and word in wrong.stdout
    told = json.loads(ronda("gateway", "check", "--json", cwd=folder).stdout)
    assert told["ok"] is False and len(told["problems"]) == 2
    run = ronda("gateway", "run", cwd=folder)
    assert run.returncode == 2 and len(run.stderr.strip().splitlines()) == 2


@pytest.mark.parametrize("raw", [b"\x00\xff" * 50, b"[site", b"=", b""])
def test_hostile_settings(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(raw)
    for command in (("gateway", "run"), ("gateway", "migrate"), ("fleet", "list")):
        done = ronda(*command, "--config", path)
        assert done.returncode == 2, done
        assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
    assert ronda("gateway", "check", "--config", path).returncode in (1, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["gateway.toml"]


def test_no_settings_at_all(tmp_path: Path) -> None:
    for command in ("run", "check", "migrate"):
        done = ronda("gateway", command, cwd=tmp_path)
        assert done.returncode == 2 and "ronda site init" in done.stderr
    done = ronda("fleet", "list", cwd=tmp_path, RONDA_CONFIG=str(tmp_path / "x.toml"))
    assert done.returncode == 2 and "x.toml" in done.stderr


def test_a_database_that_is_none(folder: Path) -> None:
    database = folder / "gateway.db"
    database.write_bytes(b"something else entirely, kept as it is")
    for command in (("gateway", "run"), ("gateway", "migrate"), ("fleet", "list")):
        done = ronda(*command, cwd=folder)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert database.read_bytes() == b"something else entirely, kept as it is"
    database.unlink()
    done = ronda("gateway", "run", cwd=folder)
    assert done.returncode == 2 and "ronda gateway migrate" in done.stderr
    made = ronda("gateway", "migrate", "--json", cwd=folder)
    assert json.loads(made.stdout)["before"] is None
    assert "ya tiene" in ronda("gateway", "migrate", cwd=folder).stdout
    assert ronda("gateway", "check", cwd=folder).returncode == 0


def test_fleet(folder: Path, tmp_path: Path) -> None:
    public = tmp_path / "d.pub.pem"
    public.write_bytes(keys.public_pem(keys.make().public))
    assert "No hay equipos" in ronda("fleet", "list", cwd=folder).stdout
    enrol = ("fleet", "enrol", "--device", "desk-01", "--key", public)
    assert "inscrito" in ronda(*enrol, cwd=folder).stdout
    again = json.loads(ronda(*enrol, "--json", cwd=folder).stdout)
    assert again["new"] is False and again["state"] == "enrolled"
    assert "habilitado" in ronda("fleet", "enable", "desk-01", cwd=folder).stdout
    (listed,) = json.loads(ronda("fleet", "list", "--json", cwd=folder).stdout)
    assert listed["state"] == "enabled" and listed["segments"] == 0
    assert "desk-01" in ronda("fleet", "list", cwd=folder).stdout
    shown = ronda("fleet", "show", "desk-01", cwd=folder, RONDA_LANG="en")
    assert shown.stdout.startswith("desk-01: enabled") and again["kid"] in shown.stdout
    assert ronda("fleet", "show", "desk-02", cwd=folder).returncode == 2
    assert ronda("fleet", "enable", "desk-02", cwd=folder).returncode == 2


@pytest.mark.parametrize("name", ["gateway.pem", "gateway.pub.pem"])
def test_the_sites_own_keys_are_no_devices(folder: Path, name: str) -> None:
    key = folder / "keys" / name
    done = ronda("fleet", "enrol", "--device", "desk-01", "--key", key, cwd=folder)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("raw", [b"", b"\xff\x00\x01", b"-----BEGIN PUBLIC KEY-----\n", b"{}"])
def test_hostile_key_files(folder: Path, tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "k"
    file.write_bytes(raw)
    done = ronda("fleet", "enrol", "--device", "desk-01", "--key", file, cwd=folder)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert str(file) in done.stderr


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ronda("site", "init", tmp_path / "s", "--site", "lima", "--port", port, "--embedded")
        done = ronda("gateway", "run", cwd=tmp_path / "s")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if f"127.0.0.1:{port}" in line]
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_program_itself(tmp_path: Path) -> None:
    """Help in both languages and exit codes, as a shell sees them."""
    said = [
        subprocess.run(
            [RONDA, "--lang", lang, "gateway", "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for lang in ("es", "en")
    ]
    assert said[0] and said[1] and said[0] != said[1]
    config = tmp_path / "absent.toml"
    done = subprocess.run(
        [RONDA, "gateway", "run", "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and str(config) in done.stderr and not done.stdout

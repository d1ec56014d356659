"""The simulated handheld's process: build, spawn, storage, how it ends."""

import json
import os
import subprocess
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import pytest
from ronda_tools import vm
from ronda_tools.texts import UsedWrong
from ronda_tools.vm import Vm, VmDied

PROGRAMS = Path(__file__).parents[1] / "handheld" / "programs"


def _open(storage: Path, **more: object) -> Vm:
    return Vm(storage, program="stepping", paths=(PROGRAMS,), **more)  # type: ignore[arg-type]


def test_build_is_keyed_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sources give the same folder; a changed one gives another hash."""
    monkeypatch.setenv("RONDA_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "device"
    (root / "firmware" / "handheld").mkdir(parents=True)
    (root / "boards" / "sim").mkdir(parents=True)
    (root / "firmware" / "handheld" / "app.py").write_text("X = 1\n")
    (root / "boards" / "sim" / "board.py").write_text("Y = 2\n")
    monkeypatch.setattr(vm, "device_root", lambda: root)
    first = vm.build()
    assert (first.path / "handheld" / "app.mpy").exists()
    assert (first.path / "ronda_protocol" / "__init__.mpy").exists()
    assert (first.path / "board.mpy").exists() and len(first.hash) == 16
    assert not list(first.path.rglob("*.py"))
    assert vm.build() == first
    (root / "firmware" / "handheld" / "app.py").write_text("X = 3\n")
    second = vm.build()
    assert second.path != first.path and second.hash != first.hash


def test_a_firmware_that_does_not_compile_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's words reach the user, and no half build stays behind."""
    monkeypatch.setenv("RONDA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "device" / "firmware").mkdir(parents=True)
    (tmp_path / "device" / "firmware" / "main.py").write_text("def (:\n")
    monkeypatch.setattr(vm, "device_root", lambda: tmp_path / "device")
    with pytest.raises(UsedWrong) as caught:
        vm.build()
    assert caught.value.code == "vm.compile" and "main.py" in str(caught.value)
    assert list((tmp_path / "cache" / "firmware").iterdir()) == []


def test_build_id_is_what_the_build_says(tmp_path: Path) -> None:
    """build_id on the device carries version and hash."""
    built = vm.build()
    program = tmp_path / "say.py"
    program.write_text("import build_id\nprint('@B', build_id.VERSION, build_id.HASH.hex())\n")
    with Vm(tmp_path / "s", built=built, program="say", paths=(tmp_path,)) as child:
        letter, text = next(child.lines(10))
    assert (letter, text) == ("B", f"{built.version} {built.hash.hex()}")


def test_missing_vm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RONDA_MICROPYTHON that names nothing is an error with a remedy."""
    monkeypatch.setenv("RONDA_MICROPYTHON", str(tmp_path / "nothing"))
    with pytest.raises(UsedWrong) as caught:
        vm.find_vm()
    assert caught.value.code == "vm.missing"


def test_two_vms_never_share_a_storage(tmp_path: Path) -> None:
    """A second process on the same image is refused; after the first ends it may."""
    with _open(tmp_path / "s"), pytest.raises(UsedWrong) as caught:
        _open(tmp_path / "s")
    assert caught.value.code == "vm.busy"
    with _open(tmp_path / "s") as again:
        assert again.ask(b"G 1000 1 3900 0\n", "D", 10) == 1000


def test_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """No traceback for a --storage that cannot be a folder."""
    (tmp_path / "s").write_text("x")
    with pytest.raises(UsedWrong) as caught:
        _open(tmp_path / "s")
    assert caught.value.code == "vm.storage"


def test_flash_and_nv_stay(tmp_path: Path) -> None:
    """What one process wrote to littlefs and nv the next one reads; the journal only grows."""
    program = tmp_path / "keep.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, board
        b = board.make()
        async def main():
            count = b.nv.get("boot")
            b.nv.set("boot", bytes([count[0] + 1 if count else 1]))
            b.nv.set("log", b"12345678")
            try:
                with open("/flash/a") as f: was = f.read()
            except OSError: was = ""
            with open("/flash/a", "w") as f: f.write(was + "x")
            b.saved(1, len(was) + 1, b"\\xab" * 32)
            await b.finished()
            b.done({"was": was, "boot": b.nv.get("boot")[0]})
        asyncio.run(main())
    """)
    )
    for turn in range(3):
        with Vm(tmp_path / "s", program="keep", paths=(tmp_path,)) as child:
            report = child.ask(b"Q\n", "R", 20)
        assert report["was"] == "x" * turn and report["boot"] == turn + 1
        assert report["heap"]["peak"] < report["heap"]["total"] < 200_000
        assert report["flash"]["programmed"] > 0
    assert (tmp_path / "s" / "flash.img").stat().st_size == 2 << 20
    lines = (tmp_path / "s" / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 3
    kept = json.loads(lines[2])
    assert kept == {"kind": 1, "number": 3, "digest": "ab" * 32, "log": b"12345678".hex()}


def test_a_damaged_image_is_not_formatted(tmp_path: Path) -> None:
    """Saved means saved: an image that does not mount stays as it is, and the run fails."""
    (tmp_path / "s").mkdir()
    image = tmp_path / "s" / "flash.img"
    image.write_bytes(b"\x55" * (2 << 20))
    with _open(tmp_path / "s") as child, pytest.raises(VmDied):
        child.ask(b"G 1000 1 3900 0\n", "D", 10)
    assert image.read_bytes() == b"\x55" * (2 << 20)


def test_an_uncaught_exception_ends_the_vm_with_its_traceback(tmp_path: Path) -> None:
    """A bug in a task is loud: exit 1 and the text."""
    with _open(tmp_path / "s") as child:
        child.send(b'I {"intent":"crash","args":{}}\n')
        with pytest.raises(VmDied) as caught:
            for _ in child.lines(10):
                pass
    assert "ValueError: a bug" in str(caught.value) and "(1)" in str(caught.value)


def test_the_vm_ends_with_its_host(tmp_path: Path) -> None:
    """A host that is killed leaves no VM behind: its stdin closes."""
    code = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from ronda_tools.vm import Vm
        child = Vm(Path({str(tmp_path / "s")!r}), program="stepping",
                   paths=(Path({str(PROGRAMS)!r}),))
        child.ask(b"G 1000 1 3900 0\\n", "D", 10)
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert host.stdout
    pid = int(host.stdout.readline())
    host.kill()
    host.wait(10)
    host.stdout.close()
    until = time.monotonic() + 10
    while time.monotonic() < until and _alive(pid):
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def test_board_toml_says_what_board_py_does() -> None:
    """Tools read board.toml, the device has constants: they agree."""
    folder = vm.device_root() / "boards" / "sim"
    facts = tomllib.loads((folder / "board.toml").read_text())
    code = (folder / "board.py").read_text() + (folder / "image.py").read_text()
    assert f"_TIME_FLOOR = const({facts['time']['floor']})" in code
    assert f"_UERE_DM = const({facts['gps']['uere_dm']})" in code
    assert f"_BLOCK = const({facts['flash']['block_size']})" in code
    assert f"_BLOCKS = const({facts['flash']['blocks']})" in code
    assert facts["vm"]["heap"] == vm.HEAP

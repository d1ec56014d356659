"""D14: hostile CBOR and COSE at every decoder, on the gateway and in the VM of a handheld.

Holds for each input: it is taken, or refused with a word that WIRE.md documents (I7: nothing else
is raised); what is taken encodes to the same bytes again; it takes less than 100 ms, a bounded
number of steps and bounded memory; both VMs say the same of it, to the word; and what is not
signed by the device's key is never stored (I4). Leaves out MQTT's own framing (D16) and the time
of a slow microcontroller.
"""

from __future__ import annotations

import re
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import cbor2
import decode_table
import fuzz_bytes
import vm_program
from lab import ROOT, Bench, Suite, Violation, batches, points
from ronda_gateway import pipeline
from ronda_protocol import cbor, cose, visit

_SLOW_S = 0.1
_STEPS = 20_000
_STEPS_A_BYTE = 150
"""Lines of Python that one input may cost: about three times what the worst one does."""
_MEMORY = 200_000
_MEMORY_A_BYTE = 250
_GROWTH_KB = 64_000
_DRIFT = 4_096
"""Bytes by which the VM's heap may grow over a batch of refused inputs."""
_VM_LONGEST = {"down": 4096, "log": 1024}
"""Bytes that a handheld takes at once from a link; a visit of its own, three times over."""
_FIXES = 400
"""Bytes of packed fixes by themselves: a handheld reads windows of eight, here come a hundred."""
_VM_HEAP = "128k"
_UNVERIFIED = frozenset(["cose", "key", "message", "receipt", "resend", "chunk", "manifest"])
"""What a handheld reads before a signature is verified: there thousands of empty arrays may come.
Everything else it reads was signed by a gateway, or written by itself."""


def _documented() -> frozenset[str]:
    """Every word by which WIRE.md says that something is refused."""
    words: set[str] = set(visit.FIELDS.split())
    for match in re.finditer(r"^\| code \|.*\n\|[-| ]+\n((?:\|.*\n)+)", _wire(), re.M):
        for line in match[1].splitlines():
            words |= set(re.findall(r"`([a-z0-9-]+)`", line.split("|")[1]))
    return frozenset(words)


def _wire() -> str:
    return (ROOT / "protocol" / "WIRE.md").read_text()


_WORDS = _documented()


def _is_documented(code: str) -> bool:
    code = re.sub(r"^(cbor|cose):", "", code)
    return code == "ok" or re.sub(r"^(cose-)?(cbor-)?", "", code) in _WORDS


def plan(size: str) -> list[str]:
    """1,000,000 inputs for the gateway, 100,000 for the VM, 20,000 signed ones for the store."""
    short = size == "short"
    return [
        *batches("D14:gateway", 1_000_000, 25_000, 20 if short else 1),
        *batches("D14:down", 50_000, 5_000, 10 if short else 1),
        *batches("D14:log", 50_000, 5_000, 10 if short else 1),
        *batches("D14:store", 20_000, 1_000, 20 if short else 1),
    ]


def run(case: str, bench: Bench) -> dict[str, int]:
    words, numbers = points(case)
    if words[0] == "gateway":
        return _gateway(numbers)
    if words[0] == "store":
        from fuzz_store import store

        return store(numbers, bench)
    return _vm(words[0], numbers, bench)


# ---- the gateway --------------------------------------------------------------------------------


class Gateway:
    """The decode path of a gateway, watched."""

    def __init__(self) -> None:
        # Segments are what strangers send to a gateway: they come oftener than the rest.
        kinds = decode_table.KINDS + ["segment"] * 6
        self.maker = fuzz_bytes.Maker("gateway", kinds)
        public = self.maker.signer.public
        device = pipeline.Device(fuzz_bytes.DEVICE, "enabled", {cose.kid(public): public})
        self._lookup = {fuzz_bytes.DEVICE: device}.get
        self.counts: Counter[str] = Counter()

    def take(self, number: int) -> None:
        """One input through its decoder and, where it may come so, through the pipeline."""
        kind, data = self.maker.make(number)
        began = time.perf_counter()
        code = _guarded(number, kind, lambda: decode_table.decode(kind, data)[0])
        if not _is_documented(code):
            raise _broken(number, kind, f"refused with {code!r}, which WIRE.md does not know")
        if kind in {"segment", "sequence", "cose"}:
            self._judge(number, kind, data)
        if time.perf_counter() - began > _SLOW_S:
            self._slow(number, kind, data)
        self.counts["inputs"] += 1
        self.counts["accepted"] += code == "ok"
        if code == "ok" and kind == "cbor":
            self._beside_cbor2(number, data)
        if number % 500 == 0:
            self._memory(number, kind, data)
            self._steps(number, kind, data)

    def _judge(self, number: int, kind: str, data: bytes) -> None:
        found = _guarded(
            number, kind, lambda: pipeline.judge_bytes(fuzz_bytes.DEVICE, data, self._lookup)
        )
        if isinstance(found, pipeline.Rejected):
            self.counts[f"pipeline {found.reason}"] += 1
            return
        self.counts["pipeline signed"] += 1
        self.counts["pipeline held"] += bool(found.trouble)
        sign1, _ = cose.parse_first(found.raw)
        if not cose.verify(sign1, self.maker.signer.public, _verify):
            raise Violation("I4", f"input {number}: taken without a signature", _id(number))

    def _beside_cbor2(self, number: int, data: bytes) -> None:
        """An implementation that nobody here wrote reads the same."""
        ours, theirs = cbor.decode(data), cbor2.loads(data)
        if _plain(ours) != _plain(theirs):
            raise _broken(number, "cbor", f"cbor2 reads {theirs!r}, we read {ours!r}")
        self.counts["beside cbor2"] += 1

    def _slow(self, number: int, kind: str, data: bytes) -> None:
        """Slow once is this machine's affair; slow each of three times is the decoder's."""
        self.counts["over 100 ms once"] += 1
        for _ in range(3):
            began = time.thread_time()
            decode_table.decode(kind, data)
            if time.thread_time() - began <= _SLOW_S:
                return
        raise Violation("I7", f"input {number} ({kind}) takes over 100 ms each time", _id(number))

    def _memory(self, number: int, kind: str, data: bytes) -> None:
        tracemalloc.start()
        try:
            decode_table.decode(kind, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > _MEMORY + _MEMORY_A_BYTE * len(data):
            raise Violation("I7", f"input {number}: {peak} bytes for {len(data)}", _id(number))
        self.counts["measured"] += 1

    def _steps(self, number: int, kind: str, data: bytes) -> None:
        steps = 0

        def count(_frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal steps
            steps += event == "line"
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            decode_table.decode(kind, data)
        finally:
            sys.settrace(before)
        if steps > _STEPS + _STEPS_A_BYTE * len(data):
            raise Violation("I7", f"input {number}: {steps} steps for {len(data)}", _id(number))


def _gateway(numbers: range) -> dict[str, int]:
    gateway, began = Gateway(), None
    for number in numbers:
        gateway.take(number)
        if began is None and number - numbers.start == 1000:
            began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - (began or 2**62)
    if grown > _GROWTH_KB:
        raise Violation("I7", f"{grown} KiB more in memory after {len(numbers)} inputs")
    return dict(gateway.counts)


def _guarded(number: int, kind: str, do: Callable[[], Any]) -> Any:
    try:
        return do()
    except decode_table.Differs as error:
        raise _broken(number, kind, f"encodes otherwise than it came: {error}") from None
    except Exception as error:
        raise _broken(number, kind, f"{type(error).__name__}: {error}") from error


def _broken(number: int, kind: str, what: str) -> Violation:
    return Violation("I7", f"input {number} ({kind}): {what}"[:600], _id(number))


def _id(number: int) -> str:
    return f"D14:gateway:{number}"


def _verify(public: bytes, digest: bytes, signature: bytes) -> bool:
    """The handheld's own arithmetic, not the gateway's."""
    from ronda_protocol import p256

    return p256.verify(public, digest, signature)


def _plain(value: Any) -> Any:
    """A value of ours or of cbor2's in one form; a boolean is no integer here."""
    if isinstance(value, (cbor.Tagged, cbor2.CBORTag)):
        return ("tag", value.tag, _plain(value.value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return (type(value).__name__, value)


# ---- the handheld -------------------------------------------------------------------------------


def _vm(half: str, numbers: range, bench: Bench) -> dict[str, int]:
    """The same inputs through decode_table here and in the VM, word by word."""
    kinds = decode_table.DOWN if half == "down" else decode_table.LOG
    maker = fuzz_bytes.Maker(half, kinds, _VM_LONGEST[half], _UNVERIFIED)
    inputs, results = bench.folder / "inputs", bench.folder / "results"
    kinds, expected = _write(maker, numbers, inputs)
    try:
        seen = vm_program.run("decode_fuzz", inputs, results, heap=_VM_HEAP)
    except vm_program.Died as died:
        done = len(results.read_text().splitlines()) if results.exists() else 0
        at = numbers.start + done
        raise Violation("I7", f"near input {at}: {died}", f"D14:{half}:{at}") from None
    counts: Counter[str] = Counter(inputs=len(expected))
    lines = results.read_text().splitlines()
    for number, kind, line, told in zip(numbers, kinds, expected, lines, strict=True):
        if told != line:
            what = f"input {number} ({kind}): CPython says {line!r}, the VM {told!r}"
            raise Violation("I7", what, f"D14:{half}:{number}")
        counts["accepted"] += line.startswith("ok ")
    if seen["slow"]:
        raise Violation("I7", f"{seen['slow']} inputs over 100 ms each time")
    if len(numbers) > 1000 and seen["end"] > seen["settled"] + _DRIFT:
        raise Violation("I7", f"heap {seen['settled']} after 200 inputs, {seen['end']} at the end")
    counts["both VMs agree"] = len(lines)
    return dict(counts)


def _write(maker: fuzz_bytes.Maker, numbers: range, path: Path) -> tuple[list[str], list[str]]:
    """The inputs into a file for the VM; their kinds, and what CPython says of each."""
    kinds: list[str] = []
    expected: list[str] = []
    with path.open("wb") as file:
        for number in numbers:
            kind, data = maker.make(number)
            if kind == "fixes":
                data = data[:_FIXES]
            kinds.append(kind)
            file.write(bytes([decode_table.KINDS.index(kind)]))
            file.write(len(data).to_bytes(4, "little") + data)
            code, check = decode_table.decode(kind, data)
            expected.append(f"{code} {check}")
    return kinds, expected


SUITE = Suite("D14", "hostile CBOR and COSE at every decoder", plan, run)

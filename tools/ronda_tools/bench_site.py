"""A gateway to measure: a scratch site, a broker and the gateway as a process of its own.

Linux only for processor time and memory (they are None elsewhere).
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ronda_gateway import fleet as gateway_fleet
from ronda_gateway import site
from ronda_gateway.store import open_store

from ronda_tools.bench_load import LoadDevice, fleet, run
from ronda_tools.broker import HOST, Broker, free_port

# As recommended: without nodelay a receipt waits for the TCP acknowledgement of the last one.
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
persistence false
log_type error
"""
_UP_S = 30.0


class Mosquitto:
    """Debian's broker as a child process on a free loopback port."""

    def __init__(self) -> None:
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto")
        self.host, self.port = HOST, free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="ronda-mosquitto-")
        config = Path(self._folder.name) / "mosquitto.conf"
        config.write_text(_MOSQUITTO.format(port=self.port))
        self._child = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        _wait_for_port(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait(10)
        self._folder.cleanup()


def find_mosquitto() -> str | None:
    """The program, also where it is not on the path of an ordinary user; None if absent."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + _UP_S
    while True:
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@dataclass(frozen=True)
class Usage:
    """Processor seconds so far and resident memory now and at its peak, in bytes."""

    cpu_s: float
    rss: int
    peak: int


class MeasuredGateway:
    """`with MeasuredGateway("mosquitto" | "embedded") as gateway`: up, and its process at hand."""

    def __init__(self, broker: str = "embedded") -> None:
        self._broker = broker
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ronda-bench-")))
            maker = Mosquitto if self._broker == "mosquitto" else Broker
            broker = stack.enter_context(maker())
            self.host, self.port = broker.host, broker.port
            self.site = site.init(folder / "site", "bench", broker.host, broker.port)
            self.root = self.site.settings.topic_root
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        program = "import sys; from ronda_tools.cli import main; main()"
        command = [sys.executable, "-c", program, "gateway", "run", "--config"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RONDA_")}
        self._child = subprocess.Popen(
            [*command, str(self.site.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "RONDA_LOG__LEVEL": "warning"},
        )
        stack.callback(self._stop)

    def _stop(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()

    def enrol(self, devices: Sequence[LoadDevice]) -> None:
        """Make the devices known and enabled; returns when the gateway has noticed.

        It has when it receipts a segment of the last one, `bench-ready`. TimeoutError.
        """
        [probe] = fleet(1, 1, 1, int(time.time()), "bench-ready")
        self._enrol([*devices, probe])
        until = time.monotonic() + _UP_S
        while time.monotonic() < until:
            if run([probe], self.host, self.port, self.root, patience_s=0.5).answered:
                return
        raise TimeoutError("the gateway gives no receipts")

    def _enrol(self, devices: Sequence[LoadDevice]) -> None:
        now = int(time.time())
        with closing(open_store(self.site.settings.database_path)) as store:
            for device in devices:
                gateway_fleet.enrol(store, device.name, device.signer.public, now)
                gateway_fleet.enable(store, device.name, now)

    def usage(self) -> Usage | None:
        """What the gateway's process used so far; None where /proc does not tell."""
        try:
            fields = Path(f"/proc/{self._child.pid}/stat").read_text().rsplit(")", 1)[1].split()
            status = Path(f"/proc/{self._child.pid}/status").read_text()
        except OSError:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        sizes = {
            line.split(":")[0]: int(line.split()[1]) * 1024
            for line in status.splitlines()
            if line.startswith(("VmRSS", "VmHWM"))
        }
        cpu = (int(fields[11]) + int(fields[12])) / ticks
        return Usage(cpu, sizes["VmRSS"], sizes["VmHWM"])

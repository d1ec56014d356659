"""Brokers that are killed, wiped and started again on one port: mosquitto, iotcore, amqtt.

Each is a process on 127.0.0.1: `start`, `kill` (-9), `wipe` what it keeps, `stop`. What a broker
that means harm says is in `hostile.py`.
"""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from lab import Absent
from ronda_tools.broker import Broker, free_port, port_taken

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
_UP_S = 30.0

_MOSQUITTO = """\
listener {port} 127.0.0.1
user {user}
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
persistence {keeps}
persistence_location {folder}/
autosave_interval 1
log_type error
"""


class Killable(ABC):
    """A broker on one free port for its whole life. `with` starts and ends it."""

    host = HOST

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.starts = 0

    def start(self) -> Self:
        """Start it and wait until it takes connections. AssertionError when it does not."""
        self._start()
        self.starts += 1
        until = time.monotonic() + _UP_S
        while not port_taken(self.port):
            assert time.monotonic() < until, f"{type(self).__name__} did not come up"
            time.sleep(0.02)
        return self

    @abstractmethod
    def kill(self) -> None:
        """kill -9, and wait for its end."""

    def wipe(self) -> None:  # noqa: B027 - what keeps nothing has nothing to wipe
        """Delete what it keeps on disk; it must not run."""

    @abstractmethod
    def _start(self) -> None: ...

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class _Program(Killable):
    """A broker that is a program of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _start(self) -> None:
        self._child = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def freeze(self) -> None:
        """SIGSTOP: the port stays open and nobody answers."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGCONT)


class Mosquitto(_Program):
    """Debian's mosquitto; with `keeps` its sessions are written to disk every second."""

    def __init__(self, folder: Path, *, keeps: bool = True) -> None:
        super().__init__(folder)
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        self._program = shutil.which("mosquitto", path=path)
        if self._program is None:
            raise Absent("mosquitto (apt-get install mosquitto)")
        self._config = folder / "mosquitto.conf"
        told = {"port": self.port, "user": getpass.getuser(), "folder": folder}
        self._config.write_text(_MOSQUITTO.format(**told, keeps=str(keeps).lower()))

    def _command(self) -> list[str]:
        assert self._program is not None
        return [self._program, "-c", str(self._config)]

    def wipe(self) -> None:
        for path in self.folder.glob("mosquitto.db*"):
            path.unlink()


class Amqtt(_Program):
    """amqtt, of which nothing good is expected; keeps nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if importlib.util.find_spec("amqtt") is None:
            raise Absent("amqtt (pip install amqtt)")

    def _command(self) -> list[str]:
        return [sys.executable, str(HERE / "amqtt_broker.py"), str(self.port)]


class Embedded(Killable):
    """The product's own: iotcore in a child process; keeps nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._broker = Broker(self.port)

    def _start(self) -> None:
        self._broker.start()

    def kill(self) -> None:
        inner = self._broker._broker
        if inner is not None and inner._child is not None:
            inner._child.kill()
        self._broker.stop()


KINDS: dict[str, type[Killable]] = {
    "mosquitto": Mosquitto,
    "amqtt": Amqtt,
    "iotcore": Embedded,
}


def refuses(port: int) -> bool:
    """Whether nobody listens on a port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return False
    except OSError:
        return True

"""The embedded MQTT broker of `ronda demo` and the tests: iotcore in a child process, on loopback.

The broker's engine cannot be stopped inside a process, so it gets one of its own, which ends when
this one does (its stdin closes). It keeps nothing over a restart; production uses Mosquitto or
EMQX. Run as `python -m ronda_tools.broker PORT` this file is that child.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

from ronda_tools.texts import UsedWrong

HOST = "127.0.0.1"
# The engine's default (20 kB) drops a client that publishes a sealed visit.
MAX_PAYLOAD = 1048576
_READY_S = 15.0
_TRIES = 3


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_taken(port: int, host: str = HOST) -> bool:
    """Whether somebody listens on the port."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


class Broker:
    """A broker on 127.0.0.1; start() returns when it accepts connections.

    port None chooses a free one. Raises UsedWrong: `broker.missing` when iotcore is not
    installed, `broker.port` when the port is taken, `broker.start` when it does not come up.
    """

    def __init__(self, port: int | None = None) -> None:
        self.host = HOST
        self.port = port or 0
        self._fixed = port is not None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address as `--broker` takes it."""
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start the child and wait until it listens."""
        if self._fixed and port_taken(self.port):
            raise UsedWrong("broker.port", host=self.host, port=self.port)
        for _ in range(1 if self._fixed else _TRIES):
            if not self._fixed:
                self.port = free_port()
            if self._launch():
                return self
            self.stop()
        raise UsedWrong("broker.start", host=self.host, port=self.port)

    def _launch(self) -> bool:
        # A session of its own: Ctrl-C in the terminal is for us, who then end the child in order.
        child = self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "ronda_tools.broker", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and child.poll() is None:
            if port_taken(self.port):
                return child.poll() is None
            time.sleep(0.02)
        if child.poll() == _NOT_INSTALLED:
            self.stop()
            raise UsedWrong("broker.missing")
        return False

    def stop(self) -> None:
        """End the child and wait for it; may be called twice."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin:
            child.stdin.close()
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


_NOT_INSTALLED = 3


def _end_with_parent() -> None:
    try:
        sys.stdin.buffer.read()  # returns when the parent's end of the pipe closes
    finally:
        os._exit(0)


def serve(port: int) -> None:
    """Be the broker: runs until the parent goes away."""
    try:
        from iotcore import IotCoreBroker
    except ImportError:
        raise SystemExit(_NOT_INSTALLED) from None
    # The engine reports every packet as an error record.
    logging.basicConfig(level=logging.CRITICAL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    IotCoreBroker(listen=HOST, port=port, max_payload_size=MAX_PAYLOAD).run_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

"""The embedded broker (iotcore) for a bench or a demo: a child process, loopback only.

It keeps nothing over a restart; receipts are end to end, so nothing is lost by that.
"""

import importlib.util
import ipaddress
import socket
import subprocess
import sys
import time

from ronda_gateway.settings import EMBEDDED_MAX, BrokerSettings
from ronda_gateway.wording import setup_error

_READY_S = 15.0
# The child is the broker and nothing else. It ends when its stdin closes, so also when the parent
# is killed; -P keeps the working directory off its path.
_CHILD = """
import os, socket, sys, threading, time
from iotcore import IotCoreBroker
def end():
    sys.stdin.buffer.read()
    os._exit(0)
def nodelay():
    # The broker does not ask for it, and a receipt then waits 40 ms for the ACK of the PUBACK
    # before it. Accepted sockets inherit it from the listening one.
    done = False
    while not done:
        time.sleep(0.01)
        for name in os.listdir("/dev/fd"):
            try:
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        done = True
            except OSError:
                pass
threading.Thread(target=end, daemon=True).start()
threading.Thread(target=nodelay, daemon=True).start()
listen, port, size = sys.argv[1:]
IotCoreBroker(listen=listen, port=int(port), max_payload_size=int(size)).run_forever()
"""


def installed() -> bool:
    """Whether the package of the embedded broker is there."""
    return importlib.util.find_spec("iotcore") is not None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone, by address or as "localhost"."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EmbeddedBroker:
    """A broker on the settings' host and port, which must be loopback."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._host = "127.0.0.1" if settings.host == "localhost" else settings.host
        self._port = settings.port
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections; SetupError when it cannot."""
        where = {"host": self._host, "port": self._port}
        if not is_loopback(self._host):
            raise setup_error("embedded-not-loopback", host=self._host)
        if not installed():
            raise setup_error("embedded-not-installed")
        if self._answers():
            raise setup_error("port-in-use", **where)
        arguments = [self._host, str(self._port), str(EMBEDDED_MAX)]
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in the terminal is for the gateway, which then ends the broker in order.
            start_new_session=True,
        )
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._child.poll() is None:
            if self._answers():
                return
            time.sleep(0.02)
        code = self._child.poll()
        self.stop()
        raise setup_error("embedded-failed", why=f"exit {code}", **where)

    def running(self) -> bool:
        """Whether the child lives."""
        return self._child is not None and self._child.poll() is None

    def stop(self) -> None:
        """End it and wait for the end; may be called twice."""
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

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self._host, self._port), timeout=0.5):
                return True
        except OSError:
            return False

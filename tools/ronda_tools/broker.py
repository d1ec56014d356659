"""The embedded MQTT broker of `ronda demo` and the tests, on a loopback port chosen beforehand.

The broker itself is the gateway's (`ronda_gateway.embedded`): a child process that ends with this
one and keeps nothing. Here it only gets its port.
"""

import socket
from types import TracebackType
from typing import Self

from ronda_gateway.embedded import EmbeddedBroker
from ronda_gateway.settings import BrokerSettings
from ronda_gateway.wording import SetupError

HOST = "127.0.0.1"
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
    """A broker on 127.0.0.1; start() returns when it takes connections.

    port None chooses a free one. SetupError when iotcore is not installed, the port is taken, or
    the broker does not come up.
    """

    def __init__(self, port: int | None = None) -> None:
        self.host = HOST
        self.port = port or 0
        self._fixed = port is not None
        self._broker: EmbeddedBroker | None = None

    @property
    def url(self) -> str:
        """The address as `--broker` takes it."""
        return f"mqtt://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start the child and wait until it listens."""
        tries = 1 if self._fixed else _TRIES
        while True:
            tries -= 1
            if not self._fixed:
                self.port = free_port()
            self._broker = EmbeddedBroker(BrokerSettings(host=self.host, port=self.port))
            try:
                self._broker.start()
            except SetupError:
                # Somebody else may have taken the free port in between.
                if not tries or not port_taken(self.port):
                    raise
            else:
                return self

    def stop(self) -> None:
        """End the child and wait for it; may be called twice."""
        if self._broker is not None:
            self._broker.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

"""A stand-in back office: an independent subscriber that keeps every feed event, in arrival order.

It trusts nobody's flags: what it keeps is the events as they came. No database, no screen.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ronda_tools.feed_tail import parse
from ronda_tools.texts import UsedWrong

CLIENT_ID = "demo-back-office"
_CONNECT_S = 15.0


class BackOffice:
    """Subscribes to `<root>/feed/#` with QoS 1 and a session that outlives its connection.

    An event is acknowledged after it is kept and, with `file`, written and flushed as one JSON
    line. `on_event` is called from the network's thread, repeats included.
    """

    def __init__(
        self,
        host: str,
        port: int,
        root: str,
        *,
        file: Path | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.unreadable = 0
        self._events: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._more = threading.Condition()
        self._pattern = f"{root}/feed/#"
        self._where = (host, port)
        self._on_event = on_event
        self._file = _opened(file)
        self._granted = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False, manual_ack=True
        )
        self._client.reconnect_delay_set(1, 4)
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._message

    def __enter__(self) -> Self:
        self._client.connect(*self._where, keepalive=30)
        self._client.loop_start()
        if not self._granted.wait(_CONNECT_S):
            self.stop()
            raise UsedWrong("demo.no_broker", host=self._where[0], port=self._where[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Disconnect and close the file; may be called twice."""
        self._client.disconnect()
        self._client.loop_stop()
        if self._file is not None and not self._file.closed:
            self._file.close()

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, repeats included, in arrival order."""
        with self._more:
            return list(self._events)

    def missing(self, ids: set[str]) -> set[str]:
        """Those of the ids that have not come."""
        with self._more:
            return ids - self._ids

    def wait_for_more(self, timeout_s: float) -> bool:
        """Whether an event came within that time."""
        with self._more:
            seen = len(self._events)
            deadline = time.monotonic() + timeout_s
            while len(self._events) == seen:
                left = deadline - time.monotonic()
                if left <= 0 or not self._more.wait(left):
                    return len(self._events) > seen
            return True

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _p: object
    ) -> None:
        if not code.is_failure:
            client.subscribe(self._pattern, qos=1)

    def _subscribed(self, *_: object) -> None:
        self._granted.set()

    def _message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        event = parse(bytes(message.payload))
        if event is None:
            self.unreadable += 1
        else:
            self._keep(event, bytes(message.payload))
        client.ack(message.mid, message.qos)
        if event is not None and self._on_event is not None:
            self._on_event(event)

    def _keep(self, event: dict[str, Any], payload: bytes) -> None:
        if self._file is not None:
            # JSON may be written over several lines; a line of the file is one event.
            self._file.write(payload.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
            self._file.flush()
        with self._more:
            self._events.append(event)
            self._ids.add(str(event.get("id")))
            self._more.notify_all()


def _opened(path: Path | None) -> IO[bytes] | None:
    if path is None:
        return None
    try:
        return path.open("wb")
    except OSError as error:
        raise UsedWrong(
            "file.unwritable", file=str(path), why=error.strerror or str(error)
        ) from None

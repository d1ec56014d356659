"""Follows feed/# on a broker and hands on each event; reconnects for ever. Prints nothing itself.

The back office's side seen from a terminal: it acknowledges what it shows and keeps nothing.
"""

import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ronda_tools.texts import UsedWrong, say

_QUEUE = 10000
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


@dataclass(frozen=True)
class Address:
    """Where a broker is, and the root of the topics (`+` for any site)."""

    host: str
    port: int
    username: str = ""
    password: str = ""
    root: str = "ronda/+"

    @property
    def pattern(self) -> str:
        """What to subscribe to."""
        return f"{self.root}/feed/#"


def address(url: str) -> Address:
    """The address in mqtt://[user[:password]@]host[:port][/topic/root]; else UsedWrong."""
    try:
        parts = urlsplit(url if "//" in url else f"mqtt://{url}")
        port = 1883 if parts.port is None else parts.port
    except ValueError:
        raise UsedWrong("broker.url", url=url) from None
    root = parts.path.strip("/") or "ronda/+"
    plain = not (parts.query or parts.fragment or "#" in root)
    if parts.scheme != "mqtt" or not parts.hostname or not port or not plain:
        raise UsedWrong("broker.url", url=url)
    return Address(
        parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), root
    )


class Tail:
    """A subscriber in a thread of its own; `next` gives (topic, payload) in arrival order.

    `tell(sentence)` hears of the connection: trying, connected, lost. At most 10,000 events wait;
    further ones are counted in `dropped`.
    """

    def __init__(self, where: Address, tell: Callable[[str], None]) -> None:
        self.where = where
        self.dropped = 0
        self._tell = tell
        self._queue: Queue[tuple[str, bytes]] = Queue(_QUEUE)
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._client: mqtt.Client | None = None
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-tail", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the thread."""
        self._ended.set()
        self._lost.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def wait_connected(self, timeout_s: float) -> bool:
        """Whether the subscription was granted within that time."""
        return self._connected.wait(timeout_s)

    def next(self, timeout_s: float) -> tuple[str, bytes]:
        """The next event; queue.Empty when none came in time."""
        return self._queue.get(timeout=timeout_s)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish at QoS 1 on the same connection; False when there is none just now."""
        client = self._client
        if client is None or not self._connected.is_set():
            return False
        return client.publish(topic, payload, qos=1).rc == mqtt.MQTT_ERR_SUCCESS

    def _run(self) -> None:
        wait = _FIRST_WAIT_S
        while not self._ended.is_set():
            fields = {"host": self.where.host, "port": self.where.port}
            self._tell(say("feed.trying", **fields))
            self._lost.clear()
            why = self._hold()
            if self._connected.is_set():
                wait = _FIRST_WAIT_S
            self._connected.clear()
            if self._ended.is_set():
                return
            pause = random.uniform(wait / 2, wait)
            self._tell(say("feed.unreachable", why=why, wait=f"{pause:.1f}", **fields))
            self._ended.wait(pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _hold(self) -> str:
        """One connection, until it ends; why it ended."""
        why = [say("feed.closed")]
        client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if self.where.username:
            client.username_pw_set(self.where.username, self.where.password or None)

        def on_connect(
            client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _p: object
        ) -> None:
            if code.is_failure:
                why[0] = str(code)
                self._lost.set()
            else:
                client.subscribe(self.where.pattern, qos=1)

        def on_subscribe(
            _client: mqtt.Client,
            _data: object,
            _mid: int,
            granted: list[ReasonCode],
            _p: Properties | None,
        ) -> None:
            if any(code.is_failure for code in granted):
                why[0] = say("feed.denied", pattern=self.where.pattern)
                self._lost.set()
            elif not self._connected.is_set():
                self._connected.set()
                self._tell(say("feed.connected", host=self.where.host, port=self.where.port))

        def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            try:
                self._queue.put_nowait((message.topic, bytes(message.payload)))
            except Full:
                self.dropped += 1

        def on_disconnect(*_: object) -> None:
            self._lost.set()

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_disconnect = on_disconnect
        try:
            client.connect(self.where.host, self.where.port, keepalive=30)
        except (OSError, ValueError) as error:
            return (error.strerror if isinstance(error, OSError) else "") or str(error)
        client.loop_start()
        self._client = client
        try:
            self._lost.wait()
            client.disconnect()
        finally:
            self._client = None
            client.loop_stop()
        return why[0]


def parse(payload: bytes) -> dict[str, Any] | None:
    """The event in a message, or None for bytes that are no JSON object."""
    try:
        value: object = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None

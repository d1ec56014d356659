"""One MQTT connection kept up: a fresh paho client a connection, jittered back-off between.

A fresh client a time, so that a late acknowledgement can never hit a packet id of the next
connection. A PUBACK that does not come ends the connection: MQTT 3.1.1 lets nobody repeat a
message but on a new one (§4.4). What is subscribed and published is the caller's.
"""

import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_log = structlog.get_logger("ronda.gateway")

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 15.0
_CONNECT_S = 5.0
_CONNACK_S = 10.0
_PUBACK_S = 30.0


class Link:
    """Connects, and connects again, until `stop`. `client` is None while there is none.

    `up(client)` is called in the link's own thread after each CONNACK, `lost()` after each end of
    a connection that had been up. `prepare(client)` sets callbacks before it connects.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: str,
        *,
        keepalive_s: int = 30,
        keep_session: bool = False,
        credentials: tuple[str, str] | None = None,
        prepare: Callable[[mqtt.Client], None] = lambda _: None,
        up: Callable[[mqtt.Client], None] = lambda _: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.host = host
        self.port = port
        self._client_id = client_id
        self._keepalive_s = keepalive_s
        self._keep_session = keep_session
        self._credentials = credentials
        self._prepare = prepare
        self._up = up
        self._lost = lost
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"link-{client_id}", daemon=True)
        self.client: mqtt.Client | None = None
        self._awaited: deque[tuple[mqtt.Client, float, mqtt.MQTTMessageInfo]] = deque()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect and end; returns when the thread has ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def publish(self, client: mqtt.Client, topic: str, payload: bytes) -> mqtt.MQTTMessageInfo:
        """Publish at QoS 1. Without a PUBACK within 30 s the connection ends, and what was not
        acknowledged is the caller's to publish again."""
        sent = client.publish(topic, payload, qos=1)
        if sent.rc == mqtt.MQTT_ERR_SUCCESS:
            self._awaited.append((client, time.monotonic(), sent))
        return sent

    def _late(self, client: mqtt.Client) -> bool:
        """Whether the oldest message without a PUBACK has waited too long."""
        awaited = self._awaited
        while awaited:
            on, at, sent = awaited[0]
            if on is client and not sent.is_published():
                return time.monotonic() - at >= _PUBACK_S
            awaited.popleft()
        return False

    def _run(self) -> None:
        wait = _FIRST_WAIT_S
        _log.info("broker_trying", host=self.host, port=self.port)
        while not self._stopping.is_set():
            connection = _Connection(self._make())
            why = connection.open(self.host, self.port, self._keepalive_s)
            if not why:
                wait = _FIRST_WAIT_S
                _log.info("broker_connected", host=self.host, port=self.port)
                self._live(connection)
                why = connection.why
            connection.close()
            if self._stopping.is_set():
                return
            # Half of it at random, so that a restarted broker is not met by everybody at once.
            pause = round(wait * random.uniform(0.5, 1.0), 2)
            code = "broker_lost" if connection.was_up else "broker_unreachable"
            _log.warning(code, host=self.host, port=self.port, why=why, wait=pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)
            self._stopping.wait(pause)

    def _live(self, connection: "_Connection") -> None:
        try:
            self._up(connection.client)
            self.client = connection.client
            while not self._stopping.is_set():
                if connection.ended.wait(0.1):
                    break
                if self._late(connection.client):
                    connection.why = "no PUBACK"
                    break
        finally:
            self.client = None
            self._lost()

    def _make(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=not self._keep_session,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages_set(1000)
        client.max_queued_messages_set(5000)
        if self._credentials:
            client.username_pw_set(*self._credentials)
        client.on_socket_open = _no_delay
        self._prepare(client)
        return client


def _no_delay(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    # A receipt must not wait for the TCP acknowledgement of the one before it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Connection:
    """One client from connect to disconnect."""

    def __init__(self, client: mqtt.Client) -> None:
        self.client = client
        self.ended = threading.Event()
        self.was_up = False
        self.why = ""
        self._answered = threading.Event()
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected

    def open(self, host: str, port: int, keepalive_s: int) -> str:
        """Connect and wait for the CONNACK; why it did not work, or ""."""
        try:
            self.client.connect(host, port, keepalive_s)
        except (OSError, ValueError) as error:
            return str(getattr(error, "strerror", None) or error)
        self.client.loop_start()
        if not self._answered.wait(_CONNACK_S):
            return "no CONNACK"
        return "" if self.was_up else self.why

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(
        self,
        _client: mqtt.Client,
        _data: Any,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.was_up = not reason.is_failure
        self.why = str(reason)
        self._answered.set()

    def _disconnected(
        self,
        _client: mqtt.Client,
        _data: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.was_up or not self.why:
            self.why = str(reason)
        self._answered.set()
        self.ended.set()

"""MQTT in: messages into a bounded queue, groups of them to the recorder, then acks and receipts.

Nothing is acknowledged before its commit. When the database fails the group waits and is tried
again; when the queue is full, reading from the broker stops. What a message means is not here.
"""

import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
import structlog

from ronda_gateway.clock import Clock
from ronda_gateway.downlink import Downlinks
from ronda_gateway.link import Link
from ronda_gateway.pipeline import Message
from ronda_gateway.recorder import Downlink, Recorder, StoreDown
from ronda_gateway.settings import Settings
from ronda_gateway.trouble import StoreTrouble

_log = structlog.get_logger("ronda.gateway")

# How often devices changed by another process are looked for, and the house is kept, when idle.
_NOTICE_S = 0.5
_HOUSE_S = 30.0
_LONGEST_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class _Arrived:
    message: Message
    client: mqtt.Client
    mid: int
    qos: int


class Ingest:
    """Owns the connections to the handhelds' broker and the one thread that writes segments."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        clock: Clock,
        credentials: tuple[str, str] | None,
        *,
        committed: Callable[[], None],
        downlinks: Downlinks,
        trouble: StoreTrouble,
    ) -> None:
        self._settings = settings
        self._recorder = recorder
        self._clock = clock
        self._committed = committed
        self._downlinks = downlinks
        self._trouble = trouble
        self._up = f"{settings.topic_root}/up/"
        self._state = f"{settings.topic_root}/state/"
        self._queue: queue.Queue[_Arrived] = queue.Queue(settings.ingest.queue)
        self._stopping = threading.Event()
        self._busy = threading.Lock()
        self._noticed = 0.0
        self._kept_house = time.monotonic()
        self._worker = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.link = Link(
            settings.broker.host,
            settings.broker.port,
            settings.client_id,
            keepalive_s=settings.broker.keepalive_s,
            keep_session=True,
            credentials=credentials,
            prepare=self._prepare,
            up=self._take_segments,
        )
        # States on a connection of their own whose session begins anew each time: iotcore sends
        # what is retained to a new session only, and drops a client whose PUBACKs overtake those
        # of segments that wait for their commit.
        self._states = Link(
            settings.broker.host,
            settings.broker.port,
            f"{settings.client_id}-state",
            keepalive_s=settings.broker.keepalive_s,
            credentials=credentials,
            prepare=self._prepare,
            up=self._take_states,
        )

    def start(self) -> None:
        """Begin to read and to write; returns at once."""
        self._worker.start()
        self.link.start()
        self._states.start()

    def stop(self) -> None:
        """Stop reading, finish the group in hand, disconnect. What is queued was never acked."""
        self._stopping.set()
        if self._worker.is_alive():
            self._worker.join()
        self.link.stop()
        self._states.stop()

    def idle(self) -> bool:
        """Whether nothing waits and no group is being written."""
        if not self._queue.empty() or not self._busy.acquire(blocking=False):
            return False
        self._busy.release()
        return self._queue.empty()

    # ---- the network's thread ------------------------------------------------------------------

    def _prepare(self, client: mqtt.Client) -> None:
        client.on_message = self._on_message

    def _take_segments(self, client: mqtt.Client) -> None:
        client.subscribe(f"{self._up}+", 1)

    def _take_states(self, client: mqtt.Client) -> None:
        client.subscribe(f"{self._state}+", 0)

    def _on_message(self, client: mqtt.Client, _data: Any, packet: mqtt.MQTTMessage) -> None:
        try:
            topic = packet.topic
        except UnicodeDecodeError:
            topic = self._up + "?"
        if topic.startswith(self._state):
            # Never queued: only a device's last word counts, and a flood of them delays nothing.
            self._recorder.presence.heard(topic.removeprefix(self._state), bytes(packet.payload))
            self._downlinks.heard(topic.removeprefix(self._state), bytes(packet.payload))
            if packet.qos:
                client.ack(packet.mid, packet.qos)
            return
        device = topic.removeprefix(self._up)
        message = Message(topic, device, bytes(packet.payload), self._clock.now())
        arrived = _Arrived(message, client, packet.mid, packet.qos)
        # Blocking here stops reading: TCP holds the sender back and nothing is dropped.
        while not self._stopping.is_set():
            try:
                self._queue.put(arrived, timeout=0.2)
                return
            except queue.Full:
                continue

    # ---- the recorder's thread -----------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:
                # A fault of ours: unacknowledged messages come again; a dead thread would not.
                _log.exception("recorder_failed")
                self._stopping.wait(1.0)

    def _turn(self) -> None:
        try:
            first = self._queue.get(timeout=0.1)
        except queue.Empty:
            first = None
        if first:
            with self._busy:
                self._group(first)
        self._between_groups()

    def _group(self, first: _Arrived) -> None:
        """Commit what has arrived, at most `ingest.group` messages; then ack, then receipts."""
        group = [first]
        while len(group) < self._settings.ingest.group:
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        wait = 0.2
        while True:
            try:
                receipts = self._recorder.record([arrived.message for arrived in group])
                break
            except StoreDown as error:
                pause = round(wait * random.uniform(0.5, 1.0), 2)
                _log.error("commit_failed", messages=len(group), why=str(error), wait=pause)
                self._trouble.failed(str(error))
                wait = min(wait * 2, _LONGEST_RETRY_S)
                if self._stopping.wait(pause):
                    return
        self._trouble.over()
        self._committed()
        for arrived in group:
            if arrived.qos:
                arrived.client.ack(arrived.mid, arrived.qos)
        self._send(receipts)

    def _send(self, receipts: list[Downlink]) -> None:
        client = self.link.client
        for receipt in receipts:
            # A receipt that cannot be sent now is made again when the handheld asks again.
            if client is None:
                self._recorder.counters["receipts_unsent"] += 1
                continue
            topic = f"{self._settings.topic_root}/down/{receipt.device}"
            sent = self.link.publish(client, topic, receipt.payload)
            if sent.rc != mqtt.MQTT_ERR_SUCCESS:
                self._recorder.counters["receipts_unsent"] += 1

    def _between_groups(self) -> None:
        now = time.monotonic()
        try:
            if now - self._noticed >= _NOTICE_S:
                self._noticed = now
                with self._busy:
                    self._recorder.settle_presence()
                    receipts = self._recorder.notice_fleet()
                    if receipts:
                        self._committed()
                    self._send(receipts)
                    if self.link.client is not None:
                        self._send(self._downlinks.turn())
            if now - self._kept_house >= _HOUSE_S:
                self._kept_house = now
                self._recorder.keep_house()
                self._committed()
        except StoreDown as error:
            _log.error("commit_failed", messages=0, why=str(error), wait=_NOTICE_S)
            self._trouble.failed(str(error))

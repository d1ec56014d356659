"""The device's MQTT client on the host's sockets, told what to do by lines on stdin.

Started with `-c "import mqtt_peer"`; RONDA_PORT names the broker. A line is a command and its
words, a line of JSON its result. Commands: link, publish N SIZE, received N, unacked, cut, bye.
"""

import asyncio
import gc
import hashlib
import json
import os
import sys
import time

from handheld import mqtt
from hostnet import Net

DEVICE = "prueba-01"
ROOT = "ronda/lima/"


class Link:
    """The link's part of a Board, in wall time."""

    def link_ms(self):
        return time.ticks_ms() & 0x3FFFFFFF

    async def link_sleep_ms(self, ms):
        await asyncio.sleep_ms(ms)

    def ticks_diff(self, a, b):
        return ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000


class Peer:
    def __init__(self):
        self.net = Net()
        self.net.put(True)
        self.client = mqtt.Client(Link(), DEVICE, self.message, lambda: None)
        self.got = []
        self.ready = asyncio.Event()
        self.task = None
        self.present = None
        self.count = 0

    async def message(self, topic, payload):
        self.got.append([len(payload), hashlib.sha256(payload).digest().hex()[:16]])

    async def work(self):
        stream = await self.net.connect("127.0.0.1", int(os.getenv("RONDA_PORT")))
        state = ROOT + "state/" + DEVICE
        self.present = await self.client.connect(stream, state, '{"online":false}')
        await self.client.subscribe(ROOT + "down/" + DEVICE)
        await self.client.publish(state, b'{"online":true}', None, True)
        self.ready.set()
        await asyncio.Event().wait()

    async def link(self):
        try:
            await self.client.serve(self.work)
        except mqtt.MqttError:
            self.ready.set()

    async def do_link(self):
        """Connect; session present, or the reason why not."""
        self.ready.clear()
        self.client.code = None
        self.task = asyncio.create_task(self.link())
        await self.ready.wait()
        return {"present": self.present, "code": self.client.code}

    async def do_publish(self, count, size):
        """Publish that many messages, four in flight; wait for the PUBACKs."""
        for _ in range(int(count)):
            self.count += 1
            while len(self.client.unacked) >= 4 and self.client.code is None:
                await asyncio.sleep_ms(1)
            data = b"%8d" % self.count + bytes(int(size) - 8)
            await self.client.publish(ROOT + "up/" + DEVICE, data, self.count)
        return await self.do_unacked()

    async def do_unacked(self):
        """Wait up to 3 s for the PUBACKs; how many are missing."""
        for _ in range(300):
            if not self.client.unacked:
                break
            await asyncio.sleep_ms(10)
        return {"unacked": len(self.client.unacked), "code": self.client.code}

    async def do_received(self, count):
        """Wait up to 5 s for that many messages; them, and what was drained."""
        for _ in range(500):
            if len(self.got) >= int(count):
                break
            await asyncio.sleep_ms(10)
        got, self.got = self.got, []
        gc.collect()
        return {"got": got, "oversized": self.client.oversized, "heap": gc.mem_alloc()}

    async def do_ended(self):
        """Wait up to 10 s for the link's end; the reason."""
        for _ in range(1000):
            if self.task.done():
                break
            await asyncio.sleep_ms(10)
        return {"code": self.client.code}

    async def do_cut(self):
        """The radio is gone: no DISCONNECT."""
        self.net.put(False)
        await self.do_ended()
        self.net.put(True)
        return {"code": self.client.code}

    async def do_bye(self):
        """DISCONNECT."""
        await self.client.disconnect()
        return await self.do_ended()

    async def main(self):
        stdin = asyncio.StreamReader(sys.stdin.buffer)
        while True:
            words = (await stdin.readline()).decode().split()
            if not words:
                return
            result = await getattr(self, "do_" + words[0])(*words[1:])
            print(json.dumps(result))


asyncio.run(Peer().main())

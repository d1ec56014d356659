"""Brings sealed segments to the gateway, oldest first, and releases what it signed for.

A PUBACK releases nothing (trust.md, fact 1): only a receipt does, verified against the trust pack,
for this device, for a log that is on this flash, reaching a hash of that log's own chain. What
arrives otherwise is counted in `refused` by reason and changes nothing. Leaves MQTT's packets to
mqtt.py, the files to log.py, and packs and resend requests to inbox.py, which is there only while
one of them is being looked at.

All times here are link time (wall time), never the device's: see protocol.md, Time.
"""

import asyncio
import gc

from micropython import const

from handheld import SIGNING, forget, mqtt

_WINDOW = const(4)  # segments published and without a receipt at any one time
_RESEND_MS = const(60000)
_RESEND_MAX_MS = const(480000)  # 60 s doubles up to here while no receipt comes at all
_HELD_MS = const(1800000)  # between two questions about segments held or quarantined there
# Back-off: 2 s doubling to 44 s, and always up to 16 s more by chance, so that a fleet whose
# broker returns does not come at one time. Where nobody answers it stays below 30 s: asking is
# cheap there, and after an outage of hours all are back as soon as after one of seconds.
_BACKOFF_MS = const(2000)
_BACKOFF_MAX_MS = const(44000)
_REFUSED_MAX_MS = const(14000)
_SPREAD_MS = const(16000)
_LIVED_MS = const(60000)  # a link this old was a good one
_FRESH_MS = const(60000)  # a receipt's time is used when it answers something this new
_SPANS = const(32)
_GATEWAY = const(1)  # the role


def add(spans, seq, must=False):
    """Put a seq into a list of [from, to]; a list that is full forgets it, or stretches."""
    for span in spans:
        if span[0] - 1 <= seq <= span[1] + 1:
            span[0], span[1] = min(span[0], seq), max(span[1], seq)
            return
    if len(spans) < _SPANS:
        spans.append([seq, seq])
    elif must:
        spans[-1][1] = max(spans[-1][1], seq)


class _Lane:
    """One chain on its way out. Nothing here need survive a reboot: the log knows `released`."""

    def __init__(self, chain, born):
        self.chain = chain
        self.born = born  # segments above it were sealed in this boot: first published by it
        # seq -> [link ms of the last publish | None, wait ms, link ms of the first | None]
        self.sent = {}
        # [from, to…] that need no repeat: the gateway has them behind a gap (all of them are in
        # each receipt), it holds or refused them (told once each), they are unreadable here.
        self.kept, self.held, self.lost = [], [], []
        self.asked_at = 0  # link ms of the last publish

    def answered(self, seq):
        """The last seq of the answered range that seq is in, or 0."""
        for spans in (self.kept, self.held, self.lost):
            for span in spans:
                if span[0] <= seq <= span[1]:
                    return span[1]
        return 0

    def scan(self, board, room):
        """(segments owed a receipt, at most `room`; the first of them to publish now, or None)."""
        chain, now = self.chain, board.link_ms()
        seq, owed, chosen = chain.released + 1, 0, None
        while seq <= chain.head and owed < room:
            last = self.answered(seq)
            if last:
                seq = last + 1
                continue
            owed += 1
            if chosen is None:
                state = self.sent.get(seq)
                if not state or state[0] is None or board.ticks_diff(now, state[0]) >= state[1]:
                    chosen = seq
            seq += 1
        if not owed and (self.kept or self.held):
            # Everything is answered and yet not released: ask with the oldest, now and then.
            if board.ticks_diff(now, self.asked_at) >= _HELD_MS:
                oldest = max(min(self.kept + self.held)[0], chain.released + 1)
                chosen = oldest if oldest <= chain.head else None
        return owed, chosen

    def forget_released(self):
        for seq in list(self.sent):
            if seq <= self.chain.released:
                del self.sent[seq]

    def keep(self, found):
        """Take a receipt's ranges and dispositions. A range counts if it ends in our own hash: of
        a clone's segments nothing is had that is ours."""
        chain, kept, released = self.chain, [], self.chain.released
        for item in found.ranges:
            if item in self.kept or chain.hash_at(item[1]) == item[2]:
                kept.append(item)
        self.kept = kept
        for item in found.dispositions:
            add(self.held, item[0])
        self.held = [span for span in self.held if span[1] > released]
        for state in self.sent.values():
            state[1] = _RESEND_MS


class Sync:
    """One per app. `born`: highest seq sealed before this boot, None = all there are now.

    config: {1 host, 2 port, 3 topic root}. Counters: published, repeated, receipts, links; refused
    {reason: count} for everything on the downlink that changed nothing. `on_pack(row, value)` is
    called when a pack was put in force (packs.load); `coming` is inbox's, and so is the rest.
    """

    def __init__(  # noqa: PLR0917
        self, board, clock, log, trust, config, born=None, on_pack=None, coming=None
    ):
        self.board, self.clock, self.log = board, clock, log
        self.trust, self._config = trust, config
        self._device = device = board.ident.device_id
        self._topic = config[3] + "/%s/" + device
        self._down = (self._topic % "down").encode()
        self._lanes = [_Lane(chain, chain.head) for chain in log.chains()]
        if born is not None:
            self._lanes[-1].born = born
        self._client = mqtt.Client(board, device, self._message, self._changed)
        self._retry = asyncio.Event()
        self._open = False
        self._outstanding = 0
        self._backoff, self._limit = _BACKOFF_MS, 0
        self.published = self.repeated = self.receipts = self.links = 0
        self.refused = {}
        self.coming, self.on_pack, self.want = coming, on_pack, None
        self.told, self.told_at = [], 0
        self.again = self.asked_at = None  # [lane, next seq, last, first] asked for again

    # --- the link ---

    async def run(self):
        """For ever: connect, publish, await receipts; reconnect with jittered back-off.

        Of a broker that takes connections only to drop them there are at most 90 an hour: nothing
        but a link of a minute, a release and the link's own return make the back-off short."""
        net = self.board.net
        watcher = asyncio.create_task(self._follow_link())
        try:
            while True:
                while not net.up():
                    self._retry.clear()
                    await self._retry.wait()
                self._retry.clear()
                self._limit = _REFUSED_MAX_MS
                since = self.board.link_ms()
                try:
                    await self._client.serve(self._work)
                except mqtt.MqttError as error:
                    self._ended(error.code)
                gc.collect()
                if self.board.ticks_diff(self.board.link_ms(), since) >= _LIVED_MS:
                    self._backoff = _BACKOFF_MS
                if net.up():
                    await self._pause()
        finally:
            watcher.cancel()

    def _ended(self, code):
        self._open = False
        self._changed()
        self.board.tell("link", {"up": False, "code": code})
        error, self._client.error = self._client.error, None
        if error and self.board.ident.profile == "sim":
            import sys

            sys.print_exception(error, sys.stderr)  # type: ignore

    async def _follow_link(self):
        while True:
            await self.board.net.wait_change()
            if self.board.net.up():
                self._backoff = _BACKOFF_MS
                self._retry.set()
            else:
                self._client.fail("link")

    async def _pause(self):
        """Back-off; the link's return ends it."""
        ms = min(self._backoff, self._limit)
        self._backoff = min(2 * self._backoff, _BACKOFF_MAX_MS)
        ms += _SPREAD_MS * int.from_bytes(self.board.entropy(2), "big") >> 16
        timer = asyncio.create_task(self._alarm(ms))
        try:
            await self._retry.wait()
        finally:
            timer.cancel()

    async def _alarm(self, ms):
        await self.board.link_sleep_ms(ms)
        self._retry.set()

    def _scan(self):
        """(segments owed a receipt, published or about to be; lane and seq to publish | None)."""
        owed, chosen, seq = 0, None, None
        for lane in self._lanes:
            lane.forget_released()
            count, found = lane.scan(self.board, _WINDOW - owed)
            owed += count
            if found is not None and chosen is None:
                chosen, seq = lane, found
        return owed, chosen, seq

    def _changed(self):
        """Tell the board how much we wait for, and look again whether something is due."""
        n = self._client.waiting
        if self._open:
            n += self._scan()[0] + (self.again is not None)
        if n != self._outstanding:
            self._outstanding = n
            self.board.link_outstanding(n)
        self.log.sealed.set()

    async def _work(self):
        client, config, log = self._client, self._config, self.log
        stream = await self.board.net.connect(config[1], config[2])
        self._limit = _BACKOFF_MAX_MS
        await client.connect(stream, self._topic % "state", '{"online":false}')
        for pid in list(client.unacked):
            lane, seq = client.unacked[pid]
            if seq <= self._lanes[lane].chain.released:
                del client.unacked[pid]
        for lane in self._lanes:
            for state in lane.sent.values():
                state[0] = state[2] = None  # on a new link everything is published again
        if self.again:  # what had no PUBACK went with the last link
            self.again[1] = max(self.again[3], self.again[1] - _WINDOW)
        if self.coming:
            self.want = self.coming[0][:8].hex(), self.coming[1]
        await client.subscribe(self._down)
        self._open, said = True, None
        self.links += 1
        self.board.tell("link", {"up": True})
        while True:
            log.sealed.clear()
            owed, lane, seq = self._scan()
            now = log.head, log.unsent(), self.want, log.full
            if lane:
                await self._publish(lane, seq)
            elif said is None or (said != now and not owed):
                # Said once at the start, then whenever it has become quiet again.
                said = now
                text = '{"online":true,"seq":%d,"unsent":%d' % now[:2]
                if now[2]:
                    text += ',"pack":"%s","at":%d' % now[2]
                if log.full:
                    text += ',"full":true'
                await self._say(text + "}")
            elif self.again and client.waiting < _WINDOW:
                found = self._seldom("again")
                if type(found) is tuple:
                    self.published += 1
                    self.repeated += 1
                    lane, seq, data = found
                    tag = self._lanes.index(lane), seq
                    await client.publish(self._topic % "up", data, tag)
            else:
                self._changed()
                log.sealed.clear()
                await log.sealed.wait()

    async def _say(self, text):
        await self._client.publish(self._topic % "state", text.encode(), None, True)

    async def close(self):
        """Say offline and end the session in order; run() would connect again: cancel it."""
        if self._open:
            await self._say('{"online":false}')
            await self._client.disconnect()

    async def _publish(self, lane, seq):
        now = lane.asked_at = self.board.link_ms()
        data = lane.chain.read(seq)
        if data is None:
            self._seldom("unreadable", lane, seq)
            return
        state = lane.sent.get(seq)
        if not state:
            state = lane.sent[seq] = [None, _RESEND_MS, now]
        else:
            self.repeated += 1
            if state[0] is not None:
                state[1] = min(2 * state[1], _RESEND_MAX_MS)
        state[0] = now
        self.published += 1
        await self._client.publish(self._topic % "up", data, (self._lanes.index(lane), seq))

    # --- the downlink ---

    async def _message(self, topic, payload):
        """A downlink message; returns when what it says is on flash. OSError: it is not."""
        try:
            code = self._take(payload) if topic == self._down else "topic"
        except ValueError as error:
            code = getattr(error, "code", "value")
        if code == "whole":
            payload = None
            code = self._seldom("finish")
        # A few a quarter of an hour: not worth the heap.
        forget("ronda_protocol.receipt", *SIGNING)
        if code:
            self.refused[code] = self.refused.get(code, 0) + 1
        self._changed()

    def _take(self, data):
        """Do what a message says; the reason when nothing came of it."""
        if data[:1] == b"\x83":
            return self._seldom("more", data)
        from ronda_protocol import cose, signed

        sign1 = cose.parse(data)
        kind = signed.message(sign1.payload)
        if kind == signed.RECEIPT:
            return self._receipt(sign1)
        if kind == signed.MANIFEST:
            return self._seldom("begin", data)
        return self._seldom("ask", data) if kind == signed.RESEND else "kind"

    def _seldom(self, what, *args):
        gc.collect()
        try:
            from handheld import inbox

            return getattr(inbox, what)(self, *args)
        except MemoryError:
            return "memory"
        finally:
            forget("handheld.inbox", "handheld.packs", "handheld.vault", "ronda_protocol.pack")
            forget("ronda_protocol.chunk", "ronda_protocol.bodies", "ronda_protocol.rounds")
            forget(*SIGNING)

    def lane(self, log_id):
        """The lane of a log, or None."""
        for lane in self._lanes:
            if lane.chain.log_id == log_id:
                return lane
        return None

    def gateways(self, sign1):
        """Why a message is not a gateway's, or None: signer, signature."""
        now = self.clock.utc() if self.clock.trusted() else None
        public = self.trust.key(sign1.kid, _GATEWAY, now)
        if public is None:
            return "signer"
        from ronda_protocol import cose, p256

        return None if cose.verify(sign1, public, p256.verify) else "signature"

    def _receipt(self, sign1):
        """Verify one receipt and do what it says; the reason when it may do nothing."""
        from ronda_protocol import receipt

        found = receipt.decode_receipt(sign1.payload)
        if found.device != self._device:
            return "device"
        lane = self.lane(found.log_id)
        if not lane:
            return "log"
        chain, upto = lane.chain, found.upto
        if upto > chain.head:
            return "ahead"
        # A restored gateway knows less than it receipted, and what it has since in ranges.
        news = found.ranges or lane.sent and upto == chain.released
        if upto <= chain.released and not news:
            return "old"
        code = self.gateways(sign1)
        if code:
            return code
        if upto > chain.released:
            if not self.log.release(upto, found.head, found.log_id):
                return "chain"
            self._backoff = _BACKOFF_MS
        elif upto and chain.hash_at(upto) not in (None, found.head):
            return "chain"
        self._accept(lane, found, sign1.kid)
        return None

    def _accept(self, lane, found, kid):
        board, now = self.board, self.board.link_ms()
        self.receipts += 1
        age = _FRESH_MS
        for seq in lane.sent:
            first = lane.sent[seq][2]
            if lane.born < seq <= found.upto and first is not None:
                age = min(age, board.ticks_diff(now, first))
        lane.keep(found)
        lane.forget_released()
        # A receipt may have waited in the broker for days: its time counts only if it answers
        # something that did not exist a minute ago. And not where its own key is not valid: with
        # such a time no other receipt could be verified.
        if age < _FRESH_MS and self.trust.key(kid, _GATEWAY, found.now):
            event = self.clock.on_gateway(found.now, age // 1000 + 1)
            if event:
                self.log.event(*event)
        board.tell("receipt", {"upto": found.upto, "unsent": self.log.unsent()})

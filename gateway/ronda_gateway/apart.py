"""What is set apart instead of stored: quarantine, and segments held until a device is enabled.

Both are bounded: beyond the bound messages are counted, with an alert, and not receipted, so
that a handheld keeps them. Nothing disappears silently.
"""

import hashlib

import sqlalchemy as sa

from ronda_gateway import pipeline, schema
from ronda_gateway.pipeline import Accepted, Message
from ronda_gateway.settings import QuarantineSettings
from ronda_gateway.transaction import Transaction

_RAW_KEPT = 65536
_TOPIC_KEPT = 256
_DETAIL_KEPT = 200
_HOUR = 3600
_MOST_COPIES = 32
# Reasons whose alert has a kind of its own; of a stripped segment Group tells, once for its seq.
_OWN_KIND = {pipeline.FORK, pipeline.REVOKED, pipeline.INTERNAL}
_TOLD_BY_OTHERS = {pipeline.STRIPPED}
# Bucket of messages that no enrolled device is known to have sent.
STRANGER = "?"


class Apart:
    """Sets messages apart within a caller's transaction; `forget` after a rollback."""

    def __init__(self, bounds: QuarantineSettings) -> None:
        self._bounds = bounds
        # (device, reason) -> (hour, messages kept in it); device -> segments held.
        self._kept: dict[tuple[str, str], tuple[int, int]] = {}
        self._held: dict[str, int] = {}

    def forget(self) -> None:
        """Count again from the database: what was counted since may have been rolled back."""
        self._kept.clear()
        self._held.clear()

    def quarantine(
        self,
        work: Transaction,
        device: str,
        message: Message,
        reason: str,
        detail: str,
        *,
        signed: Accepted | None = None,
    ) -> bool:
        """Keep a message with its reason; True when its raw bytes are kept (now or before).

        `device` is the bucket: an enrolled device, or STRANGER.
        """
        table, raw, at = schema.quarantine, message.raw, message.at
        digest = hashlib.sha256(raw).digest()
        topic = message.topic[:_TOPIC_KEPT]
        again = work.connection.execute(
            table.update()
            .where(table.c.sha256 == digest, table.c.topic == topic, table.c.reason == reason)
            .values(copies=table.c.copies + 1, last_at=at)
        )
        if again.rowcount:
            return True
        if not self._room(work, device, reason, at):
            self._fold(work, device, reason, at)
            return False
        row = (
            None,
            device,
            topic,
            reason,
            detail[:_DETAIL_KEPT],
            signed is not None,
            signed.log_id if signed else None,
            signed.seq if signed else None,
            signed.chain if signed else None,
            at,
            at,
            1,
            len(raw),
            digest,
            raw[:_RAW_KEPT],
        )
        work.store.insert(work.connection, table, [row])
        if reason in _TOLD_BY_OTHERS:
            return True
        kind = reason if reason in _OWN_KIND else "quarantined"
        fields: dict[str, object] = {"reason": reason, "detail": detail[:_DETAIL_KEPT]}
        if signed:
            fields |= {"log": signed.log_id.hex(), "seq": signed.seq}
        fields["sha256"] = digest.hex()
        work.alert(kind, f"{device}/{reason}/{digest[:8].hex()}", device, at, **fields)
        return True

    def _room(self, work: Transaction, device: str, reason: str, at: int) -> bool:
        hour = at - at % _HOUR
        known = self._kept.get((device, reason))
        if known is None or known[0] != hour:
            table = schema.quarantine
            query = sa.select(sa.func.count()).where(
                table.c.device == device, table.c.reason == reason, table.c.first_at >= hour
            )
            known = (hour, work.connection.scalar(query) or 0)
        room = known[1] < self._bounds.per_hour
        self._kept[device, reason] = (hour, known[1] + room)
        return room

    def _fold(self, work: Transaction, device: str, reason: str, at: int) -> None:
        """Count a message that is not kept; the hour's first one raises an alert."""
        hour = at - at % _HOUR
        table = schema.folded
        new = work.store.insert(
            work.connection, table, [(device, reason, hour, 1, False)], keep_old=True
        )
        if not new:
            work.connection.execute(
                table.update()
                .where(table.c.device == device, table.c.reason == reason, table.c.hour == hour)
                .values(count=table.c.count + 1)
            )
            return
        key = f"{device}/{reason}/{hour}"
        if reason == "held":
            kind, fields = "held_full", {"count": self._bounds.held_per_device}
        else:
            kind, fields = "quarantine_folded", {"reason": reason}
        work.alert(kind, key, device, at, **fields)

    def hold(self, work: Transaction, device: str, raw: bytes, at: int) -> bool:
        """Keep a signed segment of a device not yet enabled; False when there is no room."""
        table = schema.held
        if device not in self._held:
            query = sa.select(sa.func.count()).where(table.c.device == device)
            self._held[device] = work.connection.scalar(query) or 0
        digest = hashlib.sha256(raw).digest()
        if self._held[device] >= self._bounds.held_per_device:
            same = sa.select(table.c.id).where(table.c.device == device, table.c.sha256 == digest)
            if work.connection.scalar(same) is not None:
                return True
            self._fold(work, device, "held", at)
            return False
        row = (None, device, digest, at, raw)
        self._held[device] += work.store.insert(work.connection, table, [row], keep_old=True)
        return True

    def is_fork_branch(
        self, work: Transaction, device: str, log_id: bytes, seq: int, prev: bytes
    ) -> bool:
        """Whether a segment continues one that was quarantined as a fork."""
        table = schema.quarantine
        query = sa.select(table.c.id).where(
            table.c.device == device,
            table.c.log_id == log_id,
            table.c.seq == seq - 1,
            table.c.chain == prev,
            table.c.reason == pipeline.FORK,
        )
        return work.connection.scalar(query.limit(1)) is not None

    def stripped_copies(
        self, work: Transaction, device: str, log_id: bytes, seq: int, chain: bytes
    ) -> list[bytes]:
        """What was kept of a segment that came without some of its parts: a few copies at most,
        since each that is new brings other parts."""
        table = schema.quarantine
        query = sa.select(table.c.raw).where(
            table.c.device == device,
            table.c.log_id == log_id,
            table.c.seq == seq,
            table.c.chain == chain,
            table.c.reason == pipeline.STRIPPED,
        )
        return list(work.connection.scalars(query.order_by(table.c.id).limit(_MOST_COPIES)))

    def keep_house(self, work: Transaction, now: int) -> None:
        """Tell the totals of past hours, and delete the oldest unsigned rows beyond the bound."""
        table = schema.folded
        past = sa.select(table).where(table.c.told == sa.false(), table.c.hour <= now - _HOUR)
        for row in work.connection.execute(past).all():
            key = f"{row.device}/{row.reason}/{row.hour}"
            work.alert(
                "quarantine_total",
                key,
                row.device,
                now,
                reason=row.reason,
                count=row.count,
                hour=row.hour,
            )
            work.connection.execute(
                table.update()
                .where(
                    table.c.device == row.device,
                    table.c.reason == row.reason,
                    table.c.hour == row.hour,
                )
                .values(told=True)
            )
        self._purge(work, now)

    def _purge(self, work: Transaction, now: int) -> None:
        table = schema.quarantine
        unsigned = table.c.signed == sa.false()
        count = work.connection.scalar(sa.select(sa.func.count()).where(unsigned)) or 0
        excess = count - self._bounds.rows
        if excess <= 0:
            return
        oldest = sa.select(table.c.id).where(unsigned).order_by(table.c.id).limit(excess)
        work.connection.execute(table.delete().where(table.c.id.in_(oldest)))
        work.alert("quarantine_purged", str(now), STRANGER, now, count=excess)

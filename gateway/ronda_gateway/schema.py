"""The tables of the gateway's database (SQLAlchemy Core); the migrations make them.

Numbers are integers with units as on the wire; times are unix seconds unless named `ms` (since
boot). `raw` holds what arrived, so that everything else can be derived again.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

# Segment status, and the disposition that a receipt names for it.
STORED = 0
HELD = 1
QUARANTINED = 2
UNREADABLE_VERSION = 3

# Row ids that SQLite numbers by itself only when they are plain INTEGER.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _log_key() -> "sa.Column[int]":
    return sa.Column(
        "log", sa.Integer, sa.ForeignKey("logs.id"), primary_key=True, autoincrement=False
    )


def _part_of_segment() -> list["sa.Column[int]"]:
    return [
        _log_key(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    ]


meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
    comment="Counters: fleet (rises with each change to devices, so that a gateway notices).",
)

devices = sa.Table(
    "devices",
    metadata,
    sa.Column("id", sa.String(24), primary_key=True),
    sa.Column("state", sa.String(10), nullable=False, comment="enrolled, enabled or revoked"),
    sa.Column("enrolled_at", sa.BigInteger, nullable=False),
    sa.Column("enabled_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
)

device_keys = sa.Table(
    "device_keys",
    metadata,
    sa.Column("kid", sa.LargeBinary(8), primary_key=True),
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), nullable=False, index=True),
    sa.Column("public", sa.LargeBinary(64), nullable=False, unique=True, comment="x || y"),
    sa.Column("added_at", sa.BigInteger, nullable=False),
)

logs = sa.Table(
    "logs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("log_id", sa.LargeBinary(8), nullable=False),
    sa.Column("upto", sa.BigInteger, nullable=False, comment="every seq <= upto is durable"),
    sa.Column("head", sa.LargeBinary(32), nullable=False, comment="chain hash of upto"),
    sa.Column("max_seq", sa.BigInteger, nullable=False),
    sa.Column("numbered", sa.BigInteger, nullable=False, comment="entries <= this accounted for"),
    sa.Column("revoked_upto", sa.BigInteger, comment="last receipted seq at revocation"),
    sa.Column("revoked_head", sa.LargeBinary(32)),
    sa.Column("forked_from", sa.BigInteger, comment="lowest seq with a second, signed content"),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("device", "log_id"),
)

segments = sa.Table(
    "segments",
    metadata,
    _log_key(),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("status", sa.SmallInteger, nullable=False, comment="0 stored, 1 held, 3 version"),
    sa.Column("body", sa.Integer, comment="body type; null when the header is unreadable"),
    sa.Column("kid", sa.LargeBinary(8), nullable=False),
    sa.Column("prev", sa.LargeBinary(32)),
    sa.Column("chain", sa.LargeBinary(32), nullable=False, comment="chain hash"),
    sa.Column("link", sa.String(8), nullable=False, comment="linked, gap or broken"),
    sa.Column("boot", sa.BigInteger),
    sa.Column("base_ms", sa.BigInteger),
    sa.Column("base_utc", sa.BigInteger),
    sa.Column("source", sa.SmallInteger),
    sa.Column("uncertainty", sa.BigInteger),
    sa.Column("firmware", sa.String(64)),
    sa.Column("numbers", sa.LargeBinary, comment="CBOR of the header's flat ranges"),
    sa.Column("received_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("raw", sa.LargeBinary, nullable=False, comment="the sealed segment"),
)

fixes = sa.Table(
    "fixes",
    metadata,
    *_part_of_segment(),
    sa.Column("ms", sa.BigInteger, nullable=False),
    sa.Column("utc", sa.BigInteger, comment="null: no time was known in the segment"),
    sa.Column("lat_e7", sa.Integer, nullable=False),
    sa.Column("lon_e7", sa.Integer, nullable=False),
    sa.Column("hdop", sa.SmallInteger, nullable=False, comment="tenths; 255 unknown"),
    sa.Column("satellites", sa.SmallInteger, nullable=False),
    sa.Column("fix_type", sa.SmallInteger, nullable=False),
    sa.Column("quality", sa.Text, comment="JSON list as in track.py; null: no quality block"),
    sqlite_with_rowid=False,
)

batteries = sa.Table(
    "batteries",
    metadata,
    *_part_of_segment(),
    sa.Column("ms", sa.BigInteger, nullable=False),
    sa.Column("utc", sa.BigInteger),
    sa.Column("mv", sa.Integer, nullable=False),
    sa.Column("percent", sa.SmallInteger),
    sa.Column("source", sa.SmallInteger, nullable=False, comment="0 unknown, 1 battery, 2 mains"),
    sqlite_with_rowid=False,
)

events = sa.Table(
    "events",
    metadata,
    *_part_of_segment(),
    sa.Column("ms", sa.BigInteger, nullable=False),
    sa.Column("utc", sa.BigInteger),
    sa.Column("code", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False, comment="deterministic CBOR"),
    sqlite_with_rowid=False,
)

visits = sa.Table(
    "visits",
    metadata,
    sa.Column("id", sa.String(80), primary_key=True, comment="<device>/<log hex>/<seq>"),
    sa.Column("log", sa.Integer, sa.ForeignKey("logs.id"), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("device", sa.String(24), nullable=False, index=True),
    sa.Column("portfolio", sa.String(24), nullable=False, index=True),
    sa.Column("case_id", sa.String(32), nullable=False, index=True),
    sa.Column("ended", sa.String(12), nullable=False),
    sa.Column("opened", sa.String(24), nullable=False),
    sa.Column("outcome", sa.String(64)),
    sa.Column("check_in_utc", sa.BigInteger),
    sa.Column("received_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("overall", sa.String(12), nullable=False),
    sa.Column("link", sa.String(8), nullable=False, comment="the chain verdict last told"),
    sa.Column("version", sa.Integer, nullable=False, comment="of the verdicts, 0 first"),
    sa.Column("verdicts", sa.Text, nullable=False, comment="JSON"),
    sa.UniqueConstraint("log", "seq"),
)

corrections = sa.Table(
    "corrections",
    metadata,
    _log_key(),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("visit", sa.String(80), nullable=False, index=True, comment="id; maybe not here"),
    sa.Column("field", sa.String(48), nullable=False),
    sa.Column("state", sa.String(8), nullable=False, comment="waiting, accepted or refused"),
    sa.Column("utc", sa.BigInteger),
    sa.Column("received_at", sa.BigInteger, nullable=False),
)

device_states = sa.Table(
    "device_states",
    metadata,
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), primary_key=True),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("seq", sa.BigInteger, comment="last sealed, as the device last said"),
    sa.Column("unsent", sa.BigInteger, comment="without a receipt, as it last said"),
    sa.Column("at", sa.BigInteger, nullable=False, comment="when the gateway heard it"),
    comment="What state/<device> said last: unsigned, for people to look at.",
)

held = sa.Table(
    "held",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("device", "sha256"),
    comment="Segments of devices enrolled and not yet enabled.",
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("device", sa.String(24), nullable=False, comment="enrolled device, or ?"),
    sa.Column("topic", sa.String(256), nullable=False),
    sa.Column("reason", sa.String(20), nullable=False),
    sa.Column("detail", sa.String(200), nullable=False),
    sa.Column("signed", sa.Boolean, nullable=False, comment="the device's signature is valid"),
    sa.Column("log_id", sa.LargeBinary(8), comment="of signed ones"),
    sa.Column("seq", sa.BigInteger),
    sa.Column("chain", sa.LargeBinary(32)),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("copies", sa.BigInteger, nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False, comment="of what arrived, in bytes"),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False, comment="at most the first 65,536 bytes"),
    sa.UniqueConstraint("sha256", "topic", "reason"),
)
sa.Index("ix_quarantine_chain", quarantine.c.device, quarantine.c.log_id, quarantine.c.seq)

folded = sa.Table(
    "folded",
    metadata,
    sa.Column("device", sa.String(24), primary_key=True),
    sa.Column("reason", sa.String(20), primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True, comment="unix time of the hour's start"),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False, comment="the hour's total was put on the feed"),
    comment="Messages counted instead of kept: beyond quarantine.per_hour or held_per_device.",
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.String(160), primary_key=True, comment="stable: one alert, one id"),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("device", sa.String(24), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False, index=True),
    sa.Column("data", sa.Text, nullable=False, comment="JSON"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("destination", sa.String(24), nullable=False),
    sa.Column("topic", sa.String(256), nullable=False),
    sa.Column("event", sa.String(160), nullable=False, comment="CloudEvents id"),
    sa.Column("state", sa.SmallInteger, nullable=False, comment="0 waiting, 1 sent, 2 set aside"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.BigInteger),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_outbox_waiting", outbox.c.destination, outbox.c.state, outbox.c.id)

unconfirmed = sa.Table(
    "unconfirmed",
    metadata,
    sa.Column("id", _ID, sa.ForeignKey("outbox.id"), primary_key=True, autoincrement=False),
    sa.Column("event", sa.String(160), nullable=False, index=True, comment="CloudEvents id"),
    sa.Column("topic", sa.String(256), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, comment="PUBACKs so far"),
    sa.Column("first_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False, comment="when it is published again"),
)
"""Events that the broker has and the consumer has not confirmed; outbox state 3."""
sa.Index("ix_unconfirmed_due", unconfirmed.c.topic, unconfirmed.c.due_at, unconfirmed.c.id)

command_ids = sa.Table(
    "command_ids",
    metadata,
    sa.Column("kid", sa.String(16), primary_key=True),
    sa.Column("jti", sa.String(64), primary_key=True),
    sa.Column("exp", sa.BigInteger, nullable=False, index=True),
)
"""Commands that were obeyed, until they expire."""

resends = sa.Table(
    "resends",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), nullable=False),
    sa.Column("log_id", sa.LargeBinary(8), nullable=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("why", sa.String(16), nullable=False, comment="gap, behind, operator"),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.LargeBinary(8), comment="once it is sent"),
    sa.Column("sent_at", sa.BigInteger),
    sa.Column("done_at", sa.BigInteger, comment="all is here, or lost"),
)
sa.Index("ix_resends_log", resends.c.device, resends.c.log_id)

lost = sa.Table(
    "lost",
    metadata,
    _log_key(),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("by_log", sa.Integer, sa.ForeignKey("logs.id"), nullable=False),
    sa.Column("by_seq", sa.BigInteger, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    comment="Ranges that were not stored when the device itself declared them lost.",
)

packs = sa.Table(
    "packs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("type", sa.SmallInteger, nullable=False, comment="pack type"),
    sa.Column("scope", sa.String(24), nullable=False, comment="device id or site"),
    sa.Column("name", sa.String(32), nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("draft", sa.Text, comment="JSON, until it is signed"),
    sa.Column("version", sa.BigInteger, comment="null until it is signed"),
    sa.Column("mark", sa.LargeBinary(8), comment="of the manifest hash"),
    sa.Column("raw", sa.LargeBinary, comment="the pack file"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column(
        "pack", sa.BigInteger, sa.ForeignKey("packs.id"), primary_key=True, autoincrement=False
    ),
    sa.Column("device", sa.String(24), sa.ForeignKey("devices.id"), primary_key=True, index=True),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(32), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("sent_at", sa.BigInteger),
    sa.Column("decided_at", sa.BigInteger),
)
sa.Index("ix_deliveries_state", deliveries.c.state)

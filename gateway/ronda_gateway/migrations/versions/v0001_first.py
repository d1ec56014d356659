"""The first schema: devices, logs, segments and what they hold, quarantine, alerts, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and the counters."""
    op.create_table(
        "alerts",
        sa.Column(
            "id", sa.String(length=160), nullable=False, comment="stable: one alert, one id"
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_alerts_at"), "alerts", ["at"], unique=False)
    op.create_index(op.f("ix_alerts_device"), "alerts", ["device"], unique=False)
    op.create_table(
        "devices",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column(
            "state", sa.String(length=10), nullable=False, comment="enrolled, enabled or revoked"
        ),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("enabled_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "folded",
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column(
            "hour", sa.BigInteger(), nullable=False, comment="unix time of the hour's start"
        ),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column(
            "told", sa.Boolean(), nullable=False, comment="the hour's total was put on the feed"
        ),
        sa.PrimaryKeyConstraint("device", "reason", "hour"),
        comment="Messages counted instead of kept: beyond quarantine.per_hour or held_per_device.",
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        comment="Counters: fleet (rises with each change to devices, so that a gateway notices).",
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("destination", sa.String(length=24), nullable=False),
        sa.Column("topic", sa.String(length=256), nullable=False),
        sa.Column("event", sa.String(length=160), nullable=False, comment="CloudEvents id"),
        sa.Column(
            "state", sa.SmallInteger(), nullable=False, comment="0 waiting, 1 sent, 2 set aside"
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_waiting", "outbox", ["destination", "state", "id"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False, comment="enrolled device, or ?"),
        sa.Column("topic", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column(
            "signed", sa.Boolean(), nullable=False, comment="the device's signature is valid"
        ),
        sa.Column("log_id", sa.LargeBinary(length=8), nullable=True, comment="of signed ones"),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("chain", sa.LargeBinary(length=32), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("copies", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False, comment="of what arrived, in bytes"),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "raw", sa.LargeBinary(), nullable=False, comment="at most the first 65,536 bytes"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256", "topic", "reason"),
    )
    op.create_index("ix_quarantine_chain", "quarantine", ["device", "log_id", "seq"], unique=False)
    op.create_table(
        "device_keys",
        sa.Column("kid", sa.LargeBinary(length=8), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("public", sa.LargeBinary(length=64), nullable=False, comment="x || y"),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["devices.id"],
        ),
        sa.PrimaryKeyConstraint("kid"),
        sa.UniqueConstraint("public"),
    )
    op.create_index(op.f("ix_device_keys_device"), "device_keys", ["device"], unique=False)
    op.create_table(
        "held",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["devices.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device", "sha256"),
        comment="Segments of devices enrolled and not yet enabled.",
    )
    op.create_table(
        "logs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("log_id", sa.LargeBinary(length=8), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False, comment="every seq <= upto is durable"),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False, comment="chain hash of upto"),
        sa.Column("max_seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "numbered", sa.BigInteger(), nullable=False, comment="entries <= this accounted for"
        ),
        sa.Column(
            "revoked_upto",
            sa.BigInteger(),
            nullable=True,
            comment="last receipted seq at revocation",
        ),
        sa.Column("revoked_head", sa.LargeBinary(length=32), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"],
            ["devices.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device", "log_id"),
    )
    op.create_table(
        "batteries",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("utc", sa.BigInteger(), nullable=True),
        sa.Column("mv", sa.Integer(), nullable=False),
        sa.Column("percent", sa.SmallInteger(), nullable=True),
        sa.Column(
            "source", sa.SmallInteger(), nullable=False, comment="0 unknown, 1 battery, 2 mains"
        ),
        sa.ForeignKeyConstraint(
            ["log"],
            ["logs.id"],
        ),
        sa.PrimaryKeyConstraint("log", "seq", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column("utc", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="deterministic CBOR"),
        sa.ForeignKeyConstraint(
            ["log"],
            ["logs.id"],
        ),
        sa.PrimaryKeyConstraint("log", "seq", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fixes",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "utc", sa.BigInteger(), nullable=True, comment="null: no time was known in the segment"
        ),
        sa.Column("lat_e7", sa.Integer(), nullable=False),
        sa.Column("lon_e7", sa.Integer(), nullable=False),
        sa.Column("hdop", sa.SmallInteger(), nullable=False, comment="tenths; 255 unknown"),
        sa.Column("satellites", sa.SmallInteger(), nullable=False),
        sa.Column("fix_type", sa.SmallInteger(), nullable=False),
        sa.Column(
            "quality",
            sa.Text(),
            nullable=True,
            comment="JSON list as in track.py; null: no quality block",
        ),
        sa.ForeignKeyConstraint(
            ["log"],
            ["logs.id"],
        ),
        sa.PrimaryKeyConstraint("log", "seq", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segments",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "status", sa.SmallInteger(), nullable=False, comment="0 stored, 1 held, 3 version"
        ),
        sa.Column(
            "body",
            sa.Integer(),
            nullable=True,
            comment="body type; null when the header is unreadable",
        ),
        sa.Column("kid", sa.LargeBinary(length=8), nullable=False),
        sa.Column("prev", sa.LargeBinary(length=32), nullable=True),
        sa.Column("chain", sa.LargeBinary(length=32), nullable=False, comment="chain hash"),
        sa.Column("link", sa.String(length=8), nullable=False, comment="linked, gap or broken"),
        sa.Column("boot", sa.BigInteger(), nullable=True),
        sa.Column("base_ms", sa.BigInteger(), nullable=True),
        sa.Column("base_utc", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.SmallInteger(), nullable=True),
        sa.Column("uncertainty", sa.BigInteger(), nullable=True),
        sa.Column("firmware", sa.String(length=64), nullable=True),
        sa.Column(
            "numbers", sa.LargeBinary(), nullable=True, comment="CBOR of the header's flat ranges"
        ),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False, comment="the sealed segment"),
        sa.ForeignKeyConstraint(
            ["log"],
            ["logs.id"],
        ),
        sa.PrimaryKeyConstraint("log", "seq"),
    )
    op.create_index(op.f("ix_segments_received_at"), "segments", ["received_at"], unique=False)
    op.create_table(
        "visits",
        sa.Column("id", sa.String(length=80), nullable=False, comment="<device>/<log hex>/<seq>"),
        sa.Column("log", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("portfolio", sa.String(length=24), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("ended", sa.String(length=12), nullable=False),
        sa.Column("opened", sa.String(length=24), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=True),
        sa.Column("check_in_utc", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("overall", sa.String(length=12), nullable=False),
        sa.Column(
            "link", sa.String(length=8), nullable=False, comment="the chain verdict last told"
        ),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the verdicts, 0 first"),
        sa.Column("verdicts", sa.Text(), nullable=False, comment="JSON"),
        sa.ForeignKeyConstraint(
            ["log"],
            ["logs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("log", "seq"),
    )
    op.create_index(op.f("ix_visits_case_id"), "visits", ["case_id"], unique=False)
    op.create_index(op.f("ix_visits_device"), "visits", ["device"], unique=False)
    op.create_index(op.f("ix_visits_portfolio"), "visits", ["portfolio"], unique=False)
    op.create_index(op.f("ix_visits_received_at"), "visits", ["received_at"], unique=False)
    op.execute("INSERT INTO meta (key, value) VALUES ('fleet', 0), ('opened', 0)")

"""Packs for handhelds, and what became of each."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables and a counter."""
    op.create_table(
        "packs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False, comment="pack type"),
        sa.Column("scope", sa.String(length=24), nullable=False, comment="device id or site"),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("draft", sa.Text(), nullable=True, comment="JSON, until it is signed"),
        sa.Column("version", sa.BigInteger(), nullable=True, comment="null until it is signed"),
        sa.Column("mark", sa.LargeBinary(length=8), nullable=True, comment="of the manifest hash"),
        sa.Column("raw", sa.LargeBinary(), nullable=True, comment="the pack file"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("pack", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.ForeignKeyConstraint(["pack"], ["packs.id"]),
        sa.PrimaryKeyConstraint("pack", "device"),
    )
    op.create_index(op.f("ix_deliveries_device"), "deliveries", ["device"], unique=False)
    op.create_index("ix_deliveries_state", "deliveries", ["state"], unique=False)
    op.execute("INSERT INTO meta (key, value) VALUES ('packs', 0)")

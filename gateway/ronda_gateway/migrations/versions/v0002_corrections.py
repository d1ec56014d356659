"""Corrections, where a log is forked, and what handhelds said of themselves last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables, one column."""
    op.add_column(
        "logs",
        sa.Column(
            "forked_from",
            sa.BigInteger(),
            nullable=True,
            comment="lowest seq with a second, signed content",
        ),
    )
    op.create_table(
        "corrections",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("visit", sa.String(length=80), nullable=False, comment="id; maybe not here"),
        sa.Column("field", sa.String(length=48), nullable=False),
        sa.Column(
            "state", sa.String(length=8), nullable=False, comment="waiting, accepted or refused"
        ),
        sa.Column("utc", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["log"], ["logs.id"]),
        sa.PrimaryKeyConstraint("log", "seq"),
    )
    op.create_index(op.f("ix_corrections_visit"), "corrections", ["visit"], unique=False)
    op.create_table(
        "device_states",
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), nullable=True, comment="last sealed, as the device last said"
        ),
        sa.Column(
            "unsent",
            sa.BigInteger(),
            nullable=True,
            comment="without a receipt, as it last said",
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when the gateway heard it"),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("device"),
        comment="What state/<device> said last: unsigned, for people to look at.",
    )

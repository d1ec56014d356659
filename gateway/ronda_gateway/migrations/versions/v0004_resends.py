"""Segments asked for again, and those that a handheld declared lost."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "resends",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("device", sa.String(length=24), nullable=False),
        sa.Column("log_id", sa.LargeBinary(length=8), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.String(length=16), nullable=False, comment="gap, behind, operator"),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "request_id", sa.LargeBinary(length=8), nullable=True, comment="once it is sent"
        ),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True, comment="all is here, or lost"),
        sa.ForeignKeyConstraint(["device"], ["devices.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_resends_log", "resends", ["device", "log_id"], unique=False)
    op.create_table(
        "lost",
        sa.Column("log", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("by_log", sa.Integer(), nullable=False, comment="whose segment says so"),
        sa.Column("by_seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["by_log"], ["logs.id"]),
        sa.ForeignKeyConstraint(["log"], ["logs.id"]),
        sa.PrimaryKeyConstraint("log", "first"),
    )

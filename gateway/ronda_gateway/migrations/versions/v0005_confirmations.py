"""Events that wait for the consumer's confirmation, and the commands that were obeyed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "unconfirmed",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("event", sa.String(length=160), nullable=False, comment="CloudEvents id"),
        sa.Column("topic", sa.String(length=256), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="PUBACKs so far"),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="when it is published again"),
        sa.ForeignKeyConstraint(["id"], ["outbox.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_unconfirmed_event"), "unconfirmed", ["event"], unique=False)
    op.create_index("ix_unconfirmed_due", "unconfirmed", ["topic", "due_at", "id"], unique=False)
    op.create_table(
        "command_ids",
        sa.Column("kid", sa.String(length=16), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("exp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kid", "jti"),
    )
    op.create_index(op.f("ix_command_ids_exp"), "command_ids", ["exp"], unique=False)

"""Alembic migrations of the gateway's database; run by `ronda gateway migrate`."""

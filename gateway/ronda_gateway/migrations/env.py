"""Alembic's entry: migrates the connection that `store.migrate` hands over; no other way in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()

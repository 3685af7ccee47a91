"""Runs migrations on the connection that ``service.storage.migrations`` hands over."""

from __future__ import annotations

from alembic import context

from service.storage.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("migrations run through `heunboard db upgrade`, which opens the database")

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

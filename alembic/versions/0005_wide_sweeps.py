"""Wide sweeps: what storing a hundred thousand rows spends on references and on the order of words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEYS = (("board", "task_key"), ("cell", "cell_key"), ("trial", "key"))
WANTED = (("fk_sweep_trial_sweep_id", "sweep", "sweep_id"), ("fk_sweep_trial_trial_id", "trial", "trial_id"))


def upgrade() -> None:
    _compare_keys("C")
    with op.batch_alter_table("sweep_trial") as batch:
        for name, _, _ in WANTED:
            batch.drop_constraint(name, type_="foreignkey")


def downgrade() -> None:
    with op.batch_alter_table("sweep_trial") as batch:
        for name, table, column in WANTED:
            batch.create_foreign_key(name, table, [column], ["id"])
    _compare_keys("default")


def _compare_keys(collation: str) -> None:
    """Keys are hexadecimal: their bytes have the same order in every language. SQLite knows no other."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column in KEYS:
        op.alter_column(table, column, type_=sa.String(32, collation=collation))

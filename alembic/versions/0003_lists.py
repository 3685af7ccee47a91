"""Lists: what boards and sweeps are found by, and when a board last changed."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _boards()
    op.add_column("sweep", sa.Column("description", sa.Text(), nullable=False, server_default=""))
    described = "json_extract(document, '$.description')" if _is_sqlite() else "document ->> 'description'"
    op.execute(f"UPDATE sweep SET description = coalesce({described}, '')")
    op.create_table(
        "sweep_tag",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_sweep_tag_sweep_id"),
        sa.PrimaryKeyConstraint("sweep_id", "place", name="pk_sweep_tag"),
    )
    op.create_index("ix_sweep_tag_tag", "sweep_tag", ["tag"])
    op.create_index("ix_event_attempt_id", "event", ["attempt_id"])


def downgrade() -> None:
    op.drop_index("ix_event_attempt_id", "event")
    op.drop_table("sweep_tag")
    with op.batch_alter_table("sweep", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_column("description")
    op.drop_index("ix_board_task_id_changed_at_id", "board")
    op.drop_index("ix_board_changed_at_id", "board")
    with op.batch_alter_table("board") as batch:
        for name in ("task_id", "words", "changed_at"):
            batch.drop_column(name)


def _boards() -> None:
    columns = {
        "task_id": sa.String(64),
        "words": sa.Text(),
        "changed_at": sa.DateTime(timezone=True),
    }
    for name, kind in columns.items():
        op.add_column("board", sa.Column(name, kind))
    _fill()
    with op.batch_alter_table("board") as batch:
        for name, kind in columns.items():
            batch.alter_column(name, existing_type=kind, nullable=False)
    op.create_index("ix_board_changed_at_id", "board", ["changed_at", "id"])
    op.create_index("ix_board_task_id_changed_at_id", "board", ["task_id", "changed_at", "id"])


def _fill() -> None:
    """Boards that are there are found by their parameters; their titles are not known here."""
    board = sa.table("board", *(sa.column(name) for name in ("id", "task", "task_id", "words")))
    connection = op.get_bind()
    rows = []
    for id, stored in connection.execute(sa.select(board.c.id, board.c.task)):
        task = json.loads(stored) if isinstance(stored, str) else stored
        rows.append({"of_board": id, "its_task": task["id"], "its_words": _words(task)})
    if rows:
        values = {"task_id": sa.bindparam("its_task"), "words": sa.bindparam("its_words")}
        connection.execute(
            sa.update(board).where(board.c.id == sa.bindparam("of_board")).values(values), rows
        )
    of_board = "FROM cell JOIN trial ON trial.cell_id = cell.id{} WHERE cell.board_id = board.id"
    ended = "SELECT max(trial.ended_at) " + of_board.format("")
    asked = "SELECT min(sweep.created_at) " + of_board.format(" JOIN sweep ON sweep.id = trial.sweep_order")
    op.execute(f"UPDATE board SET changed_at = coalesce(({ended}), ({asked}), CURRENT_TIMESTAMP)")


def _words(task: dict[str, Any]) -> str:
    return " ".join(
        [task["id"], *(f"{name}={value}" for name, value in task["parameters"].items())]
    ).casefold()


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"

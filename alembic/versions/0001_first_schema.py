"""First schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UNPLANNED = sa.text("state = 'queued' AND cohort_id IS NULL")


def upgrade() -> None:
    op.create_table(
        "board",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_key", sa.String(32), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_board"),
        sa.UniqueConstraint("task_key", name="uq_board_task_key"),
    )
    op.create_table(
        "cohort",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        sa.Column("lanes", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("sweep_order", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state <> 'running' OR (attempt > 0 AND owner IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_cohort_running_implies_attempt"),
        ),
        sa.CheckConstraint(
            "state = 'running' OR (owner IS NULL AND lease_until IS NULL)",
            name=op.f("ck_cohort_lease_implies_running"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed')",
            name=op.f("ck_cohort_state"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_cohort"),
    )
    op.create_index("ix_cohort_state_priority", "cohort", ["state", "priority"])

    op.create_table(
        "sweep",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("new_trials", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(200)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweep"),
        sa.UniqueConstraint("idempotency_key", name="uq_sweep_idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("reported_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("steps_done", sa.BigInteger(), nullable=False),
        sa.Column("steps_total", sa.BigInteger(), nullable=False),
        sa.Column("provenance", sa.JSON()),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(
            "(state IN ('finished', 'lost')) = (ended_at IS NOT NULL)",
            name=op.f("ck_attempt_ended_implies_end"),
        ),
        sa.CheckConstraint(
            "state IN ('claimed', 'running', 'finished', 'lost')",
            name=op.f("ck_attempt_state"),
        ),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name="fk_attempt_cohort_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        sa.UniqueConstraint("cohort_id", "number", name="uq_attempt_cohort_id_number"),
    )
    op.create_table(
        "cell",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cell_key", sa.String(32), nullable=False),
        sa.Column("board_id", sa.Integer(), nullable=False),
        sa.Column("estimator", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "succeeded >= 0 AND failed >= 0 AND cancelled >= 0 AND succeeded + failed + cancelled <= trials",
            name=op.f("ck_cell_counts"),
        ),
        sa.ForeignKeyConstraint(["board_id"], ["board.id"], name="fk_cell_board_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cell"),
        sa.UniqueConstraint("cell_key", name="uq_cell_cell_key"),
    )
    op.create_index("ix_cell_board_id_estimator", "cell", ["board_id", "estimator"])

    op.create_table(
        "cell_summary",
        sa.Column("cell_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("m2", sa.Double(), nullable=False),
        sa.CheckConstraint("count >= 1 AND m2 >= 0", name=op.f("ck_cell_summary_moments")),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_cell_summary_cell_id"),
        sa.PrimaryKeyConstraint("cell_id", "metric", name="pk_cell_summary"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("sweep_id", sa.Integer()),
        sa.Column("attempt_id", sa.Integer()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_event_attempt_id"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_event_sweep_id"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "trial",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("cell_id", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.String(64), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("sweep_order", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer()),
        sa.Column("attempt_id", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("traceback", sa.Text()),
        sa.Column("seconds", sa.Double()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(state = 'failed') = (error IS NOT NULL)",
            name=op.f("ck_trial_failed_implies_error"),
        ),
        sa.CheckConstraint(
            "(state IN ('queued', 'running')) = (ended_at IS NULL)",
            name=op.f("ck_trial_ended_implies_end"),
        ),
        sa.CheckConstraint(
            "state <> 'running' OR cohort_id IS NOT NULL",
            name=op.f("ck_trial_running_implies_cohort"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_trial_state"),
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_trial_attempt_id"),
        sa.ForeignKeyConstraint(["cell_id"], ["cell.id"], name="fk_trial_cell_id"),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name="fk_trial_cohort_id"),
        sa.PrimaryKeyConstraint("id", name="pk_trial"),
        sa.UniqueConstraint("key", name="uq_trial_key"),
    )
    op.create_index("ix_trial_cell_id_seed", "trial", ["cell_id", "seed"])
    op.create_index("ix_trial_cohort_id", "trial", ["cohort_id"])
    op.create_index(
        "ix_trial_unplanned", "trial", ["priority"], sqlite_where=UNPLANNED, postgresql_where=UNPLANNED
    )

    op.create_table(
        "curve_segment",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("first >= 1 AND count >= 1", name=op.f("ck_curve_segment_range")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_curve_segment_attempt_id"),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_curve_segment_trial_id"),
        sa.PrimaryKeyConstraint("trial_id", "metric", "attempt_id", "first", name="pk_curve_segment"),
    )
    op.create_index("ix_curve_segment_attempt_id", "curve_segment", ["attempt_id"])

    op.create_table(
        "sweep_trial",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_sweep_trial_sweep_id"),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_sweep_trial_trial_id"),
        sa.PrimaryKeyConstraint("sweep_id", "trial_id", name="pk_sweep_trial"),
    )
    op.create_index("ix_sweep_trial_trial_id", "sweep_trial", ["trial_id"])

    op.create_table(
        "trial_metric",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_trial_metric_trial_id"),
        sa.PrimaryKeyConstraint("trial_id", "metric", name="pk_trial_metric"),
    )


def downgrade() -> None:
    for table in (
        "trial_metric",
        "sweep_trial",
        "curve_segment",
        "trial",
        "event",
        "cell_summary",
        "cell",
        "attempt",
        "sweep",
        "cohort",
        "board",
    ):
        op.drop_table(table)

"""Control: what sweeps are held at, wanted trials, cohorts that dissolve; nodes; shares of owners; totals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COHORT_STATES = "state IN ('queued', 'running', 'done', 'failed')"
WITH_DISSOLVED = "state IN ('queued', 'running', 'done', 'failed', 'dissolved')"
UNPLANNED_BEFORE = sa.text("state = 'queued' AND cohort_id IS NULL")
UNPLANNED = sa.text("state = 'queued' AND cohort_id IS NULL AND wanted")

CAUSES = "cause IN ('process', 'node', 'silence', 'dispatcher')"
QUEUE_ORDER = ["state", "priority", "submitter", "sweep_order", "id"]


def upgrade() -> None:
    _sweeps()
    _trials()
    _cohorts()
    _checkpoints()
    op.add_column("attempt", sa.Column("blameless", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "former_cohort",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("cohort_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_former_cohort_trial_id"),
        sa.ForeignKeyConstraint(["cohort_id"], ["cohort.id"], name="fk_former_cohort_cohort_id"),
        sa.PrimaryKeyConstraint("trial_id", "cohort_id", name="pk_former_cohort"),
    )
    _submitters()
    _nodes()
    _keep_totals()


def downgrade() -> None:
    """What dissolved is ``failed``; what is paused or in the bin is as if nobody had said so."""
    _drop_totals()
    _drop_nodes()
    _drop_submitters()
    op.drop_table("former_cohort")
    op.drop_table("checkpoint")
    op.drop_column("attempt", "resumed")
    op.drop_column("attempt", "blameless")
    op.execute("UPDATE cohort SET state = 'failed' WHERE state = 'dissolved'")
    with op.batch_alter_table("cohort") as batch:
        batch.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
        batch.drop_column("stop_since")
        _replace_check(batch, "ck_cohort_state", COHORT_STATES)
    op.execute(
        "UPDATE cohort SET losses = coalesce("
        "(SELECT max(trial.losses) FROM trial WHERE trial.cohort_id = cohort.id), 0)"
    )
    op.drop_index("ix_trial_unplanned", "trial")
    with op.batch_alter_table("trial") as batch:
        for name in ("wanted", "losses", "lanes_at_most", "diverged_at"):
            batch.drop_column(name)
    _create_unplanned(UNPLANNED_BEFORE)
    with op.batch_alter_table("sweep", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("ck_sweep_held"), type_="check")
        for name in ("held", "deleted_at"):
            batch.drop_column(name)


def _checkpoints() -> None:
    op.add_column("attempt", sa.Column("resumed", sa.JSON()))
    op.create_table(
        "checkpoint",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "step >= 1 AND epochs >= 0 AND bytes >= 0 AND seconds >= 0", name=op.f("ck_checkpoint_range")
        ),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_checkpoint_trial_id"),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name="fk_checkpoint_attempt_id"),
        sa.PrimaryKeyConstraint("trial_id", "attempt_id", "step", name="pk_checkpoint"),
    )


def _sweeps() -> None:
    with op.batch_alter_table("sweep", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(sa.Column("held", sa.String(16), nullable=False, server_default="active"))
        batch.add_column(sa.Column("deleted_at", sa.DateTime(timezone=True)))
        batch.create_check_constraint(op.f("ck_sweep_held"), "held IN ('active', 'paused', 'cancelled')")


def _trials() -> None:
    op.drop_index("ix_trial_unplanned", "trial")
    with op.batch_alter_table("trial") as batch:
        batch.add_column(sa.Column("wanted", sa.Boolean(), nullable=False, server_default=sa.true()))
        batch.add_column(sa.Column("losses", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("lanes_at_most", sa.Integer()))
        batch.add_column(sa.Column("diverged_at", sa.BigInteger()))
    op.execute(
        "UPDATE trial SET losses = coalesce("
        "(SELECT cohort.losses FROM cohort WHERE cohort.id = trial.cohort_id), 0)"
    )
    _create_unplanned(UNPLANNED)


def _cohorts() -> None:
    with op.batch_alter_table("cohort") as batch:
        batch.drop_column("losses")
        batch.add_column(sa.Column("stop_since", sa.DateTime(timezone=True)))
        _replace_check(batch, "ck_cohort_state", WITH_DISSOLVED)


def _submitters() -> None:
    op.drop_index("ix_cohort_state_priority", "cohort")
    with op.batch_alter_table("cohort") as batch:
        batch.add_column(sa.Column("submitter", sa.String(200), nullable=False, server_default=""))
    op.execute(
        "UPDATE cohort SET submitter = coalesce("
        "(SELECT sweep.owner FROM sweep WHERE sweep.id = cohort.sweep_order), '')"
    )
    op.create_index("ix_cohort_state_priority_submitter_sweep_order_id", "cohort", QUEUE_ORDER)


def _drop_submitters() -> None:
    op.drop_index("ix_cohort_state_priority_submitter_sweep_order_id", "cohort")
    with op.batch_alter_table("cohort") as batch:
        batch.drop_column("submitter")
    op.create_index("ix_cohort_state_priority", "cohort", ["state", "priority"])


def _nodes() -> None:
    op.create_table(
        "node",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("device", sa.String(200), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("free", sa.Integer()),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("quarantined_until", sa.DateTime(timezone=True)),
        sa.Column("differs_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_node"),
        sa.UniqueConstraint("name", name="uq_node_name"),
        sa.CheckConstraint("losses >= 0 AND slots >= 0", name=op.f("ck_node_counts")),
        sa.CheckConstraint(
            "quarantined_until IS NULL OR losses > 0", name=op.f("ck_node_quarantine_implies_losses")
        ),
    )
    with op.batch_alter_table("attempt") as batch:
        batch.add_column(sa.Column("cause", sa.String(16)))
        batch.add_column(sa.Column("node_id", sa.Integer()))
        batch.add_column(sa.Column("host", sa.String(255)))
        batch.add_column(sa.Column("worker", sa.JSON()))
        batch.add_column(sa.Column("log", sa.Text()))
        batch.create_foreign_key(op.f("fk_attempt_node_id"), "node", ["node_id"], ["id"])
        batch.create_check_constraint(op.f("ck_attempt_cause"), CAUSES)
        batch.create_check_constraint(
            op.f("ck_attempt_cause_implies_loss"), "cause IS NULL OR state = 'lost'"
        )
    host = "json_extract(provenance, '$.host')" if _is_sqlite() else "provenance ->> 'host'"
    op.execute(f"UPDATE attempt SET host = {host}")
    op.create_index("ix_attempt_state_id", "attempt", ["state", "id"])
    op.create_index("ix_attempt_host_id", "attempt", ["host", "id"])


def _drop_nodes() -> None:
    op.drop_index("ix_attempt_host_id", "attempt")
    op.drop_index("ix_attempt_state_id", "attempt")
    with op.batch_alter_table("attempt") as batch:
        for name in ("ck_attempt_cause", "ck_attempt_cause_implies_loss"):
            batch.drop_constraint(op.f(name), type_="check")
        batch.drop_constraint(op.f("fk_attempt_node_id"), type_="foreignkey")
        for name in ("cause", "node_id", "host", "worker", "log"):
            batch.drop_column(name)
    op.drop_table("node")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _create_unplanned(condition: sa.TextClause) -> None:
    op.create_index(
        "ix_trial_unplanned", "trial", ["priority"], sqlite_where=condition, postgresql_where=condition
    )


def _replace_check(batch: op.BatchOperations, name: str, condition: str) -> None:
    batch.drop_constraint(op.f(name), type_="check")
    batch.create_check_constraint(op.f(name), condition)


TOTALS = {
    "boards": sa.Integer(),
    "cells": sa.Integer(),
    "trials": sa.Integer(),
    "succeeded": sa.Integer(),
    "failed": sa.Integer(),
    "cancelled": sa.Integer(),
    "steps": sa.BigInteger(),
    "steps_ended": sa.BigInteger(),
    "steps_done": sa.BigInteger(),
}
MOMENTS = ("storing_until", "finished_at")


def _keep_totals() -> None:
    for name, kind in TOTALS.items():
        op.add_column("sweep", sa.Column(name, kind, nullable=False, server_default="0"))
    for name in MOMENTS:
        op.add_column("sweep", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("sweep", sa.Column("recomputed_by", sa.Integer()))
    op.add_column("trial", sa.Column("steps_done", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("cell", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "sweep_cell",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("board_id", sa.Integer(), nullable=False),
        sa.Column("cell_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", "board_id", "cell_id", name="pk_sweep_cell"),
    )
    op.create_table(
        "sweep_fallback",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_sweep_fallback_sweep_id"),
        sa.PrimaryKeyConstraint("sweep_id", "failures", name="pk_sweep_fallback"),
    )
    _fill_totals()


def _fill_totals() -> None:
    """What is kept from now on, of the sweeps that there are."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    version = (
        "json_extract(spec, '$.estimator.version')"
        if sqlite
        else "CAST(spec -> 'estimator' ->> 'version' AS INTEGER)"
    )
    op.execute(f"UPDATE cell SET version = {version}")
    op.execute("UPDATE trial SET steps_done = steps WHERE state = 'succeeded'")
    of_sweep = "FROM sweep_trial JOIN trial ON trial.id = sweep_trial.trial_id"
    op.execute(
        f"INSERT INTO sweep_cell SELECT DISTINCT sweep_id, board_id, cell_id {of_sweep}"
        " JOIN cell ON cell.id = trial.cell_id"
    )
    mine = f"{of_sweep} WHERE sweep_trial.sweep_id = sweep.id"
    ended = "CASE WHEN state IN ('queued', 'running') THEN 0 ELSE steps END"
    cells = "FROM sweep_cell WHERE sweep_cell.sweep_id = sweep.id"
    sums = {
        "boards": f"SELECT count(DISTINCT board_id) {cells}",
        "cells": f"SELECT count(*) {cells}",
        "trials": f"SELECT count(*) {mine}",
        "succeeded": f"SELECT count(*) {mine} AND state = 'succeeded'",
        "failed": f"SELECT count(*) {mine} AND state = 'failed'",
        "cancelled": f"SELECT count(*) {mine} AND state = 'cancelled'",
        "steps": f"SELECT coalesce(sum(trial.steps), 0) {mine}",
        "steps_ended": f"SELECT coalesce(sum({ended}), 0) {mine}",
        "steps_done": f"SELECT coalesce(sum(trial.steps_done), 0) {mine}",
    }
    op.execute("UPDATE sweep SET " + ", ".join(f"{name} = ({query})" for name, query in sums.items()))
    last = f"SELECT max(ended_at) {mine}"
    op.execute(
        f"UPDATE sweep SET finished_at = coalesce(({last}), created_at)"
        " WHERE succeeded + failed + cancelled = trials"
    )
    failures = "json_extract(provenance, '$.fallback')" if sqlite else "provenance ->> 'fallback'"
    op.execute(
        f"INSERT INTO sweep_fallback SELECT sweep_id, {failures}, count(DISTINCT attempt.id) {of_sweep}"
        f" JOIN attempt ON attempt.id = trial.attempt_id WHERE {failures} IS NOT NULL"
        f" GROUP BY sweep_id, {failures}"
    )


def _drop_totals() -> None:
    op.drop_table("sweep_fallback")
    op.drop_table("sweep_cell")
    with op.batch_alter_table("sweep", table_kwargs={"sqlite_autoincrement": True}) as batch:
        for name in (*TOTALS, *MOMENTS, "recomputed_by"):
            batch.drop_column(name)
    op.drop_column("trial", "steps_done")
    op.drop_column("cell", "version")

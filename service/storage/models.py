"""The tables. Only ``service.storage.queries`` reads and writes them; Alembic creates and changes them.

::

    sweep ──< sweep_trial >── trial >── cell >── board          what is wanted, each trial once
      └──< sweep_tag           │                                words to find it by
                               │  └──< trial_metric              final values
                               │  └──< curve_segment             values per epoch, packed
                               │  └──< checkpoint                from where another attempt goes on
                             cohort ──< attempt >── node         who computes it, and where
    former_cohort                                                who tried before
    cell ──< cell_summary                                        moments over seeds, for boards
    event                                                        what happened, for people
    api_token ──< sign_in                                        who may do what
    audit                                                        who did what, from where
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from benchmarks.spec import KEY_LENGTH, CellSpec, Component
from benchmarks.sweep_file.limits import MAX_TAG_LENGTH
from service.states import AttemptState, AuditOutcome, Cause, CohortState, Hold, Scope, TrialState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Json = dict[str, Any]
NAME = String(64)
"""Registry ids and metric names."""
KEY = String(KEY_LENGTH).with_variant(String(KEY_LENGTH, collation="C"), "postgresql")
"""Hexadecimal, so that bytes are compared, which is faster than words of a language."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Timezone-aware in Python; UTC text in SQLite, ``timestamptz`` in PostgreSQL."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time; the rest becomes UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC) or the database's clock")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always UTC, always aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class TaskJson(TypeDecorator[Component]):
    """A task: a :class:`Component` in Python, its canonical form in the database."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Component | None, dialect: Dialect) -> Json | None:
        """The canonical form."""
        return None if value is None else value.to_json("task")

    def process_result_value(self, value: Json | None, dialect: Dialect) -> Component | None:
        """Of this version or an older one."""
        return None if value is None else Component.from_json(value, "task")


class CellJson(TypeDecorator[CellSpec]):
    """A cell: a :class:`CellSpec` in Python, its canonical form in the database."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: CellSpec | None, dialect: Dialect) -> Json | None:
        """The canonical form."""
        return None if value is None else value.to_json()

    def process_result_value(self, value: Json | None, dialect: Dialect) -> CellSpec | None:
        """Of this version or an older one."""
        return None if value is None else CellSpec.from_json(value)


class Base(DeclarativeBase):
    """All tables; times, documents and numbers have one column type each."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {datetime: UtcDateTime(), Json: sa.JSON(), float: sa.Double()}


def one_of(states: type[StrEnum], column: str = "state") -> CheckConstraint:
    """The check constraint that repeats an enum's values in the database."""
    listed = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def state_type(states: type[StrEnum]) -> sa.Enum:
    """Text in the database, members of ``states`` in Python; :func:`one_of` is its constraint."""
    return sa.Enum(
        states,
        native_enum=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


class Sweep(Base):
    """What a user submitted. Its state is derived from what it is held at and from its trials."""

    __tablename__ = "sweep"
    __table_args__ = (one_of(Hold, "held"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    owner: Mapped[str | None] = mapped_column(String(200))
    priority: Mapped[int]
    document: Mapped[Json]
    """The sweep file after validation, as it was submitted."""
    description: Mapped[str] = mapped_column(sa.Text, default="")
    """This, the name and the tags may be changed later."""
    new_trials: Mapped[int]
    """Trials that it was the first to want."""
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime]
    held: Mapped[Hold] = mapped_column(state_type(Hold), default=Hold.ACTIVE)
    deleted_at: Mapped[datetime | None]
    """Since when it is in the bin; until it is taken out of there for good it can be restored."""
    storing_until: Mapped[datetime | None]
    """While its trials are being stored: how long nothing may be heard of that. Until then nobody sees it."""
    boards: Mapped[int] = mapped_column(default=0)
    cells: Mapped[int] = mapped_column(default=0)
    trials: Mapped[int] = mapped_column(default=0)
    """This and all that follows: kept with every end of a trial until the last; then it stays."""
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Of all its trials."""
    steps_ended: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Of the trials that have ended, all that they were to do."""
    steps_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Those of them that were computed."""
    finished_at: Mapped[datetime | None]
    recomputed_by: Mapped[int | None]
    """The last sweep that had trials computed again after this one had finished."""


class SweepTag(Base):
    """A word to find a sweep by."""

    __tablename__ = "sweep_tag"

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweep.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    """Among the tags of the sweep."""
    tag: Mapped[str] = mapped_column(String(MAX_TAG_LENGTH), index=True)


class Board(Base):
    """One task configuration with its budget."""

    __tablename__ = "board"
    __table_args__ = (Index(None, "changed_at", "id"), Index(None, "task_id", "changed_at", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    task_key: Mapped[str] = mapped_column(KEY, unique=True)
    task: Mapped[Component] = mapped_column(TaskJson())
    task_id: Mapped[str] = mapped_column(NAME)
    words: Mapped[str] = mapped_column(sa.Text)
    """Title and parameters in small letters, by which it is found."""
    changed_at: Mapped[datetime]
    """When the last of its trials ended; before that, when somebody first asked for one."""


class Cell(Base):
    """All seeds of one task, estimator and hyper-parameters."""

    __tablename__ = "cell"
    __table_args__ = (
        CheckConstraint(
            "succeeded >= 0 AND failed >= 0 AND cancelled >= 0 AND succeeded + failed + cancelled <= trials",
            name="counts",
        ),
        Index(None, "board_id", "estimator"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    cell_key: Mapped[str] = mapped_column(KEY, unique=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"))
    estimator: Mapped[str] = mapped_column(NAME)
    version: Mapped[int]
    """Of the estimator."""
    spec: Mapped[CellSpec] = mapped_column(CellJson())
    trials: Mapped[int] = mapped_column(default=0)
    """Seeds that somebody asked for. This and the next three are kept with every transition."""
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)


class Cohort(Base):
    """Trials that are computed together. ``attempt``, the current attempt's number, is the fencing token."""

    __tablename__ = "cohort"
    __table_args__ = (
        one_of(CohortState),
        CheckConstraint(
            "state <> 'running' OR (attempt > 0 AND owner IS NOT NULL AND lease_until IS NOT NULL)",
            name="running_implies_attempt",
        ),
        CheckConstraint(
            "state = 'running' OR (owner IS NULL AND lease_until IS NULL)", name="lease_implies_running"
        ),
        Index(None, "state", "priority", "submitter", "sweep_order", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[CohortState] = mapped_column(state_type(CohortState))
    label: Mapped[str] = mapped_column(String(200))
    lanes: Mapped[int]
    priority: Mapped[int]
    sweep_order: Mapped[int]
    """Lowest ``trial.sweep_order`` of its trials; among equals the lower is claimed first."""
    submitter: Mapped[str] = mapped_column(String(200), default="")
    """Owner of the sweeps that put its trials into the queue, empty for sweeps of nobody. ``owner`` below is
    the dispatcher that holds it."""
    attempt: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    stop_since: Mapped[datetime | None]
    """Since when its running attempt is asked to stop."""
    not_before: Mapped[datetime]
    created_at: Mapped[datetime]


class Node(Base):
    """A machine, or a part of one, where attempts run. Its state is derived."""

    __tablename__ = "node"
    __table_args__ = (
        CheckConstraint("losses >= 0 AND slots >= 0", name="counts"),
        CheckConstraint("quarantined_until IS NULL OR losses > 0", name="quarantine_implies_losses"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    device: Mapped[str] = mapped_column(String(200))
    slots: Mapped[int] = mapped_column(default=0)
    free: Mapped[int | None]
    """Of the slots, as the launcher says; ``None`` where it cannot tell."""
    heard_at: Mapped[datetime]
    draining: Mapped[bool] = mapped_column(default=False)
    """Somebody wants it to become idle: nothing begins there."""
    losses: Mapped[int] = mapped_column(default=0)
    """Attempts lost there since the last one that ended well."""
    quarantined_until: Mapped[datetime | None]
    differs_since: Mapped[datetime | None]
    """Since when launcher and queue disagree about its busy slots."""


class Attempt(Base):
    """One execution of a cohort. Rows are never deleted: this is the audit trail."""

    __tablename__ = "attempt"
    __table_args__ = (
        one_of(AttemptState),
        UniqueConstraint("cohort_id", "number"),
        CheckConstraint("(state IN ('finished', 'lost')) = (ended_at IS NOT NULL)", name="ended_implies_end"),
        CheckConstraint("cause IS NULL OR state = 'lost'", name="cause_implies_loss"),
        one_of(Cause, "cause"),
        Index(None, "state", "id"),
        Index(None, "host", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    number: Mapped[int]
    secret_hash: Mapped[str] = mapped_column(String(64))
    state: Mapped[AttemptState] = mapped_column(state_type(AttemptState))
    owner: Mapped[str] = mapped_column(String(200))
    claimed_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    """Last heartbeat or batch of metrics."""
    ended_at: Mapped[datetime | None]
    last_seq: Mapped[int] = mapped_column(default=0)
    steps_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    steps_total: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    provenance: Mapped[Json | None]
    error: Mapped[str | None] = mapped_column(sa.Text)
    blameless: Mapped[bool] = mapped_column(default=False)
    """Whether it was lost by no fault of its trials: before it began, or with its machine."""
    resumed: Mapped[Json | None]
    """Step from which it went on, by key of those of its trials that had checkpoints."""
    cause: Mapped[Cause | None] = mapped_column(state_type(Cause))
    """What took it, when it was lost."""
    node_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    host: Mapped[str | None] = mapped_column(String(255))
    """Where it said that it runs when it began; ``None`` before, and for older workers."""
    worker: Mapped[Json | None]
    """What else it said then: device, process, versions (:class:`workers.messages.Start`)."""
    log: Mapped[str | None] = mapped_column(sa.Text)
    """The end of what its process wrote."""


UNPLANNED = "state = 'queued' AND cohort_id IS NULL AND wanted"


class Trial(Base):
    """One seed of a cell: computed once, whoever asks."""

    __tablename__ = "trial"
    __table_args__ = (
        one_of(TrialState),
        CheckConstraint("state <> 'running' OR cohort_id IS NOT NULL", name="running_implies_cohort"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_implies_error"),
        CheckConstraint("(state IN ('queued', 'running')) = (ended_at IS NULL)", name="ended_implies_end"),
        Index(None, "cell_id", "seed"),
        Index(None, "cohort_id"),
        Index(
            "ix_trial_unplanned",
            "priority",
            sqlite_where=sa.text(UNPLANNED),
            postgresql_where=sa.text(UNPLANNED),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(KEY, unique=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cell.id"))
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    signature: Mapped[str] = mapped_column(String(64))
    """Trials with the same signature may share a cohort."""
    steps: Mapped[int] = mapped_column(sa.BigInteger)
    state: Mapped[TrialState] = mapped_column(state_type(TrialState))
    priority: Mapped[int]
    """Highest priority of the sweeps that wait for it."""
    sweep_order: Mapped[int]
    """Id of the sweep that put it into the queue."""
    wanted: Mapped[bool] = mapped_column(default=True)
    """Whether a sweep that is ``active`` wants it: only then is it planned. Every change of that keeps it."""
    losses: Mapped[int] = mapped_column(default=0)
    """Attempts at it that were lost and not blameless."""
    lanes_at_most: Mapped[int | None]
    """Of a cohort it may stand in; ``None`` until a cohort was too wide for memory, or killed its worker."""
    cohort_id: Mapped[int | None] = mapped_column(ForeignKey("cohort.id"))
    attempt_id: Mapped[int | None] = mapped_column(ForeignKey("attempt.id"))
    """The attempt whose outcome this is."""
    error: Mapped[str | None] = mapped_column(sa.Text)
    traceback: Mapped[str | None] = mapped_column(sa.Text)
    seconds: Mapped[float | None]
    diverged_at: Mapped[int | None] = mapped_column(sa.BigInteger)
    """The step at which its numbers were seen to be no longer finite."""
    steps_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Steps that were computed by the time it ended."""
    ended_at: Mapped[datetime | None]


class SweepCell(Base):
    """The cells of a sweep, board by board, so that lists of them are read in pieces.

    The database does not check what it refers to, as with :class:`SweepTrial`.
    """

    __tablename__ = "sweep_cell"

    sweep_id: Mapped[int] = mapped_column(primary_key=True)
    board_id: Mapped[int] = mapped_column(primary_key=True)
    cell_id: Mapped[int] = mapped_column(primary_key=True)


class SweepFallback(Base):
    """What could not be compiled in attempts that ended trials of a sweep, and in how many."""

    __tablename__ = "sweep_fallback"

    sweep_id: Mapped[int] = mapped_column(ForeignKey("sweep.id"), primary_key=True)
    failures: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    """As in the attempts' provenance: a list of lines, as JSON."""
    attempts: Mapped[int]


class SweepTrial(Base):
    """Which sweeps want which trials.

    Its references are not checked, which would take a fifth of the time that a wide sweep is stored in. Who
    adds or removes sweeps, trials or rows of this table holds ``serialise(connection, "submit")``, and does
    it in one transaction.
    """

    __tablename__ = "sweep_trial"
    __table_args__ = (Index(None, "trial_id"),)

    sweep_id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(primary_key=True)


class FormerCohort(Base):
    """A cohort that had attempts at a trial and was dissolved: the trial may be in another one by now."""

    __tablename__ = "former_cohort"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), primary_key=True)


class TrialMetric(Base):
    """Final value of one metric of a trial that succeeded."""

    __tablename__ = "trial_metric"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    metric: Mapped[str] = mapped_column(NAME, primary_key=True)
    value: Mapped[float]


class CurveSegment(Base):
    """Values of one metric at epochs ``first`` to ``first + count - 1``, as little-endian float32."""

    __tablename__ = "curve_segment"
    __table_args__ = (CheckConstraint("first >= 1 AND count >= 1", name="range"), Index(None, "attempt_id"))

    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    metric: Mapped[str] = mapped_column(NAME, primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    packed: Mapped[bytes]


class Checkpoint(Base):
    """The state of an unfinished trial after some step. Its file lies where the workers put it, under a name
    made of the trial's key, the attempt and the step."""

    __tablename__ = "checkpoint"
    __table_args__ = (
        CheckConstraint("step >= 1 AND epochs >= 0 AND bytes >= 0 AND seconds >= 0", name="range"),
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    step: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    epochs: Mapped[int]
    """Whole epochs behind it: the curves up to there are those of the trial."""
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the file's content."""
    bytes: Mapped[int] = mapped_column(sa.BigInteger)
    seconds: Mapped[float]
    """What the trial had taken."""
    created_at: Mapped[datetime]


class CellSummary(Base):
    """Moments of a metric over a cell's succeeded trials: M2 is the sum of squared deviations."""

    __tablename__ = "cell_summary"
    __table_args__ = (CheckConstraint("count >= 1 AND m2 >= 0", name="moments"),)

    cell_id: Mapped[int] = mapped_column(ForeignKey("cell.id"), primary_key=True)
    metric: Mapped[str] = mapped_column(NAME, primary_key=True)
    count: Mapped[int]
    mean: Mapped[float]
    m2: Mapped[float]


class Event(Base):
    """What happened and people may want to know: a refused report, a lost attempt, a submitted sweep."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "attempt_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(NAME)
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweep.id"))
    attempt_id: Mapped[int | None] = mapped_column(ForeignKey("attempt.id"))
    detail: Mapped[str] = mapped_column(sa.Text)


DIGEST = String(64)
"""SHA-256 in hexadecimal digits."""
PUBLIC_ID = String(16)
"""The part of a secret by which it is looked up."""


class ApiToken(Base):
    """A token by which programs and people are known. Rows stay when it is revoked: the audit names them."""

    __tablename__ = "api_token"
    __table_args__ = (one_of(Scope, "scope"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(PUBLIC_ID, unique=True)
    secret_hash: Mapped[str] = mapped_column(DIGEST)
    name: Mapped[str] = mapped_column(String(200))
    owner: Mapped[str] = mapped_column(String(200))
    """Whose sweeps it submits and controls."""
    scope: Mapped[Scope] = mapped_column(state_type(Scope))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute."""


class SignIn(Base):
    """A browser that a token was given to; its cookie holds a secret of its own."""

    __tablename__ = "sign_in"
    __table_args__ = (Index(None, "expires_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(PUBLIC_ID, unique=True)
    secret_hash: Mapped[str] = mapped_column(DIGEST)
    token_id: Mapped[int] = mapped_column(ForeignKey("api_token.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Audit(Base):
    """A request that changed something or was refused. It holds names and no references: it outlives both."""

    __tablename__ = "audit"
    __table_args__ = (
        one_of(AuditOutcome, "outcome"),
        Index(None, "outcome", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(200))
    """Owner of the token; empty where nobody was known."""
    token: Mapped[str | None] = mapped_column(PUBLIC_ID)
    action: Mapped[str] = mapped_column(String(200))
    subject: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(64))
    outcome: Mapped[AuditOutcome] = mapped_column(state_type(AuditOutcome))
    detail: Mapped[str] = mapped_column(String(500))

"""What the REST API answers. Field names are a contract with clients; times are RFC 3339 in UTC."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from estimators.info import Value

PREFIX = "/api/v1"
"""Where the routes of the API begin."""


class Answer(BaseModel):
    """Base of all answers. Numbers that are not finite are ``null`` unless a field says otherwise."""

    model_config = ConfigDict(frozen=True, from_attributes=True, defer_build=True)


class Place(BaseModel):
    """One thing that is wrong, where it stands in the request, and the nearest right name."""

    pointer: str
    message: str
    suggestion: str | None = None


class ProblemDocument(BaseModel):
    """The body of every error; ``request_id`` is in the log lines of the server about it, too."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str | None = None
    errors: list[Place] = []


class BoardLink(Answer):
    """A board and where it stands."""

    id: str
    title: str
    task: str
    trials: int
    succeeded: int


class SweepBoard(BoardLink):
    """A board of a sweep. ``page`` and ``href`` are the paths of its page and of its answer here, chosen and
    reported as the sweep says.
    """

    page: str
    href: str


class Progress(Answer):
    """Optimizer steps done and to do, trials by state, and an estimate of the seconds that remain.

    Its range is between the speed of what runs now and that of the sweep since it was submitted.
    """

    steps_done: int
    steps_total: int
    counts: dict[str, int]
    seconds_left: float | None = None
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None


class SweepLine(Answer):
    """A sweep as it stands in lists.

    Name, ``description`` and ``tags`` are those of its file until somebody changes them.
    ``held`` is what its owner wants of it, ``active``, ``paused`` or ``cancelled``; ``state`` adds what has
    become of its trials. ``deleted_at`` is when it was put into the bin. A finished sweep keeps its outcome:
    ``recomputed_by`` is the last sweep that had trials of it, failed or cancelled ones, computed again.
    """

    id: str
    name: str
    state: str
    owner: str | None
    description: str
    tags: list[str]
    priority: int
    held: str
    deleted_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    trials: int
    progress: Progress
    recomputed_by: str | None = None


class SweepList(Answer):
    """One page of sweeps, newest first."""

    sweeps: list[SweepLine]
    next_page_token: str | None = None


class Setting(Answer):
    """Everything of a cell besides its task and estimator; neutral values of parameters are left out."""

    parameters: dict[str, Value]
    optimizer: str
    optimizer_parameters: dict[str, Value] = {}
    lr: float
    precision: str


class TaskSetting(Answer):
    """A task with its parameters."""

    id: str
    version: int
    parameters: dict[str, Value]


class SeedTrial(Answer):
    """A trial of a cell."""

    key: str
    seed: int
    state: str


class CellProgress(Answer):
    """How many seeds of one cell are in which state, and the id, title and page of its board.

    ``trials`` names them, unless there are thousands on one page of the list.
    """

    cell: str
    board: str
    board_title: str
    board_page: str
    estimator: str
    title: str
    setting: Setting
    counts: dict[str, int]
    seeds: int
    trials: list[SeedTrial] = []


class SweepBoardList(Answer):
    """One page of a sweep's boards."""

    boards: list[SweepBoard]
    next_page_token: str | None = None


class CellList(Answer):
    """One page of a sweep's cells."""

    cells: list[CellProgress]
    next_page_token: str | None = None


class Failure(Answer):
    """A trial that failed, with the error its worker saw; ``diverged_at`` is the step at which its numbers
    were seen to be no longer finite, if that was it."""

    key: str
    label: str
    error: str
    traceback: str | None
    diverged_at: int | None


class Fallback(Answer):
    """Attempts whose training steps could not be compiled: their results are right, but took longer.

    ``failures`` says what was tried and why it failed, a line each.
    """

    failures: list[str]
    attempts: int


class SweepDetail(SweepLine):
    """A sweep with its first boards and failures; lists of their own have all boards, cells and trials.

    ``new_trials`` are those that nobody had wanted before.
    ``boards_total`` and ``cells_total`` count its boards and cells.
    ``task`` is the id of its task, ``select`` the metric that chooses on its boards, ``select_label`` as for
    a board, and ``report`` are the metrics that the sweep wants to see of the chosen cells.
    """

    task: str
    select: str
    select_label: str
    report: list[str]
    new_trials: int
    boards: list[SweepBoard]
    boards_total: int
    cells_total: int
    failures: list[Failure]
    failures_left_out: int
    fallbacks: list[Fallback]


class DeviceTime(Answer):
    """Seconds that one device computes; several devices share them.

    ``low`` and ``high`` end an 80 % prediction interval when it rests on finished ``attempts``; without any
    they are a wide judgement around shipped rates of another machine.
    """

    low: float
    expected: float
    high: float
    attempts: int


class EstimatorPlan(Answer):
    """What one estimator has to do in a sweep."""

    estimator: str
    trials: int
    known: int
    to_compute: int
    device_seconds: DeviceTime


class Plan(Answer):
    """What submitting a sweep would do; ``warning`` says when that is much."""

    trials: int
    known: int
    to_compute: int
    device_seconds: DeviceTime
    estimators: list[EstimatorPlan]
    warning: str | None


class SubmittedSweep(SweepDetail):
    """A sweep that was just submitted, with what was left to compute at that moment."""

    plan: Plan


class TrialCost(Answer):
    """What a trial took; it depends on the machine, a result does not.

    ``seconds_per_step`` is its share of the attempt's time over its steps, with compiling and evaluation;
    ``evaluations_per_step`` counts evaluations of the objective for each example; ``peak_memory_bytes`` is
    the attempt's, of all its lanes.
    """

    steps: int
    steps_per_epoch: int
    seconds_per_step: float | None
    evaluations_per_step: int | None
    peak_memory_bytes: int | None


class Trial(Answer):
    """One trial: its specification, state and final metrics; its cost once it has ended.

    ``diverged_at`` is the step at which its numbers were seen to be no longer finite.
    """

    key: str
    label: str
    state: str
    spec: dict[str, Any]
    metrics: dict[str, float | None]
    error: str | None
    traceback: str | None
    seconds: float | None
    diverged_at: int | None
    cost: TrialCost | None = None


class TrialList(Answer):
    """One page of trials."""

    trials: list[Trial]
    next_page_token: str | None = None


Infinity = Literal["Infinity", "-Infinity"]
"""What JSON has no number for."""


def _as_json(value: float | None) -> float | Infinity | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


class Curve(Answer):
    """One metric of one trial: ``values[i]`` belongs to epoch ``epochs[i]``.

    By then ``steps[i]`` updates were done, and the objective was evaluated ``evaluations[i]`` times for each
    example of a minibatch; null where the version that trained it did not count. A value that is not finite
    is ``"Infinity"``, ``"-Infinity"`` or, NaN, null.
    """

    metric: str
    epochs: list[int]
    steps: list[int] | None = None
    evaluations: list[int] | None = None
    values: list[float | None]

    @field_serializer("values", when_used="json")
    def _as_json(self, values: list[float | None]) -> list[float | Infinity | None]:
        return [_as_json(value) for value in values]


class CurveList(Answer):
    """All curves of one trial."""

    key: str
    curves: list[Curve]


class Attempt(Answer):
    """One execution of a cohort.

    ``cause`` says what took one that was lost: ``process``, ``node``, ``silence`` (its lease ran out) or
    ``dispatcher``; ``worker`` is what its process said of itself when it began, ``log`` the end of what it
    wrote. ``resumed_from_step`` says after how many steps, done by earlier attempts, it took up the trial
    that was asked about: 0 when none of its checkpoints could be used, ``None`` when there was none.
    """

    id: int
    cohort: int
    number: int
    label: str
    lanes: int
    state: str
    cause: str | None
    error: str | None
    node: str | None
    host: str | None
    claimed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    steps_done: int
    steps_total: int
    worker: dict[str, Any] | None
    provenance: dict[str, Any] | None
    log: str | None
    resumed_from_step: int | None = None


class AttemptList(Answer):
    """All attempts of one trial, oldest first."""

    key: str
    attempts: list[Attempt]


class SweepOfAttempt(Answer):
    """A sweep that wants trials of an attempt; ``page`` is the path of its page here."""

    id: str
    name: str
    page: str


class FoundAttempt(Attempt):
    """An attempt with the sweeps that want its trials."""

    sweeps: list[SweepOfAttempt]


class AttemptPage(Answer):
    """One page of attempts, newest first."""

    attempts: list[FoundAttempt]
    next_page_token: str | None = None


class Node(Answer):
    """A place where attempts run.

    ``state`` is ``ready``, ``draining``, ``drained``, ``quarantined`` or ``away``; ``losses`` are attempts
    lost there since the last that ended well. ``free`` are the slots that its launcher could give away, null
    where it does not tell; ``warning`` says when that has not fitted ``busy`` for a while.
    """

    name: str
    device: str
    state: str
    slots: int
    busy: int
    idle: int
    free: int | None
    heard_at: datetime
    losses: int
    quarantined_until: datetime | None
    warning: str | None


class NodeList(Answer):
    """All nodes that were heard of within a day, or are draining."""

    nodes: list[Node]


class MetricInfo(Answer):
    """A metric that a board shows."""

    name: str
    title: str
    unit: str
    goal: str
    split: str
    description: str


class ParameterInfo(Answer):
    """A declared parameter."""

    name: str
    type: str
    default: Value | None
    allowed: str
    description: str


class EstimatorEntry(Answer):
    """One line of the registry of estimators; ``package`` is ``null`` for one that is built in."""

    id: str
    title: str
    version: int
    package: str | None = None
    equation: str
    cost: str
    parameters: list[ParameterInfo]
    properties: dict[str, Any]
    citation: dict[str, Any]


class BrokenPlugin(Answer):
    """An entry point of an installed package that cannot be used, and why."""

    id: str
    package: str
    version: str
    entry_point: str
    reason: str


class EstimatorList(Answer):
    """The registry of estimators, and what plug-ins announce in vain."""

    estimators: list[EstimatorEntry]
    broken: list[BrokenPlugin] = []


class TaskEntry(Answer):
    """One line of the registry of tasks; ``package`` is ``null`` for one that is built in."""

    id: str
    title: str
    version: int
    package: str | None = None
    parameters: list[ParameterInfo]
    metrics: list[MetricInfo]
    select: str
    report: list[str]
    optimizers: list[str]
    default_lr: float


class TaskList(Answer):
    """The registry of tasks, and what plug-ins announce in vain."""

    tasks: list[TaskEntry]
    broken: list[BrokenPlugin] = []


class TierState(Answer):
    """How many of a tier's trials have ended."""

    trials: int
    ended: int


class TierLine(TierState):
    """A tier of an exhibit: what it changes of the published protocol, and how far it is.

    A tier of an exhibit that a command measures has no trials: ``options`` are those of the command, and
    ``measured_on`` names the devices whose measurements were published to this server.
    """

    tier: str
    changes: str
    options: dict[str, Any]
    measured_on: list[str]


class ExhibitLine(Answer):
    """A table or figure of a paper; ``command`` measures it where it has no sweeps."""

    id: str
    title: str
    where: str
    command: str | None
    tiers: list[TierLine]


class SuiteLine(Answer):
    """A paper with its tables and figures."""

    id: str
    title: str
    authors: str
    venue: str
    url: str
    exhibits: list[ExhibitLine]


class BrokenSuite(Answer):
    """A suite, or an exhibit of one, whose files are not as they must be, and what is wrong with them."""

    id: str
    detail: str


class SuiteList(Answer):
    """All suites; those, and exhibits of theirs, that cannot be used are under ``broken``."""

    suites: list[SuiteLine]
    broken: list[BrokenSuite]


class SuiteDetail(SuiteLine):
    """A paper, what it asks, and how to cite it; exhibits that cannot be used are under ``broken``."""

    about: str
    bibtex: str
    broken: list[BrokenSuite]


class ExhibitDetail(ExhibitLine):
    """A table or figure: by what settings are chosen, which sentences are tested, known mistakes in print."""

    suite: str
    about: str
    select: str
    report: list[str]
    claims: list[str]
    slips: list[str]


class MeasurementList(Answer):
    """What a command measured of an exhibit in one tier, a document a device, as it was sent."""

    measurements: list[dict[str, Any]]


class Reproduction(Answer):
    """The sweeps of an exhibit in one tier that were submitted by now, ``added`` of them by this request.

    ``rung`` of ``rungs`` and ``eliminated``, settings that get no more seeds, speak of tiers that halve a
    grid. ``finished``: every sweep has ended and no more will follow.
    """

    exhibit: str
    tier: str
    changes: str
    sweeps: list[SweepLine]
    added: int
    rung: int
    rungs: int
    eliminated: int
    finished: bool


class ReproductionList(Answer):
    """The exhibits of a suite in one tier: those that have it and are computed by sweeps."""

    reproductions: list[Reproduction]

"""Messages between a running attempt and the server, both sides import these. ``/internal/v1/attempts/{id}``.

``POST start`` (:class:`Start`; of older workers an empty body) answers :class:`StartReply`; ``POST resume``,
``heartbeat``, ``metrics``, ``checkpoint`` and ``finish`` take the bodies below. Each request carries
``Authorization: Bearer <attempt secret>``. A superseded or finished attempt gets 409 and must stop; every
request may be repeated without effect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LARGEST_COUNT = 2**63 - 1
"""What databases count to."""

CHECKPOINTS_KEPT = 2
"""Checkpoints of a trial, on the server and in the store: the last one, and the one before for when that is
damaged."""

Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]


class Message(BaseModel):
    """Base of all messages: unknown fields are errors, values never change. NaN and infinities travel."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Checkpoint(Message):
    """The state of a trial between two steps, as it lies in the store.

    Attributes:
        trial: key of the trial.
        step: steps that were done.
        epochs: whole epochs among them: curves up to there are told before the checkpoint is.
        digest: SHA-256 of the file's content, in hexadecimal.
        bytes: its size.
        seconds: what the trial has taken so far, in earlier attempts that this one went on from, too.
    """

    trial: str
    step: Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
    epochs: Annotated[int, Field(ge=0, le=2**31 - 1)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class StoredCheckpoint(Checkpoint):
    """A checkpoint that the server knows of, and the id of the attempt that took it."""

    attempt: int


class Start(Message):
    """Who begins, and where.

    Attributes:
        host: name of the machine.
        node: what the launcher calls the place; ``None``: the same as ``host``.
        device: the torch device.
        pid: process id there.
        heunboard: version of the worker.
        python: version of its interpreter.
    """

    host: Annotated[str, Field(min_length=1, max_length=255)]
    node: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    device: Annotated[str, Field(max_length=200)]
    pid: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
    heunboard: Annotated[str, Field(max_length=200)]
    python: Annotated[str, Field(max_length=200)]


class LaneTrial(Message):
    """One trial of the cohort: its key, its specification (``TrialSpec.to_json``), and the checkpoints to go
    on from, newest first."""

    key: str
    spec: dict[str, Any]
    checkpoints: tuple[StoredCheckpoint, ...] = ()


class StartReply(Message):
    """What the attempt is to compute. Trials that already ended are left out.

    ``packages`` are those of plug-ins that the trials need, as the server has them (see
    :func:`workers.components.packages_of`); left out where there are none, as older servers do. With ``stop``
    nothing is to be computed: the attempt finishes at once, with its trials stopped.
    """

    attempt_id: int
    cohort_id: int
    number: int
    lease_seconds: float
    trials: tuple[LaneTrial, ...]
    packages: dict[str, str] = {}
    stop: Literal["asked"] | None = None


class ResumedTrial(Message):
    """Where a trial goes on: from the checkpoint that this attempt took after this step.

    Without an ``attempt`` it begins anew, since none of its checkpoints could be used.
    """

    trial: str
    attempt: int | None = None
    step: Count = 0


class Resumption(Message):
    """Where those trials go on that :class:`StartReply` had checkpoints of."""

    trials: tuple[ResumedTrial, ...]


class Heartbeat(Message):
    """Progress of the cohort, summed over lanes."""

    steps_done: Count
    steps_total: Count


class HeartbeatReply(Message):
    """``stop`` is set when the attempt should end at the next segment.

    ``asked``: it still holds its cohort and reports what it has, its unfinished trials as ``stopped``;
    ``superseded``: it does not, and reports nothing.
    """

    stop: Literal["asked", "superseded"] | None = None


class CurveSegment(Message):
    """Consecutive values of one metric of one trial.

    ``first`` is the number of the epoch (counted from 1) that ``values[0]`` belongs to.
    """

    trial: str
    metric: str
    first: Annotated[int, Field(ge=1)]
    values: tuple[float, ...]


class TrialOutcome(Message):
    """The end of one trial: final metrics when it ``succeeded``, what went wrong when it ``failed``.

    One that is ``stopped`` has no end: the attempt was asked to stop, or had to, and another may go on.
    """

    trial: str
    status: Literal["succeeded", "failed", "stopped"]
    metrics: dict[str, float] = {}
    error: str | None = None
    traceback: str | None = None
    seconds: float | None = None
    diverged_at: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = None
    """Of one that ``failed`` because its numbers were no longer finite: the step at which that was seen."""


class News(Message):
    """What there is to tell on the way.

    ``outcomes`` are of trials that have ended; nothing more is said of them, neither in later news nor in the
    attempt's :class:`Outcome`.
    """

    progress: Heartbeat
    segments: tuple[CurveSegment, ...]
    outcomes: tuple[TrialOutcome, ...] = ()


class MetricsBatch(News):
    """News as they are sent, with a number that rises by one from 1. A repeated number changes nothing."""

    seq: Annotated[int, Field(ge=1)]


class Provenance(Message):
    """What the numbers were computed with; stored with the attempt.

    Fields with a default are unknown (``None``) for attempts of older versions, and for one that ended before
    it had done a step.

    Attributes:
        executor: how steps were done: ``loop``, ``steps``, ``graph`` (compiled, see
            :mod:`benchmarks.engine.compiled.forms`) or ``eager``; several, joined by commas, when the
            lanes differ.
        compile_seconds: time the worker process spent on compiling the attempt's programs, in this attempt
            or, kept from then on, in one before it.
        first_step_seconds: from the server's answer to ``start`` to the end of the first segment of steps:
            loading torch and data, compiling, and the steps themselves (about five of one lane).
        fallback: what could not be compiled and why, a line each, so that a slower form took its place;
            ``None`` when nothing failed. A trial that is too short to be worth compiling is no failure.
        matmul: the library with which the worker process multiplies matrices on a CPU, ``torch`` or
            ``native``, whose results differ in the last bits (see :mod:`benchmarks.kernels.layers`);
            ``None`` while it has had none to multiply, and on a GPU.
        evaluations: evaluations of the objective that a step makes for each example.
        data: SHA-256 of the data sets that the trials read, by their ids (see
            :class:`benchmarks.datasets.catalogue.DataSet`); empty without data.
        phases: seconds by what they were spent on, each counted once: ``imports`` (of torch and the engine),
            ``data`` (making the cohort: data sets, first parameters, on a GPU the search for its width),
            ``first_step``, ``compiling``, ``steps``, ``evaluation``, ``checkpoints``, reading and writing
            them, and ``reports``, handing over the curves before this. On a GPU, time of the host.
        plugins: packages of plug-ins and the fingerprints of their code, by what of the trials they compute
            (see :func:`workers.components.plugins_of`).
    """

    heunboard: str
    git_revision: str | None
    python: str
    torch: str
    device: str
    driver: str | None
    host: str
    threads: int
    deterministic: bool
    seconds: float
    peak_memory_bytes: int | None
    executor: str | None = None
    compile_seconds: float | None = None
    first_step_seconds: float | None = None
    fallback: tuple[str, ...] | None = None
    matmul: str | None = None
    evaluations: int | None = None
    data: dict[str, str] | None = None
    phases: dict[str, float] | None = None
    plugins: dict[str, str] | None = None


class CheckpointReport(Message):
    """Checkpoints that were taken, and what the attempt computes with: if it is lost, others go on from
    here, and what it has computed stays."""

    checkpoints: tuple[Checkpoint, ...]
    provenance: Provenance


class Outcome(Message):
    """The end of an attempt: one outcome for each trial of :class:`StartReply` that no batch told of.

    ``reason`` says why trials are ``stopped``: ``asked``, or ``memory``: they did not fit into it together.
    ``log`` is the end of what the worker has logged meanwhile.
    """

    outcomes: tuple[TrialOutcome, ...]
    reason: Literal["asked", "memory"] = "asked"
    provenance: Provenance
    log: str | None = None

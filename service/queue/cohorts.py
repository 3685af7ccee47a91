"""The queue of cohorts: ``workers.ports.CohortQueue`` on SQL. Every method but planning is one transaction.

A claim raises the cohort's attempt number, which fences off all earlier attempts. Lost cohorts go back to the
queue and are claimed like any other.
"""

from __future__ import annotations

import functools
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.cost.table import shipped
from benchmarks.spec import CellSpec
from benchmarks.sweep_file.limits import MAX_PRIORITY
from service.queue import bin, submission
from service.queue.control import release
from service.queue.nodes import count_loss, see
from service.queue.reports import Reports, hash_secret
from service.queue.storable import storable
from service.states import Cause, TrialState
from service.storage.engine import is_outage, others_first, read, serialise, write
from service.storage.queries import cells, checkpoints, claims, control, events, totals
from service.storage.queries import nodes as node_queries
from service.storage.queries.claims import ClaimedCohort, PlannedCohort, RunningCohort, UnplannedTrial
from workers import sharing
from workers.planning import Plannable, Room, plan_cohorts
from workers.ports import Backlog, CheckpointName, Claim, NodeReport, QueueUnavailable

Method = TypeVar("Method", bound=Callable[..., Any])

PLANNED_AT_ONCE = 20_000
"""Trials that are thought about together: seconds, after which the first of them are claimed."""

PIECE = 500
"""Trials of one transaction of planning, which SQLite's other writers wait for: hundredths of a second."""

UNKNOWN_PACE = 1e-3
"""Seconds a step of what the shipped table can say nothing of."""


def patient(method: Method) -> Method:
    """Let a method say :class:`QueueUnavailable` when the database is away, locked or full.

    What no waiting mends, a statement or value that the database refuses, stays what it is.
    """

    @functools.wraps(method)
    def asked(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            raise QueueUnavailable(str(getattr(error, "orig", None) or error).strip()) from error

    return cast(Method, asked)


class Queue(Reports):
    """Cohorts in the database: the dispatcher's side, with the running attempts' side of :class:`Reports`."""

    @patient
    def backlog(self) -> Backlog:
        """Whether there is something to plan or to claim; a short read."""
        with read(self._engine) as connection:
            now = self._clock(connection)
            return claims.backlog(connection, now=now, latest=now + self._rules.longest_backoff)

    @patient
    def plan(self, *, max_lanes: int, slots: int, side_by_side: bool = False) -> int:
        """Group queued trials that are in no cohort into cohorts; returns how many were made.

        The first :data:`PLANNED_AT_ONCE` of them, in order. They are read and thought about without keeping
        any writer waiting, then written piece by piece; what has changed meanwhile is left for the next time.
        """
        room = Room(slots=slots, max_lanes=max_lanes, side_by_side=side_by_side)
        with read(self._engine) as connection:
            trials = {one.id: one for one in claims.unplanned_trials(connection, limit=PLANNED_AT_ONCE)}
            specs = _specs(connection, trials.values())
        groups = plan_cohorts(_plannable(trials.values(), specs), room)
        made = 0
        for piece in _pieces(groups):
            cohorts = [_planned(group, trials, specs) for group in piece]
            with others_first(self._engine):
                made += self._write_plan(cohorts, trials)
        return made

    def _write_plan(self, cohorts: Sequence[PlannedCohort], trials: Mapping[int, UnplannedTrial]) -> int:
        """Add those of the cohorts whose trials are what they were; returns how many."""
        with write(self._engine) as connection:
            serialise(connection, "plan")
            ids = [id for cohort in cohorts for id in cohort.trial_ids]
            unchanged = set(claims.still_unplanned(connection, ids))
            valid = [one for one in cohorts if all(trials[id] in unchanged for id in one.trial_ids)]
            if valid:
                claims.insert_cohorts(connection, valid, now=self._clock(connection))
        return len(valid)

    @patient
    def claim(self, *, owner: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` queued cohorts: highest priority first, then fair shares between the owners of
        sweeps (:mod:`workers.sharing`), then in order of submission."""
        with write(self._engine) as connection:
            serialise(connection, "claim")
            now = self._clock(connection)
            cohorts = claims.lock_claimable(connection, self._next(connection, limit, now))
            if not cohorts:
                return []
            claims.claim_cohorts(connection, cohorts, owner=owner, lease_until=now + self._rules.start)
            return _attempts(connection, cohorts, owner=owner, now=now)

    def _next(self, connection: Connection, limit: int, now: datetime) -> list[int]:
        """Cohorts to begin with, in order."""
        running = claims.running_by_submitter(connection)
        most, latest = self._rules.owner_slots, now + self._rules.longest_backoff
        chosen: list[int] = []
        priority = claims.next_priority(connection, below=MAX_PRIORITY + 1)
        while priority is not None and len(chosen) < limit:
            slots = limit - len(chosen)
            heads = claims.heads(connection, priority=priority, now=now, latest=latest)
            lines = {
                one: claims.line(connection, one, priority=priority, now=now, latest=latest, limit=slots)
                for one in sharing.favoured(heads, running, slots=slots, most=most)
            }
            allotted = sharing.allot(lines, running, slots=slots, most=most)
            running = Counter(running) + Counter(allotted.values())
            chosen += allotted
            priority = claims.next_priority(connection, below=priority)
        return chosen

    @patient
    def lost(self, *, attempt_id: int, reason: str, blameless: bool = False) -> bool:
        """The launcher saw the attempt die. Nothing happens when it no longer holds its cohort.

        Returns:
            Whether the attempt held its cohort, and its trials are not to blame: its machine went, which is
            what ``blameless`` says, or it had not begun.
        """
        with write(self._engine) as connection:
            now = self._clock(connection)
            held = claims.running_cohorts(connection, claims.held_by_attempt(attempt_id))
            for cohort in held:
                cause = Cause.NODE if blameless else Cause.PROCESS
                self._lose(connection, cohort, storable(reason), now, cause=cause)
        return any(blameless or not cohort.begun for cohort in held)

    @patient
    def expire_leases(self) -> int:
        """Give up attempts that have been silent for a lease; returns how many."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            latest = now + max(self._rules.lease, self._rules.start)
            ended = claims.lease_ended(now, latest=latest)
            silent = claims.running_cohorts(connection, ended, skip_locked=True)
            for cohort in silent:
                reason = "its lease ran out: no report for too long"
                self._lose(connection, cohort, reason, now, cause=Cause.SILENCE)
        return len(silent)

    @patient
    def ended(self, attempt_ids: Sequence[int]) -> dict[int, bool]:
        """Those of the attempts that have ended, and whether they were lost."""
        with read(self._engine) as connection:
            return claims.ended_attempts(connection, attempt_ids)

    @patient
    def overdue(self, attempt_ids: Sequence[int]) -> list[int]:
        """Those of the attempts that were asked to stop longer ago than the rules allow."""
        with read(self._engine) as connection:
            before = self._clock(connection) - self._rules.stop
            return claims.overdue_attempts(connection, attempt_ids, before=before)

    @patient
    def tidy(self) -> None:
        """Empty the bin of what has been in it for longer than the rules say, and take away what submissions
        left that died."""
        submission.clear_up(self._engine, clock=self._clock)
        bin.empty(self._engine, older=self._rules.bin, clock=self._clock)

    @patient
    def unneeded(self, names: Iterable[CheckpointName]) -> list[CheckpointName]:
        """Those of the checkpoints that no attempt will ever go on from."""
        with read(self._engine) as connection:
            return checkpoints.unneeded(connection, names)

    @patient
    def see_nodes(self, nodes: Sequence[NodeReport]) -> frozenset[str]:
        """Note the launcher's nodes; returns the names of all where nothing is to begin now."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            see(connection, nodes, self._rules, now=now)
            return node_queries.avoided(connection, now=now, latest=now + self._rules.longest_quarantine)

    @patient
    def ask_to_stop(self, *, owner: str) -> int:
        """Ask the running attempts of a dispatcher to stop; their next heartbeat is answered so."""
        with write(self._engine) as connection:
            return control.stop_owner(connection, owner, now=self._clock(connection))

    @patient
    def release_owner(self, *, owner: str) -> int:
        """Requeue all cohorts of a dispatcher that is gone, at once and not counted as their loss."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            left = claims.running_cohorts(connection, claims.held_by_owner(owner))
            for cohort in left:
                reason = f"its dispatcher {owner} is gone"
                self._give_up(connection, cohort, reason, now, cause=Cause.DISPATCHER)
                self._free(connection, cohort, now, not_before=now)
        return len(left)

    def _lose(
        self,
        connection: Connection,
        cohort: RunningCohort,
        reason: str,
        now: datetime,
        *,
        cause: Cause,
    ) -> None:
        """A loss that is nobody's fault costs the trials nothing, as long as there are not too many.

        Of a cohort that was lost too often each half gets one more attempt, then a half of that: in the end
        the trial that its worker dies of stands alone, and fails.
        """
        blameless = cause is Cause.NODE or not cohort.begun
        self._give_up(connection, cohort, reason, now, cause=cause, blameless=blameless)
        if not cohort.stopping:
            count_loss(connection, cohort.attempt_id, self._rules, now=now)
        innocent = claims.blameless_losses(connection, cohort.id) if blameless else 0
        if 0 < innocent <= self._rules.max_blameless:
            self._free(connection, cohort, now, not_before=now + self._pause(innocent))
            return
        losses = claims.blame(connection, cohort.id)
        if cohort.stopping or losses < self._rules.max_attempts:
            self._free(connection, cohort, now, not_before=now + self._pause(losses))
            return
        lanes = len(control.trials_of(connection, [cohort.id]))
        if lanes > 1:
            spared = self._rules.max_attempts - 1
            control.narrow(connection, cohort.id, lanes_at_most=-(-lanes // 2), losses=spared)
            release(connection, cohort.id, now)
            return
        why = f"lost {losses} times, the last time: {reason}"
        ended = claims.fail_cohort(connection, cohort, reason=why, now=now)
        cells.count_ends(connection, [(cell, TrialState.FAILED) for _, cell in ended])
        checkpoints.forget_ended(connection, checkpoints.in_cohort(cohort.id))
        totals.note_ends(connection, [trial for trial, _ in ended], now=now)

    def _free(
        self, connection: Connection, cohort: RunningCohort, now: datetime, *, not_before: datetime
    ) -> None:
        """Queue a cohort again whose attempt is gone; what was asked to stop has done so."""
        if cohort.stopping:
            release(connection, cohort.id, now)
        else:
            claims.requeue_cohort(connection, cohort, not_before=not_before)

    def _pause(self, losses: int) -> timedelta:
        """Before the attempt after so many losses (from 1)."""
        return min(self._rules.longest_backoff, self._rules.backoff * 2.0 ** min(losses - 1, 30))

    def _give_up(
        self,
        connection: Connection,
        cohort: RunningCohort,
        reason: str,
        now: datetime,
        *,
        cause: Cause,
        blameless: bool = False,
    ) -> None:
        id = cohort.attempt_id
        claims.end_lost_attempt(connection, id, reason=reason, cause=cause, blameless=blameless, now=now)
        events.record(connection, "attempt_lost", reason, at=now, attempt_id=id)


def _pieces(groups: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Groups in order, together as many as one transaction writes."""
    piece: list[Sequence[int]] = []
    for group in groups:
        if piece and sum(map(len, piece)) + len(group) > PIECE:
            yield piece
            piece = []
        piece.append(group)
    if piece:
        yield piece


def _planned(
    group: Sequence[int], trials: Mapping[int, UnplannedTrial], specs: Mapping[str, CellSpec]
) -> PlannedCohort:
    first = trials[group[0]]
    label = _label(specs[first.signature], len(group))
    return PlannedCohort(group, label, first.priority, first.sweep_order, first.submitter)


def _specs(connection: Connection, trials: Iterable[UnplannedTrial]) -> dict[str, CellSpec]:
    """Signature -> the cell of its first trial; the others do the same work a step."""
    first: dict[str, int] = {}
    for trial in trials:
        first.setdefault(trial.signature, trial.id)
    cells_by_trial = claims.cell_specs(connection, list(first.values()))
    return {signature: cells_by_trial[id] for signature, id in first.items()}


def _plannable(trials: Iterable[UnplannedTrial], specs: Mapping[str, CellSpec]) -> list[Plannable[int]]:
    @functools.cache
    def seconds(signature: str, steps: int) -> float:
        return _seconds(specs[signature], steps)

    return [
        Plannable(
            id=trial.id,
            signature=trial.signature,
            seconds=seconds(trial.signature, trial.steps),
            priority=trial.priority,
            sweep=trial.sweep_order,
            lanes_at_most=trial.lanes_at_most,
            owner=trial.submitter,
        )
        for trial in trials
    ]


def _seconds(spec: CellSpec, steps: int) -> float:
    """Of the shipped table, so that equal queues make equal cohorts."""
    try:
        return steps * shipped().pace(spec.task, spec.estimator, each=steps)
    except KeyError:  # a version that this one does not know
        return steps * UNKNOWN_PACE


def _label(spec: CellSpec, lanes: int) -> str:
    return f"{spec.task.id} {spec.estimator.id} x{lanes}"


def _attempts(
    connection: Connection, cohorts: Sequence[ClaimedCohort], *, owner: str, now: datetime
) -> list[Claim]:
    """Add an attempt with a fresh secret for each cohort."""
    secret = {cohort.id: secrets.token_urlsafe(32) for cohort in cohorts}
    rows = [
        {
            "cohort_id": cohort.id,
            "number": cohort.attempt,
            "secret_hash": hash_secret(secret[cohort.id]),
            "owner": owner,
            "claimed_at": now,
        }
        for cohort in cohorts
    ]
    attempt = claims.insert_attempts(connection, rows)
    return [
        Claim(
            attempt_id=attempt[cohort.id],
            cohort_id=cohort.id,
            number=cohort.attempt,
            secret=secret[cohort.id],
            lanes=cohort.lanes,
            label=cohort.label,
        )
        for cohort in cohorts
    ]

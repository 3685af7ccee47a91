"""The queue of cohorts: ``workers.ports.CohortQueue`` on SQL. Every method is one transaction.

A claim raises the cohort's attempt number, which fences off all earlier attempts. Lost cohorts go back to the
queue and are claimed like any other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from benchmarks.spec import CellSpec
from service.queue.reports import Reports, hash_secret
from service.states import TrialState
from service.storage.engine import serialise, write
from service.storage.queries import cells, claims, events
from service.storage.queries.claims import ClaimedCohort, RunningCohort, UnplannedTrial
from workers.planning import Plannable, plan_cohorts
from workers.ports import Claim


class Queue(Reports):
    """Cohorts in the database: the dispatcher's side, with the running attempts' side of :class:`Reports`."""

    def plan(self, *, max_lanes: int, slots: int) -> int:
        """Group queued trials that are in no cohort into cohorts; returns how many were made."""
        with write(self._engine) as connection:
            serialise(connection, "plan")
            trials = {trial.id: trial for trial in claims.unplanned_trials(connection)}
            groups = plan_cohorts(_plannable(trials.values()), max_lanes=max_lanes, slots=slots)
            specs = claims.cell_specs(connection, [group[0] for group in groups])
            now = self._clock(connection)
            for group in groups:
                claims.insert_cohort(
                    connection,
                    group,
                    label=_label(specs[group[0]], len(group)),
                    priority=trials[group[0]].priority,
                    sweep_order=min(trials[id].sweep_order for id in group),
                    now=now,
                )
        return len(groups)

    def claim(self, *, owner: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` queued cohorts: highest priority first, then in order of submission."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            ids = claims.claimable_cohorts(connection, limit=limit, now=now)
            if not ids:
                return []
            lease_until = now + self._rules.start
            claimed = claims.claim_cohorts(connection, ids, owner=owner, lease_until=lease_until)
            cohorts = [claimed[id] for id in ids]
            return _attempts(connection, cohorts, owner=owner, now=now)

    def lost(self, *, attempt_id: int, reason: str) -> None:
        """The launcher saw the attempt die. Nothing happens when it no longer holds its cohort."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            for cohort in claims.running_cohorts(connection, claims.held_by_attempt(attempt_id)):
                self._lose(connection, cohort, reason, now)

    def expire_leases(self) -> int:
        """Give up attempts that have been silent for a lease; returns how many."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            silent = claims.running_cohorts(connection, claims.lease_ended(now), skip_locked=True)
            for cohort in silent:
                self._lose(connection, cohort, "its lease ran out: no report for too long", now)
        return len(silent)

    def release_owner(self, *, owner: str) -> int:
        """Requeue all cohorts of a dispatcher that is gone, at once and not counted as their loss."""
        with write(self._engine) as connection:
            now = self._clock(connection)
            left = claims.running_cohorts(connection, claims.held_by_owner(owner))
            for cohort in left:
                self._give_up(connection, cohort, f"its dispatcher {owner} is gone", now)
                claims.requeue_cohort(connection, cohort, losses=cohort.losses, not_before=now)
        return len(left)

    def _lose(self, connection: Connection, cohort: RunningCohort, reason: str, now: datetime) -> None:
        self._give_up(connection, cohort, reason, now)
        losses = cohort.losses + 1
        if losses < self._rules.max_attempts:
            pause = self._rules.backoff * 2 ** (losses - 1)
            claims.requeue_cohort(connection, cohort, losses=losses, not_before=now + pause)
            return
        why = f"lost {losses} times, the last time: {reason}"
        ended = claims.fail_cohort(connection, cohort, losses=losses, reason=why, now=now)
        cells.count_ends(connection, [(cell, TrialState.FAILED) for cell in ended])

    def _give_up(self, connection: Connection, cohort: RunningCohort, reason: str, now: datetime) -> None:
        claims.end_lost_attempt(connection, cohort.attempt_id, reason=reason, now=now)
        events.record(connection, "attempt_lost", reason, at=now, attempt_id=cohort.attempt_id)


def _plannable(trials: Iterable[UnplannedTrial]) -> list[Plannable[int]]:
    return [
        Plannable(id=trial.id, signature=trial.signature, steps=trial.steps, priority=trial.priority)
        for trial in trials
    ]


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

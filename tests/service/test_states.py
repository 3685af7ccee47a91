"""The transition table, and that the database knows the same names."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import product

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.states import (
    MACHINES,
    MEANING,
    AttemptState,
    CohortState,
    Event,
    Hold,
    SweepState,
    TrialState,
    mermaid,
    sweep_state,
)
from service.storage.queries.moves import move

KINDS = (TrialState, CohortState, AttemptState, Hold)
HAPPENINGS = [pair for kind in KINDS for pair in product(kind, Event)]
TABLES = {
    "trial": ("state", TrialState),
    "cohort": ("state", CohortState),
    "attempt": ("state", AttemptState),
    "sweep": ("held", Hold),
}


@pytest.mark.parametrize(("old", "event"), HAPPENINGS)
def test_only_transitions_of_the_table_can_be_written(old: StrEnum, event: Event) -> None:
    if event in MACHINES[type(old)][old]:
        assert "UPDATE " in str(move(old, event))
    else:
        with pytest.raises(ValueError, match="may not happen to"):
            move(old, event)


def test_what_may_happen_to_a_trial() -> None:
    arrows = {
        (old.value, event.value, new.value)
        for old, targets in MACHINES[TrialState].items()
        for event, new in targets.items()
    }
    assert arrows == {
        ("queued", "claim", "running"),
        ("queued", "cancel", "cancelled"),
        ("running", "succeed", "succeeded"),
        ("running", "fail", "failed"),
        ("running", "give up", "failed"),
        ("running", "stop", "queued"),
        ("running", "lose", "queued"),
        ("failed", "retry", "queued"),
        ("cancelled", "retry", "queued"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_has_its_line_and_its_drawing(kind: type[StrEnum]) -> None:
    machine = MACHINES[kind]
    assert set(machine) == set(kind)
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (.+)$", mermaid(machine), re.MULTILINE))
    assert drawn == {
        (old.value, new.value, event.value)
        for old, targets in machine.items()
        for event, new in targets.items()
    }


def test_every_event_happens_somewhere_and_has_its_meaning() -> None:
    used = {event for machine in MACHINES.values() for targets in machine.values() for event in targets}
    assert used == set(Event) == set(MEANING)


@pytest.mark.parametrize("table", TABLES)
def test_database_allows_the_same_states(engine: Engine, table: str) -> None:
    column, states = TABLES[table]
    constraints = {one["name"]: one["sqltext"] for one in sa.inspect(engine).get_check_constraints(table)}
    assert set(re.findall(r"'(\w+)'", constraints[f"ck_{table}_{column}"])) == {s.value for s in states}


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({TrialState.QUEUED: 3}, SweepState.QUEUED),
        ({TrialState.QUEUED: 3, TrialState.SUCCEEDED: 1}, SweepState.RUNNING),
        ({TrialState.RUNNING: 1, TrialState.FAILED: 1}, SweepState.RUNNING),
        ({TrialState.SUCCEEDED: 2, TrialState.FAILED: 1, TrialState.CANCELLED: 1}, SweepState.FAILED),
        ({TrialState.SUCCEEDED: 2, TrialState.CANCELLED: 1}, SweepState.CANCELLED),
        ({TrialState.SUCCEEDED: 2}, SweepState.SUCCEEDED),
    ],
)
def test_state_of_a_sweep(counts: dict[TrialState, int], state: SweepState) -> None:
    assert sweep_state(counts) is state


@pytest.mark.parametrize(
    ("counts", "hold", "state"),
    [
        ({TrialState.QUEUED: 3, TrialState.RUNNING: 1}, Hold.PAUSED, SweepState.PAUSED),
        ({TrialState.RUNNING: 1, TrialState.CANCELLED: 1}, Hold.CANCELLED, SweepState.CANCELLED),
        ({TrialState.SUCCEEDED: 1}, Hold.PAUSED, SweepState.SUCCEEDED),
        ({TrialState.SUCCEEDED: 1}, Hold.CANCELLED, SweepState.SUCCEEDED),
        ({TrialState.FAILED: 1, TrialState.CANCELLED: 1}, Hold.CANCELLED, SweepState.CANCELLED),
    ],
)
def test_state_of_a_sweep_that_is_held(counts: dict[TrialState, int], hold: Hold, state: SweepState) -> None:
    assert sweep_state(counts, hold) is state

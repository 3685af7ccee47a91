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
    AttemptState,
    CohortState,
    SweepState,
    TrialState,
    mermaid,
    require_arrow,
    sweep_state,
)
from service.storage.queries.moves import move

KINDS = (TrialState, CohortState, AttemptState)
PAIRS = [pair for kind in KINDS for pair in product(kind, kind)]
TABLES = {"trial": TrialState, "cohort": CohortState, "attempt": AttemptState}


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_transitions_of_the_table_can_be_written(old: StrEnum, new: StrEnum) -> None:
    if new in MACHINES[type(old)][old]:
        assert "state = " in str(move(old, new))
    else:
        with pytest.raises(ValueError, match="may not become"):
            move(old, new)


def test_states_of_different_kinds_are_never_mixed_up() -> None:
    with pytest.raises(ValueError, match="may not become"):
        require_arrow(TrialState.QUEUED, CohortState.RUNNING)


def test_what_may_happen_to_a_trial() -> None:
    arrows = {(old.value, new.value) for old, targets in MACHINES[TrialState].items() for new in targets}
    assert arrows == {
        ("queued", "running"),
        ("queued", "cancelled"),
        ("running", "succeeded"),
        ("running", "failed"),
        ("running", "cancelled"),
        ("running", "queued"),
        ("failed", "queued"),
        ("cancelled", "queued"),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_has_its_line_and_its_drawing(kind: type[StrEnum]) -> None:
    machine = MACHINES[kind]
    assert set(machine) == set(kind)
    drawn = set(re.findall(r"^    (\w+) --> (\w+): ", mermaid(machine), re.MULTILINE))
    assert drawn == {(old.value, new.value) for old, targets in machine.items() for new in targets}


@pytest.mark.parametrize("table", TABLES)
def test_database_allows_the_same_states(engine: Engine, table: str) -> None:
    constraints = {one["name"]: one["sqltext"] for one in sa.inspect(engine).get_check_constraints(table)}
    assert set(re.findall(r"'(\w+)'", constraints[f"ck_{table}_state"])) == {s.value for s in TABLES[table]}


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

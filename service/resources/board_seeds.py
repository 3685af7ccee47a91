"""What became of every seed of a setting."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from service.storage.engine import read
from service.storage.queries import boards


@dataclass(frozen=True, kw_only=True, slots=True)
class Seed:
    """One trial of a setting.

    Attributes:
        seed: which.
        key: of its trial.
        state: of its trial, in a word.
        diverged_at: the step at which its numbers were no longer finite.
        error: how its error begins.
    """

    seed: int
    key: str
    state: str
    diverged_at: int | None
    error: str | None


def seeds_of(engine: Engine, cell: str) -> list[Seed]:
    """By rising seed; none of a setting that is not stored."""
    with read(engine) as connection:
        ids = boards.cell_ids(connection, [cell])
        rows = boards.seed_rows(connection, list(ids.values()))
    return [
        Seed(
            seed=row.seed,
            key=row.key,
            state=row.state.value,
            diverged_at=row.diverged_at,
            error=row.error,
        )
        for row in rows
    ]

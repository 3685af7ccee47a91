"""Which setting a board shows of every estimator, and of which estimators it can show none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.storage.queries.boards import CellRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """An estimator on a board, in its newest version there.

    Attributes:
        estimator: its id.
        cells: of the newest version, in the order they were submitted.
        chosen: the one that the board shows; ``None`` where none has enough results.
    """

    estimator: str
    cells: Sequence[CellRow]
    chosen: CellRow | None

    @property
    def tried(self) -> int:
        """Settings with a trial that has ended, well or not."""
        return sum(cell.succeeded + cell.failed > 0 for cell in self.cells)

    @property
    def spent(self) -> int:
        """Trials that have ended, well or not."""
        return sum(cell.succeeded + cell.failed for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a board shows.

    Attributes:
        enough: results that a cell needs to be chosen: half of those of the fullest cell, rounded up.
        ranked: estimators with a chosen cell, the best mean first.
        unranked: the others, in the order they were submitted.
    """

    enough: int
    ranked: Sequence[Contender]
    unranked: Sequence[Contender]


def choose(cells: Sequence[CellRow], *, maximize: bool) -> Choice:
    """Per estimator the cell with the best mean among those with enough seeds.

    Of several versions of an estimator only the newest counts. Equal means: the cell submitted first.
    """
    enough = math.ceil(max((cell.n or 0 for cell in cells), default=0) / 2)
    sign = -1.0 if maximize else 1.0
    by_estimator: dict[str, list[CellRow]] = {}
    for cell in cells:
        by_estimator.setdefault(cell.estimator, []).append(cell)
    found = [_contender(name, mine, enough, sign) for name, mine in by_estimator.items()]
    ranked = [(sign * _mean(one.chosen), one) for one in found if one.chosen is not None]
    return Choice(
        enough=enough,
        ranked=[one for _, one in sorted(ranked, key=lambda pair: pair[0])],
        unranked=[one for one in found if one.chosen is None],
    )


def _contender(estimator: str, cells: Sequence[CellRow], enough: int, sign: float) -> Contender:
    newest = max(cell.version for cell in cells)
    mine = [cell for cell in cells if cell.version == newest]
    eligible = [cell for cell in mine if is_eligible(cell, enough)]
    best = min(eligible, key=lambda cell: sign * _mean(cell), default=None)
    return Contender(estimator=estimator, cells=mine, chosen=best)


def is_eligible(cell: CellRow, enough: int) -> bool:
    """Whether a cell has results, and enough of them to be chosen."""
    return bool(cell.n) and (cell.n or 0) >= enough


def _mean(cell: CellRow) -> float:
    return math.inf if cell.mean is None else cell.mean

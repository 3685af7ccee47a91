"""A leaderboard in Python: as a data frame, and in notebooks as a table with a picture."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from service.client.errors import ClientError
from service.resources import board_schemas, numbers
from service.resources.board_schemas import BoardRow, Spread

if TYPE_CHECKING:
    from service.resources.board_figures import Kind

TIED = "≈"
"""Marks ranks of rows that cannot be told from the best."""
_LEFT, _RIGHT = "text-align:left", "text-align:right"


class Board(board_schemas.Board):
    """The answer of the API, with what Python does with one: data frames, pictures, notebooks."""

    @property
    def has_ties(self) -> bool:
        """Whether a row cannot be told from the best, other than the best itself."""
        return sum(row.standing.tied_with_best for row in self.rows) > 1

    def rank(self, row: BoardRow) -> str:
        """The ranks that the seeds leave open to a row, as ``2–4``; marked where it may be the best."""
        low, high = row.standing.rank_low, row.standing.rank_high
        text = str(low) if low == high else f"{low}–{high}"
        return f"{text} {TIED}" if self.has_ties and row.standing.tied_with_best else text

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each estimator and metric, ranked ones only.

        Raises:
            ClientError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ClientError("a data frame needs pandas: pip install pandas") from error
        return pandas.DataFrame([line for row in self.rows for line in _records(row)])

    def figure(
        self, kind: Kind | None = None, *, format: Literal["svg", "png"] = "svg", dark: bool = False
    ) -> bytes:
        """A picture, drawn here.

        Args:
            kind: ``curves``, ``cost``, ``sensitivity``, ``heatmap`` or ``tuning``; by default the first of
                them that the board has.
            format: of the file.
            dark: for a dark ground.

        Raises:
            ClientError: the board has no such picture yet.
        """
        # Matplotlib takes a second to load; reading a board does without.
        from service.errors import NotFound
        from service.resources import board_figures, drawing

        there = [one for one in _PREFERRED if one in board_figures.available(self)]
        if kind is None and not there:
            raise ClientError(f"board {self.id} has nothing to draw yet")
        try:
            picture = board_figures.picture(self, kind or there[0])
        except NotFound as error:
            raise ClientError(str(error)) from error
        return drawing.draw(picture, format=format, scheme="dark" if dark else "light")

    def _repr_svg_(self) -> str | None:
        """The picture that notebooks show; ``None`` where there is nothing to draw."""
        try:
            return self.figure().decode()
        except ClientError:
            return None

    def _repr_html_(self) -> str:
        """What notebooks show: ranks, means with their intervals, and the picture."""
        metric = self.metrics[0]
        unit = f", {metric.unit}" if metric.unit else ""
        names = ("rank", "estimator", "setting", f"{metric.title}{unit}", "95 % interval", "seeds")
        head = "".join(f'<th style="{_side(name)}">{escape(name)}</th>' for name in names)
        rows = "".join(_html_row(names, self._cells(row)) for row in self.rows)
        tied = f"<p>{TIED} cannot be told from the best.</p>" if self.has_ties else ""
        rest = "".join(f"<p>{escape(row.title)}: {escape(row.reason)}</p>" for row in self.unranked)
        return (
            f"<h4>{escape(self.title)}</h4><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"{tied}{rest}{self._image()}"
        )

    def _cells(self, row: BoardRow) -> list[str]:
        setting = numbers.setting(**dict(row.setting))
        seeds = f"{row.n} of {row.seeds_wanted}"
        return [self.rank(row), row.title, setting, *measured(row.metrics[self.select]), seeds]

    def _image(self) -> str:
        if (svg := self._repr_svg_()) is None:
            return ""
        data = base64.b64encode(svg.encode()).decode()
        return f'<img alt="{escape(self.title)}" src="data:image/svg+xml;base64,{data}">'


_PREFERRED: tuple[Kind, ...] = ("curves", "cost", "sensitivity", "heatmap", "tuning")


def measured(spread: Spread) -> tuple[str, str]:
    """Mean ± standard deviation, and the interval."""
    half = None if spread.low is None or spread.high is None else (spread.high - spread.low) / 2
    decimals = numbers.decimals_for(half, spread.mean)
    mean = numbers.text(spread.mean, decimals)
    if half is None or spread.sd is None:
        return mean, "one seed"
    interval = f"{numbers.text(spread.low, decimals)} to {numbers.text(spread.high, decimals)}"
    return f"{mean} ± {numbers.compact(spread.sd)}", interval


def _html_row(names: tuple[str, ...], cells: list[str]) -> str:
    inner = (
        f'<td style="{_side(name)}">{escape(cell)}</td>' for name, cell in zip(names, cells, strict=True)
    )
    return f"<tr>{''.join(inner)}</tr>"


def _side(name: str) -> str:
    return _LEFT if name in ("estimator", "setting") else _RIGHT


def _records(row: BoardRow) -> Iterator[dict[str, Any]]:
    same = {name: getattr(row, name) for name in ("estimator", "title", "version", "cell", "settings_tried")}
    same |= {name: getattr(row.standing, name) for name in ("rank_low", "rank_high", "tied_with_best")}
    same |= row.setting.parameters | {"optimizer": row.setting.optimizer, "lr": row.setting.lr}
    for metric, summary in row.metrics.items():
        yield same | dict(row.cost) | {"metric": metric} | summary.model_dump(exclude={"seeds"})

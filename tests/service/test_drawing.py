"""Pictures of exhibits: nothing is cut off, and no place is empty."""

from __future__ import annotations

import io

import pytest

from estimators import registry as estimators
from service.resources import drawing
from service.resources.figures import Panel, Picture
from service.resources.schemas import BoardCurve

LONGEST = sorted(estimators.available(), key=lambda id: -len(estimators.get(id).title))


def picture(panels: int, estimators: int) -> Picture:
    """As many panels, each with the estimators of the longest titles."""
    names = LONGEST[:estimators]
    curves = tuple(
        BoardCurve(estimator=id, metric="loss", epochs=[1, 2], mean=[1.0, 0.5], sd=[0.1, 0.1], n=[2, 2])
        for id in names
    )
    made = tuple(Panel(title=f"panel {i}", curves=curves, numbers={}) for i in range(panels))
    return Picture(title="p", kind="curves", axis="loss", across="", log=False, maximize=False, panels=made)


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_legend_lies_inside_and_places_without_a_panel_are_not_drawn(panels: int, count: int) -> None:
    figure = drawing._figure(picture(panels, count), "light")
    figure.savefig(io.BytesIO(), format="png")
    (legend,) = figure.legends
    frame, box = figure.bbox, legend.get_window_extent()
    assert frame.x0 <= box.x0
    assert box.x1 <= frame.x1
    assert sum(axes.axison for axes in figure.axes) == panels

"""Every page, and what is there to see on it. A new page gets a line here, and with it all the checks of
``test_every_page.py``: no complaint of the browser, nothing from elsewhere, no violation that axe finds,
light and dark, from 360 to 2560 pixels.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A page.

    Attributes:
        path: where it is; names in braces are those of :class:`tests.e2e.database.Contents`.
        shows: a selector of something that is there once the page and its pictures are.
    """

    path: str
    shows: str = "h1"


PLACES = (
    Place("/"),
    Place("/boards/{board}", "#curves .scatterlayer"),
    Place("/boards/{board}?open=st&open=reinmax&scale=all", "#more-st h2"),
    Place("/boards/{board}/compare?a=reinmax&b=st"),
    Place("/boards/{small_board}", "#curves .scatterlayer"),
    Place("/boards/{empty_board}"),
    Place("/boards/none"),
    Place("/sweeps"),
    Place("/sweeps?deleted=true"),
    Place("/sweeps/{sweep}"),
    Place("/sweeps/{failed_sweep}", "details.failure"),
    Place("/sweeps/{queued_sweep}"),
    Place("/sweeps/{hostile_sweep}"),
    Place("/estimators", "th button.sort"),
    Place("/estimators/st"),
    Place("/estimators/reinmax_cv"),
    Place("/suites"),
    Place("/suites/reinmax-2023/table2?tier=budget"),
    Place("/suites/reinmax-2023/figure1"),
    Place("/trials/{trial}", "#curves .scatterlayer"),
    Place("/trials/{failed_trial}"),
    Place("/trials/{queued_trial}"),
    Place("/tasks"),
    Place("/tasks/polynomial"),
    Place("/?q=nothing+like+it"),
    Place("/nodes"),
    Place("/sign-in"),
    Place("/docs", "details.operation"),
    Place("/docs#sweeps_submit", "details.operation"),
)

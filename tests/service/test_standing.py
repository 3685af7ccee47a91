"""Where an estimator stands over boards: ranks, average rank and profile, computed by hand."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from service.queue.submission import submit
from service.resources import standing
from service.resources.standing import show_standing
from tests.service.test_board_lists import finish, on
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of

MEANS = {("st", 1.0): [4.0, 4.0], ("reinmax", 1.0): [1.0, 3.0], ("exact", 1.0): [1.0, 1.0]}


def boards(engine: Engine) -> None:
    """p = 2: exact 1, ReinMax 2, ST 4. p = 3: ST 4 alone has results. p = 4: nothing is computed yet."""
    submit(engine, small_sweep(**on(2.0, estimators=["st", "reinmax", "exact"], seeds=2)))
    finish(engine, MEANS)
    submit(engine, small_sweep(**on(3.0, estimators=["st", "reinmax"], seeds=2)))
    finish(engine, MEANS | {("reinmax", 1.0): None})
    submit(engine, small_sweep(**on(4.0, estimators=["reinmax"])))


def test_ranks_by_hand(engine: Engine) -> None:
    boards(engine)
    found = show_standing(engine, "reinmax")
    shown = {line.title.split(",")[0][-1]: line for line in found.boards}
    assert list(shown) == ["4", "3", "2"]  # asked for last first
    two, three, four = shown["2"], shown["3"], shown["4"]
    assert (two.rank, two.of, two.n, two.mean) == (2.0, 3, 2, 2.0)
    assert two.shortfall == pytest.approx((2 - 1) / (4 - 1))
    assert two.best is not None
    assert (two.best.estimator, two.best.mean) == ("exact", 1.0)
    assert (three.rank, three.of, three.mean, three.shortfall) == (None, 1, None, None)
    assert three.best is not None
    assert three.best.estimator == "st"
    assert (four.rank, four.of, four.mean, four.best) == (None, 0, None, None)
    assert (found.ranked, found.average_rank, found.average_of, found.first) == (1, 2.0, 3.0, 0)
    assert not found.left_out


def test_one_alone_has_no_rank(engine: Engine) -> None:
    boards(engine)
    found = show_standing(engine, "st")
    ranks = {line.title.split(",")[0][-1]: (line.rank, line.of, line.mean) for line in found.boards}
    assert ranks == {"2": (3.0, 3, 4.0), "3": (None, 1, 4.0)}
    assert found.ranked == 1


def test_the_profile_counts_boards_within_a_shortfall(engine: Engine) -> None:
    """ReinMax falls short by a third on one board and is the best of the other."""
    boards(engine)
    submit(engine, small_sweep(**on(5.0, estimators=["st", "reinmax"], seeds=2)))
    finish(engine, MEANS | {("reinmax", 1.0): [0.0, 0.0]})
    found = show_standing(engine, "reinmax")
    profile = {point.shortfall: point.share for point in found.profile}
    assert (profile[0.0], profile[0.32], profile[0.34], profile[1.0]) == (0.5, 0.5, 1.0, 1.0)
    assert (found.ranked, found.first, found.average_rank, found.average_of) == (2, 1, 1.5, 2.5)


def test_ties_share_the_mean_of_their_places(engine: Engine) -> None:
    submit(engine, small_sweep(estimators=["st", "reinmax", "exact"], seeds=2))
    finish(engine, {("st", 1.0): [2.0, 2.0], ("reinmax", 1.0): [1.0, 3.0], ("exact", 1.0): [1.0, 1.0]})
    assert [show_standing(engine, id).boards[0].rank for id in ("exact", "st", "reinmax")] == [1.0, 2.5, 2.5]


def test_many_boards_are_left_out_and_said_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    boards(engine)
    monkeypatch.setattr(standing, "MOST_BOARDS", 2)
    found = show_standing(engine, "reinmax")
    assert found.left_out
    assert [line.title.split(",")[0][-1] for line in found.boards] == ["4", "3"]


def test_nowhere(engine: Engine) -> None:
    found = show_standing(engine, "reinmax")
    assert (found.boards, found.ranked, found.average_rank, found.profile) == ([], 0, None, [])


def test_standing_over_rest(engine: Engine) -> None:
    boards(engine)
    http = browser_of(application(engine))
    assert http.get("/api/v1/estimators/reinmax/standing").json()["average_rank"] == 2.0
    assert http.get("/api/v1/estimators/nobody/standing").status_code == 404

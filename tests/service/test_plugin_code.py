"""Results of one version that different code has computed are pointed out where they stand together."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.resources.plugin_code import mixed_code
from service.web.trials import _of_result
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import application, browser_of, compute
from workers.messages import Provenance

OLD, NEW = "halved-estimators 1.2, code 0a", "halved-estimators 1.2, code 0b"


def by(code: str) -> Provenance:
    return PROVENANCE.model_copy(update={"plugins": {"estimator/halved@1": code}})


def board_of(http: httpx.Client) -> tuple[dict[str, Any], str]:
    """The only board as an answer and as a page."""
    (link,) = http.get("/api/v1/boards").json()["boards"]
    page = http.get(f"/boards/{link['id']}", headers={"Accept": "text/html"}).text
    return http.get(f"/api/v1/boards/{link['id']}").json(), page


@pytest.mark.parametrize(("second", "sentences"), [(OLD, 0), (NEW, 1)])
def test_a_board_says_that_it_mixes(engine: Engine, second: str, sentences: int) -> None:
    http = browser_of(application(engine))
    compute(engine, small_sweep(estimators=["st"], seeds=[1, 2, 3]), provenance=by(OLD))
    compute(engine, small_sweep(estimators=["st"], seeds=[4, 5, 6]), provenance=by(second))
    board, page = board_of(http)
    assert len(board["mixed_code"]) == sentences
    assert page.count("Different code under one version") == sentences
    told = f"Results of estimator halved version 1 were computed by different code: {OLD}; {NEW}."
    assert (told in page) == bool(sentences)
    exported = http.get(f"/api/v1/boards/{board['id']}", params={"format": "html"}).text
    assert (told in exported) == bool(sentences)


def test_versions_and_parts_are_told_apart_and_older_provenance_does_not_tell() -> None:
    one = {"plugins": {"estimator/a@1": "p 1, code x", "task/a@1": "p 1, code x"}}
    other = {"plugins": {"estimator/a@2": "p 1, code y"}}
    assert mixed_code([one, other, None, {}, {"plugins": None}]) == []


def test_of_a_trial_the_attempts_that_its_result_is_of_count(engine: Engine) -> None:
    """Not one that failed before the code was mended."""
    compute(engine, small_sweep(estimators=["st"], seeds=1), provenance=by(OLD))
    http = browser_of(application(engine))
    (trial,) = http.get("/api/v1/sweeps/1/trials").json()["trials"]
    page = http.get(f"/trials/{trial['key']}").text
    assert "Different code" not in page
    assert f"estimator/halved@1 {OLD}" in page
    (one,) = engine_attempts(engine, trial["key"])
    went_on = one.model_copy(update={"resumed_from_step": 5})
    for attempts, count in (([one, went_on], 2), ([one, one], 1), ([one, went_on, one, went_on], 2), ([], 0)):
        assert len(_of_result(attempts)) == count


def engine_attempts(engine: Engine, key: str) -> list[Any]:
    from service.resources import trials

    return trials.trial_attempts(engine, key).attempts

"""Pages that are not there lead to what may have been meant."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import Engine

from service.queue.submission import submit
from service.resources import finding
from tests.service.test_pages import board_id
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of, compute

HTML = {"Accept": "text/html"}


def test_the_beginning_of_an_id_leads_to_it_with_the_rest_of_the_address(engine: Engine) -> None:
    compute(engine, small_sweep())
    board, (trial, *_) = board_id(engine), (one.key for one in small_sweep().expand())
    http = browser_of(application(engine))
    for path, full in (
        (f"/boards/{board[:6]}", f"/boards/{board}"),
        (f"/trials/{trial[:12]}", f"/trials/{trial}"),
    ):
        answer = http.get(f"{path}?select=train_loss", headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (307, f"{full}?select=train_loss")
    assert http.get(f"/boards/{board[:3]}", headers=HTML).status_code == 404  # too short
    assert http.get(f"/api/v1/boards/{board[:6]}").status_code == 404  # programs name things in full


def test_several_that_begin_so_are_listed(engine: Engine) -> None:
    """Of 1,000 keys some begin with the same four letters."""
    submit(engine, small_sweep(seeds=500))
    keys = sorted(one.key for one in small_sweep(seeds=500).expand())
    first, second = next(pair for pair in itertools.pairwise(keys) if pair[0][:4] == pair[1][:4])
    found = finding.trials_from(engine, first[:4])
    assert found == [key for key in keys if key[:4] == first[:4]]
    html = browser_of(application(engine)).get(f"/trials/{first[:4]}", headers=HTML).text
    assert f'href="/trials/{first}"' in html
    assert f'href="/trials/{second}"' in html


def test_what_is_no_beginning_of_an_id_finds_nothing(engine: Engine) -> None:
    submit(engine, small_sweep())
    key = min(one.key for one in small_sweep().expand())
    assert finding.trials_from(engine, key[:31]) == [key]
    for text in ("", key[:3], key, key + "0", key[:8].upper() + "A", "zzzz", "%%%%", "a\0bc"):
        assert finding.trials_from(engine, text) == []


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/estimators/gumbelrao", "/estimators/gumbel_rao"),
        ("/estimators/straight-through", "/estimators/st"),
        ("/tasks/polynomal", "/tasks/polynomial"),
        ("/board", '/"'),
        ("/sweps", "/sweeps"),
        ("/nowhere/at/all", "/tasks"),
    ],
)
def test_near_names_are_links(engine: Engine, path: str, link: str) -> None:
    answer = browser_of(application(engine)).get(path, headers=HTML)
    assert answer.status_code == 404
    assert f'href="{link}' in answer.text.partition("<main")[2]


@pytest.mark.parametrize(
    "path", ["/estimators/mnist", "/estimators/adam", "/estimators/", "/tasks/gaps.1", "/status", "/test"]
)
def test_what_is_not_near_is_no_guess(engine: Engine, path: str) -> None:
    """``status`` shares five letters with ``estimators``, ``test`` three with ``suites``."""
    answer = browser_of(application(engine)).get(path, headers=HTML)
    assert answer.status_code == 404
    assert "Did you mean" not in answer.text


@pytest.mark.parametrize(
    "path", ["/boards/%00aaaa", "/trials/%25%25%25%25", "/estimators/%3Cb%3E", "/tasks/" + "x" * 5000]
)
def test_strange_names_are_not_found(engine: Engine, path: str) -> None:
    answer = browser_of(application(engine)).get(path, headers=HTML)
    assert answer.status_code == 404
    assert "<b>" not in answer.text

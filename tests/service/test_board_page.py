"""The page of a board: what its table, its rows and its four questions say."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine

from benchmarks.sweep import Sweep, read_sweep
from estimators import registry
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.board_schemas import HeatMap, HeatRow
from service.web import columns, heat_map
from service.web.address import Address
from service.web.columns import Digits
from service.web.render import templates
from tests.support.results import results
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of

CLOSE = {"st": [1.0, 2.0, 3.0], "reinmax": [1.1, 2.4, 3.1]}
"""Differences .1, .4, .1: mean .2, sd sqrt(.03), t = 2 of 2 degrees, p = .18."""

FAR = {"st": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "reinmax": [9.0, 10.1, 11.0, 12.1, 13.0, 14.0, 15.1]}


def by_seed(values: Mapping[str, list[float]]) -> Callable[[Mapping[str, Any]], float]:
    return lambda spec: values[spec["estimator"]["id"]][spec["seed"]]


def path_of(sweep: Sweep) -> str:
    return f"/boards/{next(iter(sweep.expand())).task_key}"


def page_of(engine: Engine, path: str) -> str:
    answer = browser_of(application(engine)).get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def text_of(page: str) -> str:
    """A page as it is read: tags away, blanks run together."""
    body = page.partition("<main")[2] or page
    seen = re.sub(r'<span class="pad".*?</span>', "", re.sub(r"<script.*?</script>", "", body, flags=re.S))
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", seen)))


def row_of(page: str, estimator: str) -> str:
    """The part of the page that one row of the table is, what it opens to included."""
    return (
        page.partition(f'id="row-{estimator}">')[2]
        .partition('id="row-')[0]
        .partition('<div class="note">')[0]
    )


def computed(engine: Engine, values: Mapping[str, list[float]], **changes: Any) -> str:
    """The page of a board with these results."""
    sweep = small_sweep(estimators=list(values), seeds=len(next(iter(values.values()))), **changes)
    results(engine, sweep, by_seed(values))
    return page_of(engine, path_of(sweep))


def test_what_cannot_be_told_apart_is_called_tied(engine: Engine) -> None:
    page = computed(engine, CLOSE)
    assert page.count('<tbody class="tie') == 2
    assert text_of(row_of(page, "reinmax")).startswith(" 1–2 tied ")
    assert "+0.20" in text_of(row_of(page, "reinmax"))
    assert "2 of 2 cannot be told from the best mean, that of Straight-through" in text_of(page)
    assert "p = 0.18 by a t test, adjusted for all rows (Holm): not told apart." in html.unescape(page)


def test_what_is_better_beyond_luck_is_said_to_be(engine: Engine) -> None:
    page = computed(engine, FAR)
    assert page.count('<tbody class="tie') == 1
    assert text_of(row_of(page, "reinmax")).startswith(" 2 ")
    assert "Straight-through is better than the other, beyond what seeds explain." in text_of(page)
    assert "No single seed decides who has the best mean." in text_of(page)


def test_the_best_estimate_behind_exact_gradients_is_named(engine: Engine) -> None:
    values = {"exact": [1.0, 1.0, 1.0], "st": [1.5, 1.6, 1.7], "reinmax": [2.0, 2.1, 2.2]}
    page = computed(engine, values)
    assert '<span class="chip">exact gradient</span>' in row_of(page, "exact")
    assert "Of those that estimate it, Straight-through has the best mean, rank 2." in text_of(page)


def test_one_seed_has_no_interval(engine: Engine) -> None:
    page = computed(engine, {"st": [1.0], "reinmax": [2.0]})
    assert page.count("1 seed, no interval") == 2
    assert 'class="rail e' not in page
    assert "±" not in text_of(page)
    assert "One seed has no spread" in text_of(page)
    assert "far from the others" not in text_of(page)


def test_who_failed_has_a_row_with_the_reason_and_a_link(engine: Engine) -> None:
    sweep = small_sweep(estimators=["st", "stgs"])
    results(engine, sweep, lambda spec: 1.0 if spec["estimator"]["id"] == "st" else "Boom: <b>no</b> disk")
    page = page_of(engine, path_of(sweep))
    row = row_of(page, "stgs")
    assert '<span class="chip failed">failed</span>' in row
    assert "Boom: &lt;b&gt;no&lt;/b&gt; disk" in row
    assert re.search(r'href="/trials/[0-9a-f]+"', row)
    assert page.index('id="row-stgs"') > page.index('id="row-st"')
    assert "0 of 3" in text_of(row)


def test_who_diverged_is_said_to_have(engine: Engine) -> None:
    sweep = small_sweep(estimators=["st", "stgs"])
    results(engine, sweep, lambda spec: 1.0 if spec["estimator"]["id"] == "st" else float("nan"))
    assert '<span class="chip failed">diverged</span>' in row_of(page_of(engine, path_of(sweep)), "stgs")


def test_a_board_that_waits_says_who_must_compute_it(engine: Engine) -> None:
    sweep = small_sweep()
    submit(engine, sweep)
    page = page_of(engine, path_of(sweep))
    assert "6 trials are waiting and none is running." in text_of(page)
    assert 'href="/sweeps/1"' in page


def test_a_board_that_runs_says_when_rows_appear(engine: Engine) -> None:
    sweep = small_sweep()
    submit(engine, sweep)
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    (claim, *_) = queue.claim(owner="test", limit=1)
    queue.start(claim.attempt_id, claim.secret)
    assert re.search(
        r"\d trials are running; the first rows appear", text_of(page_of(engine, path_of(sweep)))
    )


def test_a_board_of_failures_says_so(engine: Engine) -> None:
    sweep = small_sweep()
    results(engine, sweep, lambda spec: "Boom")
    text = text_of(page_of(engine, path_of(sweep)))
    assert "All 6 trials have ended: 6 failed." in text
    assert "mean of" not in text.partition("How this board was computed")[2]
    assert "waiting" not in text.partition("Rank")[0]


def _trials_of_straight_through(sweep: Sweep, temperature: float) -> dict[int, str]:
    """Seed -> key."""
    return {
        trial.seed: trial.key
        for trial in sweep.expand()
        if trial.estimator.id == "st" and trial.estimator.values["temperature"] == temperature
    }


def test_a_row_opens_to_settings_and_seeds(engine: Engine) -> None:
    sweep = small_sweep(estimators=[{"id": "st", "temperature": [0.5, 1.0]}, "reinmax"])
    results(engine, sweep, lambda spec: spec["seed"] + 1 / spec["estimator"]["parameters"]["temperature"])
    path = path_of(sweep)
    part = page_of(engine, f"{path}/estimators/st")
    text = text_of(part)
    assert "2 settings tried" in text
    assert re.search(r"τ 1 · Adam 1e−3 2\..*τ 0\.5 · Adam 1e−3 3\.", text)  # best first
    keys = {
        trial.seed: trial.key
        for trial in sweep.expand()
        if dict(trial.estimator.parameters) == {"temperature": 1.0} and trial.estimator.id == "st"
    }
    for seed, key in keys.items():
        assert f'<a href="/trials/{key}">{seed}</a>' in part
    whole = page_of(engine, f"{path}?open=st")
    assert 'aria-expanded="true"' in row_of(whole, "st")
    assert "2 settings tried" in text_of(row_of(whole, "st"))
    assert 'aria-expanded="true"' not in row_of(whole, "reinmax")


def test_a_row_that_is_not_there_is_not_found(engine: Engine) -> None:
    sweep = small_sweep()
    results(engine, sweep, lambda spec: 1.0)
    answer = browser_of(application(engine)).get(f"{path_of(sweep)}/estimators/nobody")
    assert answer.status_code == 404


def test_only_what_is_not_at_its_default_is_named(engine: Engine) -> None:
    sweep = small_sweep(estimators=["st", {"id": "reinmax", "temperature": 1.3}])
    results(engine, sweep, lambda spec: float(spec["seed"]))
    page = page_of(engine, path_of(sweep))
    assert "τ 1.3" in text_of(row_of(page, "reinmax"))
    assert "τ" not in text_of(row_of(page, "st")).partition("–")[0]
    assert "Adam" not in text_of(row_of(page, "st"))
    assert "All rows: Adam 1e−3." in text_of(page)


def test_a_tuned_parameter_is_named_at_its_default_too(engine: Engine) -> None:
    sweep = small_sweep(estimators=[{"id": "st", "temperature": [1.0, 2.0]}, "reinmax"])
    results(engine, sweep, lambda spec: float(spec["seed"]))
    assert "τ 1" in text_of(row_of(page_of(engine, path_of(sweep)), "st"))


def test_settings_fill_a_map_and_curves(engine: Engine) -> None:
    sweep = small_sweep(
        estimators=[{"id": "st", "temperature": [0.5, 1.0]}, {"id": "reinmax", "temperature": [1.0, 2.0]}]
    )
    results(engine, sweep, lambda spec: 10.0 * spec["estimator"]["parameters"]["temperature"] + spec["seed"])
    page = page_of(engine, path_of(sweep))
    heat = page.partition('<table class="heat">')[2].partition("</table>")[0]
    assert re.findall(r"τ [0-9.]+", heat) == ["τ 0.5", "τ 1", "τ 2"]
    assert re.findall(r'<td class="([^"]*)">([^<]*)<', heat) == [
        ("h0 best", "6.0000"), ("h4", "11.000"), ("untried", "–"),
        ("untried", "–"), ("h4 best", "11.000"), ("h7", "21.000"),
    ]  # fmt: skip
    assert 'id="figure-response-temperature"' in page
    assert 'id="figure-best-of"' in page


def test_missing_seeds_come_as_a_sweep(engine: Engine) -> None:
    sweep = small_sweep(estimators=list(CLOSE))
    results(engine, sweep, by_seed(CLOSE))
    client = browser_of(application(engine))
    (board,) = client.get("/api/v1/boards").json()["boards"]
    more = next(
        row["standing"]["to_best"]["more_seeds"]
        for row in client.get(f"/api/v1/boards/{board['id']}").json()["rows"]
        if row["standing"]["to_best"]
    )
    document = client.get(f"/api/v1/boards/{board['id']}/more-seeds?estimator=reinmax").json()
    wanted = read_sweep(document)
    assert set(wanted.cells()) == set(sweep.cells())
    assert wanted.seeds == tuple(range(3, 3 + more))
    assert f"Compute {more} more" in text_of(page_of(engine, path_of(sweep)))
    assert client.post("/api/v1/sweeps/plan", json=document).json()["to_compute"] == 2 * more


@pytest.mark.parametrize(("estimator", "status"), [("st", 422), ("nobody", 404)])
def test_no_seeds_are_missing_of_the_best(engine: Engine, estimator: str, status: int) -> None:
    sweep = small_sweep(estimators=list(CLOSE))
    results(engine, sweep, by_seed(CLOSE))
    answer = browser_of(application(engine)).get(f"/api/v1{path_of(sweep)}/more-seeds?estimator={estimator}")
    assert answer.status_code == status


def test_the_page_says_how_to_repeat_it(engine: Engine) -> None:
    page = computed(engine, CLOSE)
    file = html.unescape(re.search(r'id="sweep-file">(.*?)</pre>', page, flags=re.S)[1])  # type: ignore[index]
    assert "reinmax" in file
    assert "Seeds 0, 1, 2" in text_of(page)
    assert 'href="/sweeps/1"' in page


def test_names_lead_on(engine: Engine) -> None:
    row = row_of(computed(engine, CLOSE), "reinmax")
    assert 'href="/estimators/reinmax"' in row


def test_places_at_equal_evaluations(engine: Engine) -> None:
    values = {"rloo": [1.0, 1.1, 1.2], "reinforce": [2.0, 2.1, 2.2]}
    page = computed(
        engine, values, task={"id": "polynomial", "latents": 4, "epochs": 2, "steps_per_epoch": 5}
    )
    assert 'href="#equal-evaluations"' in page
    assert 'id="equal-evaluations"' in page


def test_thirty_estimators_are_a_small_page(engine: Engine) -> None:
    ids = [id for id in registry.available() if id != "exact"]
    sweep = small_sweep(estimators=ids, seeds=5)
    results(engine, sweep, lambda spec: ids.index(spec["estimator"]["id"]) + 0.1 * spec["seed"])
    assert len(page_of(engine, path_of(sweep)).encode()) < 300_000


# ---- parts


def test_points_stand_under_each_other() -> None:
    column = [
        Digits(certain="0.2", uncertain="5"),
        Digits(certain="12"),
        Digits(certain="1.5"),
        columns.ABSENT,
    ]
    assert [one.pad for one in columns.aligned(column)] == ["", ".00", "0", ".00"]


def test_shades_go_by_the_root_of_the_gap() -> None:
    found = HeatMap(parameter="temperature", values=[1.0, 2.0], rows=[
        HeatRow(estimator="a", means=[0.0, 1.0]), HeatRow(estimator="b", means=[4.0, None]),
    ])  # fmt: skip
    # gaps 0, 1, 2; the 0.9 quantile of them is 1.8: steps 0, round(7 / 1.8) = 4, 7
    squares = heat_map.squares(found, maximize=False)
    assert [(one.shade, one.best) for one in squares["a"]] == [("h0", True), ("h4", False)]
    assert [(one.shade, one.best) for one in squares["b"]] == [("h7", True), ("untried", False)]


def test_an_address_holds_what_is_not_usual() -> None:
    address = Address(board="abc")
    assert str(address) == "/boards/abc"
    assert address.but("row-st", opened=("st",)) == "/boards/abc?open=st#row-st"
    chosen = Address(board="abc", select="train_loss", report=(), scale="all", opened=("st",))
    assert str(chosen) == "/boards/abc?select=train_loss&report=train_loss&scale=all&open=st"
    assert chosen.part("a/b") == "/boards/abc/estimators/a%2Fb?select=train_loss&report=train_loss"


def test_data_of_pictures_are_short_and_cannot_leave_their_script() -> None:
    template = templates().from_string("{{ data | tojson }}")
    data = {"mean": [0.20468001305413733, 1.0, math.nan], "title": "</script><b>", "n": 12345678901}
    text = template.render(data=data)
    assert json.loads(text) == {"mean": [0.20468, 1.0, None], "title": "</script><b>", "n": 12345678901}
    assert "</script>" not in text
    assert " " not in text

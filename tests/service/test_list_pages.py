"""Pages of lists, sweeps, tasks and estimators: what they find, group and lead to."""

from __future__ import annotations

import html
import re

import pytest
from sqlalchemy import Engine

from benchmarks.sweep import load_sweep, read_sweep
from benchmarks.tasks import registry as tasks
from service.queue.cohorts import Queue
from service.queue.submission import submit
from tests.service.test_pages import board_id, text_of
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import application, browser_of, compute
from workers.messages import Outcome, TrialOutcome


def test_no_page_asks_another_server(engine: Engine) -> None:
    compute(engine, small_sweep())
    http = browser_of(application(engine))
    trial = next(iter(small_sweep().expand())).key
    for path in ("/", "/sweeps", "/tasks", "/tasks/polynomial", f"/trials/{trial}"):
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', http.get(path).text), path


@pytest.mark.parametrize("path", ["/", "/sweeps", "/estimators/reinmax", "/tasks/polynomial"])
def test_nothing_there_says_what_to_do_with_the_address_of_this_server(engine: Engine, path: str) -> None:
    """The sweep file that the command reads is valid."""
    text = browser_of(application(engine)).get(path).text
    command, _, rest = html.unescape(text).partition("heunboard submit - --wait --url ")[2].partition("\n")
    assert command == "http://127.0.0.1 <<'END'"
    assert load_sweep(rest.partition("\nEND")[0]).task.id == "polynomial"


def test_every_task_has_a_page_with_a_valid_first_sweep(engine: Engine) -> None:
    http = browser_of(application(engine))
    for id in tasks.available():
        page = html.unescape(http.get(f"/tasks/{id}").text)
        assert load_sweep(page.partition("<<'END'\n")[2].partition("\nEND")[0]).task.id == id
        assert f'href="/tasks/{id}"' in http.get("/tasks").text


def test_page_of_a_task_names_units_known_levels_and_its_boards(engine: Engine) -> None:
    compute(engine, small_sweep())
    text = text_of(engine, "/tasks/polynomial")
    assert "optimum Expected loss – 0.20250 0.45^p" in text
    assert "Polynomial p = 2, c = 0.45, L = 4" in text
    assert "nats" in text_of(engine, "/tasks/categorical_vae")


def test_list_of_boards_names_who_is_best_and_what_is_left(engine: Engine) -> None:
    compute(engine, small_sweep(estimators=["st"]), {0: 1.0, 1: 2.0, 2: 6.0})
    submit(engine, small_sweep(estimators=["reinmax"], seeds=2))
    text = text_of(engine, "/")
    assert "Straight-through 3.0000 Expected loss 2 3 of 5 2 queued" in text
    page = browser_of(application(engine)).get("/").text
    for link in ("/estimators/st", "/tasks/polynomial", f"/boards/{board_id(engine)}"):
        assert f'href="{link}"' in page


def test_a_search_without_a_hit_says_so(engine: Engine) -> None:
    compute(engine, small_sweep())
    assert "No board is found by these words" in text_of(engine, "/?q=nothing")
    assert "No sweep is found by this" in text_of(engine, "/sweeps?owner=nobody")


def test_list_of_sweeps_shows_what_they_say_of_themselves(engine: Engine) -> None:
    submit(engine, small_sweep(owner="Ada & Bob", tags=["a/b"], description="<b>why</b>"))
    page = browser_of(application(engine)).get("/sweeps?tag=a/b").text
    assert "&lt;b&gt;why&lt;/b&gt;" in page
    assert 'href="/sweeps?owner=Ada%20%26%20Bob"' in page or 'href="/sweeps?owner=Ada+%26+Bob"' in page
    assert "<option selected>a/b</option>" in page


def test_pages_of_a_list_keep_the_search(engine: Engine) -> None:
    for number in range(51):
        submit(engine, small_sweep(name=f"n{number}", tags=["many"]))
    page = browser_of(application(engine)).get("/sweeps?tag=many").text
    (following,) = re.findall(r'href="(/sweeps\?tag=many&amp;page_token=[^"]+)"', page)
    assert ">n0<" in browser_of(application(engine)).get(html.unescape(following)).text


def test_estimator_page_says_where_it_stands(engine: Engine) -> None:
    compute(engine, small_sweep(estimators=["st"]), {0: 1.0, 1: 1.0, 2: 1.0})
    compute(engine, small_sweep(estimators=["reinmax"]), {0: 3.0, 1: 3.0, 2: 3.0})
    text = text_of(engine, "/estimators/reinmax")
    assert "Average rank 2.0 of 2.0, over 1 board" in text
    assert "2 of 2 3.0000 Expected loss 3 Straight-through 1.0000 100 %" in text
    assert "this one" in text_of(engine, "/estimators/st")


def test_sweep_page_groups_failures_by_cause(engine: Engine) -> None:
    """Messages that differ in numbers are one cause; the most frequent comes first."""
    submit(engine, small_sweep(seeds=4))
    queue = Queue(engine)
    queue.plan(max_lanes=64, slots=1)
    for claim in queue.claim(owner="d", limit=9):
        ends = [
            TrialOutcome(
                trial=t.key,
                status="failed",
                error="no data" if not (s := t.spec["seed"]) else f"need {s} MiB",
            )
            for t in queue.start(claim.attempt_id, claim.secret).trials
        ]
        queue.finish(claim.attempt_id, claim.secret, Outcome(outcomes=tuple(ends), provenance=PROVENANCE))
    text = text_of(engine, "/sweeps/1")
    assert re.search(r"6 trials need 1 MiB .*2 trials no data", text)
    assert text.index("6 trials") < text.index("2 trials")
    causes = browser_of(application(engine)).get("/api/v1/sweeps/1/causes").json()
    assert [(one["trials"], len(one["examples"])) for one in causes["causes"]] == [(6, 3), (2, 1)]
    assert causes["left_out"] == 0


def test_sweep_page_by_estimator_leads_to_every_trial(engine: Engine) -> None:
    id = compute(engine, small_sweep())
    page = browser_of(application(engine)).get(f"/sweeps/{id}").text
    for spec in small_sweep().expand():
        assert f'href="/trials/{spec.key}"' in page
    found = browser_of(application(engine)).get(f"/api/v1/sweeps/{id}/estimators").json()["estimators"]
    assert [(one["estimator"], one["cells"], one["trials"], one["counts"]["succeeded"]) for one in found] == [
        ("st", 1, 3, 3),
        ("reinmax", 1, 3, 3),
    ]


def test_a_wide_sweep_shows_the_cells_of_the_estimator_asked_for(engine: Engine) -> None:
    grids = [{"id": id, "temperature": [1 + i / 100 for i in range(60)]} for id in ("st", "reinmax")]
    submit(engine, small_sweep(estimators=grids, seeds=1))
    http = browser_of(application(engine))
    assert "/trials/" not in http.get("/sweeps/1").text
    shown = re.findall(r'href="/trials/(\w+)"', http.get("/sweeps/1?estimator=reinmax").text)
    sweep = small_sweep(estimators=grids[1:], seeds=1)
    assert set(shown) == {spec.key for spec in sweep.expand()}
    cells = http.get("/api/v1/sweeps/1/cells", params={"estimator": "reinmax", "limit": 500}).json()["cells"]
    assert {cell["estimator"] for cell in cells} == {"reinmax"}
    assert len(cells) == 60


def test_the_file_of_a_sweep_is_the_sweep(engine: Engine) -> None:
    sweep = small_sweep(tags=["a"], description="why")
    submit(engine, sweep)
    assert read_sweep(browser_of(application(engine)).get("/api/v1/sweeps/1/file").json()) == sweep

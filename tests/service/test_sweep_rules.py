"""``select`` and ``report`` of a sweep: its boards are chosen and reported so wherever they are linked."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic_core import to_jsonable_python
from sqlalchemy import Engine

from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Metric, Split
from service.cli import main
from service.client import Client
from service.queue.cohorts import Queue
from service.queue.submission import submit
from service.resources.boards import show_board
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.processes import LIMIT_SECONDS
from tests.support.sweeps import PROVENANCE, small_sweep
from tests.support.web import application, browser_of, served
from workers.messages import Outcome, TrialOutcome

TEMPERATURES = [1.0, 2.0]
ASKED = small_sweep(
    estimators=[{"id": "st", "temperature": TEMPERATURES}],
    select={"metric": "train_loss"},
    report=["expected_loss"],
)
KEY = next(iter(ASKED.expand())).task_key
PAGE = f"/boards/{KEY}?select=train_loss&report=expected_loss"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database in which the expected loss is lowest at temperature 1 and the sampled loss at 2."""
    with engine_of(f"sqlite:///{tmp_path / 'rules.sqlite'}") as engine:
        migrations.upgrade(engine)
        submit(engine, ASKED)
        queue = Queue(engine)
        queue.plan(max_lanes=64, slots=1)
        for claim in queue.claim(owner="test", limit=9):
            ends = []
            for trial in queue.start(claim.attempt_id, claim.secret).trials:
                at = trial.spec["estimator"]["parameters"]["temperature"]
                metrics = {"expected_loss": at, "train_loss": 5.0 - at}
                ends.append(TrialOutcome(trial=trial.key, status="succeeded", metrics=metrics))
            done = Outcome(outcomes=tuple(ends), provenance=PROVENANCE)
            queue.finish(claim.attempt_id, claim.secret, done)
        yield engine


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


@pytest.fixture
def url(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The application on that database, where the commands find it."""
    with served(application(engine)) as url:
        monkeypatch.setenv("HEUNBOARD_URL", url)
        yield url


def heunboard(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process; its exit status."""
    monkeypatch.setattr("sys.argv", ["heunboard", *arguments])
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ASKED.to_json())))
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def main_of(html: str) -> str:
    """The content of a page without tags, blanks run together."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.partition("<main")[2]))


def test_a_sweep_links_its_boards_with_its_rule(http: httpx.Client) -> None:
    sweep = http.get("/api/v1/sweeps/1").json()
    assert (sweep["select"], sweep["report"]) == ("train_loss", ["expected_loss"])
    (board,) = sweep["boards"]
    assert (board["page"], board["href"]) == (PAGE, f"/api/v1{PAGE}")
    assert temperature(http.get(board["href"]).json()) == 2.0
    assert temperature(http.get(f"/api/v1/boards/{KEY}").json()) == 1.0


def test_the_answer_to_a_submission_has_the_same_links(http: httpx.Client) -> None:
    answer = http.post("/api/v1/sweeps", json=ASKED.to_json()).json()
    assert answer["boards"][0]["page"] == PAGE


def test_a_report_of_the_choosing_metric_alone_shows_nothing_beside_it(http: httpx.Client) -> None:
    alone = ASKED.to_json() | {"report": ["train_loss"]}
    link = http.post("/api/v1/sweeps", json=alone).json()["boards"][0]["href"]
    assert http.get(link).json()["report"] == []


def test_the_csv_of_the_link_is_chosen_so(http: httpx.Client) -> None:
    lines = list(csv.DictReader(io.StringIO(http.get(f"/api/v1{PAGE}&format=csv").text)))
    assert {line["parameters"] for line in lines} == {"temperature=2.0"}
    assert list(dict.fromkeys(line["metric"] for line in lines)) == ["train_loss", "expected_loss"]


def test_the_pages_link_the_board_with_the_rule_and_say_it(engine: Engine, http: httpx.Client) -> None:
    html = http.get("/sweeps/1").text
    assert f'href="{PAGE.replace("&", "&amp;")}"' in html
    assert f'href="/boards/{KEY}"' not in html
    assert "Its board chooses settings by sampled loss ; expected loss reported beside it." in main_of(html)
    board = main_of(http.get(PAGE).text)
    assert "lowest mean sampled loss over seeds" in board
    assert "τ 2 · Adam" in board


def test_a_sweep_with_several_boards_links_each_with_the_rule(engine: Engine, http: httpx.Client) -> None:
    asked = ASKED.to_json()
    several = asked | {"task": asked["task"] | {"p": [2.0, 3.0]}}
    id = http.post("/api/v1/sweeps", json=several).json()["id"]
    links = re.findall(r'href="(/boards/[^"]*)"', http.get(f"/sweeps/{id}").text)
    assert len(links) == 6  # each board in the first lines, and beside its two cells
    assert all(link.endswith("?select=train_loss&amp;report=expected_loss") for link in links)


def test_a_board_by_another_rule_leads_back_to_the_default_of_its_task(http: httpx.Client) -> None:
    back = f'<a href="/boards/{KEY}">back to the default</a>'
    assert back in http.get(PAGE).text
    assert "The task’s default chooses by expected loss and reports sampled loss" in main_of(
        http.get(PAGE).text
    )
    for default in (f"/boards/{KEY}", f"/boards/{KEY}?select=expected_loss&report=train_loss"):
        assert "back to the default" not in http.get(default).text
    assert back in http.get(f"/boards/{KEY}?report=expected_loss").text


def test_choosing_by_a_reported_metric_swaps_the_two(http: httpx.Client) -> None:
    choices = re.findall(r'class="button" href="([^"]*)"', http.get(f"/boards/{KEY}").text)
    assert PAGE.replace("&", "&amp;") in choices
    assert f"/boards/{KEY}" in re.findall(r'class="button" href="([^"]*)"', http.get(PAGE).text)


@pytest.mark.parametrize(
    "query", ["select=train_los", "report=train_los", "report=expected_loss&report=train_los"]
)
def test_an_unknown_metric_is_a_problem_that_names_those_there_are(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/api/v1/boards/{KEY}?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"] == (
        "task 'polynomial' has no metric 'train_los'; it has expected_loss, train_loss. "
        "Did you mean 'train_loss'?"
    )
    page = http.get(f"/boards/{KEY}?{query}", headers={"Accept": "text/html"})
    assert page.status_code == 422
    assert "expected_loss, train_loss" in page.text


def test_submit_and_status_lead_to_the_boards_of_the_sweep(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heunboard(monkeypatch, "submit", "-", "--wait") == 0
    out = capsys.readouterr().out
    assert f"heunboard board {KEY[:8]} --sweep 2 " in out
    assert f"{url}{PAGE}\n" in out
    assert heunboard(monkeypatch, "status", "1") == 0
    assert f"heunboard board {KEY[:8]} --sweep 1 " in capsys.readouterr().out


def test_the_board_command_shows_the_boards_of_a_sweep(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heunboard(monkeypatch, "board", KEY[:8], "--sweep", "1", "--json") == 0
    with Client(url) as client:
        asked = client.board(KEY, select="train_loss", report=["expected_loss"])
        assert json.loads(capsys.readouterr().out) == to_jsonable_python(asked)
        assert client.sweep_boards(1) == [asked]
    assert heunboard(monkeypatch, "board", "--sweep", "1") == 0
    out = capsys.readouterr().out
    header, row = (line.split() for line in out.splitlines() if line.startswith(("rank", "1 ")))
    assert " ".join(header).startswith(
        "rank estimator setting Sampled loss 95 % interval to best Expected loss"
    )
    assert "3.0000 ± 0 3.0000 to 3.0000 best 2.0000 ± 0" in " ".join(row)
    assert "(the task's default: --select expected_loss)" in out
    assert heunboard(monkeypatch, "board", "--sweep", "1", "--select", "expected_loss", "--json") == 0
    assert temperature(json.loads(capsys.readouterr().out)[0]) == 1.0


def test_a_board_that_is_not_the_sweeps_is_wrong_input(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heunboard(monkeypatch, "board", "zz", "--sweep", "1") == 2
    assert "sweep 1 has no board 'zz'" in re.sub(r"[\s│]+", " ", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("split", "label"),
    [("train", ""), ("valid", "chosen by a validation metric"), ("test", "chosen on the test set")],
)
def test_a_choice_by_held_out_data_is_labelled_everywhere(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    split: Split,
    label: str,
) -> None:
    info = tasks.get("polynomial")
    held_out = Metric(
        name="train_loss", title="Held-out loss", unit="", goal="minimize", split=split, description=""
    )
    changed = dataclasses.replace(info, metrics=(info.metrics[0], held_out))
    monkeypatch.setattr(tasks, "get", lambda _: changed)
    labels = {"chosen by a validation metric", "chosen on the test set"}

    def said(text: str) -> set[str]:
        return {one for one in labels if one in text}

    answers = [httpx.get(f"{url}/api/v1{path}", timeout=LIMIT_SECONDS).json() for path in (PAGE, "/sweeps/1")]
    assert [answer["select_label"] for answer in answers] == [label, label]
    lines = csv.DictReader(
        io.StringIO(httpx.get(f"{url}/api/v1{PAGE}&format=csv", timeout=LIMIT_SECONDS).text)
    )
    assert {line["select_label"] for line in lines} == {label}
    assert heunboard(monkeypatch, "board", "--sweep", "1") == 0
    expected = {label} - {""}
    assert said(capsys.readouterr().out) == expected
    for path in (PAGE, "/sweeps/1"):
        assert said(httpx.get(f"{url}{path}", timeout=LIMIT_SECONDS).text) == expected
    board = httpx.get(f"{url}/boards/{KEY}", timeout=LIMIT_SECONDS).text
    assert said(board) == set()  # the default chooses on training data


def test_a_board_whose_task_is_not_installed_says_so(
    engine: Engine, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "available", lambda: ("gdas",))
    answer = http.get(f"/api/v1{PAGE}")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "the task 'polynomial' of this board is not installed here; its results are kept",
    )
    assert http.get("/sweeps/1").status_code == 200
    assert "polynomial" in http.get("/").text


def test_the_task_chooses_where_nobody_says(engine: Engine) -> None:
    board = show_board(engine, KEY)
    assert (board.select, board.report) == (board.default_select, board.default_report)
    assert (board.default_select, board.default_report) == ("expected_loss", ["train_loss"])


def temperature(board: dict[str, Any]) -> float:
    """The setting of the only row."""
    (row,) = board["rows"]
    chosen: float = row["setting"]["parameters"]["temperature"]
    return chosen

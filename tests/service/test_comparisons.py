"""Estimators against each other: the API, the page, the command and the client."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from service.client import Client
from service.exit_status import ExitStatus
from service.storage import migrations
from tests.support.databases import engine_of
from tests.support.scores import score
from tests.support.web import InProcess, application, browser_of, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

REINMAX = [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
ST = [5.0, 6.2, 6.8, 8.1, 8.9, 10.0]
"""Worse by 1.0, 1.2, 0.8, 1.1, 0.9, 1.0: mean 1, sample variance 0.02."""
GST = [4.3, 5.5, 5.5, 7.2, 7.8, None]
T_5 = 2.570582


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(f"sqlite:///{tmp_path / 'compare.sqlite'}") as engine:
        migrations.upgrade(engine)
        yield engine


@pytest.fixture
def board(engine: Engine) -> str:
    return score(engine, {("reinmax", 1.0): REINMAX, ("st", 1.0): ST, ("gst", 1.0): GST})


@pytest.fixture
def http(engine: Engine) -> httpx.Client:
    return browser_of(application(engine))


def answer(http: httpx.Client, board: str, query: str) -> dict[str, Any]:
    found = http.get(f"/api/v1/boards/{board}/compare?{query}")
    assert found.status_code == 200, found.text
    document: dict[str, Any] = found.json()
    return document


def test_numbers_by_hand(http: httpx.Client, board: str) -> None:
    found = answer(http, board, "a=reinmax&b=st")
    (one,) = found["comparisons"]
    assert found["metric"]["name"] == found["select"] == "expected_loss"
    assert [pair["better_by"] for pair in one["pairs"]] == pytest.approx([1.0, 1.2, 0.8, 1.1, 0.9, 1.0])
    half = T_5 * (0.02 / 6) ** 0.5
    assert (one["mean"], one["low"], one["high"]) == pytest.approx((1.0, 1.0 - half, 1.0 + half), rel=1e-6)
    assert (one["p_value"], one["test"]) == (pytest.approx(2 / 2**6), "permutation")
    assert (one["verdict"], one["regression"], one["no_worse"]) == ("better", False, True)
    assert one["sentence"] == (
        "ReinMax is better than Straight-through in expected loss. Over 6 common seeds the mean of ReinMax "
        "is lower by 1.00 (95 % interval 0.85 to 1.15; permutation test, p = 0.031)."
    )


def test_what_is_worse_is_a_regression(http: httpx.Client, board: str) -> None:
    (one,) = answer(http, board, "a=st&b=reinmax")["comparisons"]
    assert (one["verdict"], one["regression"], one["mean"]) == ("worse", True, pytest.approx(-1.0))
    (inside,) = answer(http, board, "a=st&b=reinmax&margin=1.5")["comparisons"]
    assert (inside["verdict"], inside["regression"], inside["no_worse"]) == ("equivalent", False, True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("a=st&b=reinmax", "of Straight-through is higher by 1.00 (95 % interval 0.85 to 1.15;"),
        ("a=gst&b=reinmax", "higher by 0.06 (95 % interval −0.44 to 0.56;"),
        ("a=reinmax&b=gst", "lower by 0.06 (95 % interval −0.44 to 0.56;"),
    ],
)
def test_an_interval_is_of_what_the_words_name(http: httpx.Client, board: str, query: str, said: str) -> None:
    """Both have one sign and as many digits; ends below zero are in the other direction. GST less ReinMax is
    0.3, 0.5, -0.5, 0.2, -0.2: mean 0.06, sample variance 0.163."""
    (one,) = answer(http, board, query)["comparisons"]
    assert said in one["sentence"]


def test_a_seed_that_failed_here_only_is_a_regression(http: httpx.Client, board: str) -> None:
    (one,) = answer(http, board, "a=gst&b=reinmax")["comparisons"]
    assert (one["seeds"], one["failed_only_here"], one["verdict"]) == (5, [5], "undecided")
    assert one["regression"]
    assert "failed at seed 5, where ReinMax did not" in one["sentence"]
    (back,) = answer(http, board, "a=reinmax&b=gst")["comparisons"]
    assert (back["failed_only_here"], back["regression"]) == ([], False)
    assert back["detectable"] > 0
    assert back["seeds_needed"] > 5


def test_several_share_their_error(http: httpx.Client, board: str) -> None:
    found = answer(http, board, "a=reinmax&b=st&b=gst")
    assert [one["other"]["estimator"] for one in found["comparisons"]] == ["st", "gst"]
    assert all(one["p_adjusted"] >= one["p_value"] for one in found["comparisons"])
    assert "by Holm" in found["comparisons"][0]["sentence"]


def test_settings_are_compared_by_their_keys_and_metrics_by_name(engine: Engine, http: httpx.Client) -> None:
    board = score(engine, {("st", 1.0): [3.0, 4.0, 5.0], ("st", 2.0): [1.0, 3.0, 2.0]})
    cells = http.get(f"/api/v1/boards/{board}/cells").json()["cells"]
    first, second = (cell["cell"] for cell in cells)
    found = answer(http, board, f"a={first[:8]}&b={second}&metric=train_loss")
    assert found["first"]["setting"]["parameters"] == {"temperature": 1.0}
    assert found["first"]["settings_tried"] is None
    (one,) = found["comparisons"]
    assert [pair["better_by"] for pair in one["pairs"]] == [-4.0, -2.0, -6.0]
    assert "Straight-through at τ 1 · Adam 1e−3" in one["sentence"]


def test_the_same_estimator_on_two_boards(engine: Engine, http: httpx.Client, board: str) -> None:
    task = {"id": "polynomial", "latents": 8, "epochs": 2, "steps_per_epoch": 5}
    other = score(engine, {("st", 1.0): [6.0, 7.2, 7.8, 9.1, 9.9, 11.0]}, task=task, name="other")
    found = answer(http, board, f"a=st&b=st&board={other}")
    (one,) = found["comparisons"]
    assert (one["other"]["board"], one["mean"], one["sd"]) == (other, pytest.approx(1.0), pytest.approx(0.0))
    assert any("different boards" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("a=reinmax&b=sst", 404, "Did you mean 'st'?"),
        ("a=reinmax&b=st@7", 404, "no setting of 'st@7' has enough results"),
        ("a=reinmax&b=reinmax", 422, "compared with itself"),
        ("a=reinmax&b=st&margin=-1", 422, "greater than or equal to 0"),
        ("a=reinmax&b=st&margin=nan", 422, "margin"),
        ("a=reinmax&b=st&metric=elbo", 422, "no metric 'elbo'"),
        ("a=reinmax", 422, "/query/b"),
        ("a=reinmax&b=st&board=none", 404, "no board 'none'"),
    ],
)
def test_what_cannot_be_compared_is_told(
    http: httpx.Client, board: str, query: str, status: int, words: str
) -> None:
    found = http.get(f"/api/v1/boards/{board}/compare?{query}")
    assert found.status_code == status
    assert words in found.json()["detail"]


def test_an_answer_has_an_entity_tag(http: httpx.Client, board: str) -> None:
    path = f"/api/v1/boards/{board}/compare?a=reinmax&b=st"
    tag = http.get(path).headers["etag"]
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 304


def page(http: httpx.Client, path: str) -> str:
    found = http.get(path, headers={"Accept": "text/html"})
    assert found.status_code == 200, found.text
    return found.text


def test_the_page_shows_a_line_a_seed_and_says_what_follows(http: httpx.Client, board: str) -> None:
    source = page(http, f"/boards/{board}/compare?a=reinmax&b=st")
    assert source.count('<line class="seed') == 6
    assert 'aria-label="ReinMax is better than Straight-through at 6 of 6 seeds"' in source
    assert "ReinMax is better than Straight-through in expected loss." in source
    assert f"heunboard compare reinmax st --board {board[:12]} --fail-on regression" in source
    assert "style=" not in source
    assert page(http, f"/boards/{board}/compare").count('<line class="seed') >= 5  # of the two best


def test_the_page_of_a_board_with_one_estimator_says_what_is_missing(
    engine: Engine, http: httpx.Client
) -> None:
    board = score(engine, {("st", 1.0): [1.0, 2.0]})
    assert "it takes two estimators with results" in page(http, f"/boards/{board}/compare")


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command against a server; returns its status and what it printed."""
    from service.cli import main

    with served(application(engine)) as url:

        def command(*arguments: str) -> tuple[int, str]:
            monkeypatch.setattr("sys.argv", ["heunboard", *arguments, "--url", url])
            with pytest.raises(SystemExit) as ended:
                main()
            return int(ended.value.code or 0), capsys.readouterr().out

        yield command


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["st", "reinmax"], 0),
        (["st", "reinmax", "--fail-on", "regression"], ExitStatus.FOUND),
        (["reinmax", "st", "--fail-on", "regression"], 0),
        (["reinmax", "st", "--fail-on", "undecided"], 0),
        (["reinmax", "gst", "--fail-on", "undecided"], ExitStatus.FOUND),
        (["st", "reinmax", "--margin", "1.5", "--fail-on", "undecided"], 0),
        (["reinmax", "nobody"], 2),
    ],
)
def test_the_command_ends_as_continuous_integration_needs_it(
    run: Run, board: str, arguments: list[str], status: int
) -> None:
    assert run("compare", *arguments, "--board", board[:8])[0] == status


def test_the_command_prints_the_verdict_or_the_answer(run: Run, board: str) -> None:
    _, text = run("compare", "reinmax", "st", "--board", board)
    assert re.search(r"Straight-through +better +\+1\.00 +\+0\.85 to \+1\.15 +0\.031 +6", text)
    assert "ReinMax is better than Straight-through" in text
    _, text = run("compare", "reinmax", "st", "--board", board, "--json")
    assert json.loads(text)["comparisons"][0]["verdict"] == "better"


def test_the_client_compares(engine: Engine, board: str) -> None:
    with Client("http://127.0.0.1", transport=InProcess(application(engine))) as client:
        found = client.compare("reinmax", "st", "gst", board=board, margin=2.0)
    assert [one.verdict for one in found.comparisons] == ["equivalent", "equivalent"]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH: apt-get install chromium")
def test_the_page_is_chosen_on_without_scripts_and_fits_a_phone(engine: Engine, board: str) -> None:
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with served(application(engine)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800})
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.goto(f"{url}/boards/{board}/compare?a=reinmax&b=st")
        tab.get_by_label("Margin").fill("1.5")
        tab.get_by_text("Against 1 of 3").click()
        tab.get_by_role("checkbox", name="Gapped straight-through").check()
        tab.get_by_role("button", name="Compare").click()
        assert tab.locator("tbody .chip").all_inner_texts()[:2] == ["≈ equivalent", "≈ equivalent"]
        assert "margin=1.5" in tab.url
        width = tab.locator("html").bounding_box()
        assert width is not None
        assert width["width"] <= 390
        browser.close()
    assert complaints == []

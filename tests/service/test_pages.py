"""What pages say, and how numbers are written on them."""

from __future__ import annotations

import math
import re

import pytest
from sqlalchemy import Engine

from service.cli import boards as cli_boards
from service.client import Board
from service.resources import numbers
from service.resources.board_schemas import ReferenceNumber, SeedValue, Summary
from service.resources.labels import metric_label
from service.resources.schemas import MetricInfo
from service.web import leaderboard, rail
from tests.support.answers import filled
from tests.support.boards import board_row
from tests.support.sweeps import small_sweep
from tests.support.web import application, browser_of, compute, fail


def text_of(engine: Engine, path: str) -> str:
    """A page without tags, blanks run together."""
    answer = browser_of(application(engine)).get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    body = answer.text.partition("<main")[2]
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]*>", " ", body, flags=re.S))


def board_id(engine: Engine) -> str:
    """The only board."""
    (link,) = browser_of(application(engine)).get("/api/v1/boards").json()["boards"]
    id: str = link["id"]
    return id


@pytest.mark.parametrize(
    ("value", "half", "expected"),
    [
        (125.08, 0.485, ("125.", "08")),
        (125.08, 0.0485, ("125.0", "80")),
        (0.20301, 0.00012, ("0.203", "01")),
        (162.3, 30.0, ("1", "62")),
        (162.3, 300.0, ("", "162")),
        (1234.5, 45.0, ("1,2", "34")),
        (-3.14159, 0.01, ("−3.1", "42")),
        (9.995, 1.0, ("1", "0.0")),
        (0.25, None, ("0.25000", "")),
        (0.25, 0.0, ("0.25000", "")),
    ],
)
def test_uncertain_digits(value: float, half: float | None, expected: tuple[str, str]) -> None:
    assert numbers.split_digits(value, half) == expected


@pytest.mark.parametrize(
    ("value", "signed", "expected"),
    [(-1e-9, True, "0.00000"), (2e-5, True, "+0.00002"), (-2e-5, False, "−0.00002"), (math.inf, False, "–")],
)
def test_signs(value: float, signed: bool, expected: str) -> None:
    assert numbers.text(value, 5, signed=signed) == expected


@pytest.mark.parametrize(
    ("lr", "expected"), [(5e-4, "5e−4"), (1e-3, "1e−3"), (0.01, "0.01"), (1.5e-5, "1.5e−5")]
)
def test_learning_rates(lr: float, expected: str) -> None:
    assert numbers.rate(lr) == expected


def test_setting_in_one_line() -> None:
    assert numbers.setting({"temperature": 1.3}, "radam", 5e-4, "float32") == "τ 1.3 · RAdam 5e−4"
    assert numbers.setting({}, "adam", 1e-3, "float32") == "Adam 1e−3"
    assert numbers.setting({}, "adam", 1e-3, "tf32") == "Adam 1e−3 · TF32"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, ""), (47.6, "48 s"), (59.7, "1 min 0 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert numbers.duration(seconds) == expected


def test_an_outlier_stands_at_the_end_of_the_rail() -> None:
    seeds = [SeedValue(seed=i, value=v, outlier=v > 20) for i, v in enumerate([10.0, 12.0, 90.0])]
    summary = Summary(
        n=3, mean=12.0, sd=1.0, low=9.0, high=200.0, median=12.0, interquartile_mean=12.0, seeds=seeds
    )
    axis = rail.Axis(low=10.0, high=14.0)
    laid = rail.rail(summary, axis, [])
    assert laid.seeds == (8.0, 100.0)
    assert laid.far == (192.0,)
    assert laid.interval == (8.0, 192.0)
    assert laid.cut == (8.0, 192.0)


@pytest.mark.parametrize(
    ("low", "high", "cut"), [(10.0, 14.0, ()), (9.9, 14.0, (8.0,)), (10.0, 14.1, (192.0,))]
)
def test_an_interval_is_marked_where_it_goes_on_beyond_the_axis(
    low: float, high: float, cut: tuple[float, ...]
) -> None:
    seeds = [SeedValue(seed=i, value=v, outlier=False) for i, v in enumerate([11.0, 13.0])]
    summary = Summary(
        n=2, mean=12.0, sd=1.0, low=low, high=high, median=12.0, interquartile_mean=12.0, seeds=seeds
    )
    assert rail.rail(summary, rail.Axis(low=10.0, high=14.0), []).cut == cut


@pytest.mark.parametrize(("comparable", "high"), [("", 12.0), ("published after 160 epochs", 5.0)])
def test_only_comparable_references_stretch_the_axis(comparable: str, high: float) -> None:
    reference = ReferenceNumber(
        metric="loss",
        estimator=None,
        label="optimum",
        mean=12.0,
        sd=None,
        source="",
        comparable=comparable,
        difference=None,
    )
    seeds = [SeedValue(seed=i, value=v, outlier=False) for i, v in enumerate([3.0, 5.0])]
    summary = Summary(
        n=2, mean=4.0, sd=1.0, low=1.0, high=7.0, median=4.0, interquartile_mean=4.0, seeds=seeds
    )
    row = board_row({"loss": summary})
    axis = rail.axis_for([row], "loss", [reference])
    assert axis == rail.Axis(low=3.0 - 0.1 * (high - 3.0), high=high + 0.1 * (high - 3.0))


def test_nothing_there_says_what_to_do(engine: Engine) -> None:
    for path in ("/", "/sweeps"):
        assert "heunboard submit" in text_of(engine, path)


def test_board_page(engine: Engine) -> None:
    compute(engine, small_sweep(), {0: 1.0, 1: 2.0, 2: 6.0})
    text = text_of(engine, f"/boards/{board_id(engine)}")
    assert "lowest mean expected loss over seeds among the settings tried" in text
    assert "All rows: Adam 1e−3." in text
    assert "6 shown, 6 in the board" in text
    assert "Epoch" in text  # the curves as a table, for those who cannot see the picture


def test_board_page_names_outlying_seeds(engine: Engine) -> None:
    values = {0: 149.0, 1: 149.5, 2: 150.0, 3: 206.1, 4: 150.5, 5: 149.8, 6: 150.1}
    compute(engine, small_sweep(seeds=7), values)
    text = text_of(engine, f"/boards/{board_id(engine)}")
    assert "seed 3: 206.10, far from the median of 150.00; kept in the mean." in text


def test_board_page_of_another_choice(engine: Engine) -> None:
    compute(engine, small_sweep())
    text = text_of(engine, f"/boards/{board_id(engine)}?select=train_loss")
    assert "lowest mean sampled loss" in text


def test_sweep_page_shows_failures_escaped(engine: Engine) -> None:
    id = fail(engine, small_sweep(), error="Boom: <script>alert(1)</script>", traceback="File <b>x</b>")
    html = browser_of(application(engine)).get(f"/sweeps/{id}").text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "File &lt;b&gt;x" in html


def test_sweep_page_counts(engine: Engine) -> None:
    id = compute(engine, small_sweep())
    text = text_of(engine, f"/sweeps/{id}")
    assert "100 %" in text
    assert "6 succeeded" in text


def test_static_files_are_kept_for_good(engine: Engine) -> None:
    http = browser_of(application(engine))
    html = http.get("/").text
    (style,) = re.findall(r'href="(/static/style.css\?v=\w+)"', html)
    assert "immutable" in http.get(style).headers["cache-control"]
    assert "plotly.js" in http.get("/static/plotly.min.js").text[:300]


def test_no_page_asks_another_server(engine: Engine) -> None:
    id = compute(engine, small_sweep())
    http = browser_of(application(engine))
    for path in ("/", "/sweeps", f"/sweeps/{id}", f"/boards/{board_id(engine)}"):
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', http.get(path).text), path


@pytest.mark.parametrize(
    ("title", "inside"),
    [
        ("Train −ELBO", "train −ELBO"),
        ("Cell", "cell"),
        ("CIFAR-10 valid", "CIFAR-10 valid"),
        ("ImageNet16-120 test", "ImageNet16-120 test"),
    ],
)
def test_a_metric_inside_a_sentence_keeps_the_capitals_of_names(title: str, inside: str) -> None:
    info = MetricInfo(name="m", title=title, unit="", goal="minimize", split="train", description="")
    assert metric_label(info) == inside


def test_footnotes_give_seeds_and_slips() -> None:
    assert numbers.origin("Doe, Table 2.", n=None, slip="") == "Doe, Table 2"
    assert numbers.origin("Doe, Table 2", n=1, slip="") == "Doe, Table 2, 1 seed"
    assert (
        numbers.origin("Doe, Table 2", n=10, slip="printed as 104.")
        == "Doe, Table 2, 10 seeds; known slip: printed as 104"
    )


def test_a_slip_gets_a_footnote_of_its_own_on_page_and_command_line() -> None:
    table = [_printed("st", 104.0, slip="printed as 104"), _printed("stgs", 99.3), _printed("gst", 98.3)]
    board = filled(Board, {"rows": [{"references": [r]} for r in table], "select": "loss"})
    origins = ["Doe, Table 2, 10 seeds; known slip: printed as 104", "Doe, Table 2, 10 seeds"]
    assert sorted(cli_boards.source_lines(board)) == sorted(f"Table 2: {origin}." for origin in origins)
    notes = leaderboard.footnotes(table)
    assert [leaderboard.footnote(r, mark) for r, mark in notes] == [
        {"mark": mark, "label": "Table 2", "source": origin, "comparable": ""}
        for mark, origin in zip("*†", origins, strict=True)
    ]


def _printed(estimator: str, mean: float, slip: str = "") -> ReferenceNumber:
    return ReferenceNumber(
        metric="loss",
        estimator=estimator,
        label="Table 2",
        mean=mean,
        sd=0.4,
        source="Doe, Table 2",
        comparable="",
        n=10,
        slip=slip,
        difference=None,
    )

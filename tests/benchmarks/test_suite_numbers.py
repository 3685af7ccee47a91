"""Numbers of the suites: every printed one once, slips marked, claims about what the tiers compute."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.commands.efficiency.cases import CONTENDERS, PROBLEMS
from benchmarks.spec import Component
from benchmarks.suites import reading, schema
from benchmarks.suites.checking import Row
from benchmarks.suites.reading import Exhibit
from benchmarks.sweep import Sweep, read_sweep
from benchmarks.tasks import registry as tasks
from estimators import registry as estimators
from estimators.info import Value

REINMAX = reading.get("reinmax-2023")
PRINTED = {
    "1": (10, 668.38, 11.80, 3680.09),
    "2": (35, 3755.06, 14.29, 67579.80),
    "3": (28, 5300.00, 0.00, 130031.80),
    "4": (12, 804.03, 12.64, 4421.49),
    "5": (7, 720.72, 2.76, 2875.68),
    "6": (27, 4063.38, 4.05, 57412.99),
    "9": (35, 3831.45, 14.70, 69056.41),
    "10": (35, 3828.73, 12.95, 68975.54),
    "11": (35, 3769.02, 12.88, 67880.01),
}
"""Table -> how many numbers are printed, their sum, that of their spreads, and the first + 2 x the second
and so on, which two that change places would change; gigabytes as 1000 megabytes."""
CLAIMS = [
    pytest.param(exhibit, test, id=f"{exhibit.name}-{i}-{j}")
    for id in reading.available()
    for exhibit in reading.get(id).exhibits.values()
    for i, claim in enumerate(exhibit.file.claims)
    for j, test in enumerate(claim.tests)
]


def rows() -> list[Row]:
    """Of all files with printed numbers."""
    files = sorted(path.name for path in REINMAX.folder.glob("*.csv"))
    return [row for file in files for row in REINMAX.table(file) if "table" in row]


def test_every_printed_number_is_there_once() -> None:
    every = rows()
    assert len(every) == 224
    for table, (count, total, spread, weighted) in PRINTED.items():
        found = [row for row in every if row["table"] == table]
        assert len(found) == count
        assert sum(float(row["mean"]) for row in found) == pytest.approx(total, abs=1e-6)
        places = enumerate(found, start=1)
        assert sum(i * float(row["mean"]) for i, row in places) == pytest.approx(weighted, abs=1e-6)
        assert sum(float(row.get("sd") or 0) for row in found) == pytest.approx(spread, abs=1e-6)
    names = (
        "table",
        "dataset",
        "problem",
        "categories",
        "latents",
        "samples",
        "estimator",
        "num_draws",
        "metric",
    )
    counts = Counter(tuple(row.get(name) for name in names) for row in every)
    assert set(counts.values()) == {1}


def test_every_exhibit_shows_its_own_table_and_every_row_is_shown() -> None:
    """A row without a section would be seen by nobody."""
    for table in PRINTED:
        exhibit = REINMAX.exhibits[f"table{table}"]
        own = [one for one in exhibit.file.published if one.label == f"Table {table}"]
        shown = [
            row
            for section in own
            for row in REINMAX.table(section.file)
            if row["table"] == table and all(row[name] == value for name, value in section.where.items())
        ]
        assert len(shown) == PRINTED[table][0]


def test_known_slips_are_marked() -> None:
    marked = {
        (row["table"], row["estimator"], row.get("categories"), row.get("latents"))
        for row in rows()
        if row.get("slip")
    }
    assert marked == {
        ("2", "stgs", "64", "8"),
        ("2", "st", "4", "24"),
        ("2", "gst", "", ""),
        ("5", "st", "64", "32"),
        ("5", "reinmax", "64", "32"),
        ("9", "stgs", "8", "16"),
        ("9", "st", "10", "30"),
        ("10", "reinmax", "64", "8"),
        ("11", "st", "8", "4"),
    }
    for table in {table for table, *_ in marked}:
        assert REINMAX.exhibits[f"table{table}"].file.slips


def test_means_with_a_collapsed_seed_say_so_and_what_the_others_reach() -> None:
    """Nine values at a, one at a + D: mean a + D / 10 and sd D / sqrt(10), so a = mean - sd / sqrt(10)."""
    logs = [row for row in REINMAX.table("public_logs.csv") if row["estimator"] == "st"]
    wide = [row for row in logs if float(row["sd"]) > 6]
    assert {(row["categories"], row["latents"]) for row in wide} == {("8", "4")}
    assert [int(row["epochs"]) for row in wide] == [1, 1, 2, 2, 5, 5, 10, 10, 20, 20]
    for row in wide:
        others = float(row["mean"]) - float(row["sd"]) / math.sqrt(10)
        words = f"one seed of ten collapsed; by mean and spread the other nine are at about {others:.1f}"
        assert row["slip"] == words
    assert [row for row in logs if "collapsed" in row["slip"]] == wide


@pytest.mark.parametrize("table", ["2", "9", "10", "11"])
def test_averages_are_those_of_the_six_cells(table: str) -> None:
    """To half a unit of the last place; 104 stands for the 104.02 that Table 11 has."""
    wrong = set()
    for id in ("st", "stgs", "gumbel_rao", "gst", "reinmax"):
        found = [row for row in rows() if row["table"] == table and row["estimator"] == id]
        cells = [104.02 if row["mean"] == "104" else float(row["mean"]) for row in found if row["latents"]]
        (printed,) = [float(row["mean"]) for row in found if not row["latents"]]
        assert len(cells) == 6
        if abs(sum(cells) / 6 - printed) > 0.005 + 1e-9:
            wrong.add(id)
    assert wrong == ({"gst"} if table == "2" else set())


def test_winners_are_those_of_table_8() -> None:
    with (Path(__file__).parent / "data" / "reinmax_table_8.csv").open(encoding="utf-8") as file:
        published = {
            (row["categories"], row["latents"], row["estimator"]): _winner(row)
            for row in csv.DictReader(file)
        }
    found = {
        (str(cell.task.values["categories"]), str(cell.task.values["latents"]), cell.estimator.id): (
            cell.optimizer.id,
            cell.lr,
            cell.estimator.values["temperature"],
        )
        for sweep in _sweeps(REINMAX.exhibits["table2"], "winners")
        for cell in sweep.cells()
    }
    assert found == published
    (listops,) = _sweeps(REINMAX.exhibits["table1"], "winners")
    settings = {c.estimator.id: (c.lr, c.estimator.values["temperature"]) for c in listops.cells()}
    assert settings == {
        "st": (1e-3, 1.4),
        "stgs": (5e-4, 0.1),
        "gumbel_rao": (5e-4, 0.3),
        "gst": (1e-3, 0.1),
        "reinmax": (7e-4, 1.1),
    }
    assert {c.optimizer.id for c in listops.cells()} == {"radam"}


def _winner(row: Row) -> tuple[str, float, float]:
    return row["optimizer"], float(row["lr"]), float(row["temperature"])


def _sweeps(exhibit: Exhibit, name: str) -> Iterator[Sweep]:
    """Of a list, as a tier without changes would have them."""
    for document in exhibit.lists[name]:
        yield read_sweep({"name": name, **document})


@pytest.mark.parametrize(("exhibit", "test"), CLAIMS)
def test_claims_speak_of_what_is_computed(exhibit: Exhibit, test: schema.TestSection) -> None:
    named = {test.estimator, *test.than} - {None}
    if exhibit.file.command:
        assert named <= {contender.name for contender in CONTENDERS}
        assert test.metric in ("seconds", "megabytes")
        assert all(board["problem"] in {problem.name for problem in PROBLEMS} for board in test.boards)
        return
    boards = _boards(exhibit, test)
    assert boards
    for task, (sweep, found) in boards.items():
        assert named <= found
        info = tasks.get(task.id)
        assert info.metric(test.metric) or (test.metric.startswith("gradient.") and sweep.diagnostics)
        labels = {one.label for one in info.references(task.values)}
        assert {bound for bound in (test.low, test.high) if isinstance(bound, str)} <= labels
    if test.parameter:
        assert test.parameter in {p.name for p in estimators.get(str(test.estimator)).parameters}


def _boards(exhibit: Exhibit, test: schema.TestSection) -> dict[Component, tuple[Sweep, set[str]]]:
    """The boards of the published tier that a claim speaks of, with their estimators."""
    found: dict[Component, tuple[Sweep, set[str]]] = {}
    for sweep in exhibit.sweeps("full"):
        for cell in sweep.cells():
            if not test.boards or any(_within(board, cell.task.values) for board in test.boards):
                found.setdefault(cell.task, (sweep, set()))[1].add(cell.estimator.id)
    return found


def _within(board: dict[str, str | int | float], values: dict[str, Value]) -> bool:
    return all(values[name] == value for name, value in board.items())


@pytest.mark.parametrize("id", reading.available())
def test_every_claim_has_one_metric(id: str) -> None:
    """Its parts are judged in the same draws of the same numbers."""
    for exhibit in reading.get(id).exhibits.values():
        for claim in exhibit.file.claims:
            assert len({test.metric for test in claim.tests}) == 1


@pytest.mark.parametrize("id", reading.available())
def test_margins_are_of_reported_metrics(id: str) -> None:
    for exhibit in reading.get(id).exhibits.values():
        assert set(exhibit.file.margins) <= set(exhibit.file.report)

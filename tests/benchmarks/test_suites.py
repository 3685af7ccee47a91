"""Suites as data: files, tiers, published numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.suites import checking, costs, published, reading
from benchmarks.suites.schema import Tier
from benchmarks.sweep import SpecError

EXHIBITS = [
    (exhibit.name, tier)
    for id in reading.available()
    for exhibit in reading.get(id).exhibits.values()
    for tier in exhibit.file.tiers
]


@pytest.mark.parametrize("id", reading.available())
def test_nothing_is_wrong_with_the_suites_of_this_project(id: str) -> None:
    assert reading.mistakes(reading.get(id).folder) == []


def test_what_a_command_measures_is_what_is_checked() -> None:
    assert checking.COMMAND_METRICS["efficiency"] == costs.METRICS


@pytest.mark.parametrize(("name", "tier"), EXHIBITS)
def test_every_tier_has_valid_sweeps(name: str, tier: Tier) -> None:
    exhibit = reading.exhibit(name)
    sweeps = exhibit.sweeps(tier)
    assert sweeps or exhibit.file.command
    assert {sweep.metric for sweep in sweeps} <= {exhibit.file.select}


@pytest.mark.parametrize(("name", "tier"), EXHIBITS)
def test_every_tier_but_the_published_one_says_what_it_changes(name: str, tier: Tier) -> None:
    assert tier == "full" or reading.exhibit(name).tier(tier).changes


@pytest.mark.parametrize("name", dict.fromkeys(name for name, _ in EXHIBITS))
def test_every_exhibit_has_a_short_a_longer_and_the_published_tier(name: str) -> None:
    assert {"smoke", "reduced", "full"} <= set(reading.exhibit(name).file.tiers)


def test_the_grid_of_table_2_is_as_large_as_published() -> None:
    sweeps = reading.exhibit("reinmax-2023/table2").sweeps("full")
    assert [sweep.count() for sweep in sweeps] == [5 * 80 * 10] * 6
    (board, *_) = sweeps[0].boards()
    assert board.values["epochs"] == 160


def test_a_tier_merges_the_task_and_replaces_the_rest() -> None:
    (sweep,) = reading.exhibit("reinmax-2023/table2").sweeps("reduced")
    (board,) = sweep.boards()
    assert {name: board.values[name] for name in ("categories", "latents", "epochs")} == {
        "categories": 8,
        "latents": 4,
        "epochs": 10,
    }
    assert sweep.seeds == (0, 1, 2)


def test_numbers_of_another_budget_are_shown_and_not_comparable() -> None:
    (sweep,) = reading.exhibit("reinmax-2023/table2").sweeps("reduced")
    (board,) = sweep.boards()
    found = {(r.metric, r.estimator, r.label): r for r in published.references(board)}
    table = found["train_neg_elbo", "reinmax", "Table 2"]
    assert (table.mean, table.sd, table.n) == (124.66, 0.88, 10)
    assert table.comparable == "published after 160 epochs, here 10"
    logs = found["train_neg_elbo", "reinmax", "public logs, epoch 10"]
    assert (logs.mean, logs.comparable, logs.exhibit) == (139.831, "", "reinmax-2023/table2")


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(KeyError, match=r"did you mean 'reinmax-2023'\?"):
        reading.get("reinmax-2022")
    with pytest.raises(KeyError, match=r"did you mean 'table2'\?"):
        reading.exhibit("reinmax-2023/tabel2")
    with pytest.raises(KeyError, match="has no tier 'ful'; it has smoke, reduced"):
        reading.exhibit("reinmax-2023/table2").tier("ful")


def test_a_wrong_file_is_told_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "suite.yaml").write_text("title: T\nexhibits: []\nauthor: A\n")
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
    assert "mine" in reading.available()
    with pytest.raises(SpecError) as refused:
        reading.get("mine")
    places = {issue.path for issue in refused.value.issues}
    assert {"/author", "/authors", "/exhibits", "/url"} <= places


def test_a_folder_that_is_not_there_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.FOLDERS, f"{tmp_path}{os.pathsep}{tmp_path / 'nowhere'}")
    assert reading.missing() == [str(tmp_path / "nowhere")]

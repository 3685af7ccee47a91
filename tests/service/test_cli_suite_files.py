"""``heunboard suite check``, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.suites import reading
from service.cli.main import app
from tests.support.suites import COSTS, COSTS_TABLE, FIGURE, tiny_suite

BUILT_IN = Path(reading.__file__).parent


def check(folder: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["suite", "check", str(folder)])
    return result.exit_code, result.output.splitlines()


def test_a_good_suite_is_counted(tmp_path: Path) -> None:
    folder = tiny_suite(tmp_path, costs=COSTS, table3=COSTS_TABLE)
    said = f"{folder}: 3 exhibits, 7 tiers, 6 published numbers: nothing wrong"
    assert check(folder) == (0, [said])


def test_mistakes_are_listed_with_file_place_and_nearest_name(tmp_path: Path) -> None:
    tiny_suite(tmp_path, "good")
    wrong = FIGURE.replace("kind: best, metric: expected_loss", "kind: best, metric: expected_los")
    tiny_suite(tmp_path, "bad", figure1=wrong)
    status, lines = check(tmp_path)
    assert status == 1
    assert lines[0] == (
        "bad/figure1.yaml /claims/0/tests/0/metric: unknown metric 'expected_los'; there are expected_loss, "
        "train_loss. Did you mean 'expected_loss'?"
    )
    assert lines[1].startswith(f"{tmp_path / 'good'}: 3 exhibits")


@pytest.mark.parametrize("id", ["beyond-reinmax-2026", "reinmax-2023"])
def test_the_suites_of_this_project_pass(id: str) -> None:
    assert check(BUILT_IN / id)[0] == 0


def test_a_folder_without_a_suite_is_told(tmp_path: Path) -> None:
    status, lines = check(tmp_path)
    assert (status, lines[0].endswith("suite.yaml /: cannot be read: No such file or directory")) == (1, True)


def test_a_folder_that_is_not_there_is_warned_of_when_the_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path / "nowhere"))
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("service.processes.up.up", lambda *_: None)
    result = CliRunner().invoke(app, ["up"])
    said = f"warning HEUNBOARD_SUITES names {tmp_path / 'nowhere'}, which is no folder"
    assert said in " ".join(result.stderr.split("\n"))

"""Values on the command lines of the benchmarks: what came and what was expected."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.commands import arguments
from benchmarks.commands.agreement import main as agreement
from benchmarks.datasets.files import DatasetUnavailable


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (arguments.whole_number, "12", 12),
        (arguments.seconds, "0.5", 0.5),
        (arguments.device, "cpu", "cpu"),
    ],
)
def test_good_values(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "", "\u0661"])
def test_whole_numbers_start_at_one(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected a whole number from 1, got "):
        arguments.whole_number(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_seconds_are_finite_and_above_zero(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected a number of seconds above 0, got "):
        arguments.seconds(text)


@pytest.mark.parametrize("text", ["tpu", "meta", "cuda:x"])
def test_devices_are_processors_or_cuda(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected cpu, cuda or cuda:N, got "):
        arguments.device(text)


def test_a_cuda_device_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert arguments.device("cuda:1") == "cuda:1"
    with pytest.raises(ArgumentTypeError, match="finds CUDA devices 0 to 1 here, got 'cuda:2'; try cpu"):
        arguments.device("cuda:2")


def test_folders_of_files_are_made(tmp_path: Path) -> None:
    assert arguments.output_file(str(tmp_path / "a" / "b" / "c.json")).parent.is_dir()


def test_files_that_cannot_be_written_are_told_why(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=r"expected a file, .* is a folder"):
        arguments.output_file(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentTypeError, match=r"cannot make the folder .*: "):
        arguments.output_file(str(tmp_path / "file" / "c.json"))


def test_a_missing_data_set_is_told_once_and_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise DatasetUnavailable(f"no {name} here")

    monkeypatch.setattr("benchmarks.commands.agreement.load", missing)
    assert agreement([]) == 2
    assert capsys.readouterr().err == "no mnist here\n"

"""The table of lane-steps by width, end to end on a CPU."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.commands.speed import setups, widths
from benchmarks.commands.speed.widths import Line, main
from benchmarks.datasets.files import DatasetUnavailable
from benchmarks.datasets.loading import Images
from tests.benchmarks.test_speed_contest import POLYNOMIAL, VAE


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The command sets it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reinmax = {"id": "reinmax", "temperature": 1.0}
    cases = [POLYNOMIAL, dataclasses.replace(VAE, estimator=reinmax)]
    arguments = ["--device", "cpu", "--widths", "1", "3", "--rounds", "2", "--seconds", "0.02"]
    arguments += ["--only", "tiny-polynomial", "tiny-vae", "--json", str(tmp_path / "a" / "widths.json")]
    assert main(arguments, cases=cases) == 0
    lines = json.loads((tmp_path / "a" / "widths.json").read_text())["lines"]
    assert [(line["case"], line["width"]) for line in lines] == [
        ("tiny-polynomial", 1), ("tiny-polynomial", 3), ("tiny-vae", 1), ("tiny-vae", 3),
    ]  # fmt: skip
    for line in lines:
        assert len(line["lane_steps_per_second"]) == len(line["reference_steps_per_second"]) == 2
        assert min(line["lane_steps_per_second"] + line["reference_steps_per_second"]) > 0
        assert line["first_step_seconds"] > 0
    out = capsys.readouterr().out
    assert "CPU, one thread" in out
    assert out.count("tiny-vae") == 2


def test_the_ratio_is_of_rounds_that_followed_each_other() -> None:
    line = Line(
        case="x",
        width=8,
        lane_steps_per_second=(200.0, 18.0, 250.0),
        reference_steps_per_second=(100.0, 10.0, 100.0),
        first_step_seconds=1.0,
        peak_bytes=3_000_000,
        predicted_bytes=None,
    )
    assert line.ratio == 2.0
    assert "2.0x" in widths.shown(line)
    assert "3 MB" in widths.shown(line)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_the_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--device", "cuda"])
    assert "torch finds no CUDA device here, got 'cuda'; try cpu" in capsys.readouterr().err


def test_images_are_made_up_where_there_are_none() -> None:
    def missing() -> Images:
        raise DatasetUnavailable("no MNIST here")

    setup = widths._with_images(dataclasses.replace(VAE, setup=setups.VAE(images=missing))).setup
    assert isinstance(setup, setups.VAE)
    images = setup.images()
    assert (images.train.shape, images.test.shape) == ((6000, 784), (1000, 784))

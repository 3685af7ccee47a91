"""Lane-steps per second by width of a group: ``python -m benchmarks.commands.speed.widths``.

For every case and width: one group of so many lanes, compiled, on the device; beside it one trial in a plain
PyTorch loop on the same device, measured in turn with it. Needs torch and no Ray. Memory is printed beside
what the model of :mod:`benchmarks.engine.memory`, drawn through one and three lanes, predicts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmarks.commands.arguments import device, output_file, seconds, whole_number
from benchmarks.commands.speed.cases import CASES, Case
from benchmarks.commands.speed.setups import VAE
from benchmarks.commands.speed.side import cohort_of, lane_steps, reference_steps, work
from benchmarks.datasets.files import DatasetUnavailable
from benchmarks.datasets.loading import Images, random_images
from benchmarks.engine import memory
from benchmarks.tasks.categorical_vae.task import PIXELS

WIDTHS = (1, 8, 32, 64, 128)
NAMES = ("vae-8x4-reinmax", "vae-10x30-reinmax", "polynomial-reinmax")
_TRAIN, _TEST = 6000, 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One width of one case.

    Attributes:
        case: its name.
        width: lanes of the group.
        lane_steps_per_second: ours, one figure for each round.
        reference_steps_per_second: of one process, in the same rounds.
        first_step_seconds: until the first segment was done, compiling included.
        peak_bytes: of one step and evaluation, measured; ``None`` on a CPU.
        predicted_bytes: of the same, by the model; likewise.
    """

    case: str
    width: int
    lane_steps_per_second: tuple[float, ...]
    reference_steps_per_second: tuple[float, ...]
    first_step_seconds: float
    peak_bytes: int | None
    predicted_bytes: int | None

    @property
    def ratio(self) -> float:
        """Median over rounds of ours to one process."""
        pairs = zip(self.lane_steps_per_second, self.reference_steps_per_second, strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)


def main(arguments: Sequence[str] | None = None, *, cases: Sequence[Case] = CASES) -> int:
    """Measure and print; exit status 0."""
    options = _options(arguments, cases)
    torch.set_num_threads(1)
    chosen = [_with_images(case) for case in cases if case.name in options.only]
    lines = []
    sys.stdout.write(f"{device_name(options.device)}, torch {torch.__version__}\n{HEADER}\n")
    for case in chosen:
        rest = reference_steps(case, 0, device=options.device)
        work(rest, options.seconds, _clock(options.device))
        for width in options.widths:
            line = measure(case, width, rest, options.device, rounds=options.rounds, seconds=options.seconds)
            lines.append(line)
            sys.stdout.write(f"{shown(line)}\n")
            sys.stdout.flush()
    document = {
        "device": device_name(options.device),
        "torch": torch.__version__,
        "lines": [dataclasses.asdict(line) | {"ratio": line.ratio} for line in lines],
    }
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(f"JSON: {options.json}\n")
    return 0


def measure(
    case: Case, width: int, reference: Iterator[int], device: str, *, rounds: int, seconds: float
) -> Line:
    """One line of the table; both sides work in turn."""
    clock = _clock(device)
    peak, predicted = _memory(case, width, device)
    began = clock()
    ours = lane_steps(case, cohort_of(case, 0, device=device, lanes=width, width=width))
    next(ours)
    first = clock() - began
    work(ours, seconds, clock)  # warm up
    pairs = [(work(reference, seconds, clock), work(ours, seconds, clock)) for _ in range(rounds)]
    return Line(
        case=case.name,
        width=width,
        lane_steps_per_second=tuple(mine.steps / mine.seconds for _, mine in pairs),
        reference_steps_per_second=tuple(theirs.steps / theirs.seconds for theirs, _ in pairs),
        first_step_seconds=first,
        peak_bytes=peak,
        predicted_bytes=predicted,
    )


def _memory(case: Case, width: int, device: str) -> tuple[int | None, int | None]:
    """Peak of a group, measured and predicted."""
    place = torch.device(device)
    if place.type == "cpu":
        return None, None
    cohort = cohort_of(case, 0, device=device, lanes=1, width=1)

    def peak(lanes: int) -> int:
        return memory.peak_of(lambda: cohort.rehearse(lanes), place)

    return peak(width), memory.footprint(peak)(width)


def _clock(device: str) -> Callable[[], float]:
    """Seconds, after the device has finished all work that was queued."""
    if torch.device(device).type == "cpu":
        return time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def _with_images(case: Case) -> Case:
    """Made-up images where there is no MNIST: speed does not depend on what is in them."""
    try:
        case.setup.check()
    except DatasetUnavailable:
        return dataclasses.replace(case, setup=VAE(images=made_up_images))
    return case


def made_up_images() -> Images:
    """As many random images as the benchmark takes of MNIST."""
    return random_images(train=_TRAIN, test=_TEST, pixels=PIXELS)


def device_name(device: str) -> str:
    """As torch calls it."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, one thread, {torch.backends.cpu.get_cpu_capability()}"


HEADER = (
    f"{'case':20} {'lanes':>5} {'lane-steps/s':>13} {'one process/s':>14} {'ratio':>7} {'first step':>11} "
    f"{'peak':>9} {'predicted':>10}"
)


def shown(line: Line) -> str:
    """A line of the table."""
    mine = statistics.median(line.lane_steps_per_second)
    theirs = statistics.median(line.reference_steps_per_second)
    return (
        f"{line.case:20} {line.width:5} {mine:13,.0f} {theirs:14,.0f} {line.ratio:6.1f}x "
        f"{line.first_step_seconds:9.1f} s "
        f"{_megabytes(line.peak_bytes):>9} {_megabytes(line.predicted_bytes):>10}"
    )


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"


def _options(arguments: Sequence[str] | None, cases: Sequence[Case]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands.speed.widths", description=__doc__)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    names = [case.name for case in cases]
    parser.add_argument(
        "--device", type=device, default=default, help="a torch device, here by default %(default)s"
    )
    parser.add_argument(
        "--widths", type=whole_number, nargs="+", default=list(WIDTHS), help="lanes of a group"
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="CASE", default=[n for n in names if n in NAMES],
        help=f"cases: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=whole_number, default=3)
    parser.add_argument("--seconds", type=seconds, default=3.0, help="of each side in each round")
    parser.add_argument("--json", type=output_file, default="out/widths.json", help="default %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

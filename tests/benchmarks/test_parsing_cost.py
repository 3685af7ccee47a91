"""What reading a sweep file costs is bounded, whatever is in it: by its length and by the limits."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from benchmarks.sweep import SpecError, load_sweep, read_sweep
from benchmarks.sweep_file import issues, limits
from benchmarks.sweep_file.document import parse
from tests.benchmarks.test_sweep import minimal

SIZE = limits.MAX_BODY_BYTES - 4_000
CPU_SECONDS = 4.0
"""Each takes below half a second on one core; what is bounded took 12 s, or never ended."""

HEAD = "name: a\ntask: {id: polynomial, epochs: 2}\nseeds: 1\n"


def row(unit: str, size: int = SIZE) -> str:
    """As many repetitions as fit."""
    return unit * (size // len(unit))


def listed(count: int, text: str) -> str:
    """A list in brackets of ``count`` texts, each with its number filled in."""
    return "[" + ", ".join(text % number for number in range(1, count + 1)) + "]"


TEXTS = {
    "exclamation marks": row("!"),
    "a long tag": "!" + row("a") + " b",
    "a tag of escapes": "!<" + row("%41") + "> a",
    "directives": row("%X\n"),
    "scalars": "- 1\n" * 49_000,
    "anchors": "".join(f"- &a{number} x\n" for number in range(49_000)),
    "aliases": "a: &a x\nb: [" + row("*a,") + "]",
    "merges": "a: &a {x: 1}\n" + "".join(f"b{number}: {{<<: *a}}\n" for number in range(40_000)),
    "folded lines": "a: >\n" + row("  x\n"),
    "blank lines of a block": "a: |\n" + row("\n") + "  x",
    "a plain text of many lines": "a: " + row("x\n  "),
    "a quoted text of many lines": "a: '" + row("x\n\n ") + "'",
    "brackets": row("["),
    "braces": row("{a: "),
    "questions": row("? "),
    "dashes": row("- "),
    "documents": row("--- a\n"),
    "a long key": row("k") + ": 1",
    "unknown keys": "".join(f"k{number}: 1\n" for number in range(24_900)),
    "one key again and again": "k: 1\n" * 24_900,
    "an integer of a million digits": "seeds: " + "9" * 1_000_000,
    "an integer of a million digits in JSON": '{"seeds": ' + "9" * 1_000_000 + "}",
    "a large exponent": "seeds: 1e999999",
    "integers that Python reads": row("- " + "9" * 299 + "\n"),
    "brackets in JSON": '{"a":' + row("["),
    "numbers in JSON": '{"a": [' + row("1,") + "1]}",
    "one metric again and again": HEAD + "estimators: [st]\nreport: " + listed(45_000, "expected_loss%.0s"),
    "optimizers that cannot be counted": HEAD
    + "estimators: [st]\ngrid: {optimizer: {id: sgd, momentum: %s, weight_decay: %s, clip_norm: %s}}"
    % ((listed(999, "0.%04d"),) * 3),
    "many optimizers of many settings": HEAD
    + "estimators: ["
    + ", ".join(
        f"{{id: st, optimizer: {{id: sgd, momentum: {listed(100, '0.%03d')}, weight_decay: "
        f"{listed(100, f'0.{number:03d}%04d')}}}}}"
        for number in range(1, 200)
    )
    + "]",
    "boards that cannot be counted": "name: a\nestimators: [st]\nseeds: 1\ndiagnostics: {epochs: [1]}\n"
    f"task: {{id: polynomial, latents: {listed(200, '%d')}, epochs: {listed(1_000, '%d')}, "
    f"steps_per_epoch: {listed(1_000, '%d')}}}\n",
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_file_is_refused_within_a_bounded_time(what: str) -> None:
    text = TEXTS[what]
    assert len(text) <= limits.MAX_BODY_BYTES
    began = time.thread_time()
    with pytest.raises(SpecError):
        load_sweep(text)
    assert time.thread_time() - began < CPU_SECONDS


def test_events_are_read_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 500,000 values in a list only as many as are allowed."""
    seen = 0
    events = yaml.parse

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        for event in events(*arguments, **named):
            seen += 1
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    with pytest.raises(SpecError, match="more than 50,000"):
        parse("[" + "1," * 500_000 + "]", source="a")
    assert limits.MAX_NODES < seen < limits.MAX_NODES + 10


def test_near_names_are_looked_for_only_for_issues_that_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    nearest = issues.nearest

    def counted(*arguments: Any) -> str | None:
        nonlocal asked
        asked += 1
        return nearest(*arguments)

    monkeypatch.setattr(issues, "nearest", counted)
    with pytest.raises(SpecError) as caught:
        load_sweep(TEXTS["unknown keys"])
    assert asked == limits.MAX_ISSUES
    assert caught.value.issues[-1].message == "and 24804 more issues; mend these first."


def test_grids_larger_than_python_counts_are_refused_for_their_size() -> None:
    """10**4 optimizers x 999 rates x 999**4 estimators are more than ``len`` can say."""
    thousandths = [number / 1_000 for number in range(1, 1_000)]
    counts = list(range(1, 1_000))
    nvil: dict[str, Any] = {"id": "nvil", "num_samples": counts, "hidden_units": counts, "lr": thousandths}
    nvil |= {"decay": [number / 1_001 for number in counts], "learning_rate": thousandths}
    nvil |= {"optimizer": {"id": "adam", "beta1": thousandths[:100], "beta2": thousandths[:100]}}
    with pytest.raises(SpecError, match=r"trials .*, at most 100,000 are allowed"):
        read_sweep(minimal(estimators=[nvil]))

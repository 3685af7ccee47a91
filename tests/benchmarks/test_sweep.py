"""Sweep files that are right: reading, defaults, order of expansion, limits at their edge, examples."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.engine.optimizers import registry as optimizers
from benchmarks.spec import Diagnostics
from benchmarks.sweep import Sweep, SweepFile, load_sweep, read_sweep
from benchmarks.sweep_file import limits
from benchmarks.sweep_file.issues import Issues, SpecError
from benchmarks.sweep_file.parameters import read_value
from benchmarks.tasks import registry as tasks
from estimators.info import Parameter

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
DOCS = ROOT / "docs" / "reference" / "sweep-file.md"

FULL = """
name: vae-8x4-temperature
task: {id: categorical_vae, dataset: mnist, categories: 8, latents: 4, epochs: 160}
estimators:                       # a bare id, or with its own grid
  - {id: reinmax, temperature: [1.0, 1.1, 1.2, 1.3]}
  - {id: stgs, temperature: [0.3, 0.5, 0.7]}
  - exact
grid: {optimizer: [adam, radam], lr: [1.0e-3, 5.0e-4]}
seeds: 10                         # 0..9, or a list
select: {metric: train_neg_elbo, goal: minimize}
report: [train_neg_elbo, test_neg_elbo]
priority: 0
"""


def minimal(**changes: Any) -> dict[str, Any]:
    """The shortest sweep, with changes."""
    return {"name": "a", "task": {"id": "polynomial"}, "estimators": ["reinmax"], "seeds": 1} | changes


def only_trial(**changes: Any) -> Any:
    (spec,) = read_sweep(minimal(**changes)).expand()
    return spec


def test_the_full_file() -> None:
    sweep = load_sweep(FULL)
    assert sweep.count() == (4 + 3 + 1) * 4 * 10
    specs = list(sweep.expand())
    assert len({spec.key for spec in specs}) == len(specs) == sweep.count()
    assert len({spec.cell_key for spec in specs}) == 32
    assert sweep.seeds == tuple(range(10))
    assert (sweep.metric, sweep.goal) == ("train_neg_elbo", "minimize")


def test_defaults_come_from_the_registries() -> None:
    sweep = read_sweep(minimal())
    (spec,) = sweep.expand()
    assert spec.task.values == {
        "p": 2.0,
        "setting": "A",
        "target": 0.45,
        "latents": 128,
        "batch_size": 256,
        "epochs": 40,
        "steps_per_epoch": 200,
    }
    assert spec.estimator.values == {"temperature": 1.0}
    assert (spec.optimizer.id, spec.lr, spec.seed) == ("adam", 1e-3, 0)
    assert (sweep.metric, sweep.goal) == ("expected_loss", "minimize")
    assert sweep.report == ("expected_loss", "train_loss")
    assert (sweep.priority, sweep.description, sweep.owner) == (0, "", None)


def test_order_is_boards_then_cells_then_seeds() -> None:
    sweep = read_sweep(
        minimal(
            task={"id": "polynomial", "p": [3, 1.5]},
            estimators=["exact", {"id": "st", "temperature": [2, 1]}],
            grid={"lr": [0.1, 0.01]},
            seeds=[7, 3],
        )
    )
    rows = [
        (s.task.values["p"], s.estimator.id, s.estimator.values.get("temperature"), s.lr, s.seed)
        for s in sweep.expand()
    ]
    cells: list[tuple[str, float | None]] = [("exact", None), ("st", 2.0), ("st", 1.0)]
    expected = [
        (p, id, t, lr, seed) for p in (3.0, 1.5) for id, t in cells for lr in (0.1, 0.01) for seed in (7, 3)
    ]
    assert rows == expected
    assert [board.values["p"] for board in sweep.boards()] == [3.0, 1.5]


def test_an_estimator_may_bring_its_own_optimizer_and_learning_rate() -> None:
    estimators = ["exact", {"id": "st", "optimizer": "radam", "lr": ["3e-4", 1]}]
    sweep = read_sweep(minimal(estimators=estimators, grid={"lr": 0.5}))
    found = [(spec.estimator.id, spec.optimizer.id, spec.lr) for spec in sweep.expand()]
    assert found == [("exact", "adam", 0.5), ("st", "radam", 3e-4), ("st", "radam", 1.0)]


def test_one_estimator_may_stand_twice_with_other_settings() -> None:
    entries = [{"id": "st", "temperature": [1, 2]}, {"id": "st", "temperature": 3, "optimizer": "radam"}]
    assert read_sweep(minimal(estimators=entries)).count() == 3


@pytest.mark.parametrize("lr", [1, 1.0, "1", "1.0", "1e0", "+1", np.float64(1), np.int64(1)])
def test_spellings_of_a_number_are_one_trial(lr: Any) -> None:
    assert only_trial(grid={"lr": lr}).key == only_trial(grid={"lr": 1.0}).key


def test_negative_zero_is_zero() -> None:
    anything = Parameter(name="x", type=float, default=None, description="")
    value = read_value("-0.0", anything, "/x", Issues())
    assert repr(value) == "0.0"  # a key is made of the spelling


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", '"1e-3"', "1E-3", ".1e-2"])
def test_exponents_are_numbers_in_yaml(text: str) -> None:
    sweep = load_sweep(
        f"{{name: a, task: {{id: polynomial}}, estimators: [st], seeds: 1, grid: {{lr: {text}}}}}"
    )
    assert [spec.lr for spec in sweep.expand()] == [1e-3]


def test_words_and_dates_stay_text() -> None:
    assert (
        load_sweep("name: 2026-01-01\nowner: no\ntask: {id: polynomial}\nestimators: [st]\nseeds: 1").owner
        == "no"
    )


def test_yaml_json_and_python_give_the_same_sweep() -> None:
    from_yaml = load_sweep(FULL)
    data = from_yaml.to_json()
    assert read_sweep(data) == from_yaml
    assert load_sweep(json.dumps(data)) == from_yaml
    assert load_sweep(json.dumps(data, indent="\t").encode()) == from_yaml
    assert load_sweep(b"\xef\xbb\xbf" + FULL.encode()) == from_yaml


def test_aliases_and_python_sequences() -> None:
    text = "name: a\ntask: {id: polynomial}\nseeds: 1\n"
    text += "estimators: [{id: st, temperature: &t [1, 2]}, {id: stgs, temperature: *t}]"
    assert load_sweep(text).count() == 4
    assert read_sweep(minimal(seeds=range(2, 5), grid={"lr": (0.1, 0.2)})).seeds == (2, 3, 4)


def test_optimizers_are_ids_mappings_and_lists_of_both() -> None:
    sgd = {"id": "sgd", "momentum": ["0.9", 0.95], "schedule": "cosine"}
    text = json.dumps(minimal(grid={"optimizer": ["adam", sgd], "lr": [0.1, 1]}))
    found = [(s.optimizer.id, s.optimizer.stated("optimizer"), s.lr) for s in load_sweep(text).expand()]
    assert found == [
        (id, values, lr)
        for id, values in (
            ("adam", {}),
            ("sgd", {"momentum": 0.9, "schedule": "cosine"}),
            ("sgd", {"momentum": 0.95, "schedule": "cosine"}),
        )
        for lr in (0.1, 1.0)
    ]


def test_an_estimator_may_bring_an_optimizer_with_parameters() -> None:
    block = {"id": "st", "optimizer": {"id": "rmsprop", "alpha": 0.5}, "lr": 1}
    specs = list(read_sweep(minimal(estimators=["reinmax", block], grid={"optimizer": "sgd"})).expand())
    assert [spec.optimizer.id for spec in specs] == ["sgd", "rmsprop"]
    assert specs[1].optimizer.values == {
        "alpha": 0.5,
        "eps": 1e-8,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "clip_norm": 0.0,
        "schedule": "constant",
        "final_lr": 0.0,
    }


@pytest.mark.parametrize("optimizer", ["adam", ["adam"], {"id": "adam"}, {"id": "adam", "beta1": "0.9"}])
def test_spellings_of_an_optimizer_are_one_trial(optimizer: Any) -> None:
    assert only_trial(grid={"optimizer": optimizer}).key == only_trial().key


@pytest.mark.parametrize(
    "changes",
    [
        {"grid": {"optimizer": ["radam", {"id": "sgd", "momentum": [0.5, 0.9], "nesterov": "yes"}]}},
        {"estimators": ["st", {"id": "reinmax", "optimizer": {"id": "adam", "beta1": [0.9, 0.5]}}]},
        {"tags": ["vae", "größer"]},
        {"diagnostics": {"epochs": [3, 1]}},
        {"diagnostics": {"epochs": 2, "draws": 2, "examples": 1}},
        {"diagnostics": {"epochs": 2, "estimators": ["stgs", {"id": "gumbel_rao", "num_draws": 7}]}},
    ],
    ids=str,
)
def test_a_sweep_is_read_back_from_what_it_writes(changes: dict[str, Any]) -> None:
    sweep = read_sweep(minimal(**changes))
    assert load_sweep(json.dumps(sweep.to_json())) == sweep


def test_a_sweep_without_new_keys_is_written_as_ever() -> None:
    """Stored documents are compared with those of later versions."""
    document = read_sweep(minimal()).to_json()
    assert document["estimators"] == [
        {"id": "reinmax", "temperature": [1.0], "optimizer": ["adam"], "lr": [1e-3]}
    ]
    assert "diagnostics" not in document
    assert "tags" not in document


def test_cells_are_the_trials_without_seeds() -> None:
    sweep = load_sweep(FULL)
    assert list(sweep.expand()) == [cell.seeded(seed) for cell in sweep.cells() for seed in sweep.seeds]


def test_diagnostics_of_every_trial() -> None:
    sweep = read_sweep(minimal(diagnostics={"epochs": [3, "1"]}, seeds=2))
    assert sweep.diagnostics == Diagnostics(epochs=(1, 3), draws=1024, examples=100)
    assert {spec.diagnostics for spec in sweep.expand()} == {sweep.diagnostics}
    all_given = {"epochs": 40, "draws": limits.MAX_DRAWS, "examples": limits.MAX_EXAMPLES}
    assert read_sweep(minimal(diagnostics=all_given)).diagnostics == Diagnostics(
        epochs=(40,), draws=65_536, examples=10_000
    )
    assert read_sweep(minimal(diagnostics=None)).diagnostics is None


def test_estimators_measured_besides_are_part_of_the_key_in_whatever_order() -> None:
    def sweep(*others: Any) -> Sweep:
        report = ["gradient.x.cosine_corrected.stgs"] if others else None
        return read_sweep(minimal(diagnostics={"epochs": 1, "estimators": list(others)}, report=report))

    def key(*others: Any) -> str:
        (spec,) = sweep(*others).expand()
        return spec.key

    warm = {"id": "stgs", "temperature": "1.0"}
    assert key("stgs", "st") == key("st", warm) != key("stgs")
    assert key("stgs") != key({"id": "stgs", "temperature": 0.5})
    assert key() == next(read_sweep(minimal(diagnostics={"epochs": 1})).expand()).key
    assert sweep("stgs").report == ("gradient.x.cosine_corrected.stgs",)


def test_the_documentation_names_every_optimizer_and_parameter() -> None:
    text = DOCS.read_text()
    for info in map(optimizers.get, optimizers.available()):
        for name in (info.id, *(parameter.name for parameter in info.parameters)):
            assert f"`{name}`" in text, (info.id, name)


def test_values_at_the_limits_are_accepted() -> None:
    name, text = "n" * limits.MAX_NAME_LENGTH, "d" * limits.MAX_DESCRIPTION_LENGTH
    sweep = read_sweep(minimal(name=name, owner=name, description=text, priority=limits.MAX_PRIORITY))
    assert (sweep.name, sweep.description, sweep.priority) == (name, text, limits.MAX_PRIORITY)
    tags = [f"{number:>0{limits.MAX_TAG_LENGTH}}" for number in range(limits.MAX_TAGS)]
    assert read_sweep(minimal(tags=tags)).tags == tuple(tags)
    assert read_sweep(minimal(priority=limits.MIN_PRIORITY)).priority == limits.MIN_PRIORITY
    assert read_sweep(minimal(seeds=[limits.MAX_SEED])).seeds == (limits.MAX_SEED,)
    largest = minimal(seeds=limits.MAX_SEEDS, grid={"lr": [0.1 * i for i in range(1, 11)]})
    assert read_sweep(largest).count() == limits.MAX_TRIALS
    axis = [0.5 + i for i in range(limits.MAX_AXIS_VALUES)]
    assert read_sweep(minimal(estimators=["exact"], grid={"lr": axis})).count() == limits.MAX_AXIS_VALUES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    sweep = load_sweep(path.read_bytes(), source=path.name)
    assert read_sweep(sweep.to_json()) == sweep


def test_the_demonstration_is_what_the_readme_says() -> None:
    sweeps: dict[str, Sweep] = {path.stem: load_sweep(path.read_bytes()) for path in EXAMPLES}
    polynomial = sweeps["polynomial"]
    assert [board.values["p"] for board in polynomial.boards()] == [1.5, 2.0, 3.0]
    assert polynomial.count() == 3 * 4 * 5
    settings = {
        (spec.estimator.id, spec.optimizer.id, spec.lr, spec.estimator.values["temperature"])
        for spec in sweeps["categorical_vae_8x4"].expand()
    }
    winners = {("st", "adam", 1e-3, 1.3), ("stgs", "adam", 3e-4, 0.5), ("reinmax", "adam", 5e-4, 1.3)}
    assert settings == winners  # Liu et al. 2023, Table 8


def test_examples_of_the_vae_have_the_published_settings() -> None:
    """Optimizer, rate and, but for the study of temperatures, temperature: Liu et al. 2023, Table 8."""
    with (Path(__file__).parent / "data" / "reinmax_table_8.csv").open(encoding="utf-8") as file:
        winners = {(r["categories"], r["latents"], r["estimator"]): r for r in csv.DictReader(file)}
    left = set(winners)
    for path in EXAMPLES:
        for spec in load_sweep(path.read_bytes()).expand():
            shape = [str(spec.task.values.get(name)) for name in ("categories", "latents")]
            named = (shape[0], shape[1], spec.estimator.id.split("_mean_baseline")[0])
            if (winner := winners.get(named)) is None:
                continue
            assert (spec.optimizer.id, spec.lr) == (winner["optimizer"], float(winner["lr"])), path
            if not path.stem.startswith("temperature"):
                assert spec.estimator.values["temperature"] == float(winner["temperature"]), path
                left.discard(named)
    assert not left  # there is an example for every row


def test_documented_examples_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(name:.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        load_sweep(block)


def test_the_documentation_names_every_key_and_every_limit() -> None:
    text = DOCS.read_text()
    for key in (*SweepFile.model_fields, "optimizer", "lr", "metric", "goal", "epochs", "draws", "examples"):
        assert f"`{key}`" in text, key
    for name, value in vars(limits).items():
        if name.isupper():
            assert f"{value:,.0f}".replace("-", "−") in text, name


def test_reading_does_not_import_torch() -> None:
    program = "import sys, benchmarks.sweep; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_parameters_of_an_optimizer_that_cannot_go_together_are_refused() -> None:
    """Also within a grid: one of its combinations is enough."""
    sgd = {"id": "sgd", "momentum": [0.0, 0.9], "nesterov": ["no", "yes"]}
    with pytest.raises(SpecError) as refused:
        read_sweep(minimal(grid={"optimizer": ["adam", sgd]}))
    (issue,) = refused.value.issues
    assert issue.path == "/grid/optimizer/1"
    assert "Nesterov's momentum needs a momentum above 0" in issue.message


def test_what_the_protocol_of_a_task_fixes_is_not_the_sweeps_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    info = dataclasses.replace(tasks.get("polynomial"), fixed={"clip_norm": 5.0})
    monkeypatch.setattr(tasks, "get", lambda id: info)
    with pytest.raises(SpecError) as refused:
        read_sweep(minimal(grid={"optimizer": ["radam", {"id": "adam", "clip_norm": 1.0}]}))
    (issue,) = refused.value.issues
    assert issue.path == "/grid/optimizer/1/clip_norm"
    assert issue.message == "clip_norm is fixed by the task, at 5.0; leave it out."


def test_what_the_protocol_of_a_task_fixes_stands_in_the_sweep_that_is_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = dataclasses.replace(tasks.get("polynomial"), fixed={"clip_norm": 5.0})
    monkeypatch.setattr(tasks, "get", lambda id: info)
    for given in ({}, {"grid": {"optimizer": {"id": "adam", "beta1": 0.5}}}):
        sweep = read_sweep(minimal(**given))
        assert {spec.optimizer.values["clip_norm"] for spec in sweep.expand()} == {5.0}
        assert read_sweep(sweep.to_json()) == sweep

"""Sweep files that are wrong: where the issue is, what it says, and that every form says the same."""

from __future__ import annotations

import json
import math
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from ruamel.yaml import YAML

from benchmarks.sweep import Issue, SpecError, load_sweep, read_sweep
from benchmarks.sweep_file import limits
from tests.benchmarks.test_sweep import minimal


def issues_of(data: Any) -> tuple[Issue, ...]:
    with pytest.raises(SpecError) as caught:
        read_sweep(data)
    return caught.value.issues


def issues_in(text: str | bytes) -> tuple[Issue, ...]:
    with pytest.raises(SpecError) as caught:
        load_sweep(text)
    return caught.value.issues


def as_yaml(data: Any) -> str:
    out = StringIO()
    YAML(typ="safe", pure=True).dump(data, out)
    return out.getvalue()


def vae(**changes: Any) -> dict[str, Any]:
    return minimal(task={"id": "categorical_vae", **changes})


def estimator(**block: Any) -> dict[str, Any]:
    return minimal(estimators=["exact", {"id": "reinmax", **block}])


HUGE = 10**400
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefg")
)

CASES: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    # what is wrong: (sweep, pointer, part of the message, suggestion)
    "misspelt key": (minimal(estimator=["st"]), "/estimator", "unknown key 'estimator'", "estimators"),
    "misspelt parameter": (
        estimator(temprature=1),
        "/estimators/1/temprature",
        "reinmax has no",
        "temperature",
    ),
    "task's parameters that contradict each other": (
        minimal(task={"id": "polynomial", "setting": ["A", "B"], "target": 0.49}),
        "/task",
        "target 0.49 is for setting A, setting B has targets of its own; change one of them.",
        None,
    ),
    "misspelt task parameter": (vae(categorys=8), "/task/categorys", "it takes dataset", "categories"),
    "misspelt grid key": (
        minimal(grid={"optimiser": "adam"}),
        "/grid/optimiser",
        "optimizer, lr",
        "optimizer",
    ),
    "misspelt select key": (minimal(select={"metrics": "x"}), "/select/metrics", "unknown", "metric"),
    "unknown estimator": (minimal(estimators=["reinmx"]), "/estimators/0", "no estimator", "reinmax"),
    "unknown estimator in block": (
        minimal(estimators=[{"id": "Reinmax"}]),
        "/estimators/0/id",
        "no est",
        "reinmax",
    ),
    "unknown task": (minimal(task={"id": "polynomal"}), "/task/id", "no task", "polynomial"),
    "nothing near": (minimal(task={"id": "zzz"}), "/task/id", "there are polynomial", None),
    "task without id": (minimal(task={"p": 2}), "/task/id", "the key 'id' is missing", None),
    "estimator without id": (minimal(estimators=[{}]), "/estimators/0/id", "is missing", None),
    "estimator of a wrong type": (minimal(estimators=[3]), "/estimators/0", "got 3", None),
    "temperature too low": (estimator(temperature=-0.5), "/estimators/1/temperature", "above 0", None),
    "temperature in list": (
        estimator(temperature=[1, 1e-46]),
        "/estimators/1/temperature/1",
        "1e-46 underflows in float32",
        None,
    ),
    "temperature at open end": (
        minimal(estimators=[{"id": "st", "temperature": 0}]),
        "/estimators/0/temperature",
        "above 0",
        None,
    ),
    "parameter it does not have": (
        minimal(estimators=[{"id": "exact", "temperature": 1}]),
        "/estimators/0/temperature",
        "exact has no",
        None,
    ),
    "empty axis": (minimal(grid={"lr": []}), "/grid/lr", "the list is empty", None),
    "empty estimators": (minimal(estimators=[]), "/estimators", "the list is empty", None),
    "empty seeds": (minimal(seeds=[]), "/seeds", "the list is empty", None),
    "empty report": (minimal(report=[]), "/report", "the list is empty", None),
    "no seeds": (minimal(seeds=0), "/seeds", "from 1 to 10,000", None),
    "nothing where a value belongs": (minimal(grid={"lr": None}), "/grid/lr", "got nothing", None),
    "duplicate value": (minimal(grid={"lr": [1, 2, 1.0]}), "/grid/lr/2", "already value 0", None),
    "duplicate seed": (minimal(seeds=[4, 4]), "/seeds/1", "leave one out", None),
    "tags that are no list": (minimal(tags="vae"), "/tags", "expected a list", None),
    "too many tags": (minimal(tags=[str(i) for i in range(21)]), "/tags", "at most 20", None),
    "tag too long": (minimal(tags=["a", "t" * 41]), "/tags/1", "at most 40", None),
    "blank tag": (minimal(tags=[" "]), "/tags/0", "the text is blank", None),
    "tag with a line break": (minimal(tags=["a\nb"]), "/tags/0", "unprintable", None),
    "duplicate tag": (minimal(tags=["vae", "pilot", "vae"]), "/tags/2", "twice", None),
    "duplicate metric": (minimal(report=["train_loss"] * 2), "/report/1", "twice", None),
    "the same cell twice": (
        minimal(estimators=["st", {"id": "st", "temperature": [1, 2]}]),
        "/estimators/1",
        "/estimators/0",
        None,
    ),
    "unknown metric": (
        minimal(select={"metric": "expected_los"}),
        "/select/metric",
        "no metric",
        "expected_loss",
    ),
    "unknown reported metric": (minimal(report=["train_los"]), "/report/0", "no metric", "train_loss"),
    "wrong goal": (minimal(select={"goal": "maximize"}), "/select/goal", "expected minimize", "minimize"),
    "wrong optimizer": (minimal(grid={"optimizer": "adamm"}), "/grid/optimizer", "adam, radam", "adam"),
    "own wrong optimizer": (estimator(optimizer="lion"), "/estimators/1/optimizer", "got 'lion'", None),
    "wrong optimizer in a list": (
        minimal(grid={"optimizer": ["radam", "adamm"]}),
        "/grid/optimizer/1",
        "got 'adamm'",
        "adam",
    ),
    "wrong optimizer in a mapping": (
        minimal(grid={"optimizer": {"id": "adamm"}}),
        "/grid/optimizer/id",
        "no optimizer 'adamm'; there are adam, radam",
        "adam",
    ),
    "optimizer without id": (
        minimal(grid={"optimizer": {"beta1": 0.5}}),
        "/grid/optimizer/id",
        "the key 'id' is missing; write which optimizer is meant: there are adam, radam",
        None,
    ),
    "misspelt parameter of an optimizer": (
        estimator(optimizer=["radam", {"id": "adam", "beta_1": 0.5}]),
        "/estimators/1/optimizer/1/beta_1",
        "adam has no parameter 'beta_1'",
        "beta1",
    ),
    "learning rate inside an optimizer": (
        minimal(grid={"optimizer": {"id": "adam", "lr": 0.1}}),
        "/grid/optimizer/lr",
        "adam has no parameter 'lr'",
        None,
    ),
    "parameter of an optimizer out of range": (
        minimal(grid={"optimizer": {"id": "adam", "beta1": [0.5, 1]}}),
        "/grid/optimizer/beta1/1",
        "1 is out of range; beta1 is a number from 0 to",
        None,
    ),
    "wrong choice of an optimizer": (
        minimal(grid={"optimizer": {"id": "adam", "schedule": "cosin"}}),
        "/grid/optimizer/schedule",
        "expected one of constant",
        "cosine",
    ),
    "optimizer of a wrong type": (minimal(grid={"optimizer": 3}), "/grid/optimizer", "got 3", None),
    "no optimizer": (minimal(grid={"optimizer": None}), "/grid/optimizer", "got nothing", None),
    "empty optimizers": (minimal(grid={"optimizer": []}), "/grid/optimizer", "the list is empty", None),
    "duplicate optimizer": (
        minimal(grid={"optimizer": ["adam", "radam", {"id": "adam"}]}),
        "/grid/optimizer/2",
        "adam repeats settings of /grid/optimizer/0",
        None,
    ),
    "optimizers that share a setting": (
        minimal(grid={"optimizer": [{"id": "adam", "beta1": [0.5, 0.9]}, "adam"]}),
        "/grid/optimizer/1",
        "leave them out of one",
        None,
    ),
    "too many optimizers": (
        minimal(grid={"optimizer": ["adam"] * (limits.MAX_OPTIMIZERS + 1)}),
        "/grid/optimizer",
        "at most 100",
        None,
    ),
    "the same cell by way of optimizers": (
        minimal(estimators=[{"id": "st", "optimizer": {"id": "adam", "eps": [1e-6, 1e-8]}}, "st"]),
        "/estimators/1",
        "/estimators/0",
        None,
    ),
    "text for diagnostics": (minimal(diagnostics="all"), "/diagnostics", "its keys are epochs, draws", None),
    "diagnostics without epochs": (
        minimal(diagnostics={"draws": 8}),
        "/diagnostics/epochs",
        "the key 'epochs' is missing; write at the start of which epochs",
        None,
    ),
    "misspelt diagnostics": (
        minimal(diagnostics={"epochs": 1, "draw": 8}),
        "/diagnostics/draw",
        "the keys here are epochs, draws, examples, estimators",
        "draws",
    ),
    "epoch zero": (minimal(diagnostics={"epochs": [1, 0]}), "/diagnostics/epochs/1", "at least 1", None),
    "the same epoch twice": (
        minimal(diagnostics={"epochs": [2, 2]}),
        "/diagnostics/epochs/1",
        "leave one out",
        None,
    ),
    "epoch after the end": (
        minimal(diagnostics={"epochs": [41, 40]}),
        "/diagnostics/epochs/0",
        "41 is out of range; the task has 40 epochs",
        None,
    ),
    "epoch after the end of one board": (
        minimal(task={"id": "polynomial", "epochs": [5, 3]}, diagnostics={"epochs": 4}),
        "/diagnostics/epochs",
        "4 is out of range; the task has 3 epochs",
        None,
    ),
    "too many epochs of diagnostics": (
        minimal(diagnostics={"epochs": list(range(1, limits.MAX_AXIS_VALUES + 2))}),
        "/diagnostics/epochs",
        "at most 1,000",
        None,
    ),
    "text for the estimators of diagnostics": (
        minimal(diagnostics={"epochs": 1, "estimators": "st"}),
        "/diagnostics/estimators",
        "expected a list",
        None,
    ),
    "misspelt estimator of diagnostics": (
        minimal(diagnostics={"epochs": 1, "estimators": ["st", "reinmx"]}),
        "/diagnostics/estimators/1",
        "no estimator 'reinmx'",
        "reinmax",
    ),
    "the same estimator of diagnostics twice": (
        minimal(diagnostics={"epochs": 1, "estimators": ["st", {"id": "st", "temperature": 2}]}),
        "/diagnostics/estimators/1",
        "st stands in the list twice",
        None,
    ),
    "a grid in diagnostics": (
        minimal(diagnostics={"epochs": 1, "estimators": [{"id": "st", "temperature": [1, 2]}]}),
        "/diagnostics/estimators/0/temperature",
        "expected one value, got 2",
        None,
    ),
    "a learning rate in diagnostics": (
        minimal(diagnostics={"epochs": 1, "estimators": [{"id": "st", "lr": 1}]}),
        "/diagnostics/estimators/0/lr",
        "st has no parameter 'lr'",
        None,
    ),
    "an estimator of diagnostics that learns": (
        minimal(diagnostics={"epochs": 1, "estimators": ["reinforce_ema"]}),
        "/diagnostics/estimators/0",
        "reinforce_ema learns during training",
        None,
    ),
    "an estimator of diagnostics that cannot be computed": (
        minimal(task={"id": "categorical_vae"}, diagnostics={"epochs": 1, "estimators": ["disarm"]}),
        "/diagnostics/estimators",
        "disarm works on variables of 2 categories",
        None,
    ),
    "a metric of an estimator that diagnostics do not measure": (
        minimal(diagnostics={"epochs": 1, "estimators": ["st"]}, report=["gradient.x.cosine.stgs"]),
        "/report/0",
        "reports no metric 'gradient.x.cosine.stgs'",
        "gradient.x.cosine.st",
    ),
    "odd number of draws": (
        minimal(diagnostics={"epochs": 1, "draws": 9}),
        "/diagnostics/draws",
        "9 is not a multiple of 2",
        None,
    ),
    "too many draws": (
        minimal(diagnostics={"epochs": 1, "draws": 65_538}),
        "/diagnostics/draws",
        "from 2 to 65,536",
        None,
    ),
    "too many examples": (
        minimal(diagnostics={"epochs": 1, "examples": 10_001}),
        "/diagnostics/examples",
        "from 1 to 10,000",
        None,
    ),
    "wrong choice": (vae(dataset="mnst"), "/task/dataset", "one of mnist", "mnist"),
    "number where a choice is": (vae(dataset=3), "/task/dataset", "got 3", None),
    "nan": (minimal(grid={"lr": math.nan}), "/grid/lr", "got nan; write a finite number", None),
    "infinity": (minimal(grid={"lr": math.inf}), "/grid/lr", "got inf", None),
    "beyond the doubles": (minimal(grid={"lr": HUGE}), "/grid/lr", "write a finite number", None),
    "huge seed": (minimal(seeds=[HUGE]), "/seeds/0", "write a finite number", None),
    "boolean": (minimal(grid={"lr": True}), "/grid/lr", "the boolean true", None),
    "boolean seeds": (minimal(seeds=True), "/seeds", "the boolean true", None),
    "negative seed": (minimal(seeds=[-1]), "/seeds/0", "from 0 to 2,147,483,647", None),
    "seed with a fraction": (minimal(seeds=[1.5]), "/seeds/0", "has a fraction", None),
    "seed too large": (minimal(seeds=[2**31]), "/seeds/0", "out of range", None),
    "lr of zero": (minimal(grid={"lr": 0}), "/grid/lr", "above 0 to 1,000", None),
    "words for a number": (minimal(grid={"lr": "fast"}), "/grid/lr", "got 'fast'", None),
    "mapping for a number": (minimal(grid={"lr": {"a": 1}}), "/grid/lr", "got a mapping", None),
    "list in a list": (minimal(grid={"lr": [[1]]}), "/grid/lr/0", "got a list", None),
    "number for a name": (minimal(name=5), "/name", "put it in quotes", None),
    "text for estimators": (minimal(estimators="st"), "/estimators", "expected a list, got 'st'", None),
    "text for a task": (minimal(task="polynomial"), "/task", "expected a mapping", None),
    "text for a grid": (minimal(grid="adam"), "/grid", "its keys are optimizer and lr", None),
    "text for report": (minimal(report="train_loss"), "/report", "expected a list", None),
    "empty name": (minimal(name=""), "/name", "at least one character", None),
    "blank name": (minimal(name="  "), "/name", "blank", None),
    "escape sequence in a name": (minimal(name="a\x1b[2J"), "/name", r"'\x1b'", None),
    "priority out of range": (minimal(priority=101), "/priority", "from -100 to 100", None),
    "name too long": (minimal(name="n" * (limits.MAX_NAME_LENGTH + 1)), "/name", "at most 100", None),
    "owner too long": (minimal(owner="n" * (limits.MAX_NAME_LENGTH + 1)), "/owner", "at most 100", None),
    "description too long": (
        minimal(description="d" * (limits.MAX_DESCRIPTION_LENGTH + 1)),
        "/description",
        "at most 10,000",
        None,
    ),
    "too many values": (
        minimal(grid={"lr": list(range(1, limits.MAX_AXIS_VALUES + 2))}),
        "/grid/lr",
        "at most 1,000",
        None,
    ),
    "too many seeds": (minimal(seeds=limits.MAX_SEEDS + 1), "/seeds", "from 1 to 10,000", None),
    "too many seeds in a list": (
        minimal(seeds=list(range(limits.MAX_SEEDS + 1))),
        "/seeds",
        "at most 10,000",
        None,
    ),
    "too many estimators": (
        minimal(estimators=["st"] * (limits.MAX_ESTIMATORS + 1)),
        "/estimators",
        "at most 200",
        None,
    ),
    "too many trials": (
        minimal(seeds=limits.MAX_SEEDS, grid={"lr": list(range(1, 12))}),
        "",
        "110,000 trials",
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_clear_issue(case: str) -> None:
    data, path, message, suggestion = CASES[case]
    found = issues_of(data)
    assert [issue.path for issue in found if issue.path == path] == [path]
    (issue,) = (issue for issue in found if issue.path == path)
    assert message in issue.message
    assert issue.suggestion == suggestion
    assert len(found) == 1 or case in {"misspelt key"}, found


# A long list says nothing about forms that a short one does not.
ONE_FORM = {"too many seeds in a list"}


@pytest.mark.parametrize("case", [case for case in CASES if case not in ONE_FORM])
def test_the_same_issues_from_yaml_json_and_python(case: str) -> None:
    data = CASES[case][0]
    expected = issues_of(data)
    if case != "beyond the doubles" and case != "huge seed":
        assert issues_in(as_yaml(data)) == expected
        assert issues_in(json.dumps(data)) == expected
    else:  # text of 400 digits is read as infinity, Python's integer is not
        assert [p.path for p in issues_in(json.dumps(data))] == [p.path for p in expected]


def test_all_issues_at_once() -> None:
    found = issues_of(
        {
            "name": 1,
            "task": {"id": "polynomial", "p": 0},
            "estimators": ["sst", {"id": "reinmax", "temperature": [-0.5, True]}],
            "grid": {"optimizer": [{"id": "lion"}, {"id": "adam", "beta1": 2, "beta3": 0}]},
            "seeds": [1, 1],
            "select": {"metric": "loss"},
            "priority": "high",
            "extra": 1,
        }
    )
    assert {issue.path for issue in found} == {
        "/name",
        "/task/p",
        "/estimators/0",
        "/estimators/1/temperature/0",
        "/estimators/1/temperature/1",
        "/grid/optimizer/0/id",
        "/grid/optimizer/1/beta1",
        "/grid/optimizer/1/beta3",
        "/seeds/1",
        "/select/metric",
        "/priority",
        "/extra",
    }


def test_missing_keys() -> None:
    found = issues_of({})
    assert [issue.path for issue in found] == ["/name", "/task", "/estimators", "/seeds"]
    assert all("is missing; write" in issue.message for issue in found)


def test_many_issues_are_counted() -> None:
    found = issues_of(minimal(seeds=[-1] * 500))
    assert len(found) == limits.MAX_ISSUES + 1
    assert "400 more" in found[-1].message


def test_the_error_reads_well() -> None:
    with pytest.raises(SpecError) as caught:
        load_sweep("name: a\ntask: {id: polynomal}\nestimators: [st]\nseeds: 1", source="a.yaml")
    assert str(caught.value).splitlines() == [
        "a.yaml is not a valid sweep:",
        "  /task/id: no task 'polynomal'; there are polynomial, categorical_vae, bernoulli_vae, listops, "
        "gdas. Did you mean 'polynomial'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [1, 2\n", "broken YAML, line 2, column 1"),
        ("name: a: b\n", "broken YAML, line 1, column 8: mapping values are not allowed in this context"),
        ("a: 1\n\tb: 2\n", "line 2, column 1"),
        ('{\n\t"name": "a",\n\t"task" 3}', "broken JSON, line 3, column 9"),
        ("name: \x07", "broken YAML: unacceptable character #x0007"),
        ("name: *who\n", "line 1, column 7: the alias '*who' has no anchor"),
        ("name: !!python/object/apply:os.system [echo]\n", "line 1, column 7: the tag"),
        ("name: !!int '3'\n", "the tag"),
        ("name: a\n---\nname: b\n", "line 2, column 1: a second document"),
        ("", "expected a mapping, got nothing"),
        ("- a\n", "expected a mapping, got a list"),
        ("just text", "expected a mapping, got 'just text'"),
        (b"name: \xff", "not UTF-8 (byte 6)"),
        ("#" * (limits.MAX_BODY_BYTES + 1), "1,048,577 bytes, at most 1,048,576"),
        ("seeds: [" + "1," * limits.MAX_NODES + "]", "more than 50,000 keys and values"),
        ('{"seeds": [' + "1," * limits.MAX_NODES + "1]}", "more than 50,000 keys and values"),
        ("[" * 100_000, "nested deeper than 8"),
        ('{"a":' * 100_000, "nested deeper than 8"),
        (BOMB, "more than 50,000"),
        ("a: &a [*a]\n", "has no anchor before it"),
    ],
)
def test_broken_text(text: str | bytes, message: str) -> None:
    (issue,) = issues_in(text)
    assert issue.path == ""
    assert message in issue.message


def test_duplicate_keys_in_yaml_and_json() -> None:
    yaml = "name: a\ntask: {id: polynomial, p: 2, p: 3}\nestimators: [st]\nseeds: 1\nseeds: 2\n"
    text = '{"name": "a", "task": {"id": "polynomial", "p": 2, "p": 3}, '
    text += '"estimators": ["st"], "seeds": 1, "seeds": 2}'
    assert issues_in(yaml) == issues_in(text)
    assert [issue.path for issue in issues_in(yaml)] == ["/task/p", "/seeds"]


def test_keys_that_are_no_names() -> None:
    assert issues_in("name: a\ntask: {id: polynomial}\nestimators: [st]\nseeds: 1\n3: x\n") == issues_of(
        minimal(estimators=["st"]) | {3: "x"}
    )


def test_pointers_are_escaped_and_encodable() -> None:
    assert [issue.path for issue in issues_of(minimal(**{"a/b~c": 1}))] == ["/a~1b~0c"]
    found = issues_in('{"\\ud800": 1}')
    json.dumps([issue.path + issue.message for issue in found], ensure_ascii=False).encode()


def test_a_large_python_range_is_not_expanded() -> None:
    (issue,) = issues_of(minimal(seeds=range(10**12)))
    assert "more than 50,000" in issue.message


def test_binary_estimators_are_refused_where_variables_have_more_categories() -> None:
    task = {"id": "categorical_vae", "categories": [2, 8]}
    (issue,) = issues_of(minimal(task=task, estimators=["rloo", "disarm"]))
    assert issue.path == "/estimators/1"
    assert "those of this task have 8" in issue.message
    assert "rloo" in issue.message
    assert "arms" not in issue.message


def test_binary_estimators_are_welcome_on_binary_variables() -> None:
    task = {"id": "categorical_vae", "categories": 2}
    assert read_sweep(minimal(task=task, estimators=["disarm"])).count() > 0

"""What a sweep is refused for: estimators that its task cannot use, on tasks made up for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.sweep import SpecError, Sweep, read_sweep
from benchmarks.sweep_file.compatibility import Demands, alternatives, check_compatibility, objection
from benchmarks.sweep_file.issues import Issue, Issues
from benchmarks.tasks import registry as tasks
from benchmarks.tasks.info import Facts, Space, TaskInfo
from estimators import available, get

IDS = available()


def facts(variables: int = 4, categories: int = 2, **changes: Any) -> Facts:
    """A task with one call."""
    separable = changes.pop("separable", False)
    space = Space(variables=variables, categories=categories, separable=separable)
    return Facts(spaces={"x": space}, flop=1.0, **changes)


def sweep(*estimators: Any) -> Sweep:
    """A sweep of the polynomial, on which every estimator works."""
    document = {"name": "a", "task": {"id": "polynomial"}, "estimators": list(estimators), "seeds": 1}
    return read_sweep(document)


def made_up(found: Facts) -> TaskInfo:
    return replace(tasks.get("polynomial"), facts=lambda _: found)


def refusals(found: Facts, *estimators: Any) -> list[Issue]:
    """What is wrong with these estimators on a task with these facts."""
    issues = Issues()
    check_compatibility(sweep(*estimators), made_up(found), issues)
    try:
        issues.raise_if_any("sweep")
    except SpecError as error:
        return list(error.issues)
    return []


def named(issue: Issue) -> list[str]:
    """Estimators that a message offers."""
    words = issue.message.partition("; leave it out, or use ")[2].rstrip(".").replace(" or ", ", ")
    return [word for word in words.split(", ") if word in IDS]


def test_all_are_taken_where_nothing_is_asked() -> None:
    assert refusals(facts(), *IDS) == []


def test_enumeration_has_the_limit_of_the_estimator() -> None:
    assert refusals(facts(14, 2), "exact") == []  # 2^14 = 16,384, the most that `exact` enumerates
    (issue,) = refusals(facts(15, 2), "st", "exact")
    assert issue.path == "/estimators/1"
    assert "at most 16,384 times, the variables of this task have 2^15 joint outcomes" in issue.message
    assert refusals(facts(4096, 8, separable=True), "exact") == []
    assert "8^4096" in refusals(facts(4096, 8), "exact")[0].message
    assert named(issue)[0] == "reinforce"
    assert all(get(id).properties.unbiased for id in named(issue))


def test_an_objective_without_gradient_takes_estimators_from_values() -> None:
    issues = refusals(facts(differentiable=False), *IDS)
    refused = {IDS[int(issue.path.rpartition("/")[2])] for issue in issues}
    assert refused == {id for id in IDS if get(id).properties.needs_grad}
    assert {"st", "reinmax", "rebar", "muprop"} <= refused
    assert not {"exact", "reinforce", "rloo", "relax", "disarm"} & refused
    for issue in issues:
        assert "needs the gradient of the objective, that of this task has none" in issue.message
        assert named(issue)
        assert not refused & set(named(issue))


def test_dependent_choices_take_path_estimators() -> None:
    issues = refusals(facts(sequential=True), *IDS)
    refused = {IDS[int(issue.path.rpartition("/")[2])] for issue in issues}
    assert refused == {id for id in IDS if get(id).properties.kind != "path"}
    assert all(get(id).properties.kind == "path" for issue in issues for id in named(issue))
    assert all("path estimators do that" in issue.message for issue in issues)


def test_binary_estimators_take_two_categories() -> None:
    issues = refusals(facts(categories=3), "disarm", "st", "arms")
    assert [issue.path for issue in issues] == ["/estimators/0", "/estimators/2"]
    assert issues[0].message.startswith(
        "disarm works on variables of 2 categories, those of this task have 3"
    )
    assert {"disarm_tree", "rloo"} <= set(named(issues[0]))
    assert not any(get(id).properties.binary_only for id in named(issues[0]))


def test_a_value_of_a_parameter_may_take_two_categories_only() -> None:
    quadrature = {"id": "gumbel_rao", "expectation": ["draws", "exact"]}
    assert refusals(facts(), quadrature) == []
    (issue,) = refusals(facts(categories=3), quadrature)
    assert issue.path == "/estimators/0/expectation"
    assert issue.message.endswith("those of this task have 3; use draws.")


def test_one_problem_for_an_estimator_that_fails_twice_and_help_that_fails_nowhere() -> None:
    hard = facts(40, 3, differentiable=False)
    (issue,) = refusals(hard, "double_cv")
    demands = Demands.of([hard])
    assert named(issue)
    assert all(not objection(get(id), demands) for id in alternatives(get("double_cv"), demands))
    assert "exact" not in alternatives(get("double_cv"), demands)


def test_nothing_is_offered_where_nothing_works() -> None:
    (issue,) = refusals(facts(sequential=True, differentiable=False), "st")
    assert issue.message.endswith("leave it out, as no registered estimator can work there.")


def test_boards_and_calls_are_looked_at_together() -> None:
    """One board of many, or one call of two, is enough for a refusal."""
    calls = {"a": Space(variables=2, categories=2), "b": Space(variables=2, categories=5)}
    assert Demands.of([facts(), Facts(spaces=calls, flop=1.0)]).widest == 5
    assert Demands.of([facts(), facts(sequential=True)]).sequential
    assert not Demands.of([facts(), facts(differentiable=False)]).differentiable


def test_a_sweep_file_is_refused_before_anything_is_stored() -> None:
    task = {"id": "categorical_vae", "categories": 8, "latents": [4, 16]}
    document = {"name": "a", "task": task, "estimators": ["st", {"id": "exact"}], "seeds": 1}
    with pytest.raises(SpecError) as error:
        read_sweep(document)
    (issue,) = error.value.issues
    assert issue.path == "/estimators/1"
    assert "8^16 joint outcomes" in issue.message

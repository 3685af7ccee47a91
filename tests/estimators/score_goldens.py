"""The golden problems of the estimators from values of f, and how each record calls its estimator.

A record says mean (``exact_grad`` of its case) and variance of one complete estimate, with fixed parameters:
control networks and baselines are put into the state, and nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from estimators import available, get
from tests.estimators.goldens import Golden, cases, tensor

ALIASES = {"reinforce_constant_baseline": "reinforce_ema"}
"""Records under another name than the estimator's."""


def score_goldens() -> list[Golden]:
    """Records of score_cases.json, all of which must have an estimator."""
    return [Golden("score_cases", case, name) for case in cases("score_cases") for name in case["estimators"]]


def registered_id(golden: Golden) -> str:
    """Registry id of the estimator that a record speaks of."""
    id = ALIASES.get(golden.id, golden.id)
    assert id in available(), f"no estimator for the golden record {golden.name}"
    return id


def multilinear(case: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """f_table[sum_v z_v n^v], extended to all points: linear in every variable."""
    n, table = case.get("n", 2), tensor(case["f_table"])

    def f(samples: Tensor) -> Tensor:
        values = table.expand(*samples.shape[:-2], -1)
        for v in range(samples.shape[-2]):
            values = (values.unflatten(-1, (-1, n)) * samples[..., v, None, :]).sum(-1)
        return values.squeeze(-1)

    return f


def score_logits(case: dict[str, Any]) -> Tensor:
    """Logits ``(V, n)``; a Bernoulli logit eta is the pair (0, eta)."""
    logits = tensor(case["logits"])
    return torch.stack([torch.zeros_like(logits), logits], -1) if case["type"] == "binary" else logits


def as_table(case: dict[str, Any], field: Any) -> Tensor:
    """A per-component field in the shape of the logits; h for eta is (-h, h) for its pair."""
    numbers = tensor(field)
    return torch.stack([-numbers, numbers], -1) if case["type"] == "binary" else numbers


def arguments(golden: Golden) -> dict[str, Any]:
    """Parameters of the call, with the state that fixes what is learned otherwise, for one lane."""
    id, record = registered_id(golden), golden.record
    call: dict[str, Any] = {
        name: record[name] for name in ("alpha", "temperature", "eta") if name in record and id != "rodeo"
    }
    if id in _STATES:
        call["state"] = {name: tensor(value).unsqueeze(0) for name, value in _STATES[id](record).items()}
    if get(id).parameter("learning_rate") is not None:
        call["learning_rate"] = 0.0
    return {} if get(id).parameter("num_samples") is None else {"num_samples": record["K"], **call}


def _constant_baseline(record: dict[str, Any]) -> dict[str, Any]:
    return {"baseline": record.get("baseline", 0.0), "steps": 1.0}


def _relax_network(record: dict[str, Any]) -> dict[str, Any]:
    """w . tanh(A (2x - 1) + c) + b0, where x is the relaxed bit and 2x - 1 the difference of its pair."""
    control = record["control"]
    return {
        "log_temperature": math.log(record["temperature"]),
        "hidden.weight": [[side * a for a in row for side in (-1, 1)] for row in control["A"]],
        "hidden.bias": control["c"],
        "output.weight": [control["w"]],
        "output.bias": [control["b0"]],
    }


def _rodeo_network(record: dict[str, Any]) -> dict[str, Any]:
    assert (record["H0"], record["H1"]) == ("tanh(0.3*(x+z))", "tanh(-0.2*(x+z))")
    return {
        "alpha": record["alpha"],
        "beta": record["beta"],
        "hidden.weight": [[0.3, 0.3], [-0.2, -0.2]],
        "hidden.bias": [0.0, 0.0],
        "output.weight": [[1.0, 0.0], [0.0, 1.0]],
        "output.bias": [0.0, 0.0],
    }


_STATES = {"reinforce_ema": _constant_baseline, "relax": _relax_network, "rodeo": _rodeo_network}

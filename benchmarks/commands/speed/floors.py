"""The least time of one step of one trial: what has to be computed, at the rates of this machine.

Counted: matmul, random numbers, logarithms and exponentials, updates. Not counted: additions and
products of numbers, moving activations, calling functions, waiting for memory that other cores use. Only
estimators of the cases are known here; what else a step computes is counted by its
:class:`benchmarks.commands.speed.setups.Setup`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.commands.speed.rates import Matmul, Rates, chain
from benchmarks.spec import Component


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What a step of a case has to compute.

    Attributes:
        matmuls: their shapes, in order.
        noise, log, exp: random numbers, logarithms, exponentials.
        updates: trainable parameters.
    """

    matmuls: tuple[Matmul, ...]
    noise: int
    log: int
    exp: int
    updates: int


def floor(counts: Counts, rates: Rates) -> dict[str, float]:
    """Seconds of the parts of a step: ``matmul``, ``noise``, ``functions`` and ``updates``."""
    return {
        "matmul": chain(counts.matmuls) if counts.matmuls else 0.0,
        "noise": rates.noise * counts.noise,
        "functions": rates.log * counts.log + rates.exp * counts.exp,
        "updates": rates.adam * counts.updates,
    }


def sampling(estimator: Component, variables: int, categories: int) -> tuple[int, int, int]:
    """Random numbers, logarithms and exponentials of the samples and their surrogates.

    A hard sample takes one random number. A relaxed one given the hard one D = e_i has odds x^(1/tau) with
    x_j = 1/(1 + E_j/(p_j E_i)) and E = -log u: a random number, two logarithms and an exponential a category.
    With two categories x = (1-u)p/((1-u)p + u), which takes one of each altogether. Gumbel-softmax has its
    hard sample from the numbers of the relaxed one.

    Args:
        estimator: whose.
        variables: of all examples or copies of a minibatch.
        categories: of each; where they differ, their mean.
    """
    per_draw = 1 if categories == 2 else categories
    if estimator.id == "gumbel_rao":
        relaxed = variables * per_draw * int(estimator.values["num_draws"])
        hard = variables
    else:
        relaxed = variables * per_draw if estimator.id == "stgs" else 0
        hard = 0 if relaxed else variables
    return hard + relaxed, relaxed * (1 if categories == 2 else 2), relaxed


def dense(
    layers: Sequence[tuple[int, int]],
    rows: int,
    *,
    without_gradient: Collection[int] = (),
    picked: Collection[int] = (),
    trained: bool = True,
) -> tuple[Matmul, ...]:
    """Matmuls of linear layers: forward, then backward the gradients of weights and of inputs.

    Args:
        layers: (inputs, outputs) of each.
        rows: how many vectors go through.
        without_gradient: places of layers whose inputs need none.
        picked: places of layers whose inputs are one-hot, so that columns of weights are picked and added to.
        trained: whether weights need a gradient.
    """
    multiplied = [layer for place, layer in enumerate(layers) if place not in picked]
    followed = [layer for place, layer in enumerate(layers) if place not in without_gradient]
    forward = [(rows, inputs, outputs) for inputs, outputs in multiplied]
    weights = [(outputs, rows, inputs) for inputs, outputs in multiplied if trained]
    inputs = [(rows, outputs, inputs) for inputs, outputs in followed]
    return (*forward, *weights, *inputs)

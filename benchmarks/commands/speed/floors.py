"""The least time of one step of one trial: what has to be computed, at the rates of this machine.

Counted: matmul, random numbers, logarithms and exponentials, updates. Not counted: additions and
products of numbers, moving activations, calling functions, waiting for memory that other cores use. Only
estimators of :mod:`benchmarks.commands.speed.cases` are known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.rates import Matmul, Rates, chain
from estimators.info import Value

_ENCODER = (784, 512, 256)


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


def count(case: Case) -> Counts:
    """Count what a step of ``case`` computes.

    A pixel's loss and its gradient take an exponential and a logarithm, a softmax an exponential a category,
    the KL term a logarithm.
    """
    values = case.values
    noise, log, exp = _sampling(case)
    if not case.needs_images:
        return Counts(matmuls=(), noise=noise, log=log, exp=exp, updates=2 * int(values["latents"]))
    layers = _layers(values)
    batch = int(values["batch_size"])
    code = batch * int(values["latents"]) * int(values["categories"])
    return Counts(
        matmuls=_matmuls(layers, batch),
        noise=noise,
        log=log + batch * _ENCODER[0] + code,
        exp=exp + batch * _ENCODER[0] + code,
        updates=sum(inputs * outputs + outputs for inputs, outputs in layers),
    )


def _sampling(case: Case) -> tuple[int, int, int]:
    """Random numbers, logarithms and exponentials of the samples and their surrogates.

    A hard sample takes one random number. A relaxed one given the hard one D = e_i has odds x^(1/tau) with
    x_j = 1/(1 + E_j/(p_j E_i)) and E = -log u: a random number, two logarithms and an exponential a category.
    With two categories x = (1-u)p/((1-u)p + u), which takes one of each altogether. Gumbel-softmax has its
    hard sample from the numbers of the relaxed one.
    """
    values = case.values
    variables = int(values["batch_size"]) * int(values["latents"])
    categories = int(values.get("categories", 2))
    per_draw = 1 if categories == 2 else categories
    if case.estimator["id"] == "gumbel_rao":
        relaxed = variables * per_draw * int(case.parameters["num_draws"])
        hard = variables
    else:
        relaxed = variables * per_draw if case.estimator["id"] == "stgs" else 0
        hard = 0 if relaxed else variables
    return hard + relaxed, relaxed * (1 if categories == 2 else 2), relaxed


def _matmuls(layers: list[tuple[int, int]], batch: int) -> tuple[Matmul, ...]:
    """Forward, then backward the gradients of weights and of inputs.

    The images need no gradient. The code is one-hot: the decoder's first layer picks columns of its weights,
    and the gradient of these adds to the columns picked; only the gradient of the code is a matmul.
    """
    dense = [*layers[: len(_ENCODER)], *layers[len(_ENCODER) + 1 :]]
    forward = [(batch, inputs, outputs) for inputs, outputs in dense]
    weights = [(outputs, batch, inputs) for inputs, outputs in dense]
    inputs = [(batch, outputs, inputs) for inputs, outputs in layers[1:]]
    return (*forward, *weights, *inputs)


def _layers(values: Mapping[str, Value]) -> list[tuple[int, int]]:
    """(inputs, outputs) of the layers of the VAE."""
    encoder = (*_ENCODER, int(values["latents"]) * int(values["categories"]))
    return [*itertools.pairwise(encoder), *itertools.pairwise(encoder[::-1])]

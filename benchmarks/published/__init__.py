"""Published and known numbers, as tables in this folder.

``reinmax_vae_tables.csv``
    Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023, Tables 2
    (train) and 9 (test): -ELBO in nats after 160 epochs, mean and spread over 10 seeds of the setting with
    the lowest train value; and Table 5 (train): after 500,000 updates, ReinMax and figures that it takes from
    Fan et al., "Training Discrete Deep Generative Models via Gapped Straight-Through Estimator", ICML 2022.
``reinmax_efficiency.csv``
    Table 3 of the same paper: seconds and peak memory of an epoch of forward and backward passes without
    updates on an NVIDIA A6000. The caption says "per epoch", the appendix "per batch"; 200 steps in 0.2 s and
    600 in 5.2 s are epochs. Peaks that are printed in Gb are multiplied by 1000.
``reinmax_bernoulli_vae_table.csv``
    Table 6 of the same paper: train -ELBO after 1e6 updates and its spread over seeds, by K (``samples``).
    Those of its own estimator were computed by one protocol, those that it cites by another (``protocol``).
``public_logs_vae_curves.csv``
    Means over seeds of the logs in github.com/danielwang0452/DiscreteNumericalMethodsASC, aggregated for
    this project.
``reinmax_gdas_table.csv``
    The same paper, Table 4: accuracies in % of the cells found, the baseline's as NATS-Bench reports it.
``nats_bench_levels.csv``
    Accuracies in % of NATS-Bench's topology table that a search is held against.
``polynomial_exact_adam.csv``
    Expected loss of the polynomial task under Adam (rate 1e-3) with exact gradients from theta = 0, computed
    for this project in float64.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources

Row = dict[str, str]


@functools.cache
def table(name: str) -> tuple[Row, ...]:
    """The rows of ``<name>.csv``, every value as it is written there."""
    with resources.files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))

"""Registry entries of the estimators from values of f. Plain data: does not import torch."""

from __future__ import annotations

from estimators.citations import REINMAX
from estimators.evaluations import SAMPLES, EvaluationCount, all_outcomes
from estimators.info import Citation, EstimatorInfo, Parameter, Properties
from estimators.score import entries_antithetic as antithetic
from estimators.score import entries_control_variates as control_variates
from estimators.score.parameters import (
    LEARNING_RATE,
    MAX_OUTCOMES,
    SAMPLES_AND_NETWORK,
    decay,
    hidden_units,
    num_samples,
)

_WILLIAMS = Citation(
    key="williams1992simple",
    authors="Williams, Ronald J.",
    title="Simple statistical gradient-following algorithms for connectionist reinforcement learning",
    venue="Machine Learning",
    year=1992,
    kind="article",
    url="https://doi.org/10.1007/BF00992696",
)

_BASELINES = (
    EstimatorInfo(
        id="exact",
        title="Exact gradient",
        parameters=(),
        properties=Properties(kind="exact", unbiased=True, needs_grad=False, deterministic=True),
        cost=EvaluationCount(
            text="n^V (n for a sum of per-variable terms)", count=all_outcomes, most=MAX_OUTCOMES
        ),
        equation="sum over outcomes D of p(D) (f(D) - E f) (D - pi)",
        citation=REINMAX,
        version=1,
        target="estimators.score.exact:exact",
    ),
    EstimatorInfo(
        id="reinforce",
        title="REINFORCE",
        parameters=(num_samples(default=1),),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost=SAMPLES,
        equation="(1/K) sum_k f(D_k) (D_k - pi)",
        citation=_WILLIAMS,
        version=2,
        target="estimators.score.reinforce:reinforce",
    ),
    EstimatorInfo(
        id="reinforce_ema",
        title="REINFORCE, moving average",
        parameters=(num_samples(default=1), decay(0.95)),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost=SAMPLES,
        equation="(1/K) sum_k (f(D_k) - c) (D_k - pi), then c <- decay c + (1 - decay) mean f",
        citation=_WILLIAMS,
        version=2,
        target="estimators.score.reinforce_ema:reinforce_ema",
        state_target="estimators.score.reinforce_ema:initial_state",
    ),
    EstimatorInfo(
        id="rloo",
        title="RLOO",
        parameters=(num_samples(default=4, minimum=2, advice="`reinforce_ema` takes one"),),
        properties=Properties(kind="score", unbiased=True, needs_grad=False, min_samples=2),
        cost=SAMPLES,
        equation="(1/K) sum_k (f_k - mean_{j != k} f_j) (D_k - pi)",
        citation=Citation(
            key="kool2019buy",
            authors="Kool, Wouter and van Hoof, Herke and Welling, Max",
            title="Buy 4 REINFORCE Samples, Get a Baseline for Free!",
            venue="ICLR Workshop on Deep Reinforcement Learning Meets Structured Prediction",
            year=2019,
            url="https://openreview.net/forum?id=r1lgTGL5DE",
        ),
        version=2,
        target="estimators.score.rloo:rloo",
    ),
    EstimatorInfo(
        id="nvil",
        title="NVIL",
        parameters=(
            num_samples(default=1),
            decay(0.8),
            LEARNING_RATE,
            hidden_units(100),
            Parameter(
                name="normalisation",
                type=str,
                default="off",
                choices=("off", "on"),
                description="Divide by max(1, standard deviation), which biases the size of the estimate.",
            ),
        ),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost=SAMPLES_AND_NETWORK,
        equation="(1/K) sum_k (f(D_k) - C(pi) - c) (D_k - pi), C a network, c a moving average",
        citation=Citation(
            key="mnih2014neural",
            authors="Mnih, Andriy and Gregor, Karol",
            title="Neural Variational Inference and Learning in Belief Networks",
            venue="ICML",
            year=2014,
            url="https://arxiv.org/abs/1402.0030",
        ),
        version=2,
        target="estimators.score.nvil:nvil",
        state_target="estimators.score.nvil:initial_state",
    ),
)

ENTRIES = (*_BASELINES, *antithetic.ENTRIES, *control_variates.ENTRIES)

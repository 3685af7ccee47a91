"""Registry entries of the estimators with control variates made of f. Plain data: does not import torch."""

from __future__ import annotations

from estimators.citations import STEIN
from estimators.evaluations import EvaluationCount, per_sample, samples_and_mean, three_per_sample
from estimators.info import Citation, EstimatorInfo, Properties
from estimators.score.parameters import (
    LEARNING_RATE,
    RELAXATION,
    SAMPLES_AND_NETWORK,
    coefficient,
    hidden_units,
    num_samples,
)

ENTRIES = (
    EstimatorInfo(
        id="muprop",
        title="MuProp",
        parameters=(
            num_samples(default=1, description="Samples per estimate, besides one evaluation at the mean."),
        ),
        properties=Properties(kind="score+grad", unbiased=True, needs_grad=True, min_samples=2),
        cost=EvaluationCount(text="K + 1", count=samples_and_mean),
        equation="(1/K) sum_k [f_k - f(pi) - <f'(pi), D_k - pi>] (D_k - pi) + J(pi) f'(pi)",
        citation=Citation(
            key="gu2016muprop",
            authors="Gu, Shixiang and Levine, Sergey and Sutskever, Ilya and Mnih, Andriy",
            title="MuProp: Unbiased Backpropagation for Stochastic Neural Networks",
            venue="ICLR",
            year=2016,
            url="https://arxiv.org/abs/1511.05176",
        ),
        version=2,
        target="estimators.score.muprop:muprop",
    ),
    EstimatorInfo(
        id="rebar",
        title="REBAR",
        parameters=(
            num_samples(default=1, description="Samples per estimate; each takes three evaluations of f."),
            RELAXATION,
            coefficient("eta", 1.0, "Scale of the control variate at the start of its training."),
            LEARNING_RATE,
        ),
        properties=Properties(
            kind="score+grad", unbiased=True, needs_grad=True, needs_second_derivative=True, min_samples=3
        ),
        cost=EvaluationCount(text="3 K", count=three_per_sample),
        equation="[f(D) - eta f(x~)] (D - pi) + eta d/dtheta (f(x) - f(x~)), x relaxed, x~ relaxed given D",
        citation=Citation(
            key="tucker2017rebar",
            authors=(
                "Tucker, George and Mnih, Andriy and Maddison, Chris J. and Lawson, Dieterich and "
                "Sohl-Dickstein, Jascha"
            ),
            title="REBAR: Low-variance, unbiased gradient estimates for discrete latent variable models",
            venue="NeurIPS",
            year=2017,
            url="https://arxiv.org/abs/1703.07370",
        ),
        version=2,
        target="estimators.score.rebar:rebar",
        state_target="estimators.score.rebar:initial_state",
    ),
    EstimatorInfo(
        id="relax",
        title="RELAX",
        parameters=(num_samples(default=1), RELAXATION, LEARNING_RATE, hidden_units(32)),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost=SAMPLES_AND_NETWORK,
        equation=(
            "[f(D) - c(x~)] (D - pi) + d/dtheta (c(x) - c(x~)), c a network, x relaxed, x~ relaxed given D"
        ),
        citation=Citation(
            key="grathwohl2018backpropagation",
            authors=(
                "Grathwohl, Will and Choi, Dami and Wu, Yuhuai and Roeder, Geoffrey and Duvenaud, David"
            ),
            title=(
                "Backpropagation through the Void: Optimizing control variates for black-box gradient "
                "estimation"
            ),
            venue="ICLR",
            year=2018,
            url="https://arxiv.org/abs/1711.00123",
        ),
        version=2,
        target="estimators.score.relax:relax",
        state_target="estimators.score.relax:initial_state",
    ),
    EstimatorInfo(
        id="double_cv",
        title="Double control variates",
        parameters=(
            num_samples(default=2, minimum=2, advice="`muprop` and `rebar` take one"),
            coefficient("alpha", -1.0, "Scale of the linear control variate at the start of its training."),
            LEARNING_RATE,
        ),
        properties=Properties(
            kind="score+grad", unbiased=True, needs_grad=True, binary_only=True, min_samples=2
        ),
        cost=EvaluationCount(text="K, with gradients", count=per_sample),
        equation=(
            "(1/K) sum_k [f_k + a_k - mean_{j != k} (f_j + a_j)] (D_k - pi) - alpha J(pi) mean_k f'_k, "
            "a_k = alpha <mean_{j != k} f'_j, D_k - pi>"
        ),
        citation=Citation(
            key="titsias2022double",
            authors="Titsias, Michalis K. and Shi, Jiaxin",
            title="Double Control Variates for Gradient Estimation in Discrete Latent Variable Models",
            venue="AISTATS",
            year=2022,
            url="https://arxiv.org/abs/2111.05300",
        ),
        version=2,
        target="estimators.score.double_cv:double_cv",
        state_target="estimators.score.double_cv:initial_state",
    ),
    EstimatorInfo(
        id="rodeo",
        title="RODEO",
        parameters=(
            num_samples(default=2, minimum=2, advice="`muprop` and `rebar` take one"),
            coefficient("alpha", 1.0, "Scale of the control variate on f at the start of its training."),
            coefficient(
                "beta", 1.0, "Scale of the control variate on the estimate at the start of its training."
            ),
            LEARNING_RATE,
            hidden_units(16),
        ),
        properties=Properties(
            kind="score+grad", unbiased=True, needs_grad=True, binary_only=True, min_samples=2
        ),
        cost=EvaluationCount(text="K, with gradients, and a network", count=per_sample),
        equation=(
            "(1/K) sum_k { [f_k - mean_{j != k} (f_j + alpha (A h_j)(x_j))] s_k + beta (A [h'_k s])(x_k) }, "
            "A a Stein operator, h and h' a network"
        ),
        citation=STEIN,
        version=2,
        target="estimators.score.rodeo:rodeo",
        state_target="estimators.score.rodeo:initial_state",
    ),
)

"""Registry entries of the path estimators. Plain data: does not import torch."""

from __future__ import annotations

from dataclasses import replace

from estimators.citations import REINMAX
from estimators.evaluations import ONE
from estimators.info import Citation, EstimatorInfo, Parameter, Properties
from estimators.parameters import ETA, NUM_DRAWS, temperature

AROUND_ONE = temperature(advice="1 is the plain estimator")
UP_TO_ONE = temperature(advice="values from 0.1 to 1 are usual")
FORWARD_TEMPERATURE = temperature(
    name="forward_temperature",
    advice="1 keeps the distribution",
    description="Temperature of the samples; other than 1 it changes their distribution.",
)
GAP = Parameter(
    name="gap",
    type=float,
    default=1.0,
    minimum=0.0,
    maximum=1e4,
    lane=True,
    advice="0 keeps the order only, 1 is usual",
    description="Least lead of the sampled logit over every other.",
)
EXPECTATION = Parameter(
    name="expectation",
    type=str,
    default="draws",
    choices=("draws", "exact"),
    binary_choices=("exact",),
    description="Mean over num_draws, or the exact one by quadrature, for two categories.",
)

GUMBEL_SOFTMAX = Citation(
    key="jang2017categorical",
    authors="Jang, Eric and Gu, Shixiang and Poole, Ben",
    title="Categorical Reparameterization with Gumbel-Softmax",
    venue="ICLR",
    year=2017,
    url="https://arxiv.org/abs/1611.01144",
)
GAPPED = Citation(
    key="fan2022training",
    authors="Fan, Ting-Han and Chi, Ta-Chung and Rudnicky, Alexander I. and Ramadge, Peter J.",
    title="Training Discrete Deep Generative Models via Gapped Straight-Through Estimator",
    venue="ICML",
    year=2022,
    url="https://proceedings.mlr.press/v162/fan22a.html",
)
BEYOND_REINMAX = Citation(
    key="wang2026beyond",
    authors="Wang, Daniel and Bui, Thang D.",
    title="Beyond ReinMax: Low-Variance Gradient Estimators for Discrete Latent Variables",
    venue="arXiv:2603.08257",
    year=2026,
    kind="misc",
    url="https://arxiv.org/abs/2603.08257",
)

ENTRIES = (
    EstimatorInfo(
        id="st",
        title="Straight-through",
        parameters=(AROUND_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=1),
        cost=ONE,
        equation="(1/tau) J(pi_tau) g",
        citation=Citation(
            key="bengio2013estimating",
            authors="Bengio, Yoshua and L{\\'e}onard, Nicholas and Courville, Aaron",
            title=(
                "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation"
            ),
            venue="arXiv:1308.3432",
            year=2013,
            kind="misc",
            url="https://arxiv.org/abs/1308.3432",
        ),
        version=2,
        target="estimators.path.straight_through:st",
    ),
    EstimatorInfo(
        id="stgs",
        title="Straight-through Gumbel-softmax",
        parameters=(UP_TO_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="(1/tau) J(softmax((theta + G)/tau)) g, G standard Gumbel, D = onehot(argmax(theta + G))",
        citation=GUMBEL_SOFTMAX,
        version=2,
        target="estimators.path.gumbel_softmax:stgs",
    ),
    EstimatorInfo(
        id="decoupled_stgs",
        title="Straight-through Gumbel-softmax with two temperatures",
        parameters=(
            UP_TO_ONE,
            FORWARD_TEMPERATURE,
        ),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="(1/tau) J(softmax((theta + G)/tau)) g, D = onehot(argmax(theta/tau_f + G))",
        citation=Citation(
            key="shah2024improving",
            authors="Shah, Rushi and Yan, Mingyuan and Mozer, Michael Curtis and Liu, Dianbo",
            title="Improving Discrete Optimisation Via Decoupled Straight-Through Gumbel-Softmax",
            venue="arXiv:2410.13331",
            year=2024,
            kind="misc",
            url="https://arxiv.org/abs/2410.13331v1",
        ),
        version=2,
        target="estimators.path.gumbel_softmax:decoupled_stgs",
    ),
    EstimatorInfo(
        id="gumbel_softmax",
        title="Gumbel-softmax (soft forward value)",
        parameters=(UP_TO_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, hard_forward=False),
        cost=ONE,
        equation="(1/tau) J(y) g at y = softmax((theta + G)/tau), G standard Gumbel",
        citation=GUMBEL_SOFTMAX,
        version=2,
        target="estimators.path.gumbel_softmax:gumbel_softmax",
    ),
    EstimatorInfo(
        id="gumbel_rao",
        title="Gumbel-Rao",
        parameters=(UP_TO_ONE, replace(NUM_DRAWS, idle_with=("expectation", "exact")), EXPECTATION),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="(1/(K tau)) sum_k J(y_k) g, y_k = softmax(V_k/tau), V_k perturbed logits given D",
        citation=Citation(
            key="paulus2021rao",
            authors="Paulus, Max B. and Maddison, Chris J. and Krause, Andreas",
            title="Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator",
            venue="ICLR",
            year=2021,
            url="https://arxiv.org/abs/2010.04838",
        ),
        version=2,
        target="estimators.path.gumbel_rao:gumbel_rao",
    ),
    EstimatorInfo(
        id="gst",
        title="Gapped straight-through",
        parameters=(UP_TO_ONE, GAP),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="(1/tau) J(softmax(t/tau)) g, t_i = M, t_j = min(theta_j, M - gap), M = max theta",
        citation=GAPPED,
        version=2,
        target="estimators.path.gapped:gst",
    ),
    EstimatorInfo(
        id="gst_p",
        title="Gapped straight-through, expected gap",
        parameters=(UP_TO_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="as gst with gap = -log(1 - pi_i) / pi_i",
        citation=GAPPED,
        version=2,
        target="estimators.path.gapped:gst_p",
    ),
    EstimatorInfo(
        id="reinmax",
        title="ReinMax",
        parameters=(AROUND_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost=ONE,
        equation="2 J((pi_tau + D)/2) g - (1/2) J(pi) g",
        citation=REINMAX,
        version=2,
        target="estimators.path.reinmax:reinmax",
    ),
    EstimatorInfo(
        id="zgr",
        title="Zero-temperature Gumbel-Rao",
        parameters=(),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost=ONE,
        equation="(1/2) [D_k (g_i - <pi, g>) + pi_k (g_k - g_i)]",
        citation=Citation(
            key="shekhovtsov2023cold",
            authors="Shekhovtsov, Alexander",
            title="Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient Estimator",
            venue="ICML",
            year=2023,
            url="https://proceedings.mlr.press/v202/shekhovtsov23a.html",
        ),
        version=2,
        target="estimators.path.zgr:zgr",
    ),
    EstimatorInfo(
        id="reinmax_mean_baseline",
        title="ReinMax with the uniform mean as baseline",
        parameters=(AROUND_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost=ONE,
        equation="(1/2) [(g_i - mean g) (D - pi) + J(pi) g / (n pi_tau,i)]",
        citation=REINMAX,
        version=2,
        target="estimators.path.uniform_baseline:reinmax_mean_baseline",
    ),
    EstimatorInfo(
        id="reinmax_mean_baseline_released",
        title="ReinMax with the uniform mean as baseline, as released",
        parameters=(AROUND_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, sums_to_zero=False),
        cost=ONE,
        equation="(1/2) [(g_i - mean g) (D - pi) + (D pi g - pi <pi, g>) / (n pi_tau,i + 1e-12)]",
        citation=REINMAX,
        version=2,
        target="estimators.path.uniform_baseline:reinmax_mean_baseline_released",
    ),
    EstimatorInfo(
        id="st_uniform_baseline",
        title="Straight-through with the uniform mean as baseline",
        parameters=(AROUND_ONE,),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=1),
        cost=ONE,
        equation="(1/(n pi_i)) (1/tau) J(pi_tau) g",
        citation=Citation(
            key="gregor2014deep",
            authors=(
                "Gregor, Karol and Danihelka, Ivo and Mnih, Andriy and Blundell, Charles and Wierstra, Daan"
            ),
            title="Deep AutoRegressive Networks",
            venue="ICML",
            year=2014,
            url="https://proceedings.mlr.press/v32/gregor14.html",
        ),
        version=2,
        target="estimators.path.uniform_baseline:st_uniform_baseline",
    ),
    EstimatorInfo(
        id="reinmax_rao",
        title="ReinMax-Rao",
        parameters=(UP_TO_ONE, NUM_DRAWS),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="(2/(K tau)) sum_k J(y_k) g - (1/2) J(pi) g, y_k relaxed given D for logits log((pi + D)/2)",
        citation=BEYOND_REINMAX,
        version=2,
        target="estimators.path.reinmax_rao:reinmax_rao",
    ),
    EstimatorInfo(
        id="reinmax_cv",
        title="ReinMax with a control variate",
        parameters=(UP_TO_ONE, NUM_DRAWS, ETA),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost=ONE,
        equation=(
            "reinmax(tau=1) - (eta/tau) [J(y) g - (1/K) sum_k J(y_k) g], y relaxed given D for logits "
            "log((pi + D)/2)"
        ),
        citation=BEYOND_REINMAX,
        version=2,
        target="estimators.path.reinmax_rao:reinmax_cv",
    ),
    EstimatorInfo(
        id="reinmax_cv_released",
        title="ReinMax with a control variate, as released",
        parameters=(UP_TO_ONE, NUM_DRAWS, ETA),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost=ONE,
        equation="as reinmax_cv with softmax((log((pi + D)/2) + y')/tau) for y, y' relaxed given D for theta",
        citation=BEYOND_REINMAX,
        version=2,
        target="estimators.path.reinmax_rao:reinmax_cv_released",
    ),
)

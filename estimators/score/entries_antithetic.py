"""Registry entries of the estimators from coupled samples. Plain data: does not import torch."""

from __future__ import annotations

from estimators.evaluations import SAMPLES, EvaluationCount, pairs_of_categories
from estimators.info import Citation, EstimatorInfo, Properties
from estimators.score.parameters import num_samples

PAIRED_SAMPLES = num_samples(
    default=2,
    minimum=2,
    multiple_of=2,
    advice="samples come in pairs; any number from 2 on suits `arms` (binary variables) and `rloo`",
    description="Evaluations of f per estimate, an even number.",
)

ENTRIES = (
    EstimatorInfo(
        id="disarm",
        title="DisARM (U2G)",
        parameters=(PAIRED_SAMPLES,),
        properties=Properties(kind="score", unbiased=True, needs_grad=False, binary_only=True, min_samples=2),
        cost=SAMPLES,
        equation=(
            "(1/2) (f(b) - f(b')) (b - b') sigmoid(|eta|), b = 1[1-u < p], b' = 1[u < p]; mean over K/2 pairs"
        ),
        citation=Citation(
            key="dong2020disarm",
            authors="Dong, Zhe and Mnih, Andriy and Tucker, George",
            title="DisARM: An Antithetic Gradient Estimator for Binary Latent Variables",
            venue="NeurIPS",
            year=2020,
            url="https://arxiv.org/abs/2006.10680",
        ),
        version=2,
        target="estimators.score.disarm:disarm",
    ),
    EstimatorInfo(
        id="disarm_tree",
        title="DisARM-Tree",
        parameters=(PAIRED_SAMPLES,),
        properties=Properties(kind="score", unbiased=True, needs_grad=False, min_samples=2),
        cost=SAMPLES,
        equation=(
            "DisARM at the tree nodes on both paths, +-(1/2) (f - f') (b - p) at those on one, times the "
            "Jacobian of node logits; mean over K/2 pairs"
        ),
        citation=Citation(
            key="dong2021coupled",
            authors="Dong, Zhe and Mnih, Andriy and Tucker, George",
            title="Coupled Gradient Estimators for Discrete Latent Variables",
            venue="NeurIPS",
            year=2021,
            url="https://arxiv.org/abs/2106.08056",
        ),
        version=2,
        target="estimators.score.disarm_tree:disarm_tree",
    ),
    EstimatorInfo(
        id="arms",
        title="ARMS",
        parameters=(num_samples(default=4, minimum=2, advice="`reinforce_ema` takes one"),),
        properties=Properties(kind="score", unbiased=True, needs_grad=False, binary_only=True, min_samples=2),
        cost=SAMPLES,
        equation=(
            "(1/(K-1)) sum_k (f_k - fbar) (b_k - p) p(1-p) / (p - P(b_1 = b_2 = 1)), antithetic b_1 .. b_K"
        ),
        citation=Citation(
            key="dimitriev2021arms",
            authors="Dimitriev, Alek and Zhou, Mingyuan",
            title="ARMS: Antithetic-REINFORCE-Multi-Sample Gradient for Binary Variables",
            venue="ICML",
            year=2021,
            url="https://arxiv.org/abs/2105.14141",
        ),
        version=2,
        target="estimators.score.arms:arms",
    ),
    EstimatorInfo(
        id="arm",
        title="ARM",
        parameters=(PAIRED_SAMPLES,),
        properties=Properties(kind="score", unbiased=True, needs_grad=False, binary_only=True, min_samples=2),
        cost=SAMPLES,
        equation="(f(b) - f(b')) (u - 1/2), b = 1[1-u < p], b' = 1[u < p]; mean over K/2 pairs",
        citation=Citation(
            key="yin2019arm",
            authors="Yin, Mingzhang and Zhou, Mingyuan",
            title="ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks",
            venue="ICLR",
            year=2019,
            url="https://arxiv.org/abs/1807.11143",
        ),
        version=2,
        target="estimators.score.arm:arm",
    ),
    EstimatorInfo(
        id="arsm",
        title="ARSM",
        parameters=(),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost=EvaluationCount(text="n (n - 1) / 2 + 1", count=pairs_of_categories),
        equation=(
            "sum_j (f_cj - (1/n) sum_m f_mj) (1/n - d_j), "
            "f_cj at argmin(log d - theta) with d_c and d_j exchanged"
        ),
        citation=Citation(
            key="yin2019arsm",
            authors="Yin, Mingzhang and Yue, Yuguang and Zhou, Mingyuan",
            title=(
                "ARSM: Augment-REINFORCE-Swap-Merge Estimator for Gradient Backpropagation Through "
                "Categorical Variables"
            ),
            venue="ICML",
            year=2019,
            url="https://arxiv.org/abs/1905.01413",
        ),
        version=2,
        target="estimators.score.arsm:arsm",
    ),
)

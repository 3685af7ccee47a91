"""Registry entries of the estimators from values of f. Plain data: does not import torch."""

from __future__ import annotations

from estimators.citations import REINMAX
from estimators.info import Citation, EstimatorInfo, Properties
from estimators.parameters import NUM_SAMPLES

ENTRIES = (
    EstimatorInfo(
        id="exact",
        title="Exact gradient",
        parameters=(),
        properties=Properties(kind="exact", unbiased=True, needs_grad=False, deterministic=True),
        cost="n^V (n for a sum of per-variable terms)",
        equation="sum over outcomes D of p(D) (f(D) - E f) (D - pi)",
        citation=REINMAX,
        version=1,
        target="estimators.score.exact:exact",
    ),
    EstimatorInfo(
        id="reinforce",
        title="REINFORCE",
        parameters=(NUM_SAMPLES,),
        properties=Properties(kind="score", unbiased=True, needs_grad=False),
        cost="K",
        equation="(1/K) sum_k f(D_k) (D_k - pi)",
        citation=Citation(
            key="williams1992simple",
            authors="Williams, Ronald J.",
            title="Simple statistical gradient-following algorithms for connectionist reinforcement learning",
            venue="Machine Learning",
            year=1992,
            kind="article",
            url="https://doi.org/10.1007/BF00992696",
        ),
        version=1,
        target="estimators.score.reinforce:reinforce",
    ),
)

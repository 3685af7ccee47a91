"""Registry entries of the path estimators. Plain data: does not import torch."""

from __future__ import annotations

from estimators.citations import REINMAX
from estimators.info import Citation, EstimatorInfo, Properties
from estimators.parameters import temperature

ENTRIES = (
    EstimatorInfo(
        id="st",
        title="Straight-through",
        parameters=(temperature(minimum=0.0, open_minimum=True),),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=1),
        cost="1",
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
        version=1,
        target="estimators.path.straight_through:st",
    ),
    EstimatorInfo(
        id="stgs",
        title="Straight-through Gumbel-softmax",
        parameters=(temperature(minimum=0.0, open_minimum=True),),
        properties=Properties(kind="path", unbiased=False, needs_grad=True),
        cost="1",
        equation="(1/tau) J(softmax((theta + G)/tau)) g, G standard Gumbel, D = onehot(argmax(theta + G))",
        citation=Citation(
            key="jang2017categorical",
            authors="Jang, Eric and Gu, Shixiang and Poole, Ben",
            title="Categorical Reparameterization with Gumbel-Softmax",
            venue="ICLR",
            year=2017,
            url="https://arxiv.org/abs/1611.01144",
        ),
        version=1,
        target="estimators.path.gumbel_softmax:stgs",
    ),
    EstimatorInfo(
        id="reinmax",
        title="ReinMax",
        parameters=(temperature(minimum=1.0),),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost="1",
        equation="2 J((pi_tau + D)/2) g - (1/2) J(pi) g",
        citation=REINMAX,
        version=1,
        target="estimators.path.reinmax:reinmax",
    ),
)

"""The registry of estimators: plain data, importable without torch.

``get(id)`` returns an :class:`~estimators.info.EstimatorInfo`; ``available()`` lists the ids in the order
pages show them.
"""

from __future__ import annotations

from estimators.info import Citation, EstimatorInfo, Parameter, Properties

NUM_SAMPLES = Parameter(
    name="num_samples",
    type=int,
    default=1,
    minimum=1,
    maximum=10_000,
    description="Evaluations of f per estimate.",
)


def temperature(*, minimum: float, open_minimum: bool = False) -> Parameter:
    """The temperature of a path estimator; it enters the backward pass only."""
    return Parameter(
        name="temperature",
        type=float,
        default=1.0,
        minimum=minimum,
        maximum=100.0,
        open_minimum=open_minimum,
        lane=True,
        description="Temperature of the backward pass; the sampling distribution stays at 1.",
    )


_REINMAX = Citation(
    key="liu2023reinmax",
    authors="Liu, Liyuan and Dong, Chengyu and Liu, Xiaodong and Yu, Bin and Gao, Jianfeng",
    title="Bridging Discrete and Backpropagation: Straight-Through and Beyond",
    venue="NeurIPS",
    year=2023,
)

_ENTRIES = (
    EstimatorInfo(
        id="exact",
        title="Exact gradient",
        parameters=(),
        properties=Properties(kind="exact", unbiased=True, needs_grad=False, deterministic=True),
        cost="n^V (n for a sum of per-variable terms)",
        equation="sum over outcomes D of p(D) (f(D) - E f) (D - pi)",
        citation=_REINMAX,
        version=1,
        target="estimators.exact:exact",
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
        ),
        version=1,
        target="estimators.reinforce:reinforce",
    ),
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
            title="Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation",
            venue="arXiv:1308.3432",
            year=2013,
        ),
        version=1,
        target="estimators.straight_through:st",
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
        ),
        version=1,
        target="estimators.gumbel_softmax:stgs",
    ),
    EstimatorInfo(
        id="reinmax",
        title="ReinMax",
        parameters=(temperature(minimum=1.0),),
        properties=Properties(kind="path", unbiased=False, needs_grad=True, order=2),
        cost="1",
        equation="2 J((pi_tau + D)/2) g - (1/2) J(pi) g",
        citation=_REINMAX,
        version=1,
        target="estimators.reinmax:reinmax",
    ),
)

_BY_ID = {info.id: info for info in _ENTRIES}


def available() -> tuple[str, ...]:
    """Ids of all registered estimators."""
    return tuple(_BY_ID)


def get(id: str) -> EstimatorInfo:
    """The registry entry of an estimator.

    Raises:
        KeyError: no estimator has this id; the message lists those there are.
    """
    try:
        return _BY_ID[id]
    except KeyError:
        raise KeyError(f"no estimator {id!r}; there are {', '.join(_BY_ID)}") from None

"""The registry of estimators: plain data, importable without torch.

``get(id)`` returns an :class:`~estimators.info.EstimatorInfo`; ``available()`` lists the ids in the order
pages show them. Other packages add estimators through entry points of the group ``heunboard.estimators``,
each of which names an :class:`~estimators.info.EstimatorInfo`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import metadata

from estimators.info import Citation, EstimatorInfo, Parameter, Properties

GROUP = "heunboard.estimators"

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
    url="https://arxiv.org/abs/2304.08612",
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
        citation=_REINMAX,
        version=1,
        target="estimators.path.reinmax:reinmax",
    ),
)

_BUILT_IN = {info.id: info for info in _ENTRIES}


class PluginError(RuntimeError):
    """An installed package announces an estimator that cannot be used."""


def available() -> tuple[str, ...]:
    """Ids of all registered estimators, those of installed plug-ins last.

    Raises:
        PluginError: a plug-in is broken or takes an id that exists; the message names its package.
    """
    return (*_BUILT_IN, *_installed())


def get(id: str) -> EstimatorInfo:
    """The registry entry of an estimator.

    Raises:
        KeyError: no estimator has this id; the message lists those there are.
        PluginError: as :func:`available`, for ids that are not built in.
    """
    if id in _BUILT_IN:
        return _BUILT_IN[id]
    try:
        return _installed()[id]
    except KeyError:
        raise KeyError(f"no estimator {id!r}; there are {', '.join(available())}") from None


@functools.cache
def _installed() -> dict[str, EstimatorInfo]:
    """Entries of installed plug-ins, looked up once: what is installed does not change under a process."""
    return plugins(metadata.entry_points(group=GROUP))


def plugins(entry_points: Iterable[metadata.EntryPoint]) -> dict[str, EstimatorInfo]:
    """Entries announced by ``entry_points``, by id.

    Raises:
        PluginError: one does not load, is no :class:`EstimatorInfo`, or takes an id that exists.
    """
    found: dict[str, EstimatorInfo] = {}
    for entry_point in entry_points:
        info = _load(entry_point)
        if info.id in _BUILT_IN or info.id in found:
            raise PluginError(
                f"{_origin(entry_point)} registers an estimator {info.id!r}, an id that is already taken; "
                "uninstall one of the two packages or rename its estimator"
            )
        found[info.id] = info
    return found


def _load(entry_point: metadata.EntryPoint) -> EstimatorInfo:
    try:
        info = entry_point.load()
    except Exception as error:  # a foreign module may raise anything; the message must name its package
        raise PluginError(
            f"{_origin(entry_point)} does not load ({type(error).__name__}: {error}); repair or uninstall it"
        ) from error
    if not isinstance(info, EstimatorInfo):
        raise PluginError(
            f"{_origin(entry_point)} is {info!r}, expected an estimators.EstimatorInfo; let the entry "
            "point name the registry entry, not the function"
        )
    return info


def _origin(entry_point: metadata.EntryPoint) -> str:
    package = entry_point.dist.name if entry_point.dist is not None else "an unknown package"
    return f"entry point {entry_point.name} = {entry_point.value!r} of {package} (group {GROUP})"

"""Widely cited estimators that the library does not have, and why. Does not import torch."""

from __future__ import annotations

from typing import NamedTuple


class LeftOut(NamedTuple):
    """A published method, where it was published, and what keeps it out."""

    name: str
    source: str
    reason: str


LEFT_OUT = (
    LeftOut(
        "VIMCO",
        "Mnih and Rezende, 2016",
        "Another objective: the bound E log (1/K) sum_k w(D_k) that K samples share, no E f(D). "
        "Without the logarithm it is `rloo`.",
    ),
    LeftOut(
        "Unordered set estimator, sampling without replacement",
        "Kool, van Hoof and Welling, 2020",
        "Fits, but is not implemented: it needs K different outcomes of all variables jointly, each with a "
        "weight, and an estimate here is a plain mean over samples.",
    ),
    LeftOut(
        "Rao-Blackwellised REINFORCE, top-k categories summed",
        "Liu, Regier, Tripuraneni, Jordan and McAuliffe, 2019",
        "Fits, but is not implemented: made for one variable of many categories; of V variables the outcomes "
        "to sum are those of the joint distribution. It too weights its samples.",
    ),
    LeftOut(
        "CatLog-derivative trick, IndeCateR",
        "De Smet, Sansone and Zuidberg Dos Martires, 2023",
        "Fits, but is not implemented: it evaluates f at every category of every variable with the others "
        "sampled, V n evaluations where others take one.",
    ),
    LeftOut(
        "FouST",
        "Pervez, Cohen and Gavves, 2020",
        "Not implemented: rests on the Fourier expansion of functions of binary variables and has no "
        "categorical form.",
    ),
    LeftOut(
        "Straight-through with a hard sigmoid or a hinge (saturated)",
        "Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, 2016",
        "Not implemented: binary units whose probability is a clipped line, so another distribution than the "
        "softmax of the logits. `st` is the softmax form.",
    ),
    LeftOut(
        "Implicit MLE (I-MLE), perturb-and-MAP",
        "Niepert, Minervini and Franceschi, 2021",
        "For structures (subsets, paths, matchings) behind a solver; variables here are independent and "
        "one-hot.",
    ),
    LeftOut(
        "SIMPLE",
        "Ahmed, Zeng, Niepert and Van den Broeck, 2023",
        "For subsets of size k. At k = 1 it is `st` at temperature 1.",
    ),
    LeftOut(
        "SPIGOT",
        "Peng, Thomson and Smith, 2018",
        "For a deterministic structured argmax: nothing is sampled, so there is no E f(D) to be faithful to.",
    ),
    LeftOut(
        "Sparsemax and entmax marginalisation",
        "Correia, Niculae, Aziz and Martins, 2020",
        "Replaces the softmax by a distribution of small support and sums over it: another model, and no "
        "estimate.",
    ),
    LeftOut(
        "Straight-through and rotation trick of vector quantisation",
        "Van den Oord, Vinyals and Kavukcuoglu, 2017; Fifty et al., 2025",
        "The code nearest to a vector is chosen deterministically; no distribution, no expectation.",
    ),
)

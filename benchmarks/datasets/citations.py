"""Where data sets were published. Does not import torch."""

from __future__ import annotations

from estimators.info import Citation

MNIST = Citation(
    key="lecun1998gradient",
    authors="LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick",
    title="Gradient-Based Learning Applied to Document Recognition",
    venue="Proceedings of the IEEE",
    year=1998,
    kind="article",
)
FASHION_MNIST = Citation(
    key="xiao2017fashion",
    authors="Xiao, Han and Rasul, Kashif and Vollgraf, Roland",
    title="Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
    venue="arXiv:1708.07747",
    year=2017,
    kind="misc",
    url="https://arxiv.org/abs/1708.07747",
)
OMNIGLOT = Citation(
    key="lake2015human",
    authors="Lake, Brenden M. and Salakhutdinov, Ruslan and Tenenbaum, Joshua B.",
    title="Human-Level Concept Learning through Probabilistic Program Induction",
    venue="Science",
    year=2015,
    kind="article",
)
CIFAR = Citation(
    key="krizhevsky2009learning",
    authors="Krizhevsky, Alex",
    title="Learning Multiple Layers of Features from Tiny Images",
    venue="Technical report, University of Toronto",
    year=2009,
    kind="misc",
)
LISTOPS = Citation(
    key="nangia2018listops",
    authors="Nangia, Nikita and Bowman, Samuel R.",
    title="ListOps: A Diagnostic Dataset for Latent Tree Learning",
    venue="NAACL Student Research Workshop",
    year=2018,
    url="https://arxiv.org/abs/1804.06028",
)
NATS_BENCH = Citation(
    key="dong2021nats",
    authors="Dong, Xuanyi and Liu, Lu and Musial, Katarzyna and Gabrys, Bogdan",
    title="NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size",
    venue="IEEE Transactions on Pattern Analysis and Machine Intelligence",
    year=2021,
    kind="article",
    url="https://arxiv.org/abs/2009.00437",
)

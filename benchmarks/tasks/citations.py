"""Where tasks were published, besides the publications of estimators. Does not import torch."""

from __future__ import annotations

from estimators.info import Citation

GUMBEL_TREE = Citation(
    key="choi2018learning",
    authors="Choi, Jihun and Yoo, Kang Min and Lee, Sang-goo",
    title="Learning to Compose Task-Specific Tree Structures",
    venue="AAAI",
    year=2018,
    url="https://arxiv.org/abs/1707.02786",
)
GDAS = Citation(
    key="dong2019searching",
    authors="Dong, Xuanyi and Yang, Yi",
    title="Searching for a Robust Neural Architecture in Four GPU Hours",
    venue="CVPR",
    year=2019,
    url="https://arxiv.org/abs/1910.04465",
)

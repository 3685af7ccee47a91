"""Publications that several entries share. Does not import torch."""

from __future__ import annotations

from estimators.info import Citation

REINMAX = Citation(
    key="liu2023reinmax",
    authors="Liu, Liyuan and Dong, Chengyu and Liu, Xiaodong and Yu, Bin and Gao, Jianfeng",
    title="Bridging Discrete and Backpropagation: Straight-Through and Beyond",
    venue="NeurIPS",
    year=2023,
    url="https://arxiv.org/abs/2304.08612",
)
STEIN = Citation(
    key="shi2022gradient",
    authors="Shi, Jiaxin and Zhou, Yuhao and Hwang, Jessica and Titsias, Michalis K. and Mackey, Lester",
    title="Gradient Estimation with Discrete Stein Operators",
    venue="NeurIPS",
    year=2022,
    url="https://arxiv.org/abs/2202.09497",
)

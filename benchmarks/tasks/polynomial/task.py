r"""Polynomial programming: a problem whose expectation, optimum and gradient are known in closed form.

    minimise  E[ (1/L) sum_i |X_i - c_i|^p ],    X_i = component 0 of a one-hot pair with logits theta_i

    setting A:  c_i = target       setting B:  c_i = (i - 1/2) / L,  i = 1 .. L

Logits start uniform in (-0.01, 0.01); every step averages the loss over independent copies of X. The target
is 0.45 in the ReinMax paper. One variable, p = 2 and a target of 0.49 or 0.499 is the bit flip, minimise
E[(b - c)^2], on which estimators for binary variables are compared: the closer c is to 1/2, the smaller is
the difference 1 - 2c between the two outcomes.

The quadratic programme whose cost the paper measures has p = 2, L = 128 and 512 copies.

Source: Liu et al., "Bridging Discrete and Backpropagation: Straight-Through and Beyond", NeurIPS 2023,
section 5.1; Tucker et al., "REBAR", NIPS 2017, for the problem; Yin and Zhou, "ARM", ICLR 2019, for c = 0.49.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, TaskBase, Variables
from benchmarks.tasks.polynomial.references import TARGET
from estimators import NoiseSource, SeparableObjective, Value

_TINY = 1e-30
_START = 0.01


def targets(setting: str, latents: int, target: float = TARGET) -> Tensor:
    """The c_i of a setting, float64 ``(L,)``; ``target`` is that of setting A."""
    if setting == "A":
        return torch.full((latents,), target, dtype=torch.float64)
    return (torch.arange(latents, dtype=torch.float64) + 0.5) / latents


class Polynomial(TaskBase):
    """The task for given parameters.

    Args:
        values: ``p, setting, target, latents, batch_size, steps_per_epoch`` as the registry declares them.
        device: where it runs.
        data_dir: not used, this task has no data.
        dtype: of logits and samples.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.steps_per_epoch = int(values["steps_per_epoch"])
        self.batch_size = int(values["batch_size"])
        self._p = float(values["p"])
        self._latents = int(values["latents"])
        self._c_V = targets(str(values["setting"]), self._latents, float(values["target"])).to(device)
        self._c_low_V = self._c_V.to(dtype)
        self._objective = SeparableObjective(terms=self._terms)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """Logits ``theta`` ``(lanes, 2, L)``, uniform in (-0.01, 0.01).

        Categories come before variables, which are many: loops over them are what vector instructions help.
        """
        like = self._c_low_V
        u = noise.uniform((lanes, 2, self._latents), dtype=like.dtype, device=like.device)
        return Variables(groups={"model": {"theta": (2 * u - 1) * _START}})

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean over copies of the estimate of E[f]; a deterministic estimator needs only one copy."""
        theta = variables.groups["model"]["theta"]
        copies = 1 if draw.properties.deterministic else self.batch_size
        logits = theta.unsqueeze(1).expand(-1, copies, -1, -1).mT
        loss = draw.expect("x", logits, self._objective).mean(1)
        return Loss(loss=loss, metrics={"train_loss": loss.detach()}, weight=self.batch_size)

    def measure(self, variables: Variables) -> dict[str, Tensor]:
        """The exact expectation, computed in float64."""
        return {"expected_loss": self.expected_loss(variables.groups["model"]["theta"])}

    def expected_loss(self, theta: Tensor) -> Tensor:
        """(1/L) sum_i q_i (1 - c_i)^p + (1 - q_i) c_i^p, q_i = P(X_i = 1): ``(lanes, 2, L) -> (lanes,)``."""
        pair = theta.double()
        q = torch.sigmoid(pair[:, 0] - pair[:, 1])
        one, zero = (1 - self._c_V).pow(self._p), self._c_V.pow(self._p)
        return (q * one + (1 - q) * zero).mean(-1)

    def _terms(self, samples: Tensor) -> Tensor:
        """|X_i - c_i|^p / L for samples ``(lanes, K, ..., L, 2)``."""
        difference = samples[..., 0] - self._c_low_V
        return _power(difference, self._p) / self._latents


def _power(difference: Tensor, p: float) -> Tensor:
    """|x|^p, with derivatives that are right at 0, too.

    In a step of ReinMax a general power costs twice what all the rest does; roots and products are cheap.
    """
    if p == 2:
        return difference.square()  # needs no absolute value, whose derivative costs more than the rest
    size = difference.abs()
    whole, half = divmod(p, 1)
    if half != 0.5 or whole < 1:
        return size.pow(p)
    root = size.clamp_min(_TINY).sqrt()  # never 0, where a root's derivative is infinite
    return size.pow(whole) * root if whole > 1 else size * root

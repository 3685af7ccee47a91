"""Numbers to hold against measured ones, for given task parameters. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.published import Row, table
from benchmarks.tasks.info import Reference
from estimators.info import Value

_PAPER = "Liu et al., Bridging Discrete and Backpropagation, NeurIPS 2023"
_LOGS = "github.com/danielwang0452/DiscreteNumericalMethodsASC, our means of its logs"
_PAPER_EPOCHS = 160
_PAPER_BATCH = 100
_C = 0.45  # the target of setting A

Values = Mapping[str, Value]


def polynomial(values: Values) -> tuple[Reference, ...]:
    """The optimum, the level where ST stalls (setting A) and what Adam reaches with exact gradients."""
    return (_optimum(values), *_straight_through_stall(values), *_exact_adam(values))


def categorical_vae(values: Values) -> tuple[Reference, ...]:
    """Tables 2 and 9 of the ReinMax paper, and public logs where they have this number of epochs."""
    return (*_paper_tables(values), *_public_logs(values))


def _expected_loss(estimator: str | None, label: str, mean: float, source: str) -> Reference:
    return Reference(
        metric="expected_loss", estimator=estimator, label=label, mean=mean, sd=None, source=source
    )


def _optimum(values: Values) -> Reference:
    p, latents = float(values["p"]), int(values["latents"])
    if values["setting"] == "A":
        return _expected_loss(None, "optimum", _C**p, "0.45^p, every X at 0")
    targets = [(i + 0.5) / latents for i in range(latents)]
    mean = sum(min(c, 1 - c) ** p for c in targets) / latents
    return _expected_loss(None, "optimum", mean, "mean over i of min(c_i, 1 - c_i)^p")


def _straight_through_stall(values: Values) -> Iterator[Reference]:
    if values["setting"] == "A":
        p = float(values["p"])
        one, zero = (1 - _C) ** (p - 1), _C ** (p - 1)
        q = zero / (zero + one)
        level = q * (1 - _C) ** p + (1 - q) * _C**p
        source = (
            "expected loss where the mean ST gradient is zero, P(X = 1) = c^(p-1) / (c^(p-1) + (1-c)^(p-1))"
        )
        yield _expected_loss("st", "stall", level, source)


def _exact_adam(values: Values) -> Iterator[Reference]:
    steps = int(values["epochs"]) * int(values["steps_per_epoch"])
    for row in table("polynomial_exact_adam"):
        same_task = float(row["p"]) == values["p"] and row["setting"] == values["setting"]
        if same_task and int(row["latents"]) == values["latents"] and int(row["steps"]) == steps:
            source = f"{steps:,} Adam steps, rate 0.001, exact gradients in float64 from theta = 0"
            yield _expected_loss("exact", "exact gradients", float(row["expected_loss"]), source)


def _same_model(row: Row, values: Values) -> bool:
    shape = (int(row["categories"]), int(row["latents"]))
    return row["dataset"] == values["dataset"] and shape == (values["categories"], values["latents"])


def _budget_difference(values: Values) -> str:
    """Empty, or how the budget differs from the paper's."""
    differences = []
    if values["epochs"] != _PAPER_EPOCHS:
        differences.append(f"published after {_PAPER_EPOCHS} epochs, here {values['epochs']}")
    if values["batch_size"] != _PAPER_BATCH:
        differences.append(f"published with batches of {_PAPER_BATCH}, here {values['batch_size']}")
    return "; ".join(differences)


def _paper_tables(values: Values) -> Iterator[Reference]:
    for row in table("reinmax_vae_tables"):
        if _same_model(row, values):
            yield Reference(
                metric=row["metric"],
                estimator=row["estimator"],
                label=f"Table {row['table']}",
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                source=f"{_PAPER}, Table {row['table']} ({row['note']})",
                comparable=_budget_difference(values),
            )


def _public_logs(values: Values) -> Iterator[Reference]:
    if values["batch_size"] != _PAPER_BATCH:
        return
    for row in table("public_logs_vae_curves"):
        if _same_model(row, values) and int(row["epoch"]) == values["epochs"]:
            yield _log_reference(row, "train_neg_elbo", row["train_sd"])
            yield _log_reference(row, "test_neg_elbo", row["test_sd"])


def _log_reference(row: Row, metric: str, sd: str) -> Reference:
    setting = f"{row['seeds']} seeds, {row['optimizer']}, rate {row['lr']}, temperature {row['temperature']}"
    return Reference(
        metric=metric,
        estimator=row["estimator"],
        label=f"public logs, epoch {row['epoch']}",
        mean=float(row[metric]),
        sd=float(sd),
        source=f"{_LOGS}: {setting}",
    )

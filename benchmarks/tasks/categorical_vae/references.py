"""Published numbers of the categorical VAE for given parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.published import Row, table
from benchmarks.tasks.categorical_vae.protocols import GREY, PROTOCOLS
from benchmarks.tasks.info import Reference
from estimators.info import Value

_PAPER = "Liu et al., Bridging Discrete and Backpropagation, NeurIPS 2023"
_LOGS = "github.com/danielwang0452/DiscreteNumericalMethodsASC, our means of its logs"

Values = Mapping[str, Value]


def references(values: Values) -> tuple[Reference, ...]:
    """Tables 2, 5 and 9 of the ReinMax paper, and public logs where they have this number of epochs."""
    return (*_paper_tables(values), *_public_logs(values))


def _same_model(row: Row, values: Values) -> bool:
    shape = (int(row["categories"]), int(row["latents"]))
    return row["dataset"] == values["dataset"] and shape == (values["categories"], values["latents"])


def _difference(protocol: str, values: Values) -> str:
    """Empty, or how images, layers or budget differ from those that were published."""
    published, differences = PROTOCOLS[protocol], []
    if protocol != values["protocol"]:
        differences.append(f"published for {published.description}")
    if values["epochs"] != published.epochs:
        differences.append(f"published after {published.epochs} epochs, here {values['epochs']}")
    if values["batch_size"] != published.batch_size:
        differences.append(f"published with batches of {published.batch_size}, here {values['batch_size']}")
    return "; ".join(differences)


def _paper_tables(values: Values) -> Iterator[Reference]:
    for row in table("reinmax_vae_tables"):
        if _same_model(row, values):
            note = f" ({row['note']})" if row["note"] else ""
            yield Reference(
                metric=row["metric"],
                estimator=row["estimator"],
                label=f"Table {row['table']}",
                mean=float(row["mean"]),
                sd=float(row["sd"]),
                source=f"{_PAPER}, Table {row['table']}{note}",
                comparable=_difference(row["protocol"], values),
            )


def _public_logs(values: Values) -> Iterator[Reference]:
    if values["batch_size"] != PROTOCOLS[GREY].batch_size or values["protocol"] != GREY:
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

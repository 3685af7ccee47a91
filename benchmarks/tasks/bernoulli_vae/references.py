"""Published numbers of the Bernoulli VAE for given parameters."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.published import Row, table
from benchmarks.tasks.info import Reference
from estimators.info import Value

_SOURCES = {
    "released": "Liu et al., Bridging Discrete and Backpropagation, NeurIPS 2023, Table 6",
    "rodeo": (
        "Shi et al., Gradient Estimation with Discrete Stein Operators, NeurIPS 2022; Table 6 of Liu et al., "
        "NeurIPS 2023, cites it"
    ),
}
"""By protocol that a number was computed with."""
_OF_PROTOCOL = {
    "released": "images binarised once, learned prior with the pairing error",
    "fixed": "images binarised once, learned prior",
    "rodeo": "images binarised at every use, prior 1/2",
}
_PUBLISHED_DATA = {"mnist": "mnist", "fashion_mnist": "fashion_mnist", "omniglot_rebuilt": "omniglot"}
_EPOCHS = {"mnist": 2000, "fashion_mnist": 2000, "omniglot": 4348}
"""A million updates."""
_BATCH, _LATENTS = 100, 200

Values = Mapping[str, Value]


def references(values: Values) -> tuple[Reference, ...]:
    """Table 6 of the ReinMax paper for this data set and K, whatever the protocol."""
    if values["latents"] != _LATENTS:
        return ()
    data = _PUBLISHED_DATA[str(values["dataset"])]
    return tuple(
        Reference(
            metric="train_neg_elbo",
            estimator=row["estimator"],
            label="Table 6",
            mean=float(row["mean"]),
            sd=float(row["sd"]),
            source=f"{_SOURCES[row['protocol']]} ({_OF_PROTOCOL[row['protocol']]})",
            comparable=_difference(row, values),
        )
        for row in table("reinmax_bernoulli_vae_table")
        if row["dataset"] == data and int(row["samples"]) == values["samples"]
    )


def _difference(row: Row, values: Values) -> str:
    """Empty, or how the published trials differ from these."""
    differences, epochs = [], _EPOCHS[row["dataset"]]
    if row["protocol"] != values["protocol"]:
        differences.append(f"published with {_OF_PROTOCOL[row['protocol']]}")
    if row["dataset"] != values["dataset"]:
        differences.append(f"published on the original {row['dataset'].capitalize()}")
    if values["epochs"] != epochs:
        differences.append(f"published after {epochs} epochs, here {values['epochs']}")
    if values["batch_size"] != _BATCH:
        differences.append(f"published with batches of {_BATCH}, here {values['batch_size']}")
    return "; ".join(differences)

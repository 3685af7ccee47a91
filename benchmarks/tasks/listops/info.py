"""The registry entry of ListOps. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.datasets.catalogue import LISTOPS_REGENERATED
from benchmarks.tasks.citations import GUMBEL_TREE
from benchmarks.tasks.info import (
    Facts,
    Goal,
    Metric,
    Reduction,
    Space,
    Split,
    TaskInfo,
    choice,
    epochs,
    whole,
)
from benchmarks.tasks.listops.references import references
from benchmarks.tasks.tables import table
from estimators.citations import REINMAX
from estimators.info import Value

FIXED: Mapping[str, Value] = {"clip_norm": 5.0}
"""What the protocol fixes of the optimizer."""
_ALL = 89_000

Values = Mapping[str, Value]


def split_sizes(v: Values) -> Mapping[Split, int]:
    """Sentences of every split that are short enough."""
    rows = [row for row in table(__package__, "lengths") if int(row["tokens"]) <= int(v["max_tokens"])]
    train, valid, test = (sum(int(row[split]) for row in rows) for split in ("train", "valid", "test"))
    wanted = int(v["train_sentences"])
    return {"train": min(wanted, train) if wanted else train, "valid": valid, "test": test}


def longest(v: Values) -> int:
    """Symbols of the longest training sentence there is."""
    rows = [row for row in table(__package__, "lengths") if int(row["tokens"]) <= int(v["max_tokens"])]
    column = "tokens" if v["reader"] == "token" else "train_characters"
    return max(int(row[column]) for row in rows)


def _mean_length(v: Values) -> float:
    """Of a training sentence, in symbols; a token has 2.26 characters with its blank."""
    rows = [row for row in table(__package__, "lengths") if int(row["tokens"]) <= int(v["max_tokens"])]
    total = sum(int(row["train"]) for row in rows)
    tokens = sum(int(row["tokens"]) * int(row["train"]) for row in rows) / total
    return tokens if v["reader"] == "token" else 2.26 * tokens


def _facts(v: Values) -> Facts:
    """Work by the mean sentence: 9 rows times the map of pairs for every leaf, and 3 times the LSTM's."""
    batch, hidden, length = int(v["batch_size"]), int(v["hidden"]), longest(v)
    per_leaf = 9 * 10 * hidden**2 + 3 * 8 * hidden**2
    return Facts(
        spaces={"merge": Space(variables=1, categories=length - 1, rows=(length - 2) * batch)},
        flop=2.0 * per_leaf * _mean_length(v) * batch,
        sequential=True,
        ragged=True,
    )


def _describe(v: Values) -> str:
    reader = "tokens" if v["reader"] == "token" else "characters"
    sentences = f", {v['train_sentences']} sentences" if v["train_sentences"] else ""
    return f"ListOps by {reader}{sentences}, {v['epochs']} epoch{'' if v['epochs'] == 1 else 's'}"


def _accuracy(split: Split, description: str) -> Metric:
    return Metric(
        name=f"{split}_accuracy",
        title=f"{split.capitalize()} accuracy",
        unit="%",
        goal="maximize",
        split=split,
        description=description,
    )


def _best(split: Split) -> Metric:
    goal: Goal = "maximize"
    return Metric(
        name=f"{split}_accuracy_best",
        title=f"{split.capitalize()} accuracy, best",
        unit="%",
        goal=goal,
        split=split,
        description=f"{split.capitalize()} accuracy where validation accuracy was best.",
        reduction=Reduction(kind="best", of=f"{split}_accuracy", by="valid_accuracy"),
    )


_LIKELIEST = "Share of {} sentences whose value is the likeliest, with the best pair merged every time."

INFO = TaskInfo(
    id="listops",
    title="ListOps",
    citations=(GUMBEL_TREE, REINMAX),
    parameters=(
        choice(
            "reader",
            "token",
            ("token", "char"),
            "Symbols: tokens as published, or characters and blanks as in the released code.",
        ),
        whole(
            "train_sentences",
            0,
            "How many training sentences, the first of the file that are short enough; 0: all.",
            minimum=0,
            maximum=_ALL,
        ),
        whole("max_tokens", 99, "Tokens of the longest sentence that is kept.", minimum=5, maximum=99),
        whole("hidden", 300, "Width H of symbols and nodes.", maximum=4096),
        whole("batch_size", 16, "Sentences per update."),
        epochs(default=20, description="Passes over the training sentences."),
    ),
    metrics=(
        _accuracy("valid", _LIKELIEST.format("validation")),
        _accuracy("test", _LIKELIEST.format("test")),
        _best("valid"),
        _best("test"),
        Metric(
            name="train_loss",
            title="Train loss",
            unit="nats",
            goal="minimize",
            split="train",
            description="Mean of the epoch's cross-entropies, with dropout and drawn trees.",
        ),
        _accuracy("train", "The same of the epoch's accuracies."),
    ),
    select="valid_accuracy_best",
    report=("valid_accuracy_best", "test_accuracy_best", "test_accuracy"),
    optimizers=("radam", "adam"),
    fixed=FIXED,
    default_lr=7e-4,
    version=1,
    describe=_describe,
    facts=_facts,
    splits=split_sizes,
    steps_per_epoch=lambda v: -(-split_sizes(v)["train"] // int(v["batch_size"])),
    references=references,
    target="benchmarks.tasks.listops.task:ListOps",
    small={"max_tokens": 6, "hidden": 8, "batch_size": 10},
    reads_data=True,
    data=lambda v: (LISTOPS_REGENERATED,),
)

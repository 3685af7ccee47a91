"""ListOps: nested lists of digits with an operator each, and their values.

An expression is a digit, or an operator over 2 to 5 expressions: MIN, MAX, MED (the median, between two the
mean rounded down) or SM (the sum modulo 10). A line holds the value, a tab and the expression; its round
brackets repeat the binary tree and say nothing new: ``( ( ( [MIN 4 ) 2 ) ] )``.

The official training split cannot be checked by a known digest, so it is drawn anew by the same process
(:func:`generated`); the validation and the test split are the official ones.

Source: Nangia and Bowman, "ListOps: a diagnostic dataset for latent tree learning", 2018.
"""

from __future__ import annotations

import gzip
import os
import random
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets import files
from benchmarks.datasets.catalogue import LISTOPS_REGENERATED, File
from benchmarks.datasets.files import DatasetUnavailable

OPERATORS: Mapping[str, Callable[[Sequence[int]], int]] = {
    "MIN": min,
    "MAX": max,
    "MED": lambda values: int(statistics.median(values)),
    "SM": lambda values: sum(values) % 10,
}
_NESTED, _DEEPEST = 0.25, 20
_FEWEST, _MOST = 2, 5
_SEED = 20231


@dataclass(frozen=True, slots=True)
class Sentence:
    """An expression and its value.

    Attributes:
        label: the value, 0 to 9.
        text: the bracketed expression.
    """

    label: int
    text: str


def load(*, data_dir: Path | None = None) -> dict[str, list[Sentence]]:
    """The splits ``train``, ``valid`` and ``test``, in the order of their files.

    A training split that is nowhere is generated from the two others, in some seconds, and kept in the cache.

    Raises:
        DatasetUnavailable, WrongChecksum: see :func:`benchmarks.datasets.files.content`.
    """
    train, valid, test = LISTOPS_REGENERATED.files
    official = {
        file.name.partition(".")[0]: parsed(files.content(LISTOPS_REGENERATED, file, data_dir=data_dir))
        for file in (valid, test)
    }
    return {"train": _training(train, official, data_dir), **official}


def parsed(content: bytes) -> list[Sentence]:
    """The lines of a file."""
    lines = (line.split("\t") for line in content.decode().splitlines())
    return [Sentence(int(label), text) for label, text in lines]


def value(text: str) -> int:
    """What an expression is worth.

    Raises:
        ValueError: it is none.
    """
    stack: list[list[str | int]] = [[]]
    for token in text.replace("(", " ").replace(")", " ").split():
        if token.startswith("["):
            stack.append([token[1:]])
        elif token == "]":
            name, *values = stack.pop()
            stack[-1].append(OPERATORS[str(name)]([int(one) for one in values]))
        else:
            stack[-1].append(int(token))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"not an expression: {text}")
    return int(stack[0][0])


def generated(size: int, *, seed: int, without: Collection[str]) -> list[Sentence]:
    """So many distinct expressions in random order, drawn by the process of ListOps.

    Args:
        size: how many.
        seed: of Python's generator, of which only ``random()`` is used: it is the same in every version.
        without: expressions that do not count, as if they had been drawn before.
    """
    rng, known = random.Random(seed), set(without)
    sentences: list[Sentence] = []
    while len(sentences) < size:
        sentence = _drawn(rng, 1)
        if sentence.text not in known:
            known.add(sentence.text)
            sentences.append(sentence)
    _shuffle(sentences, random.Random(seed + 1))  # short expressions are drawn early
    return sentences


def _drawn(rng: random.Random, depth: int) -> Sentence:
    if depth >= _DEEPEST or rng.random() > _NESTED:
        digit = _below(rng, 10)
        return Sentence(digit, str(digit))
    count = _FEWEST + _below(rng, _MOST - _FEWEST + 1)
    arguments = [_drawn(rng, depth + 1) for _ in range(count)]
    name = list(OPERATORS)[_below(rng, len(OPERATORS))]
    inside = " ".join(f"{one.text} )" for one in arguments)
    text = f"{'( ' * (count + 1)}[{name} {inside} ] )"
    return Sentence(OPERATORS[name]([one.label for one in arguments]), text)


def _below(rng: random.Random, limit: int) -> int:
    return int(rng.random() * limit)


def _shuffle(sentences: list[Sentence], rng: random.Random) -> None:
    """Fisher and Yates, from the end."""
    for last in reversed(range(1, len(sentences))):
        other = _below(rng, last + 1)
        sentences[last], sentences[other] = sentences[other], sentences[last]


def _training(
    file: File, official: Mapping[str, Sequence[Sentence]], data_dir: Path | None
) -> list[Sentence]:
    try:
        return parsed(files.content(LISTOPS_REGENERATED, file, data_dir=data_dir))
    except DatasetUnavailable:
        known = {sentence.text for split in official.values() for sentence in split}
        sentences = generated(file.examples, seed=_SEED, without=known)
        _keep(sentences, file)
        return sentences


def _keep(sentences: Sequence[Sentence], file: File) -> None:
    """Into the cache, checked as every other file."""
    path = files.cache_dir() / LISTOPS_REGENERATED.id / file.name
    content = "".join(f"{one.label}\t{one.text}\n" for one in sentences).encode()
    files.checked(content, path, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_bytes(gzip.compress(content))
    partial.replace(path)

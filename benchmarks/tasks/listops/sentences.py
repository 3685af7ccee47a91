"""Made-up expressions, for programs that need sentences and no data set."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from benchmarks.datasets.listops import OPERATORS, Sentence, value
from benchmarks.tasks.info import Split


def random_sentences(counts: Mapping[Split, int], most: int) -> dict[Split, Sequence[Sentence]]:
    """So many expressions by split, always the same: single digits, and an operator over digits.

    None has more than ``most`` tokens, and in every split some have as many.
    """
    rng = random.Random(0)
    return {
        split: [_sentence(rng, most - 3 if i % 4 == 0 else rng.randint(0, most - 3)) for i in range(count)]
        for split, count in counts.items()
    }


def _sentence(rng: random.Random, digits: int) -> Sentence:
    """An operator over so many digits; a digit alone instead of a list of fewer than two."""
    values = [str(rng.randrange(10)) for _ in range(max(digits, 1))]
    text = f"[{rng.choice(list(OPERATORS))} {' '.join(values)} ]" if digits > 1 else values[0]
    return Sentence(value(text), text)

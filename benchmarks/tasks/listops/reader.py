"""How expressions become symbols: by tokens, as the paper says, or by characters, as its code does.

Both drop round brackets, take ``[MIN`` for two tokens, and keep sentences by their number of tokens. The
released reader then hands on the text and not its tokens, so that the model reads one character at a time,
blanks included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from benchmarks.datasets.listops import Sentence

Reader = Literal["token", "char"]

UNKNOWN, PADDING = "<unknown>", "<padding>"
_DIGITS = tuple("0123456789")
SYMBOLS: Mapping[str, tuple[str, ...]] = {
    "token": (UNKNOWN, PADDING, "[", "]", *_DIGITS, "MAX", "MED", "MIN", "SM"),
    "char": (UNKNOWN, PADDING, " ", "[", "]", *_DIGITS, *"ADEIMNSX"),
}
"""By reader, in the order of their numbers."""


def tokens(text: str) -> list[str]:
    """The tokens of a bracketed expression: ``( ( ( [MIN 4 ) 2 ) ] )`` has ``[``, ``MIN``, 4, 2, ``]``."""
    return text.replace("(", " ").replace(")", " ").replace("[", "[ ").split()


def read(sentences: Sequence[Sentence], reader: Reader, *, most: int, by_length: bool) -> dict[str, Tensor]:
    """The sentences of at most ``most`` tokens.

    Args:
        sentences: of a split.
        reader: which.
        most: tokens.
        by_length: whether the shortest come first, and not the order of the file.

    Returns:
        ``symbols`` ``(sentences, longest)``, uint8, padded on the right; ``length`` in symbols and ``label``
        ``(sentences,)``.
    """
    number = {symbol: i for i, symbol in enumerate(SYMBOLS[reader])}
    kept = [
        (list(" ".join(words)) if reader == "char" else words, sentence.label)
        for sentence in sentences
        if len(words := tokens(sentence.text)) <= most
    ]
    if by_length:
        kept.sort(key=lambda one: len(one[0]))
    length = torch.tensor([len(symbols) for symbols, _ in kept])
    rows = torch.full((len(kept), int(length.max())), number[PADDING], dtype=torch.uint8)
    unknown = number[UNKNOWN]
    flat = [number.get(symbol, unknown) for symbols, _ in kept for symbol in symbols]
    rows[torch.arange(rows.shape[1]) < length.unsqueeze(-1)] = torch.tensor(flat, dtype=torch.uint8)
    return {"symbols": rows, "length": length, "label": torch.tensor([label for _, label in kept])}

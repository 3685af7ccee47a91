"""Equations of the registry as MathML.

They are written in letters that every keyboard has (``pi_tau``, ``sum_k``, ``(1/2)``), with words between.
Words stay text, so that lines can break there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from markupsafe import Markup, escape

NOTATION = {
    "V": "variables of n categories each",
    "n": "categories of a variable",
    "theta": "logits of a variable",
    "pi": "softmax(θ): probabilities of a variable",
    "pi_tau": "softmax(θ/τ)",
    "tau": "temperature",
    "p": "probability of the first of two categories",
    "eta": "logit of the first of two categories",
    "D": "one-hot sample",
    "D_k": "the k-th one-hot sample",
    "b": "sample of two categories, 0 or 1",
    "u": "uniform random number that decides the sample",
    "f": "the objective",
    "f_k": "the objective at the k-th sample",
    "g": "gradient of f at D",
    "J": "J(p) = diag(p) − p pᵀ, the Jacobian of softmax",
    "K": "number of samples, num_samples",
    "G": "standard Gumbel noise",
}
"""Symbol -> what it stands for, wherever an equation does not say otherwise."""

_GREEK = {"pi": "π", "tau": "τ", "theta": "θ", "eta": "η", "alpha": "α", "beta": "β", "dtheta": "dθ"}
_SIGNS = {"!=": "≠", "<-": "←", "+-": "±", "-": "−", "<": "⟨", ">": "⟩", "..": "…"}
_FUNCTIONS = frozenset(
    {"softmax", "onehot", "argmax", "argmin", "min", "max", "log", "sigmoid", "mean", "sum"}
)
_TOKEN = re.compile(
    r"(?P<pause>[,;:]?\s+)"
    r"|\((?P<above>\w+)/(?P<below>\w+)\)"
    r"|(?P<name>[A-Za-z]+)(?P<tilde>~?)(?P<prime>'?)(?:_(?P<index>\w+|\{[^}]*\}))?"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<sign>!=|<-|\+-|\.\.|.)"
)


def mathml(equation: str) -> Markup:
    """The equation with its words."""
    pieces = groupby(_pieces(equation), key=lambda piece: piece[0])
    runs = [(is_math, "".join(text for _, text in run)) for is_math, run in pieces]
    return Markup("").join(Markup(f"<math>{run}</math>" if is_math else run) for is_math, run in runs)


def symbols(equation: str) -> list[tuple[Markup, str]]:
    """The symbols in an equation that need explaining, and what they stand for."""
    found = {match["name"] for match in _TOKEN.finditer(equation) if match["name"]}
    found |= {f"{match['name']}_{match['index']}" for match in _TOKEN.finditer(equation) if match["index"]}
    found |= {
        name for match in _TOKEN.finditer(equation) for name in (match["above"], match["below"]) if name
    }
    return [(mathml(name), meaning) for name, meaning in NOTATION.items() if name in found]


def _pieces(equation: str) -> Iterator[tuple[bool, str]]:
    """Whether it is mathematics, and its markup, for each token."""
    for match in _TOKEN.finditer(equation):
        if match["pause"]:
            yield False, str(escape(match["pause"]))
        elif match["above"]:
            yield True, f"<mfrac>{_atom(match['above'])}{_atom(match['below'])}</mfrac>"
        elif match["name"]:
            yield _named(match)
        elif match["number"]:
            yield True, f"<mn>{match['number']}</mn>"
        else:
            yield True, f"<mo>{escape(_SIGNS.get(match['sign'], match['sign']))}</mo>"


def _named(match: re.Match[str]) -> tuple[bool, str]:
    """A symbol with what hangs on it, or a word."""
    name, index = match["name"], match["index"]
    if _is_word(name) and not index and not match["prime"]:
        return False, str(escape(match[0]))
    base = _atom(name)
    if match["tilde"]:
        base = f"<mover>{base}<mo>~</mo></mover>"
    below = f"<mrow>{''.join(text for _, text in _pieces(index.strip('{}')))}</mrow>" if index else ""
    if match["prime"]:
        return True, f"<msubsup>{base}{below or '<mrow></mrow>'}<mo>′</mo></msubsup>"
    return True, f"<msub>{base}{below}</msub>" if index else base


def _is_word(name: str) -> bool:
    return name == "a" or (len(name) > 1 and name not in _GREEK and name not in _FUNCTIONS)


def _atom(text: str) -> str:
    if text == "sum":
        return "<mo>∑</mo>"
    if text.isdigit():
        return f"<mn>{text}</mn>"
    return f"<mi>{escape(_GREEK.get(text, text))}</mi>"

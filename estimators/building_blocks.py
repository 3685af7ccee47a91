"""Pieces of estimators for packages that build on this one: engines, tasks, estimators of their own.

Modules whose names begin with an underscore may change with any revision and are imported by this package
alone; what others need of them stands here and stays.

* ``softmax(logits)``: pi over the last axis, ``(..., V, n)``.
* ``draw(p, noise)``: one one-hot draw of every variable, ``(..., V, n)``, from one number of noise each.
* ``apply(function, *arguments)``: ``function.apply`` of a ``torch.autograd.Function``, with a type.
* ``is_traced()``: whether operations are recorded for a program, and not just run.
* ``traced()``: a context for tracers that torch does not announce, as ``torch.fx``'s.
* ``operators_seen(look)``: a context that calls ``look`` with name and tags of every operator before it runs.
"""

from __future__ import annotations

from estimators._autograd import apply
from estimators._ops import draw, softmax
from estimators._tracing import is_traced, operators_seen, traced

__all__ = ["apply", "draw", "is_traced", "operators_seen", "softmax", "traced"]

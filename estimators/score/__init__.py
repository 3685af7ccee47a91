"""Estimators from values of f: ``fn(logits, objective, *, num_samples, generator) -> Estimate``.

Those that learn also take ``state``, that of their last estimate, and return the next one with the estimate,
which is made with the state it was given: that is why learning does not bias it.

VIMCO (Mnih and Rezende, "Variational Inference for Monte Carlo Objectives", 2016) is left out: it estimates
the gradient of E log (1/K) sum_k w(D_k), a bound that K samples share, and no E f(D). Without the logarithm
it is `rloo`.
"""

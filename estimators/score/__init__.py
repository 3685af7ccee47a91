"""Estimators from values of f: ``fn(logits, objective, *, num_samples, generator) -> Estimate``."""

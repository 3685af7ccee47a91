"""Samples that carry a surrogate gradient: ``fn(logits, *, temperature, generator) -> z``."""

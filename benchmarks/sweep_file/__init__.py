"""Sweep files: from text to a validated grid of trials. Does not import torch."""

"""Device time of trials before they run, from what finished ones took. Does not import torch."""

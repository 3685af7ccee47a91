"""Data sets: what there is, and how it is found, fetched and checked."""

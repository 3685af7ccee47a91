"""Topology search on the cells of NATS-Bench (GDAS)."""

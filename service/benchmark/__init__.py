"""Whole sweeps through a server beside the same trials as plain scripts: ``make bench-service``.

``python -m service.benchmark`` runs everything, prints two tables and writes the JSON.
``docs/explanation/performance.md`` says how to read them.
"""

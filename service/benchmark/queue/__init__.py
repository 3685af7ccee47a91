"""``make bench-queue``: how wide a sweep may be, how fast results come in, how fast pages answer.

Both databases behind a real server, and the same work by Optuna and MLflow where they can do it.
"""

"""Every SQL statement, one named function each; the only package that touches the tables.

Writers lock in one order, so that they cannot wait for each other in a circle: cohort, attempt, trials,
cells, summaries; several rows of one table by rising id.
"""

"""What a gradient estimate costs: time and memory of forward and backward passes, by estimator.

``make efficiency``, or ``python -m benchmarks.commands.efficiency``, measures the two problems of Table 3 of
the ReinMax paper on the device at hand and prints its figures beside the published ones.
``docs/explanation/performance.md`` says how to read them.
"""

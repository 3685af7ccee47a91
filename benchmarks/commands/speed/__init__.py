"""How fast the lane engine is: side by side with a plain PyTorch loop, and beside what this machine can do.

``make bench``, or ``python -m benchmarks.commands.speed``, runs everything and prints a table. Needs
neither Ray nor a server. ``docs/explanation/performance.md`` says how to read the ratios.
"""

"""Timings of elman beside its peers: ``python -m benchmarks``. Nothing here is a test.

Every section is a module with ``measurements(options)``, which yields rows of figures, each with
its name and the function that measures it, and ``show(figures)``, which makes a table of them, or
``plot(figures, figure)``.
"""

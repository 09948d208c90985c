"""Timings of elman against torch.nn: ``python -m benchmarks``. Nothing here is a test."""

"""The systems that elman is compared with besides torch.nn, each behind two functions.

A peer is a module with ``forms`` and ``prepare``, as :mod:`elman.bench` says.
"""

"""The systems that are compared, each behind one function, each run in a process of its own.

A peer is a module with ``VARIANTS``, the names of its forms, and ``prepare(task, variant)``, which
gives a call to be timed and what it computes: arrays by name, for the check of agreement.
"""

"""Timings of elman beside other systems, each in a process of its own: what `elman bench` runs.

A *task* is a layer, its sizes, a mode and a number of threads. A *contestant* is an object with
``forms(task)``, the names of the forms in which it can do a task, and ``prepare(task, form)``,
which gives the call to be timed; the call returns what it has computed. A *contest* gives
the same task to all of them.
"""

"""Timings of elman beside other systems, each in a process of its own: what `elman bench` runs.

A *task* is a layer, its sizes, a mode and a number of threads. A *contestant* is an object with
two methods. ``forms(task)`` names the forms in which it can do a task. ``prepare(task, form)``
gives the call to be timed, which returns what it has computed. A *contest* gives the same task to
all of them.
"""

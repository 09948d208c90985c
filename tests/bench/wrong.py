"""Contestants with something wrong, for the worker to resolve by their names."""

import os

from elman.bench.contestants import TORCH


class Off:
    """Gives results that are not torch.nn's."""

    def forms(self, task):
        return ["slightly", "by far"]

    def prepare(self, task, form):
        call = TORCH.prepare(task, "")
        return lambda: [1.001 * array for array in call()]


class Dies:
    """Ends its process."""

    def forms(self, task):
        return [""]

    def prepare(self, task, form):
        print("out of luck", flush=True)
        os._exit(3)


OFF, DIES = Off(), Dies()

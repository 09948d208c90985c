"""What worker processes do; they import it by name."""

import os

import numpy as np
import torch
from torch import Tensor

import elman
from tests.nn.kinds import call


def results(module: torch.nn.Module, x: Tensor) -> list[np.ndarray]:
    """Results and gradients, on the kernel."""
    with elman.set_path("kernel"):
        return [t.detach().numpy() for t in call(module, x)]


def halve(module: torch.nn.Module) -> None:
    """Changes the weights in place."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)


equal = np.array_equal


def resident() -> float:
    """This process's memory in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

"""The peers compute what torch.nn does: gates in their order, directions, stacks, states."""

import pkgutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from elman.bench.contestants import TORCH
from elman.bench.task import Task
from tests.systems import PATIENCE

PEERS = {
    "jax": "benchmarks.peers.jax_scan",
    "onnxruntime": "benchmarks.peers.onnx_runtime",
    "openvino": "benchmarks.peers.open_vino:FLOAT32",
}
TASKS = [
    Task("RNN", 6, 2, 3, 4, 2),
    Task("GRU", 6, 2, 3, 4, 2, True),
    Task("LSTM", 6, 2, 3, 4, 2, True),
    Task("GRU", 1, 2, 3, 4, 3),
    Task("LSTM", 1, 2, 3, 4, 2),
    Task("GRU", 6, 2, 3, 4, 2, True, "training"),
    Task("LSTM", 6, 2, 3, 4, mode="training"),
]


@pytest.mark.parametrize("package", PEERS)
def test_a_peer_computes_what_torch_does(package):
    """In a process of its own: OpenVINO leaves signals a stack whose memory it gives back."""
    pytest.importorskip(package)
    run = [sys.executable, "-W", "ignore", "-m", "tests.bench.test_peers", package]
    subprocess.run(run, check=True, timeout=PATIENCE)


def compare(package: str) -> None:
    peer = pkgutil.resolve_name(PEERS[package])
    for task in TASKS:
        for form in peer.forms(task)[-1:]:
            theirs, right = peer.prepare(task, form), TORCH.prepare(task, "float64")
            for _ in range(3):
                with torch.set_grad_enabled(task.mode == "training"):
                    pairs = zip(theirs(), right(), strict=True)
                assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs), (task, form)


if __name__ == "__main__":
    compare(sys.argv[1])

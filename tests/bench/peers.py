"""What the peers compute beside torch.nn: `python -m tests.bench.peers NAME...`.

In a process of its own: OpenVINO leaves signals a stack whose memory it gives back. Prints, as
JSON, by name: nothing or what is wrong.
"""

import json
import pkgutil
import sys
import traceback

import numpy as np
import torch

from elman.bench.contestants import TORCH
from elman.bench.task import Task

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


def compare(package: str) -> None:
    peer = pkgutil.resolve_name(PEERS[package])
    for task in TASKS:
        for form in peer.forms(task)[-1:]:
            theirs, right = peer.prepare(task, form), TORCH.prepare(task, "float64")
            for _ in range(3):
                with torch.set_grad_enabled(task.mode == "training"):
                    pairs = zip(theirs(), right(), strict=True)
                assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs), (task, form)


def main(packages: list[str]) -> None:
    found = dict.fromkeys(packages, "")
    for package in packages:
        try:
            compare(package)
        except Exception:  # noqa: BLE001 - shown by the test of it
            found[package] = traceback.format_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])

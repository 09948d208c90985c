"""Who takes part, by name, and in which of the workloads."""

from __future__ import annotations

import argparse

from elman.bench.workloads import WORKLOADS, Workload

TORCH, ELMAN, SESSION, LOOP = "torch.nn", "elman", "elman.Stream", "PyTorch loop"
NARROW_TORCH, NARROW_ELMAN = "torch.nn, bfloat16", "elman, bfloat16"
NARROW_OPENVINO = "OpenVINO, bfloat16"
HALF_SESSION, FLOOR = "elman.Stream, bfloat16", "autograd alone"
FROZEN = "elman, frozen"
COMPILED = "torch.compile"

#: In the order of a round.
LAYERS = {
    TORCH: "elman.bench.contestants:TORCH",
    ELMAN: "elman.bench.contestants:ELMAN",
    SESSION: "elman.bench.contestants:SESSION",
    COMPILED: "benchmarks.peers.compiled:COMPILED",
    FLOOR: "benchmarks.peers.floor",
    "JAX": "benchmarks.peers.jax_scan",
    "ONNX Runtime": "benchmarks.peers.onnx_runtime",
    "OpenVINO": "benchmarks.peers.open_vino:FLOAT32",
}
#: Weights of another dtype are no match for the others': they stand in a table of latencies alone.
STREAMING = {
    **{who: LAYERS[who] for who in (TORCH, ELMAN)},
    FROZEN: "elman.bench.contestants:FROZEN",
    SESSION: LAYERS[SESSION],
    HALF_SESSION: "elman.bench.contestants:HALF_SESSION",
    **LAYERS,
}
#: In bfloat16, beside float32.
NARROW = {
    TORCH: LAYERS[TORCH],
    ELMAN: LAYERS[ELMAN],
    NARROW_TORCH: "elman.bench.contestants:NARROW_TORCH",
    NARROW_ELMAN: "elman.bench.contestants:NARROW_ELMAN",
    NARROW_OPENVINO: "benchmarks.peers.open_vino:BFLOAT16",
}
CELLS = {ELMAN: LAYERS[ELMAN], "JAX": LAYERS["JAX"], LOOP: "benchmarks.peers.loop:LOOP"}


def chosen(options: argparse.Namespace) -> list[tuple[str, Workload]]:
    """The workloads that ``--only`` names, or all."""
    return [(name, it) for name, it in WORKLOADS.items() if name in (options.only or WORKLOADS)]

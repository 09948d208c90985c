"""Who takes part, by name."""

TORCH, ELMAN, LOOP = "torch.nn", "elman", "PyTorch loop"
CONTESTANTS = {
    TORCH: "elman.bench.contestants:TORCH",
    ELMAN: "elman.bench.contestants:ELMAN",
    "JAX": "benchmarks.peers.jax_scan",
    "ONNX Runtime": "benchmarks.peers.onnx_runtime",
    "OpenVINO": "benchmarks.peers.open_vino",
}

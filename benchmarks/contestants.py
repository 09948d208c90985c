"""Who takes part, by name."""

TORCH, ELMAN, SESSION, LOOP = "torch.nn", "elman", "elman.Stream", "PyTorch loop"

#: In the order of a round.
LAYERS = {
    TORCH: "elman.bench.contestants:TORCH",
    ELMAN: "elman.bench.contestants:ELMAN",
    SESSION: "elman.bench.contestants:SESSION",
    "torch.compile": "benchmarks.peers.compiled:COMPILED",
    "JAX": "benchmarks.peers.jax_scan",
    "ONNX Runtime": "benchmarks.peers.onnx_runtime",
    "OpenVINO": "benchmarks.peers.open_vino",
}
CELLS = {ELMAN: LAYERS[ELMAN], "JAX": LAYERS["JAX"], LOOP: "benchmarks.peers.loop:LOOP"}

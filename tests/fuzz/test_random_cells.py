"""Random formulas: the kernels against the reference.

``make fuzz`` runs as many of these as of the other scenarios.
"""

import os

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elman
from elman.batch import Weights
from elman.compiler.plan import plan_of
from elman.dispatch.layer import recur
from elman.rows import Rows
from tests.fuzz.formulas import CELLS, Random
from tests.sizes import layer_sizes

CASES = os.environ.get("FUZZ_CASES")


@settings(
    max_examples=int(CASES or 40),
    derandomize=not CASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    cell=CELLS,
    sizes=st.tuples(*(st.integers(1, n) for n in (4, 8, 3, 19))),
    projected=st.sampled_from((0, 0, 1, 4)),
    ragged=st.booleans(),
    directions=st.integers(1, 2),
    heads=st.sampled_from((1, 1, 2, 4)),
    rank=st.sampled_from((0, 0, 1, 3)),
    gives=st.booleans(),
)
def test_a_random_cell_runs_as_its_formula_says(
    cell: Random,
    sizes: tuple[int, ...],
    projected: int,
    ragged: bool,
    directions: int,
    heads: int,
    rank: int,
    gives: bool,
) -> None:
    T, B, I, H = sizes  # noqa: E741
    H = max(H + -H % heads, rank)
    H += -H % heads
    options = projected > 0, heads, rank, gives
    step = Random(cell.formulas, *options).trace().full
    size = layer_sizes(I, H, min(projected + -projected % heads, H))
    random = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float64) * 2 - 1

    rows = Rows(T, B, T * B)
    if ragged:
        counts = torch.linspace(B, 1, T).round().long()
        rows = Rows(T, B, int(counts.sum()), counts, counts.cumsum(0) - counts)
    lead = (rows.N,) if ragged else (T, B)
    tensors = [
        uniform(*lead, I),
        *(uniform(directions, B, size[step.space(s)]) for s in step.states),
    ]
    tensors += [uniform(*lead, H) for _ in step.inputs]
    shapes = step.shapes(size)
    tensors += [uniform(*s) * H**-0.5 for _ in range(directions) for s in shapes.values()]
    results = []
    for path in ("kernel", "reference"):
        leaves = [t.clone().requires_grad_() for t in tensors]
        left = iter(leaves)
        x, initial = next(left), [next(left) for _ in step.states]
        inputs, weights = [next(left) for _ in step.inputs], []
        for _ in range(directions):
            held = {name: next(left) for name in shapes}
            flat = [held.get(name) for name in step.parameters]
            weights.append(Weights(*flat[:4], tuple(flat[4:])))
        with elman.set_path(path):
            output, final = recur(step, rows, x, initial, weights, inputs)
            loss = (output * output.detach().cos()).sum() + sum(f.sin().sum() for f in final)
            found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        results.append([output, *final, *found])
    for actual, expected in zip(*results, strict=True):
        scale = float(expected.detach().abs().max()) + 1.0
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10 * scale)
    assert plan_of(step).key == plan_of(Random(cell.formulas, *options).trace().full).key

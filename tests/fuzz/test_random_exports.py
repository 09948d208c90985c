"""Random formulas as programs of ONNX: a few, since exporting one takes a second or two."""

import os

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elman
from tests.fuzz.formulas import CELLS, Random
from tests.onnx.exported import check

CASES = os.environ.get("FUZZ_CASES")


@settings(
    max_examples=int(CASES or 400) // 50,
    derandomize=not CASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    cell=CELLS,
    sizes=st.tuples(*(st.integers(1, n) for n in (3, 7))),
    directions=st.integers(1, 2),
    bias=st.booleans(),
)
def test_onnx_runtime_computes_a_random_cell(
    cell: Random, sizes: tuple[int, ...], directions: int, bias: bool
) -> None:
    (I, H), step = sizes, cell.trace()  # noqa: E741
    torch.manual_seed(0)
    net = elman.Recurrent(cell, I, H, bidirectional=directions == 2, bias=bias)

    def call(T: int, B: int) -> dict[str, object]:
        states = tuple(torch.rand(directions, B, H) for _ in step.states)
        inputs = {name: torch.randn(T, B, H) for name in step.inputs}
        given: dict[str, object] = {
            "input": torch.randn(T, B, I),
            "hx": states if len(states) > 1 else states[0],
        }
        return given | ({"inputs": inputs} if inputs else {})

    check(net, call, ["Scan"] * directions)

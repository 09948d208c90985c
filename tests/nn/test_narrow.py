"""Layers of bfloat16 and float16: float32 inside a call, results rounded once, on every path.

So it is where the processor does not multiply bfloat16s; for those that do see
test_bfloat16_pairs.py.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import elman
from tests.compiler.targets import exact

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
each_path = pytest.mark.parametrize("path", ["kernel", "reference"])
# A class, its options, whether the input is packed, the shapes of input and state.
CALLS: dict[str, tuple[type, dict[str, Any], bool, tuple[int, ...], tuple[int, ...]]] = {
    "plain": (elman.RNN, {}, False, (9, 4, 3), (1, 4, 5)),
    "two-way": (elman.RNN, {"bidirectional": True}, False, (9, 1, 3), (2, 1, 5)),
    "batch-first-relu": (
        elman.RNN,
        {"batch_first": True, "bias": False, "nonlinearity": "relu"},
        False,
        (4, 9, 3),
        (1, 4, 5),
    ),
    "packed": (elman.RNN, {"bidirectional": True}, True, (9, 4, 3), (2, 4, 5)),
    "cell": (elman.RNNCell, {}, False, (4, 3), (4, 5)),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def tensors(result: Any) -> list[Tensor]:
    parts = result if isinstance(result, tuple) and type(result) is tuple else (result,)
    return [p.data if isinstance(p, PackedSequence) else p for p in parts]


def first_and_second(results: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """The gradients of a loss, and those of their squares."""
    loss = sum((r * r.detach().cos()).sum() for r in results)
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    return [*first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)]


@each_dtype
@each_path
@each_call
def test_results_and_gradients_are_float32s_rounded(
    call: tuple[Any, ...], path: str, dtype: torch.dtype
) -> None:
    make, options, packed, shape, state = call
    torch.manual_seed(0)
    module = make(3, 5, **options).to(dtype)
    wide = make(3, 5, **options)
    names, weights = zip(*module.named_parameters(), strict=True)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    hx = torch.randn(state, dtype=dtype, requires_grad=True)

    def pack(x: Tensor) -> Any:
        return pack_sequence([x[:n, i] for i, n in enumerate((4, 9, 1, 4))], False) if packed else x

    with elman.set_path(path), exact():
        found = tensors(module(pack(x), hx))
        assert all(t.dtype == dtype for t in found)
        found += torch.autograd.grad(sum(t.sum() for t in found), [x, hx, *weights])
        found += first_and_second(tensors(module(pack(x), hx)), [x, hx, *weights])
        given = dict(zip(names, (w.float() for w in weights), strict=True))
        results = functional_call(wide, given, (pack(x.float()), hx.float()))
        expected = [t.to(dtype) for t in tensors(results)]
        expected += torch.autograd.grad(
            sum(t.sum() for t in expected), [x, hx, *weights], retain_graph=True
        )
        expected += first_and_second(expected[: len(tensors(results))], [x, hx, *weights])
    for actual, rounded in zip(found, expected, strict=True):
        assert actual.dtype == dtype
        assert actual.any()
        assert torch.equal(actual, rounded)


@each_dtype
@each_path
def test_the_final_state_is_the_last_output(path: str, dtype: torch.dtype) -> None:
    rnn = elman.RNN(3, 5, 2, bidirectional=True, dtype=dtype)
    with elman.set_path(path):
        output, h_n = rnn(torch.randn(7, 4, 3, dtype=dtype))
    assert torch.equal(output[-1, :, :5], h_n[2])
    assert torch.equal(output[0, :, 5:], h_n[3])


@each_dtype
def test_states_are_rounded_only_at_the_end_of_a_call(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rnn = elman.RNN(3, 5, dtype=dtype)
    x, wide = torch.randn(200, 4, 3, dtype=dtype), elman.RNN(3, 5, dtype=torch.float64)
    wide.load_state_dict(rnn.state_dict())
    expected, h = wide(x.double())[0], None
    steps = []
    with exact():
        for row in x.split(1):
            step, h = rnn(row, h)
            steps.append(step)
        at_once = rnn(x)[0]
    distances = [(y.double() - expected).norm() for y in (at_once, torch.cat(steps))]
    assert distances[0] < 0.9 * distances[1]


@each_dtype
def test_compiled_and_exported_programs_run_the_kernel(dtype: torch.dtype) -> None:
    torch._dynamo.reset()
    rnn = elman.RNN(3, 5, 2, bidirectional=True, dtype=dtype)
    x = torch.randn(7, 4, 3, dtype=dtype, requires_grad=True)
    found = []
    for run in (rnn, torch.compile(rnn, fullgraph=True, backend="aot_eager")):
        output, h_n = run(x)
        leaves = [x, *rnn.parameters()]
        found.append([output, h_n, *torch.autograd.grad(output.sum() + h_n.sum(), leaves)])
    for eager, traced in zip(*found, strict=True):
        assert torch.equal(traced, eager)
    program = torch.export.export(rnn, (x.detach(),))
    assert str(program.graph).count("elman.recur") == 2
    assert torch.equal(program.module()(x)[0], found[0][0])


@each_dtype
@each_path
@pytest.mark.parametrize("autocast", [torch.bfloat16, torch.float16], ids=DTYPES.keys())
def test_under_autocast_the_weights_dtype_counts(
    autocast: torch.dtype, path: str, dtype: torch.dtype
) -> None:
    rnn, x = elman.RNN(3, 5, 2, dtype=dtype), torch.randn(7, 4, 3)
    with exact():
        expected = rnn(x.to(dtype))
        with torch.autocast("cpu", autocast), elman.set_path(path):
            found = rnn(x)
    for actual, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(actual, wanted)


@each_path
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_hh_l0"])
def test_weights_of_two_dtypes_are_refused(name: str, path: str) -> None:
    rnn = elman.RNN(3, 5, dtype=torch.bfloat16)
    parameter = getattr(rnn, name)
    parameter.data = parameter.data.float()
    dtype = parameter.dtype if name == "weight_ih_l0" else torch.bfloat16
    with elman.set_path(path), pytest.raises(RuntimeError, match=r"dtype|both"):
        rnn(torch.randn(7, 4, 3, dtype=dtype))

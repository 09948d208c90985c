"""What went wrong in other libraries' recurrent layers, each under the number of its report."""

import copy
import math
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import elman
from elman.batch import Weights
from elman.dispatch.layer import recur
from elman.rows import Rows
from tests.cells import STEPS
from tests.compiler.problem import Problem, check
from tests.nn.changes import CHANGES, first_weights, use
from tests.nn.kinds import (
    CELLS,
    KINDS,
    LAYERS,
    B,
    H,
    I,
    Kind,
    T,
    assert_all_close,
    assert_same,
    assert_same_bits,
    call,
    each,
    loss_of,
    tensors,
)

REFUSED = (RuntimeError, ValueError, TypeError)


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


# Shapes that crashed or were let pass


@each(LAYERS)
def test_pytorch_60269_an_input_of_no_steps(kind: Kind) -> None:
    """It had an output that was never written."""
    with pytest.raises(RuntimeError, match=r"at least one time step, got shape \(0, 2, 3\)"):
        kind.make(elman)(torch.zeros(0, 2, I))


@each(KINDS)
@pytest.mark.parametrize("sizes", [(0, 5), (4, 0), (0, 0)], ids=str)
def test_pytorch_56767_sizes_of_zero(kind: Kind, sizes: tuple[int, int]) -> None:
    """Layers without units or features were made, and failed in the middle of a call."""
    if not kind.single:
        with pytest.raises(ValueError, match="must be greater than zero"):
            getattr(elman, kind.name)(*sizes)
    else:
        theirs, ours = (getattr(nn, kind.name)(*sizes) for nn in (torch.nn, elman))
        ours.load_state_dict(theirs.state_dict())
        assert_same(theirs, ours, torch.ones(2, sizes[0]))


#: Shapes of a cell's input and state; from the second on, what was read beyond its end.
MISFITS = {
    "pytorch_175978-1-D-input-2-D-state": ((I,), (B, H)),
    "pytorch_175978-2-D-input-1-D-state": ((B, I), (H,)),
    "pytorch_193823-3-D-state": ((I,), (2, H, H)),
    "pytorch_106769-5-D-state": ((1, I), (1, 1, 5, 127, H)),
    "pytorch_6176-state-of-one-row": ((B, I), (1, H)),
    "pytorch_195547-state-of-more-rows": ((B, I), (B + 1, H)),
    "pytorch_195547-narrow-state": ((B, I), (B, H - 1)),
    "pytorch_195547-wide-input": ((B, I + 1), (B, H)),
}


@each(CELLS)
@pytest.mark.parametrize(("x", "h"), MISFITS.values(), ids=MISFITS.keys())
def test_pytorch_175978_cell_with_1d_input_and_2d_state(kind: Kind, x: tuple, h: tuple) -> None:
    """Cells read states of other shapes beyond their end: a segmentation fault."""
    for wrong in range(kind.states):
        shapes = [h if i == wrong else (*x[:-1], H) for i in range(kind.states)]
        states = tuple(torch.zeros(s) for s in shapes)
        with pytest.raises(REFUSED, match=f"; {kind.name}: expected "):
            kind.make(elman)(torch.zeros(x), states if kind.states > 1 else states[0])


@each(LAYERS)
@pytest.mark.parametrize("layers", [0, 1, 3, 20000])
def test_pytorch_193911_states_of_other_layers(kind: Kind, layers: int) -> None:
    """More of them than there are layers were let pass, fewer were read beyond their end."""
    module = kind.make(elman, 2)
    for wrong in range(kind.states):
        states = [
            torch.zeros(layers if i == wrong else 2, B, H if i else kind.output)
            for i in range(kind.states)
        ]
        got = re.escape(str(tuple(states[wrong].shape)))
        with pytest.raises(RuntimeError, match=f"got {got}"):
            module(kind.input(), tuple(states) if kind.states > 1 else states[0])


@each(LAYERS)
def test_pytorch_114874_other_features_without_a_state(kind: Kind) -> None:
    """The input's size was checked only if there was an initial state."""
    with pytest.raises(RuntimeError, match=r"^input.size\(-1\) must be .*; .* got 2"):
        kind.make(elman)(torch.zeros(T, B, I - 1))


@each(KINDS)
@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_pytorch_143484_weights_of_other_sizes(kind: Kind, rows: int, path: str) -> None:
    """A cell with one row of weights, on an empty batch, crashed."""
    module = kind.make(elman)
    for name, parameter in module.named_parameters():
        if "_ih" in name:
            parameter.data = parameter.data[:1]
    with elman.set_path(path), pytest.raises(RuntimeError, match="something has replaced it"):
        module(kind.input(rows))


@each(LAYERS)
def test_pytorch_144116_a_state_with_its_batch_first(kind: Kind) -> None:
    """``batch_first`` is not about states, which nothing said."""
    module = kind.make(elman, 2, batch_first=True)
    states = tensors(kind.state(2, make=lambda s: torch.zeros(s).transpose(0, 1)))
    with pytest.raises(RuntimeError, match=r"\(2, 4, [25]\), \(num_layers \* directions, batch, "):
        module(torch.zeros(B, T, I), tuple(states) if kind.states > 1 else states[0])


# Rows of different length


def ragged(kind: Kind) -> tuple[torch.nn.Module, list[Tensor], Tensor, list[Tensor]]:
    """A layer in two directions, rows, their padded outputs and their final states."""
    module, rows = kind.stack()[1], [torch.randn(n, I) for n in (3, 6, 1, 6)]
    output, state = module(pack_sequence(rows, enforce_sorted=False))
    padded, _ = pad_packed_sequence(output, total_length=T + 2)
    return module, rows, padded, tensors(state)


@each(LAYERS)
def test_onnxruntime_1193_output_after_the_end_of_a_row(kind: Kind) -> None:
    """What lay in memory stood there."""
    _, rows, padded, _ = ragged(kind)
    for i, row in enumerate(rows):
        assert padded[: len(row), i].all()
        assert not padded[len(row) :, i].any()


@each(LAYERS)
def test_mxnet_19323_the_reverse_direction_starts_at_the_end_of_its_row(kind: Kind) -> None:
    """It started at the end of the longest, in the padding (also onnx-tensorflow 342)."""
    module, rows, padded, _ = ragged(kind)
    for i, row in enumerate(rows):
        assert torch.equal(padded[: len(row), i], module(row)[0])


@each(LAYERS)
def test_allennlp_1713_final_states_of_short_rows(kind: Kind) -> None:
    """They were zero, or those of the padding."""
    module, rows, _, states = ragged(kind)
    for i, row in enumerate(rows):
        assert_same_bits([s[:, i] for s in states], tensors(module(row)[1]))


# Layouts in memory, aliases


@each(KINDS)
def test_darts_722_states_that_are_not_contiguous(kind: Kind) -> None:
    """They were refused (also habitat-lab 901, allennlp 2451)."""
    state = kind.state(make=lambda s: torch.randn(s[::-1]).permute(*range(len(s))[::-1]))
    assert not any(s.is_contiguous() for s in tensors(state))
    assert_same(*kind.pair(), kind.input(), state)


@each(KINDS)
@pytest.mark.parametrize("stride", [0, 1, 7919])
def test_torchrl_3754_any_stride_of_a_dimension_of_one(kind: Kind, stride: int) -> None:
    """Contiguous by PyTorch's definition, and read with that stride."""

    def make(shape: tuple[int, ...]) -> Tensor:
        plain = torch.randn(shape)
        pairs = zip(shape, plain.stride(), strict=True)
        return plain.as_strided(shape, [stride if n == 1 else s for n, s in pairs])

    x, state = kind.input(1, make), kind.state(1, 1, make)
    assert x.is_contiguous()
    assert_same(*kind.pair(), x, state)


@each(KINDS)
def test_a_learned_initial_state_of_all_rows_gets_its_gradient(kind: Kind) -> None:
    """One row, expanded over the batch: its gradient is the sum over the rows."""
    learned, x, found = kind.state(rows=1), kind.input(), []
    for module in kind.pair():
        leaves = [t.detach().requires_grad_() for t in tensors(learned)]
        wide = [t.expand(*t.shape[:-2], B, t.shape[-1]) for t in leaves]
        results = tensors(module(x, tuple(wide) if kind.states > 1 else wide[0]))
        found.append(list(torch.autograd.grad(loss_of(results), leaves)))
    assert_all_close(found[1], found[0])


@each(KINDS)
def test_keras_23462_states_handed_on_are_not_written_to(kind: Kind) -> None:
    """A stateful layer wrote its new state over the one that it had kept."""
    module, x = kind.make(elman), kind.input()
    state: Any = kind.state()
    given = [t.clone() for t in tensors(state)]
    with torch.no_grad():
        first = module(x, state)
        kept = [t.clone() for t in tensors(first)]
        module(x, first if kind.single else first[1])
    assert_same_bits(tensors(state), given)
    assert_same_bits(tensors(first), kept)


# Weights as they were at an earlier call


COPIES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda m: m,
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@each(KINDS)
def test_mxnet_16037_weights_count_as_they_are_at_the_call(
    kind: Kind, change: Callable[[torch.nn.Module], object]
) -> None:
    """The copy that was packed for the first call was kept (also ipex 187, PyTorch 65688)."""
    modules = kind.stack()
    for module in modules:
        torch.manual_seed(3)
        use(module)
        change(module)
        use(module)
    assert_same(*modules, kind.input())


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES.keys())
@each(KINDS)
def test_mxnet_16037_copies_have_weights_of_their_own(
    kind: Kind, way: Callable[[Any], Any]
) -> None:
    """What changes in a copy changes nothing in its original, and the other way round."""
    module, x = kind.make(elman), kind.input()
    before, other = call(module, x), way(module)
    CHANGES["in place"](other)
    assert torch.equal(call(module, x)[0], before[0]) == (other is not module)
    assert not torch.equal(call(other, x)[0], before[0])


@each(KINDS)
def test_pytorch_32346_weight_drop_by_hand(kind: Kind) -> None:
    """Weights computed anew for each call were ignored or had no gradient (fastai2 427)."""
    found, x, state = [], kind.input(), kind.state()
    for module in kind.pair():
        name = first_weights(module)[1]
        raw = getattr(module, name)
        delattr(module, name)
        module.register_parameter(f"{name}_raw", raw)
        for seed in (1, 2):
            torch.manual_seed(seed)
            setattr(module, name, torch.nn.functional.dropout(raw, 0.5))
            found.append(call(module, x, state))
    assert_all_close(found[2], found[0])
    assert_all_close(found[3], found[1])
    assert not torch.equal(found[2][0], found[3][0])


# Gradients and states


@each(KINDS)
def test_pytorch_184528_weights_that_another_network_computes(kind: Kind) -> None:
    """A loop's body was differentiated, but not what it had closed over."""
    scale, x, found = torch.ones(3, requires_grad=True), kind.input(), []
    for module in kind.pair():
        weights = {n: p.detach() * scale[1] for n, p in module.named_parameters()}
        results = tensors(torch.func.functional_call(module, weights, (x * scale[0],)))
        found.append([*torch.autograd.grad(loss_of(results) * scale[2], scale)])
    assert found[1][0].all()
    assert_all_close(found[1], found[0])


@each(LAYERS)
def test_pytorch_89357_the_layer_above_takes_both_directions(kind: Kind) -> None:
    """The second layer ignored the reverse half of the first."""
    theirs, ours = kind.stack()
    for module in (theirs, ours):
        module.requires_grad_(False).weight_hh_l0_reverse.requires_grad_()
    gradients = []
    for module in (theirs, ours):
        forward = module(torch.ones(T, B, I))[0][..., :H]
        gradients.append(torch.autograd.grad(loss_of([forward]), module.weight_hh_l0_reverse)[0])
    assert gradients[1].all()
    assert_all_close(gradients[1:], gradients[:1])


@each(LAYERS)
@pytest.mark.parametrize("features", [1, 19])
def test_mxnet_17479_stacks_whose_input_is_of_another_size(kind: Kind, features: int) -> None:
    """Results, or gradients of the middle layers' weights and biases, were wrong (also 17086,
    17818, 17898)."""
    options = {"num_layers": 3, "bidirectional": True, "dtype": torch.float64}
    theirs, ours = (getattr(nn, kind.name)(features, H, **options) for nn in (torch.nn, elman))
    ours.load_state_dict(theirs.state_dict())
    assert_same(theirs, ours, torch.randn(T, B, features, dtype=torch.float64))


def test_torchrl_3711_the_final_state_after_a_reset() -> None:
    """It was the one that the rows had reached before."""
    x, keep = torch.randn(T, B, I), torch.ones(T, B, H)
    keep[4] = 0
    weights = [Weights(torch.randn(H, I), torch.randn(H, H), None, None)]
    step, start = STEPS["Reset"], torch.randn(1, B, H)
    output, (final,) = recur(step, Rows(T, B, T * B), x, [start], weights, [keep])
    rest = Rows(T - 4, B, (T - 4) * B)
    later, (expected,) = recur(step, rest, x[4:], [None], weights, [torch.ones(T - 4, B, H)])
    assert_same_bits([output[4:], final], [later, expected])


@pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRU", "GRUBefore"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_onnxruntime_4628_large_inputs(cell: str, dtype: torch.dtype) -> None:
    """A GRU was wrong where its gates are saturated."""
    for size in (1e2, 1e6):
        problem = Problem(cell, dtype=dtype)
        problem.tensors["x"] *= size
        check(problem, floor=1.0)


@each(KINDS)
def test_pytorch_177016_numbers_that_alone_are_finite(kind: Kind) -> None:
    """A row had NaN in a batch, and none alone."""
    module, x = kind.make(elman), kind.input()
    x *= torch.logspace(-30, 30, B)[:, None]
    for i in range(B):
        rows = slice(i, i + 1)
        together, alone = module(x), module(x[..., rows, :])
        assert_same_bits([t[..., rows, :] for t in tensors(together)], tensors(alone))
        assert all(t.isfinite().all() for t in tensors(alone))


@pytest.mark.parametrize("kind", [k for k in KINDS if k.name.startswith("RNN")], ids=str)
def test_pytorch_7999_relu_lets_nan_pass(kind: Kind) -> None:
    """It became zero."""
    theirs, ours = kind.pair(nonlinearity="relu")
    x = kind.input()
    x[..., 1, 0] = math.nan
    expected, found = tensors(theirs(x)), tensors(ours(x))
    assert found[0].isnan().any()
    for e, f in zip(expected, found, strict=True):
        assert torch.equal(e.isnan(), f.isnan())


@each(LAYERS)
def test_pytorch_32023_a_row_in_batches_of_any_size(kind: Kind) -> None:
    """Its last bits depended on the batch (also 124025)."""
    module, x = getattr(elman, kind.name)(22, 128), torch.randn(5, 100, 22)
    parts = [tensors(module(part)) for part in x.split([1, 49, 50], 1)]
    assert_same_bits(tensors(module(x)), [torch.cat(p, 1) for p in zip(*parts, strict=True)])


@each(LAYERS)
def test_pytorch_9621_the_graph_of_a_long_sequence(kind: Kind) -> None:
    """Its deletion, or the backward pass, overflowed the stack."""
    assert_same(*kind.pair(dtype=torch.float64), torch.randn(8000, 1, I, dtype=torch.float64))

"""Kernels that read and write bfloat16 and float16 tensors: the bits of converting by PyTorch."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import elman
from elman.compiler import forward, isa, jit
from elman.compiler.formats import Format
from elman.compiler.isa import ISA
from elman.compiler.plan import plan_of
from elman.compiler.target import target_of
from elman.dispatch import layer, select
from elman.launch import together
from elman.launch.calls import NativeCall
from elman.launch.kernel_cache import HALF_DTYPES, forget_calls, has_kernels
from elman.nn import cached
from elman.nn.freeze import status
from elman.nn.frozen import frozen_of
from tests.compiler.objects import undefined
from tests.compiler.targets import each_isa, force, needs_pairs

each_dtype = pytest.mark.parametrize("dtype", HALF_DTYPES, ids=str)


def halves(make: Callable[..., Any], *sizes: int, **options: Any) -> Callable[..., Any]:
    return lambda dtype: make(*sizes, **options).to(dtype)


def recurrent(cell: elman.Cell, *sizes: int) -> Any:
    return elman.Recurrent(cell, *sizes)


def packed(x: Tensor) -> PackedSequence:
    return pack_sequence([x[:n, i] for i, n in enumerate((4, 7, 1))], enforce_sorted=False)


def apart(x: Tensor) -> Tensor:
    return torch.stack([x, x], -1)[..., 0]


def plain(x: Tensor) -> Tensor:
    return x


#: A module, the shapes of input and states, what is made of the input.
CALLS: dict[str, tuple[Any, ...]] = {
    "one step": (halves(elman.LSTM, 19, 33), (1, 3, 19), [(1, 3, 33)] * 2, plain),
    "one step, many rows": (halves(elman.GRU, 19, 33), (1, 23, 19), [(1, 23, 33)], plain),
    "one row": (halves(elman.GRU, 5, 17), (7, 1, 5), [], plain),
    "one row of one step": (halves(elman.GRU, 5, 100), (1, 1, 5), [(1, 1, 100)], plain),
    "stack": (halves(elman.LSTM, 3, 17, 3, bidirectional=True), (7, 3, 3), [], plain),
    "projected": (halves(elman.LSTM, 3, 17, proj_size=5), (7, 3, 3), [], plain),
    "packed": (halves(elman.RNN, 3, 9, 2, bidirectional=True), (7, 3, 3), [(4, 3, 9)], packed),
    "unbatched": (halves(elman.GRU, 3, 9), (7, 3), [(1, 9)], plain),
    "units apart": (halves(elman.GRU, 19, 33), (7, 2, 19), [(1, 2, 33)], apart),
    "expanded": (halves(elman.GRU, 19, 33), (1, 1, 1), [], lambda x: x.expand(7, 2, 19)),
    "dropout": (halves(elman.RNN, 3, 9, 3, dropout=0.5), (7, 3, 3), [], plain),
    "heads": (halves(recurrent, elman.cells.SLSTM(heads=3), 5, 9), (7, 2, 5), [], plain),
    "heads of vectors": (
        halves(recurrent, elman.cells.SLSTM(heads=2), 5, 64),
        (7, 2, 5),
        [],
        plain,
    ),
    "reads its input": (halves(recurrent, elman.cells.SRU(), 9, 9), (7, 2, 9), [], plain),
    "vectors of weights": (halves(recurrent, elman.cells.IndRNN(), 3, 19), (7, 2, 3), [], plain),
    "cell": (halves(elman.LSTMCell, 19, 33), (3, 19), [(3, 33)] * 2, plain),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def flat(results: Any) -> list[Tensor]:
    if isinstance(results, PackedSequence):
        return [results.data]
    return [results] if isinstance(results, Tensor) else [t for part in results for t in flat(part)]


def check(module: Any, kernels: bool, *given: Any, **named: Any) -> None:
    """The results of kernels, of a first call and of one that resembles it, and PyTorch's."""
    with torch.no_grad():
        found = []
        for _ in range(2):
            torch.manual_seed(1)
            found.append(flat(module(*given, **named)))
        assert any(cached.CALLS.values()) is kernels
        forget_calls()
        with mock.patch.object(layer, "takes_halves", return_value=False):
            torch.manual_seed(1)
            expected = flat(module(*given, **named))
        assert not any(cached.CALLS.values())
    for mine in found:
        for actual, wanted in zip(mine, expected, strict=True):
            assert actual.dtype == wanted.dtype == next(module.parameters()).dtype
            assert torch.equal(actual, wanted)
            assert actual.any()


@pytest.mark.sampled(3)
@each_isa
@each_dtype
@each_call
def test_results_have_the_bits_of_conversions(
    call: tuple[Any, ...], dtype: torch.dtype, row: ISA
) -> None:
    make, shape, states, arrange = call
    forget_calls()
    torch.manual_seed(0)
    module, x = make(dtype), arrange(torch.randn(shape, dtype=dtype))
    hx = [torch.randn(s, dtype=dtype) for s in states]
    hx = [*map(apart, hx)] if arrange is apart else hx
    given = [x, *([hx[0] if len(hx) == 1 else tuple(hx)] if hx else [])]
    with force(row):
        check(module, has_kernels(dtype, row), *given)


@pytest.mark.sampled(3)
@each_dtype
@needs_pairs
@each_call
def test_products_of_pairs_have_them_too(call: tuple[Any, ...], dtype: torch.dtype) -> None:
    test_results_have_the_bits_of_conversions(call, dtype, select.current_isa())


@each_isa
@each_dtype
def test_further_inputs_and_states(dtype: torch.dtype, row: ISA) -> None:
    forget_calls()
    torch.manual_seed(0)
    module = recurrent(elman.cells.GRUD(), 5, 9).to(dtype)
    shape = 7, 2, 5
    with force(row):
        x, gap = torch.randn(shape).to(dtype), torch.rand(shape).to(dtype)
        inputs = {"mask": (torch.rand(shape) > 0.5).to(dtype), "gap": gap}
        with torch.no_grad():
            found = flat(module(x, inputs=inputs, return_states=True))
            with mock.patch.object(layer, "takes_halves", return_value=False):
                expected = flat(module(x, inputs=inputs, return_states=True))
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == dtype
        assert torch.equal(actual, wanted)


@each_dtype
@pytest.mark.parametrize("make", [elman.LSTM, elman.LSTMCell])
def test_a_call_that_wants_gradients_is_not_like_one_that_does_not(
    make: Callable[..., Any], dtype: torch.dtype
) -> None:
    module, x = make(19, 33).to(dtype), torch.randn(3, 19, dtype=dtype)
    for _ in range(2):
        with torch.no_grad():
            expected = flat(module(x))
        found = flat(module(x))
        for actual, wanted in zip(found, expected, strict=True):
            assert torch.equal(actual, wanted)
        torch.stack([t.sum() for t in found]).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", [(1, 1, 19), (1, 20, 19), (7, 3, 19)])
def test_frozen_weights_give_the_same_bits(
    shape: tuple[int, ...], dtype: torch.dtype, row: ISA
) -> None:
    torch.manual_seed(0)
    module = elman.LSTM(19, 33, 2, dtype=dtype).eval()
    frozen, x = elman.freeze(copy.deepcopy(module)), torch.randn(shape, dtype=dtype)
    with force(row), torch.no_grad():
        expected = flat(module(x))
        for _ in range(3):
            for actual, wanted in zip(flat(frozen(x)), expected, strict=True):
                assert torch.equal(actual, wanted)
        if has_kernels(dtype, row):
            assert frozen_of(frozen).held.recent
        else:
            assert f"there are no kernels for {dtype}" in status(frozen)


@each_isa
@each_dtype
def test_every_number_and_each_half_way_are_rounded_as_pytorch_rounds(
    dtype: torch.dtype, row: ISA
) -> None:
    if not has_kernels(dtype, row):
        return
    values = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(dtype)
    ones = torch.ones_like(values)
    ones[::2] += torch.finfo(dtype).eps  # products of 1.5 and more lie half-way between numbers
    together._link.cache_clear()
    with force(row):
        run: Any = together.link_pass(HALF_DTYPES[dtype], row, 1, len(values) - 3, False)
        for factors in (torch.ones_like(values), ones):
            goal = torch.zeros_like(values)
            NativeCall([(run, (0, 1, 2))]).run([goal, values, factors])
            expected = values * factors
            expected[-3:] = 0
            torch.testing.assert_close(goal, expected, rtol=0, atol=0, equal_nan=True)
    together._link.cache_clear()


@each_dtype
@pytest.mark.parametrize("single", [False, True])
def test_the_code_asks_for_nothing_else_on_any_processor(dtype: torch.dtype, single: bool) -> None:
    plan, kind = plan_of(elman.GRU(2, 3)._step()), HALF_DTYPES[dtype]
    for row in isa.TABLE:
        if has_kernels(dtype, row):
            target = target_of(plan, "float", Format("float"), row, 5, single)
            target = dataclasses.replace(target, given=kind, given_states=kind)
            module = forward.emit(plan, target, False)
            assert undefined(jit.object_code(module, row)) == []

"""Copies of everything public: deepcopy, pickle, meta devices, default devices and dtypes."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import elman
from tests.captures.columns import Column, Mixed, assert_alike, each_column

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{f"pickle-{p}": lambda v, p=p: pickle.loads(pickle.dumps(v, p)) for p in (2, 4, 5)},
}
each_copy = pytest.mark.parametrize("how", COPIES)


@each_column
@each_copy
def test_copies_of_modules_compute_the_same(how: str, column: Column) -> None:
    program, data = column.program(), column.data(3, 2)
    before = program(*data)
    if column.name == "constrained" and how != "deepcopy":
        with pytest.raises(RuntimeError, match=r"parametrized modules is only .* state_dict\(\)"):
            COPIES[how](program)
        return
    again = COPIES[how](program)
    assert_alike(again(*data), before, exact=True)
    with torch.no_grad():
        for p in again.parameters():
            p.zero_()
    assert_alike(program(*data), before, exact=True)  # they share nothing


@each_copy
@pytest.mark.parametrize(
    "cell", [elman.cells.LSTM(), elman.cells.Elman("relu"), Mixed()], ids=["lstm", "relu", "own"]
)
@pytest.mark.parametrize("traced", [False, True])
def test_copies_of_cells_have_the_same_formula(how: str, cell: elman.Cell, traced: bool) -> None:
    if traced:
        cell.trace()
    again = COPIES[how](cell)
    assert type(again) is type(cell)
    assert again.trace() is cell.trace()


@each_copy
@pytest.mark.parametrize(
    "part", [elman.nn.Dale([1, -1, 1, -1]), elman.nn.Mask(torch.eye(4))], ids=["Dale", "Mask"]
)
def test_copies_of_constraints_compute_the_same(how: str, part: Any) -> None:
    weight = torch.randn(8, 4)
    assert torch.equal(COPIES[how](part)(weight), part(weight))


STREAMS = {
    "gru": lambda: elman.GRU(3, 4, 2),
    "lstm": lambda: elman.LSTM(3, 4),
    "own": lambda: elman.Recurrent(Mixed, 3, 4),
}


@each_copy
@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.int8], ids=str)
def test_copies_of_streams_go_on_where_they_were(
    how: str, make: Callable[[], Any], dtype: torch.dtype | None
) -> None:
    x = torch.randn(9, 2, 3)
    stream = elman.Stream(make(), batch_size=2, weight_dtype=dtype)
    stream.chunk(x[:4])
    again = COPIES[how](stream)
    expected = [stream.step(x[4]), stream.chunk(x[5:])]
    assert_alike([again.step(x[4]), again.chunk(x[5:])], expected, exact=True)
    again.reset()
    stream.reset()
    assert torch.equal(again.chunk(x), stream.chunk(x))


@each_column
def test_modules_of_the_meta_device_become_real(column: Column) -> None:
    with torch.device("meta"):
        program = column.program()
    assert all(p.is_meta for p in program.parameters())
    program.to_empty(device="cpu")
    torch.manual_seed(3)
    program.module.reset_parameters()
    fresh = column.program()
    torch.manual_seed(3)
    fresh.module.reset_parameters()
    for buffer, real in zip(program.buffers(), fresh.buffers(), strict=True):
        buffer.copy_(real)  # the signs of a constraint are no parameter
    assert_alike(list(program.parameters()), list(fresh.parameters()), exact=True)
    assert_alike(program(*column.data(3, 2)), fresh(*column.data(3, 2)), exact=True)


@each_column
def test_modules_on_the_meta_device_give_shapes(column: Column) -> None:
    real = column.program()(*column.data(3, 2))
    # Lengths and resets are numbers, which the meta device has not.
    data = [t.to("meta") if t.is_floating_point() else t for t in column.data(3, 2)]
    found = column.program().to("meta")(*data)
    assert [t.shape for t in found] == [t.shape for t in real]
    assert all(t.is_meta for t in found)


@each_column
def test_default_dtype_and_device_count_for_new_modules(column: Column) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        module: Any = column.make()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for p in module.parameters():
        assert (p.dtype, p.device.type) == (torch.float64, "meta")


@each_column
def test_a_default_device_does_not_change_what_a_module_computes(column: Column) -> None:
    program, data = column.program(), column.data(3, 2)
    before = program(*data)
    torch.set_default_device("cpu")
    try:
        assert_alike(program(*data), before, exact=True)
    finally:
        torch.set_default_device(None)


def test_a_copy_of_a_stream_keeps_weights_that_its_module_has_no_more() -> None:
    net = elman.Recurrent(elman.cells.Elman, 3, 4, learn_initial=True)
    torch.nn.init.constant_(net.initial_h_l0, 0.5)
    stream, x = elman.Stream(net), torch.randn(6, 3)
    before = stream.chunk(x)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2)
    again = copy.deepcopy(stream)
    again.reset()
    assert torch.equal(again.chunk(x), before)
    again.refresh()
    again.reset()
    assert torch.equal(again.chunk(x), net(x)[0])

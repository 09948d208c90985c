"""functorch's transforms, eager and compiled, beside the same of the unrolled reference."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import elman
from tests.captures.columns import (
    COLUMNS,
    Column,
    H,
    I,
    Mixed,
    Program,
    assert_alike,
    each_column,
)

Data = tuple[Tensor, ...]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.sampled(5),
]  # of torch's jvp


def _parameters(program: Program) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in program.named_parameters()}


def _ensemble(program: Program) -> dict[str, Tensor]:
    return {n: torch.stack([p, 0.5 * p, p + 0.1]) for n, p in _parameters(program).items()}


def _loss(program: Program, parameters: Any, *data: Tensor) -> Tensor:
    results = functional_call(program, parameters, data)
    return torch.stack([r.pow(2).sum() for r in results]).sum()


def _spread(column: Column, data: Data) -> Data:
    """Every row by itself: a dimension of rows after the one that is mapped."""
    return tuple(t.unsqueeze(d + 1) for t, d in zip(data, column.rows(), strict=True))


# Each is called with a column, its program and its data.


def _grad(_: Column, f: Program, data: Data) -> Any:
    return grad(lambda x: _loss(f, {}, x, *data[1:]))(data[0])


def _grad_of_weights(_: Column, f: Program, data: Data) -> Any:
    return grad(lambda p: _loss(f, p, *data))(_parameters(f))


def _vmap_data(column: Column, f: Program, data: Data) -> Any:
    return vmap(f.forward, in_dims=column.rows())(*_spread(column, data))


def _vmap_weights(_: Column, f: Program, data: Data) -> Any:
    return vmap(lambda p: functional_call(f, p, data))(_ensemble(f))


def _vmap_both(column: Column, f: Program, data: Data) -> Any:
    several = tuple(torch.stack([t, t.flip(column.rows()[0]), t]) for t in data[:1])
    return vmap(lambda p, x: functional_call(f, p, (x, *data[1:])))(_ensemble(f), *several)


def _per_sample(column: Column, f: Program, data: Data) -> Any:
    one = grad(lambda p, *row: _loss(f, p, *row))
    return vmap(one, in_dims=(None, *column.rows()))(_parameters(f), *_spread(column, data))


def _grad_of_vmap(column: Column, f: Program, data: Data) -> Any:
    def total(p: Any) -> Tensor:
        rows = vmap(lambda *row: _loss(f, p, *row), in_dims=column.rows())
        return rows(*_spread(column, data)).sum()

    return grad(total)(_parameters(f))


def _ensemble_grad(_: Column, f: Program, data: Data) -> Any:
    return vmap(grad(lambda p: _loss(f, p, *data)))(_ensemble(f))


def _sums(f: Program, data: Data) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat([r.flatten(0, -2).sum(0) for r in f(x, *data[1:])])


def _jacrev(_: Column, f: Program, data: Data) -> Any:
    return jacrev(_sums(f, data))(data[0])


def _jacfwd(_: Column, f: Program, data: Data) -> Any:
    return jacfwd(_sums(f, data))(data[0])


def _jvp(_: Column, f: Program, data: Data) -> Any:
    return jvp(_sums(f, data), (data[0],), (torch.ones_like(data[0]),))


def _of_one(make: Callable[..., Any]) -> Callable[..., Any]:
    """A second derivative, by the input of one row at one step."""

    def derivative(_: Column, f: Program, data: Data) -> Any:
        x = data[0]

        def of(part: Tensor) -> Tensor:
            return _loss(f, {}, torch.cat([part[None], x.flatten(0, -2)[1:]]).view_as(x), *data[1:])

        return make(of)(x.flatten(0, -2)[0])

    return derivative


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": _grad,
    "grad-of-weights": _grad_of_weights,
    "jacrev": _jacrev,
    "vmap-data": _vmap_data,
    "vmap-weights": _vmap_weights,
    "vmap-both": _vmap_both,
    "per-sample": _per_sample,
    "grad-of-vmap": _grad_of_vmap,
    "ensemble-grad": _ensemble_grad,
    "jacfwd": _jacfwd,
    "jvp": _jvp,
    "hessian": _of_one(hessian),
    "jacrev-of-jacrev": _of_one(lambda of: jacrev(jacrev(of))),
}
FORWARD = ("jacfwd", "jvp", "hessian")  # which the reference answers
each_transform = pytest.mark.parametrize("transform", TRANSFORMS)
#: What dynamo captures for seconds: every column with one of each three neighbours in the table,
#: every transform with every third column. What each pair computes is seen in eager calls.
CAPTURED = [
    pytest.param(column, transform, id=f"{transform}-{column.name}")
    for n, transform in enumerate(TRANSFORMS)
    for m, column in enumerate(COLUMNS)
    if (n + m) % 3 == 0
]


@functools.cache
def _expected(column: Column, transform: str) -> Any:
    with elman.set_path("reference"):
        return TRANSFORMS[transform](column, column.program(), column.data(2, 2))


@each_column
@each_transform
def test_eager_transforms(column: Column, transform: str) -> None:
    expected = _expected(column, transform)
    assert all(t.any() for t in torch.utils._pytree.tree_leaves(expected))
    with elman.set_path("auto" if transform in FORWARD else "kernel"):
        found = TRANSFORMS[transform](column, column.program(), column.data(2, 2))
    assert_alike(found, expected)


@pytest.mark.parametrize(("column", "transform"), CAPTURED)
def test_compiled_transforms(column: Column, transform: str) -> None:
    torch._dynamo.reset()
    program, data = column.program(), column.data(2, 2)
    calls = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        calls.extend(n for n in graph.graph.nodes if n.target is torch.ops.elman.recur.default)
        return graph.forward

    compiled = torch.compile(lambda *d: TRANSFORMS[transform](column, program, d), backend=backend)
    assert_alike(compiled(*data), _expected(column, transform))
    assert bool(calls) != (transform in FORWARD)


@each_column
def test_transforms_after_a_break_in_the_graph(column: Column) -> None:
    """Dynamo breaks it where ``vmap`` asks for a module's name, and looks into what runs then."""
    torch._dynamo.reset()
    program, data = column.program(), column.data(2, 2)

    def mapped(*data: Tensor) -> Any:
        return vmap(program, in_dims=column.rows())(*_spread(column, data))

    assert_alike(torch.compile(mapped, backend="eager")(*data), _expected(column, "vmap-data"))


@pytest.mark.parametrize("transform", ["per-sample", "vmap-both", "jacrev", "jvp"])
def test_transforms_that_aot_autograd_traces(transform: str) -> None:
    torch._dynamo.reset()
    column = Column("own", lambda **given: elman.Recurrent(Mixed, I, H, **given))
    program, data = column.program(), column.data(2, 2)
    made = torch.compile(lambda *d: TRANSFORMS[transform](column, program, d), backend="aot_eager")
    assert_alike(made(*data), _expected(column, transform))

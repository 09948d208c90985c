"""The bits of some rows' results beside those of the whole batch."""

import pytest
import torch
from torch import Tensor

from tests.compiler.problem import Problem

UNITS = [1, 3, 7, 8, 9, 16, 17, 31, 33, 50, 64, 65, 100]
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


def of_rows(problem: Problem, rows: slice | int) -> Problem:
    """The same problem for some of its rows."""
    rows = slice(rows, rows + 1) if isinstance(rows, int) else rows
    lengths = problem.row_lengths[rows].tolist()
    T, options = lengths[0], {"dtype": problem.dtype, "bias": problem.bias, "h0": problem.h0}
    sizes = {name: getattr(problem, name) for name in ("I", "H", "P", "D")}
    part = type(problem)(problem.cell, T, len(lengths), **sizes, seed=problem.seed, **options)
    if len(set(lengths)) > 1:
        part.lengths = lengths
    for name, tensor in problem.tensors.items():
        if name == "x" or name.startswith("input"):
            part.tensors[name] = tensor[:T, rows]
        elif name.startswith("h0"):
            part.tensors[name] = tensor[:, rows]
        else:
            part.tensors[name] = tensor
    part.g_output = problem.g_output[:T, rows]
    part.g_final = [g[:, rows] for g in problem.g_final]
    return part


def by_row(problem: Problem, results: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    """The results that belong to rows, row by row, each cut to the row's length."""
    found = {}
    active = problem.row_lengths > torch.arange(problem.T).unsqueeze(1)
    for name, value in results.items():
        if name in ("output", "gradient of x") or "input." in name:
            padded = value
            if problem.lengths:
                padded = value.new_zeros((problem.T, problem.B, value.shape[-1]))
                padded[active] = value
            found[name] = [padded[:n, b] for b, n in enumerate(problem.row_lengths.tolist())]
        elif name.startswith(("final", "gradient of h0")):
            found[name] = list(value.unbind(1))
    return found


def assert_same_rows(whole: Problem, rows: slice | int, part: dict[str, Tensor]) -> None:
    """Bits of some rows' results against those of the whole batch."""
    expected, few = by_row(whole, whole.run()), of_rows(whole, rows)
    found = by_row(few, part)
    assert {"output", "final.h", "gradient of x"} <= set(found)
    assert ("gradient of h0.h" in found) is whole.h0
    for name, values in found.items():
        for value, other in zip(
            values,
            expected[name][rows] if isinstance(rows, slice) else [expected[name][rows]],
            strict=True,
        ):
            assert torch.equal(value, other), name


def same_results(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Bits of all results, the weights' gradients too."""
    assert set(one) == set(other)
    assert any("weight_hh" in name for name in one)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name

"""What a body may not do, and arguments that do not go together: each with its remedy."""

import pytest
import torch
from torch import nn

import elman
from tests.loops.bodies import B, Body, T

LINEAR = nn.Linear(8, 8)


def _changed_part(m, h, _):
    h = m[0](h)
    h[:, :2] += 1
    return h, h


def _changed_parameter(m, h, _):
    m[0].bias += 1
    return m[0](h), h


#: By what is wrong: the body, and words of the message.
FORMULAS = {
    "product": (lambda _, h, x: (h @ x.t() @ x, h), "permute|product of two values"),
    "three dimensions": (lambda _, h, x: (h[:, None].sum(1) + x, h), "stay .B, n."),
    "part of a carry": (
        lambda _, h, x: (torch.cat([h[:, 4:], h[:, :4]], -1), x),
        "carry its parts",
    ),
    "change of a part": (_changed_part, "changed in place"),
    "change of a parameter": (_changed_parameter, "in place that it does not make"),
    "if": (lambda _, h, x: (h if (h > 0).all() else -h, x), "no counterpart|use torch.where"),
    "if of the input": (lambda _, h, x: (h if x.sum(-1)[0] > 0 else -h, x), "over dim|torch.where"),
    "over rows": (lambda _, h, x: (h - h.mean(0), x), "works over the last one"),
    "cumsum": (lambda _, h, x: (h.cumsum(-1), x), "torch.cumsum of values of the loop"),
    "argmax": (lambda _, h, x: (h, x.argmax(-1)), "torch.argmax of values of the loop"),
    "detach": (lambda _, h, x: (torch.tanh(h.detach()), x), "detach after the loop"),
    "expanded": (lambda m, h, x: (m[0](h[:, :1].expand(-1, 8)), x), "carry its parts|expansion"),
    "batch norm": (lambda m, h, x: (m[1](m[0](h)), x), "in place|no counterpart|over dim"),
    "power": (lambda _, h, x: (h**1.5, x), "use exp and log"),
    "steps of a slice": (lambda _, h, x: (h + x[:, ::2].sum(-1, keepdim=True), x), "every second"),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_what_no_formula_says(name):
    function, words = FORMULAS[name]
    body = Body(function, LINEAR, nn.BatchNorm1d(8))
    before = LINEAR.bias.clone()
    with pytest.raises(elman.FormulaError, match=words) as caught:
        elman.scan(body, torch.randn(B, 8), torch.randn(T, B, 8))
    assert str(caught.value).startswith("scan: ")
    assert "test_errors.py, line " in str(caught.value)
    assert torch.equal(LINEAR.bias, before)


h, x = torch.zeros(B, 8), torch.zeros(T, B, 8)
KEEP = Body(lambda _, c, x: (c, x))
#: By what is wrong: the arguments, the error and words of its message.
ARGUMENTS = {
    "no pair": ((Body(lambda _, c, x: c), h, x), TypeError, "return a pair"),
    "another form": ((Body(lambda _, c, x: ([c], x)), h, x), TypeError, "carry of the form"),
    "another shape": ((Body(lambda _, c, x: (x[:, :3], x)), h, x), RuntimeError, "shape .B, 8."),
    "another dtype": ((Body(lambda _, c, x: (x.double(), x)), h, x), RuntimeError, "float64"),
    "a number": ((Body(lambda _, c, x: (1.0, x)), h, x), RuntimeError, "got float"),
    "y": ((Body(lambda _, c, x: (c, "y")), h, x), TypeError, "tensors in y, got str"),
    "no carry": ((KEEP, (), x), ValueError, "init to have a tensor"),
    "no tensor": ((KEEP, 1.0, x), TypeError, "tensors in init, got float"),
    "whole numbers": ((KEEP, h.long(), x), RuntimeError, "floating-point"),
    "two dtypes": ((KEEP, (h, h.double()), x), RuntimeError, "one floating-point dtype"),
    "three dimensions": ((KEEP, x, x), RuntimeError, r"shape \(B, n\)"),
    "too many dimensions": ((KEEP, h, x[None]), RuntimeError, r"\(T, B, n\)"),
    "rows": ((KEEP, h, x[:, 1:]), RuntimeError, "same number of rows"),
    "steps": ((KEEP, h, (x, x[1:])), ValueError, "one number of steps"),
    "no steps": ((KEEP, h, x[:0]), ValueError, "at least one step"),
    "length": ((KEEP, h, x, T + 1), ValueError, "one number of steps"),
    "no length": ((KEEP, h), ValueError, "one number of steps"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_do_not_go_together(name):
    arguments, kind, words = ARGUMENTS[name]
    with pytest.raises(kind, match=words) as caught:
        elman.scan(*arguments)
    assert str(caught.value).startswith("scan: expected ")

"""A device of another kind than the CPU, made of Python: its tensors' values lie in tensors of the
CPU, on which every operator runs. A program, since a process has one such device.

It compares elman's layers with torch.nn's there, bit for bit, and prints what ran.
"""

import os
import sys
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import elman
from elman import reference

_values: dict[int, tuple[Tensor, Tensor]] = {}  # by the device tensor's storage; and that tensor


def to_device(value: Tensor) -> Tensor:
    if 0 in value.stride():  # the device tensor is contiguous, and so has to be what it stands for
        value = value.contiguous()
    made = torch._C._acc.create_empty_tensor(tuple(value.shape), value.dtype)
    _values[made.untyped_storage()._cdata] = value, made
    return made


def from_device(tensor: Tensor) -> Tensor:
    if tensor.device.type != "other":
        return tensor
    return _values[tensor.untyped_storage()._cdata][0]


def on_cpu(operator: Any, *args: Any, **options: Any) -> Any:
    given = tree_map_only(Tensor, from_device, (args, options))
    args, options = tree_map_only(torch.device, lambda _: torch.device("cpu"), given)
    return tree_map_only(Tensor, to_device, operator(*args, **options))


def copy_from(source: Tensor, to: Tensor, non_blocking: bool = False) -> Tensor:
    from_device(to).copy_(from_device(source))
    return to


def lstm_cell(x: Tensor, u: Tensor, c: Tensor, *biases: Tensor) -> tuple[Tensor, ...]:
    gates = x + u + sum(biases)
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c, gates


def gru_cell(x: Tensor, u: Tensor, h: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    (r, z, n), (s, y, m) = (x + b).chunk(3, 1), (u + c).chunk(3, 1)
    r, z = (r + s).sigmoid(), (z + y).sigmoid()
    n = (n + r * m).tanh()
    return n + z * (h - n), torch.cat([r, z, n, h, m], 1)


_setup_privateuseone_for_python_backend("other")
_everything = torch.library.Library("_", "IMPL")
_everything.fallback(on_cpu, "PrivateUse1")
_some = torch.library.Library("aten", "IMPL")
for _name, _run in {
    "_copy_from": copy_from,
    "_thnn_fused_lstm_cell": lambda *a: on_cpu(lstm_cell, *a),
    "_thnn_fused_gru_cell": lambda *a: on_cpu(gru_cell, *a),
}.items():
    _some.impl(_name, _run, "PrivateUse1")


def unexpected(*_: Any) -> Any:
    raise AssertionError("the reference runs")


def main() -> None:
    torch.manual_seed(0)
    reference.layer = unexpected
    x = torch.rand(5, 2, 3)
    for name in ("RNN", "LSTM", "GRU"):
        theirs = getattr(torch.nn, name)(3, 4, 2, bidirectional=True).to("other")
        with torch.no_grad():
            expected = theirs(x.to("other"))[0].cpu()
            ours = elman.accelerate(theirs)
            assert type(ours) is getattr(elman, name)
            actual = ours(x.to("other"))[0]
        assert actual.device.type == "other"
        assert torch.equal(actual.cpu(), expected)
        (row,) = elman.explain(ours).layers
        print(name, row.path, row.reason, sep="; ")
    gradients = []
    for module in (torch.nn.RNN(3, 4), elman.RNN(3, 4)):
        torch.manual_seed(1)
        module.reset_parameters()
        module.to("other")
        output, _ = module(x.to("other"))
        output.backward(torch.rand(output.shape).to("other"))
        gradients.append([p.grad.cpu() for p in module.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)
    try:
        elman.RNN(3, 4)(x.to("other"))
    except RuntimeError as error:
        print(error)
    cell = elman.Recurrent(elman.cells.PeepholeLSTM, 3, 4)
    (row,) = elman.explain(cell.to("other")).layers
    print(row.path, row.reason, sep="; ")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # autograd's thread of this device does not always end with the interpreter

"""Streams that begin anew within a call, beside the module's ``reset``."""

import pytest
import torch

import elman
from tests.streaming.modules import MODULES, B, Gap, H, I, dtype_of, same

T = 85


def masks(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(*shape) < 0.03


@pytest.mark.parametrize("rows", [None, B])
@pytest.mark.parametrize("name", MODULES)
def test_steps_and_chunks_begin_anew_where_the_module_does(name: str, rows: int | None) -> None:
    module = MODULES[name]().eval()
    lead = () if rows is None else (rows,)
    x, reset = torch.randn(T, *lead, I, dtype=dtype_of(module)), masks(T, *lead)
    reset[0] = True
    with torch.no_grad():
        output, final = module(x, reset=reset)
    stepped, chunked = elman.Stream(module, rows), elman.Stream(module, rows)
    stepped.chunk(x)
    found = [stepped.step(now, reset=anew).clone() for now, anew in zip(x, reset, strict=True)]
    assert torch.equal(torch.stack(found), output)
    chunked.step(x[0])
    assert torch.equal(chunked.chunk(x, reset=reset), output)
    assert same(stepped.snapshot(), final)
    assert same(chunked.snapshot(), final)
    carried, rest = reset.clone(), output
    carried[0] = False
    chunked.reset()
    assert torch.equal(chunked.chunk(x, reset=carried), rest)


@pytest.mark.parametrize("batch_first", [False, True])
def test_further_inputs_are_cut_along(batch_first: bool) -> None:
    net = elman.Recurrent(Gap, I, H, batch_first=batch_first)
    lead = (B, T) if batch_first else (T, B)
    x, gap, reset = torch.randn(*lead, I), torch.rand(*lead, 1), masks(*lead)
    stream = elman.Stream(net, B)
    for inputs in ({"gap": gap}, {"gap": gap.narrow(int(batch_first), 0, 1)}):
        with torch.no_grad():
            expected = net(x, inputs=inputs, reset=reset)[0]
        stream.reset()
        assert torch.equal(stream.chunk(x, inputs, reset), expected)
    one = {n: v.select(int(batch_first), 0).unsqueeze(int(batch_first)) for n, v in inputs.items()}
    stream.reset()
    first = x.narrow(int(batch_first), 0, 1)
    assert torch.equal(stream.chunk(first, one), expected.narrow(int(batch_first), 0, 1))


def test_wrong_resets_are_named() -> None:
    stream, x = elman.Stream(elman.GRU(I, H), B), torch.ones(T, B, I)
    with pytest.raises(ValueError, match=r"torch.float32; convert it with reset.bool\(\)"):
        stream.step(x[0], reset=torch.ones(B))
    with pytest.raises(RuntimeError, match=r"reset of shape \(4,\), got \(3,\)"):
        stream.step(x[0], reset=[True] * 3)
    with pytest.raises(RuntimeError, match=r"reset of shape \(85, 4\), got \(4, 85\)"):
        stream.chunk(x, reset=torch.ones(B, T, dtype=torch.bool))

"""What options that regularise draw: frequencies, means, and how long a mask lasts."""

import pytest
import torch

import elman
from elman import Recurrent
from elman.nn.masks import LayerMasks
from tests.nn.regularising import RANDOM, STACK, B, H, I, Spy, T, net_of

pytestmark = pytest.mark.sampled(3)


def drawn(net: Recurrent, spy: Spy, rows: int = 50, steps: int = 40) -> list[LayerMasks]:
    net(torch.randn(steps, rows, net.input_size))
    return spy.masks


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_masks_have_their_frequencies_and_a_mean_of_one(p: float, spy: Spy) -> None:
    torch.manual_seed(0)
    net = Recurrent(elman.cells.LSTM, 20, 30, recurrent_dropout=p, state_dropout=p, input_dropout=p)
    (masks,) = drawn(net, spy, 200)
    every = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
    assert masks.input is not None
    for mask in (masks.input[0], every["candidate_1"], every["state_dropout_h"][0]):
        bound = 5 * (p * (1 - p) / mask.numel()) ** 0.5
        assert abs((mask == 0).double().mean().item() - p) < bound
        scale = mask.max().item()
        assert scale == pytest.approx(1 / (1 - p), rel=2e-4)
        assert set(mask.unique().tolist()) == {0.0, scale}
    zone = Recurrent(elman.cells.GRU, 20, 30, zoneout=p)
    ((_, (mask,), _),) = drawn(zone, spy, 200)
    assert abs(mask.double().mean().item() - p) < 5 * (p * (1 - p) / mask.numel()) ** 0.5
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_noise_is_normal(spy: Spy) -> None:
    torch.manual_seed(0)
    ((_, (noise,), _),) = drawn(Recurrent(elman.cells.GRU, 20, 30, state_noise=0.3), spy, 200)
    assert noise.shape == (40, 200, 30)
    values = noise.double().flatten() / 0.3
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs((values.abs() < 1).double().mean() - 0.6827) < 0.005


@pytest.mark.parametrize("p", [1.0, 1e-9])
def test_probabilities_at_the_ends(p: float, spy: Spy) -> None:
    options = dict.fromkeys([*RANDOM][:6], p)
    net = Recurrent(elman.cells.LSTM, I, H, **options)
    x = torch.randn(T, B, I)
    output, final = net(x)
    values = [output, *final]
    assert all(not v.any() for v in values) if p == 1 else all(v.any() for v in values)
    (masks,) = spy.masks
    for name, mask in zip(net._drawn.step.randoms, masks.inner, strict=True):
        likely = float(p == 1) if "zoneout" in name else float(p != 1)
        assert (mask.round() == likely).all()


def test_one_mask_a_sequence_and_one_a_step(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    net(torch.randn(T, B, I, dtype=torch.float64))
    once = {"state_dropout_h"}
    for masks in spy.masks:
        named = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
        for name, mask in {**named, "input": masks.input, "output": masks.output}.items():
            assert mask is not None
            alike = all(torch.equal(mask[0], mask[t]) for t in range(T))
            assert alike == (name in {*once, "input", "output"}), name
            ways = mask.chunk(2, -1)
            assert name == "input" or not torch.equal(*ways), name  # each direction has its own
    lower, upper = (list(masks.inner) for masks in spy.masks)
    assert not any(torch.equal(a, b) for a, b in zip(lower, upper, strict=True))


def test_the_mean_over_masks_is_the_value_without(spy: Spy) -> None:
    """Of a step from given states: what is masked is linear there."""
    torch.manual_seed(0)
    net = Recurrent(
        elman.cells.MinGRU, I, H, zoneout=0.3, recurrent_dropout=0.4, dtype=torch.double
    )
    x, h = torch.randn(1, 1, I, dtype=torch.double), torch.randn(1, 1, H, dtype=torch.double)
    many = net(x.expand(1, 20000, I).contiguous(), h.expand(1, 20000, H).contiguous())[0]
    expected = net.eval()(x, h)[0]
    deviation = many.std(1) / 20000**0.5
    assert ((many.mean(1) - expected[0]).abs() < 5 * deviation + 1e-12).all()

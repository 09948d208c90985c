"""Gradients in every way that autograd takes them, of any order and under transforms."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call, grad, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

import elman
from tests.tolerances import assert_close

D = torch.float64
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stacked-two-way": {"num_layers": 2, "bidirectional": True},
    "no-bias-batch-first": {"bias": False, "batch_first": True},
}
# Its decompositions are scripted when they are first imported.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
each_layer = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS.keys())


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("auto"):
        yield


def pair(**options: Any) -> tuple[torch.nn.RNN, elman.RNN]:
    theirs, ours = (nn.RNN(2, 3, dtype=D, **options) for nn in (torch.nn, elman))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def given(options: dict[str, Any], T: int = 4, B: int = 2) -> tuple[Tensor, Tensor]:
    """An input and an initial state, both with a gradient."""
    x = torch.randn((B, T, 2) if options.get("batch_first") else (T, B, 2), dtype=D)
    states = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    return x.requires_grad_(), torch.randn(states, B, 3, dtype=D).requires_grad_()


def as_function(module: torch.nn.Module) -> tuple[Callable[..., Any], list[Tensor]]:
    """The module as a function of its parameters, and these."""
    names = [n for n, _ in module.named_parameters()]

    def function(*tensors: Tensor) -> Any:
        arguments, weights = tensors[: -len(names)], tensors[-len(names) :]
        return functional_call(module, dict(zip(names, weights, strict=True)), arguments)

    return function, [p.detach().clone().requires_grad_() for p in module.parameters()]


def assert_all_close(actual: Any, expected: Any) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, "same")


@each_layer
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_numerical_differences_confirm_the_gradients(
    check: Callable[..., bool], options: dict[str, Any]
) -> None:
    function, weights = as_function(elman.RNN(2, 3, dtype=D, **options))
    assert check(function, (*given(options, T=3, B=1), *weights))


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_numerical_differences_confirm_the_gradients_of_cells(check: Callable[..., bool]) -> None:
    function, weights = as_function(elman.RNNCell(2, 3, dtype=D))
    x, h = (torch.randn(4, n, dtype=D, requires_grad=True) for n in (2, 3))
    assert check(function, (x, h, *weights))


@each_layer
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_gradients_of_gradients_are_torchs(nonlinearity: str, options: dict[str, Any]) -> None:
    x, hx = given(options)
    found = []
    for module in pair(nonlinearity=nonlinearity, **options):
        leaves = [x, hx, *module.parameters()]
        output, h_n = module(x, hx)
        first = torch.autograd.grad(
            output.pow(3).sum() + h_n.pow(2).sum(), leaves, create_graph=True
        )
        penalty = sum(g.pow(2).sum() for g in first)
        found.append([*first, *torch.autograd.grad(penalty, leaves)])
    assert_all_close(found[1], found[0])


@pytest.mark.parametrize("change", ["mul_", "zero_", "sigmoid_"])
@pytest.mark.parametrize("layers", [1, 2])
def test_an_output_changed_in_place_has_the_gradient_of_the_change(
    change: str, layers: int
) -> None:
    x, hx = given({"num_layers": layers})
    found = []
    for module in pair(num_layers=layers):
        output, h_n = module(x, hx)
        getattr(output, change)(*((2.5,) if change == "mul_" else ()))
        h_n.mul_(3)
        leaves = [x, hx, *module.parameters()]
        found.append(torch.autograd.grad(output.pow(2).sum() + h_n.sum(), leaves))
    assert_all_close(found[1], found[0])


@pytest.mark.parametrize("name", ["x", "hx", "weight_ih_l0", "weight_hh_l0"])
def test_what_the_backward_pass_needs_may_not_change_before_it(name: str) -> None:
    module = elman.RNN(2, 3, dtype=D)
    x, hx = (t.detach() for t in given({}))
    output, _ = module(x, hx)
    changed = {"x": x, "hx": hx, **dict(module.named_parameters())}[name]
    with torch.no_grad():
        changed.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "only the final state": lambda output, h_n: h_n.pow(2).sum(),
    "only the output": lambda output, h_n: output.pow(2).sum(),
    "the last step": lambda output, h_n: output[-1].exp().sum(),
    "a middle step": lambda output, h_n: output[1].exp().sum(),
    "a plain sum": lambda output, h_n: output.sum(),
    "a mean of both": lambda output, h_n: output.mean() + h_n.mean(),
    "a transposed output": lambda output, h_n: (
        output.transpose(0, 2).reshape(-1) * torch.arange(output.numel(), dtype=D)
    ).sum(),
    "one state of several": lambda output, h_n: h_n[1].sum(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_any_loss_has_torchs_gradients(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    x, hx = given(options)
    found = []
    for module in pair(**options):
        leaves = [x, hx, *module.parameters()]
        gradients = torch.autograd.grad(loss(*module(x, hx)), leaves, allow_unused=True)
        pairs = zip(gradients, leaves, strict=True)
        found.append([torch.zeros_like(t) if g is None else g for g, t in pairs])
    assert_all_close(found[1], found[0])


@pytest.mark.parametrize(
    "trained",
    ["x", "hx", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "l0", "l1", "reverse"],
)
def test_only_what_is_trained_gets_a_gradient(trained: str) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    x, hx = (t.detach() for t in given(options))
    found = []
    for module in pair(**options):
        leaves = {"x": x.clone(), "hx": hx.clone(), **dict(module.named_parameters())}
        for name, leaf in leaves.items():
            leaf.requires_grad_(trained in (name if "_" in name else [name]))
        output, h_n = module(leaves["x"], leaves["hx"])
        (output.pow(2).sum() + h_n.sum()).backward()
        assert all((leaf.grad is not None) == leaf.requires_grad for leaf in leaves.values())
        found.append([leaf.grad for leaf in leaves.values() if leaf.requires_grad])
    assert found[1]
    assert_all_close(found[1], found[0])


def test_a_frozen_module_builds_no_graph() -> None:
    output, h_n = elman.RNN(2, 3).requires_grad_(False)(torch.randn(4, 2, 2))
    assert not output.requires_grad
    assert not h_n.requires_grad


def test_a_retained_graph_gives_the_same_gradients_again() -> None:
    module = elman.RNN(2, 3, 2, bidirectional=True, dtype=D)
    loss = module(torch.randn(4, 2, 2, dtype=D))[0].pow(2).sum()
    leaves = list(module.parameters())
    passes = [torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2)]
    passes.append(torch.autograd.grad(loss, leaves))
    for first, *others in zip(*passes, strict=True):
        assert all(torch.equal(first, other) for other in others)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, leaves)


def test_gradients_accumulate_over_calls() -> None:
    module, x = elman.RNN(2, 3, dtype=D), torch.randn(4, 2, 2, dtype=D)
    module(x)[0].sum().backward()
    once = [p.grad.clone() for p in module.parameters()]
    module(x)[0].sum().backward()
    assert_all_close([p.grad for p in module.parameters()], [2 * g for g in once])


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_checkpointed_layers_have_the_same_gradients(reentrant: bool) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    _, module = pair(**options)
    x, hx = given(options)
    found = []
    for run in (module, lambda *a: checkpoint(module, *a, use_reentrant=reentrant)):
        for p in (x, hx, *module.parameters()):
            p.grad = None
        output, h_n = run(x, hx)
        (output.pow(2).sum() + h_n.sum()).backward()
        found.append([output, h_n, *[p.grad for p in (x, hx, *module.parameters())]])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_saved_tensors_may_be_kept_elsewhere() -> None:
    module, (x, hx) = elman.RNN(2, 3, dtype=D), given({})
    plain = torch.autograd.grad(module(x, hx)[0].pow(2).sum(), list(module.parameters()))
    seen: list[Tensor] = []

    def pack(tensor: Tensor) -> list[Any]:
        seen.append(tensor)
        return [tensor.detach().clone().tolist(), tensor.shape]

    with saved_tensors_hooks(pack, lambda kept: torch.tensor(kept[0], dtype=D).view(kept[1])):
        loss = module(x, hx)[0].pow(2).sum()
    assert len(seen) > 5
    assert_all_close(torch.autograd.grad(loss, list(module.parameters())), plain)


def test_vmap_over_inputs_is_a_loop() -> None:
    module, xs = elman.RNN(2, 3, 2, dtype=D), torch.randn(5, 4, 2, 2, dtype=D)
    expected = [torch.stack(parts) for parts in zip(*[module(x) for x in xs], strict=True)]
    assert_all_close(vmap(module)(xs), expected)


def test_vmap_over_weights_is_a_loop() -> None:
    modules = [elman.RNN(2, 3, dtype=D) for _ in range(3)]
    stacked, _ = torch.func.stack_module_state(modules)
    x = torch.randn(4, 2, 2, dtype=D)
    output = vmap(lambda weights: functional_call(modules[0], weights, (x,))[0])(stacked)
    assert_all_close(output, [m(x)[0] for m in modules])


def test_gradients_per_sample_are_a_loop() -> None:
    module, xs = elman.RNN(2, 3, dtype=D), torch.randn(5, 4, 2, dtype=D)
    weights = {n: p.detach() for n, p in module.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, weights, (x,))[0].pow(2).sum()

    found = vmap(grad(loss), (None, 0))(weights, xs)
    for i, x in enumerate(xs):
        one = torch.autograd.grad(module(x)[0].pow(2).sum(), list(module.parameters()))
        assert_all_close([g[i] for g in found.values()], one)


@forward_mode
@each_layer
def test_functional_derivatives_are_torchs(options: dict[str, Any]) -> None:
    x, hx = (t.detach() for t in given(options))
    v, w = torch.randn_like(x), torch.randn_like(hx)
    found = []
    for module in pair(**options):
        values, tangents = jvp(module, (x, hx), (v, w))
        _, pull = vjp(module, x, hx)
        jacobian = jacrev(lambda x, m=module: m(x, hx)[1].sum((0, 1)))(x)
        found.append([*values, *tangents, *pull(tangents), jacobian])
    assert_all_close(found[1], found[0])


@forward_mode
def test_dual_numbers_carry_torchs_tangents() -> None:
    x, v = torch.randn(2, 4, 2, 2, dtype=D)
    found = []
    for module in pair():
        with forward_ad.dual_level():
            output, _ = module(forward_ad.make_dual(x, v))
            found.append(list(forward_ad.unpack_dual(output)))
    assert_all_close(found[1], found[0])

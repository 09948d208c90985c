"""Layers of a stack run as one: the bits are those of layers of one's own on one another."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

import elman
from elman.dispatch import executable
from elman.launch import calls, stack
from elman.launch.kernel_cache import forget_calls, scheduled
from tests.late import come_late

KINDS = [
    (elman.RNN, {"nonlinearity": "relu"}),
    (elman.LSTM, {"proj_size": 3}),
    (elman.GRU, {"bias": False}),
]


@pytest.fixture
def runs(monkeypatch):
    """The number of layers of whatever has run as one."""
    seen: list[int] = []
    run, inference = executable.Executable.run, executable.Executable.inference

    def spy(self, *args, **options):
        if self.layers > 1:
            seen.append(self.layers)
        return run(self, *args, **options)

    def spy_known(self, rows):
        known = inference(self, rows)

        def counted(tensors):
            count, results = len(seen), known(tensors)
            if self.layers > 1 and len(seen) == count:  # it did not go through `run`
                seen.append(self.layers)
            return results

        return counted

    monkeypatch.setattr(executable.Executable, "run", spy)
    monkeypatch.setattr(executable.Executable, "inference", spy_known)
    return seen


def apart(whole):
    """Modules of one layer each, that share the parameters of a stack."""
    layers, two = [], whole.bidirectional
    for i in range(whole.num_layers):
        width = getattr(whole, f"weight_ih_l{i}").shape[1]
        options = {"bidirectional": two, "bias": whole.bias, "proj_size": whole.proj_size}
        if isinstance(whole, elman.RNN):
            options |= {"nonlinearity": whole.nonlinearity}
        layer = type(whole)(width, whole.hidden_size, **options)
        for name in list(layer._parameters):
            setattr(layer, name, getattr(whole, name.replace("_l0", f"_l{i}")))
        layers.append(layer)
    return layers


def by_hand(layers, x, states, dropout=0.0):
    finals = []
    torch.manual_seed(5)
    for i, layer in enumerate(layers):
        D = 2 if layer.bidirectional else 1
        x = torch.dropout(x, dropout, bool(i))
        mine = tuple(s[i * D : (i + 1) * D] for s in states)
        x, final = layer(x, mine if len(mine) > 1 else mine[0])
        finals.append(final if isinstance(final, tuple) else (final,))
    return x, [torch.cat(parts) for parts in zip(*finals, strict=True)]


def whole(module, x, states):
    torch.manual_seed(5)
    output, final = module(x, tuple(states) if len(states) > 1 else states[0])
    return output, [*final] if isinstance(final, tuple) else [final]


def problem(kind, options, B, layers=3, two=False, T=7):
    torch.manual_seed(1)
    module = kind(5, 9, layers, bidirectional=two, **options)
    D, size = 2 if two else 1, options.get("proj_size", 9)
    sizes = [size, 9] if kind is elman.LSTM else [size]
    states = [torch.randn(layers * D, B, n, requires_grad=True) for n in sizes]
    return module, torch.randn(T, B, 5, requires_grad=True), states


def gradients(results, wanted):
    torch.manual_seed(2)
    flat = [results[0], *results[1]]
    every = [torch.randn_like(r) for r in flat]
    return torch.autograd.grad(flat, wanted, every, allow_unused=True)


@pytest.fixture
def several(monkeypatch, request):
    """Any work is worth a thread, and who comes late is waited for."""
    before = torch.get_num_threads()
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    torch.set_num_threads(request.param)
    with scheduled(flop_per_thread=1):
        yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("B", [1, 6])
@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4, 1.0])
def test_a_stack_has_the_bits_of_layers_on_one_another(kind, options, B, two, dropout, runs):
    module, x, states = problem(kind, {**options, "dropout": dropout}, B, two=two)
    wanted = [x, *states, *module.parameters()]
    for _ in range(2):  # the second call is known
        mine, theirs = whole(module, x, states), by_hand(apart(module), x, states, dropout)
        for a, b in zip([mine[0], *mine[1]], [theirs[0], *theirs[1]], strict=True):
            assert torch.equal(a, b)
        pairs = zip(gradients(mine, wanted), gradients(theirs, wanted), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    with torch.no_grad():
        assert torch.equal(whole(module, x, states)[0], theirs[0])
    assert runs == [3, 3, 3]


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize(("layers", "two"), [(1, True), (2, True), (3, False), (4, False)])
@pytest.mark.parametrize("several", [2, 3], indirect=True)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_layers_of_one_row_run_at_the_same_time(
    kind, options, layers, two, several, dropout, monkeypatch
):
    options = {**options, "dropout": dropout if layers > 1 else 0.0}
    module, x, states = problem(kind, options, 1, layers, two, T=500)
    wanted = [x, *states, *module.parameters()]
    made, together = [], stack.together

    def spy(tasks, *args):
        made.append(len(tasks))
        return together(tasks, *args)

    monkeypatch.setattr(stack, "together", spy)
    forget_calls()
    torch.set_num_threads(1)
    expected = whole(module, x, states)
    goals = gradients(expected, wanted)
    assert made == []
    torch.set_num_threads(several)
    for _ in range(5):
        found = whole(module, x, states)
        for a, b in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True):
            assert torch.equal(a, b)
        assert all(torch.equal(a, b) for a, b in zip(gradients(found, wanted), goals, strict=True))
    links = layers - 1 if dropout else 0
    assert made == [layers * (2 if two else 1) + links] * 2  # forward and back, once and for all


@pytest.mark.parametrize("several", [2], indirect=True)
def test_what_links_two_layers_waits_for_both_directions(several, monkeypatch):
    module, x, states = problem(elman.RNN, {"dropout": 0.4}, 1, 2, True)
    seen, together = [], stack.together

    def spy(tasks, *args):
        seen.append(tasks)
        return together(tasks, *args)

    monkeypatch.setattr(stack, "together", spy)
    forget_calls()
    whole(module, x, states)[0].sum().backward()
    for tasks, backwards in zip(seen, [0, 1], strict=True):
        reads = [(task.same, task.other) for task in tasks]
        assert reads == [(None, None), (None, None), (0, 1), (2, None), (None, 2)]
        assert tasks[2].run.slot("backwards") == backwards


def test_after_a_layer_whose_threads_came_late_the_others_do_without(monkeypatch):
    module, x, states = problem(elman.LSTM, {}, 13)
    expected, regions = whole(module, x, states), come_late(monkeypatch)
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    monkeypatch.setattr(stack, "may_share", lambda *work: True)
    monkeypatch.setattr(stack, "thread_count", lambda *work: 2)
    forget_calls()
    found = whole(module, x, states)
    assert regions == [2]
    for a, b in zip([found[0], *found[1]], [expected[0], *expected[1]], strict=True):
        assert torch.equal(a, b)
    forget_calls()


@pytest.mark.parametrize("frozen", [(0,), (2,), (0, 1), (1, 2)])
def test_what_is_frozen_gets_no_gradient(frozen, runs):
    module, x, states = problem(elman.LSTM, {}, 4)
    for i in frozen:
        for name, p in module.named_parameters():
            p.requires_grad_(f"_l{i}" not in name and p.requires_grad)
    x, states = x.detach(), [s.detach() for s in states]
    wanted = [p for p in module.parameters() if p.requires_grad]
    mine = gradients(whole(module, x, states), wanted)
    theirs = gradients(by_hand(apart(module), x, states), wanted)
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    whole(module, x, states)[0].sum().backward()
    assert all((p.grad is None) != p.requires_grad for p in module.parameters())
    assert runs == [3, 3]


def test_a_gradient_may_come_from_the_final_states_of_one_layer():
    module, x, states = problem(elman.GRU, {}, 4)
    wanted = [x, *states, *module.parameters()]
    for i in range(3):
        mine = torch.autograd.grad(whole(module, x, states)[1][0][i].sum(), wanted)
        theirs = torch.autograd.grad(by_hand(apart(module), x, states)[1][0][i].sum(), wanted)
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_layer_above_all_gradients_may_get_none():
    cell = elman.cells.GRU()
    module = elman.Recurrent(cell, 5, [4, 6], num_layers=2)
    x = torch.randn(7, 3, 5)
    for _ in range(2):
        module.zero_grad()
        module(x)[1][0].sum().backward()
        below, above = [], []
        for name, p in module.named_parameters():
            (above if "_l1" in name else below).append(p.grad)
        assert all(g is not None and g.abs().max() > 0 for g in below)
        assert all(g is None or not g.any() for g in above)


@pytest.mark.parametrize("T", [7, 700])
def test_the_output_may_be_changed_before_the_gradient(T):
    module, x, states = problem(elman.RNN, {"dropout": 0.4}, 4, T=T)
    wanted = [x, *module.parameters()]
    output, _ = whole(module, x, states)
    expected = torch.autograd.grad(output, wanted, torch.ones_like(output))
    output, _ = whole(module, x, states)
    output.mul_(2)
    found = torch.autograd.grad(output, wanted, torch.full_like(output, 0.5))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_gradient_has_a_gradient(dropout):
    torch.manual_seed(1)
    module = elman.LSTM(2, 3, 2, proj_size=2, dropout=dropout).double()
    x, *states = (torch.randn(2, 1, n, dtype=torch.float64, requires_grad=True) for n in (2, 2, 3))
    weight = module.weight_hh_l1.detach().clone().requires_grad_()

    def call(x, weight, *states):
        del module._parameters["weight_hh_l1"]
        module.weight_hh_l1 = weight
        output, final = whole(module, x, states)
        del module.weight_hh_l1
        module.register_parameter("weight_hh_l1", torch.nn.Parameter(weight.detach()))
        return output, *final

    assert torch.autograd.gradcheck(call, (x, weight, *states))
    assert torch.autograd.gradgradcheck(call, (x, weight, *states))


def test_dropout_is_what_the_module_says_at_each_call(runs):
    module, x, states = problem(elman.GRU, {"dropout": 0.5}, 4)
    for dropout, training in [(0.5, True), (0.5, False), (0.1, True), (0.0, True), (0.5, True)]:
        module.dropout = dropout
        module.train(training)
        with torch.no_grad():
            found = whole(module, x, states)[0]
        runs.clear()
        trained = whole(module, x, states)[0]
        assert runs == [3]
        expected = by_hand(apart(module), x, states, dropout if training else 0.0)[0]
        assert torch.equal(found, expected)
        assert torch.equal(trained, expected)


@pytest.mark.parametrize("two", [False, True])
def test_with_recomputation_layers_get_the_same_dropout(two):
    D = 2 if two else 1
    x, states = torch.randn(300, 4, 5), [torch.randn(3 * D, 4, 9, requires_grad=True)]
    results = []
    for recompute in (False, True):
        torch.manual_seed(1)
        module = elman.Recurrent(
            elman.cells.GRU, 5, 9, 3, dropout=0.4, bidirectional=two, recompute=recompute
        )
        found = whole(module, x, states)
        results.append([found[0], *found[1], *gradients(found, [*states, *module.parameters()])])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_hook_that_changes_what_is_saved_between_layers_is_noticed(which):
    module, x, _ = problem(elman.GRU, {"dropout": 0.5}, 4, layers=2)
    x, seen = x.detach(), []

    def unpack(tensor):
        if tensor.shape == (7, 4, 9):  # what dropout multiplies by, an output, and their product
            seen.append(tensor)
            return tensor[:, :, :-1] if len(seen) == which + 1 else tensor
        return tensor

    with saved_tensors_hooks(lambda t: t, unpack):
        output, _ = module(x)
        with pytest.raises(RuntimeError, match=r"got .* of shape \(7, 4, 8\)"):
            output.sum().backward()
    assert len(seen) == 3

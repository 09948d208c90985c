"""Every gate's block of every layer and direction gets what the functions for weights promise."""

import math

import pytest
import torch

import elman
from elman.init import (
    eye_,
    kaiming_normal_,
    kaiming_uniform_,
    lecun_normal_,
    orthogonal_,
    sparse_,
    spectral_radius_,
    unit_norm_,
    xavier_normal_,
    xavier_uniform_,
)
from tests.cells import CELLS
from tests.init.modules import MODULES, H, I, P, changed, parts, values

each_module = pytest.mark.parametrize("name", MODULES)


def orthogonal(block, gain):
    wide = block if block.shape[0] <= block.shape[1] else block.T
    eye = torch.eye(len(wide), dtype=block.dtype)
    torch.testing.assert_close(wide @ wide.T, gain**2 * eye, rtol=0, atol=1e-12)


@each_module
def test_recurrent_blocks_become_orthogonal_and_nothing_else_changes(name):
    row = MODULES[name]
    module = row.make()
    before = values(module)
    assert orthogonal_(module, 1.5) is module
    blocks = parts(module, "weight_hh", row.hh)
    for block in blocks.values():
        orthogonal(block, 1.5)
    assert changed(before, module) == {place.partition("/")[0] for place in blocks}
    assert len({block.sum().item() for block in blocks.values()}) == len(blocks)


@each_module
def test_input_blocks_become_orthogonal_if_asked_for(name):
    row = MODULES[name]
    module = row.make()
    before = values(module)
    orthogonal_(module, weights="weight_ih")
    blocks = parts(module, "weight_ih", row.ih)
    for block in blocks.values():
        orthogonal(block, 1)
    assert changed(before, module) == {place.partition("/")[0] for place in blocks}


def test_a_whole_lstm_by_torchs_function_is_not_orthogonal_by_gates():
    lstm = torch.nn.LSTM(I, H, dtype=torch.float64)
    torch.nn.init.orthogonal_(lstm.weight_hh_l0)
    with pytest.raises(AssertionError):
        orthogonal(lstm.weight_hh_l0.detach()[:H], 1)


@each_module
def test_recurrent_blocks_become_the_identity(name):
    row = MODULES[name]
    module = eye_(row.make(), 0.5)
    for block in parts(module, "weight_hh", row.hh).values():
        assert torch.equal(block, 0.5 * torch.eye(*block.shape, dtype=block.dtype))


@pytest.mark.parametrize("weights", ["weight_hr", ("weight_hr", "weight_hh")])
def test_a_projection_is_a_matrix_too(weights):
    lstm = MODULES["torch-lstm-projected"].make()
    before = values(lstm)
    orthogonal_(lstm, weights=weights)
    for block in parts(lstm, "weight_hr", 1).values():
        orthogonal(block, 1)
    touched = (weights,) if isinstance(weights, str) else weights
    assert {name[: len("weight_hr")] for name in changed(before, lstm)} == set(touched)


def test_a_further_matrix_has_its_name():
    net = elman.Recurrent(elman.cells.CoRNN, I, H, dtype=torch.float64)
    orthogonal(orthogonal_(net, weights="weight_velocity").weight_velocity_l0.detach(), 1)


@pytest.mark.parametrize("heads", [2, 4])
def test_every_head_of_a_gate_is_a_block(heads):
    net = elman.Recurrent(elman.cells.SLSTM(heads=heads), I, 8, dtype=torch.float64)
    orthogonal_(net, 2.0)
    blocks = net.weight_hh_l0.detach().chunk(4 * heads)
    assert all(block.shape == (8 // heads, 8 // heads) for block in blocks)
    for block in blocks:
        orthogonal(block, 2.0)
    elman.init.keras_(net)
    for head in range(heads):
        gates = torch.cat(net.weight_hh_l0.detach().chunk(4 * heads)[head::heads])
        eye = torch.eye(8 // heads, dtype=torch.float64)
        torch.testing.assert_close(gates.T @ gates, eye, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [elman.cells.IRNN, elman.cells.LightGRU])
def test_cells_of_the_catalogue_begin_head_by_head(kind):
    cell = kind()
    cell.heads = 2
    net = elman.Recurrent(cell, I, 8, dtype=torch.float64)
    for block in net.weight_hh_l0.detach().chunk(2 * len(cell.gates)):
        orthogonal(block, 1.0)


def test_heads_begin_antisymmetric():
    cell = elman.cells.AntisymmetricRNN()
    cell.heads = 2
    for head in elman.Recurrent(cell, I, 8).weight_hh_l0.detach().chunk(2):
        assert torch.equal(head, -head.T)
        assert head.any()


def test_matrices_of_a_size_of_their_own():
    net = elman.Recurrent(CELLS["Sized"], I, H, num_layers=2, dtype=torch.float64)
    before = values(net)
    names = ("weight_down", "weight_up", "weight_read")
    assert orthogonal_(net, weights=names) is net
    assert changed(before, net) == {f"{name}_l{layer}" for name in names for layer in (0, 1)}
    for name in changed(before, net):
        orthogonal(net.get_parameter(name).detach(), 1.0)


@pytest.mark.parametrize("init", ["keras", "flax", "orthogonal", "xavier_uniform", "bias"])
def test_an_output_of_a_size_of_its_own(init):
    net = elman.Recurrent(CELLS["SizedOutput"], I, 8, bidirectional=True, init=init)
    assert net.weight_hh_l0_reverse.shape == (16, 2)
    assert all(p.isfinite().all() for p in net.parameters())
    if init in ("flax", "orthogonal"):
        for block in parts(net.double(), "weight_hh", 2).values():
            torch.testing.assert_close(block.T @ block, torch.eye(2).double(), atol=1e-6, rtol=0)


def test_a_size_for_each_layer():
    net = elman.Recurrent(elman.cells.LSTM, I, [H, H + 3], dtype=torch.float64)
    for block in parts(orthogonal_(net), "weight_hh", 4).values():
        orthogonal(block, 1)


#: By function: its arguments, and the bound and the standard deviation of what it draws for a
#: block of H rows and n columns.
BOUNDS = {
    xavier_uniform_: ((2.0,), lambda n: (2 * math.sqrt(6 / (n + 200)), None)),
    xavier_normal_: ((2.0,), lambda n: (None, 2 * math.sqrt(2 / (n + 200)))),
    kaiming_uniform_: ((0, "fan_in", "relu"), lambda n: (math.sqrt(6 / n), None)),
    kaiming_normal_: ((0, "fan_out", "relu"), lambda n: (None, math.sqrt(2 / 200))),
    lecun_normal_: ((), lambda n: (2 / 0.87962566 / math.sqrt(n), math.sqrt(1 / n))),
}


@pytest.mark.parametrize("function", BOUNDS, ids=lambda function: function.__name__)
def test_distributions_are_those_of_a_gate(function):
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(50, 200)
    biases = lstm.bias_ih_l0.clone(), lstm.bias_hh_l0.clone()
    arguments, expected = BOUNDS[function]
    function(lstm, *arguments)
    for weight, columns in ((lstm.weight_ih_l0, 50), (lstm.weight_hh_l0, 200)):
        bound, std = expected(columns)
        for block in weight.detach().chunk(4):
            if bound is not None:
                assert 0.98 * bound < block.abs().max() <= bound * (1 + 1e-6)
            wanted = bound / math.sqrt(3) if std is None else std
            assert abs(block.std().item() / wanted - 1) < 0.03
            assert abs(block.mean().item()) < 0.03 * wanted
    assert torch.equal(lstm.bias_ih_l0, biases[0])
    assert torch.equal(lstm.bias_hh_l0, biases[1])


@each_module
def test_weights_into_a_unit_have_one_norm(name):
    row = MODULES[name]
    module = unit_norm_(row.make(), 1.5)
    for kind, number in (("weight_ih", row.ih), ("weight_hh", row.hh)):
        for block in parts(module, kind, number).values():
            torch.testing.assert_close(
                block.norm(dim=1), torch.full((H,), 1.5, dtype=block.dtype), rtol=1e-12, atol=0
            )


@each_module
@pytest.mark.parametrize("sparsity", [0.0, 0.4, 1.0])
def test_columns_are_sparse(name, sparsity):
    row = MODULES[name]
    module = sparse_(row.make(), sparsity, 2.0)
    blocks = parts(module, "weight_hh", row.hh)
    for block in blocks.values():
        assert ((block == 0).sum(0) == math.ceil(sparsity * H)).all()
    if 0 < sparsity < 1 and len(blocks) > 1:
        assert len({tuple((block == 0).flatten().tolist()) for block in blocks.values()}) > 1
        drawn = torch.cat([block[block != 0] for block in blocks.values()])
        assert drawn.abs().max() > 1  # of standard deviation 2


@pytest.mark.parametrize("name", [name for name in MODULES if "projected" not in name])
@pytest.mark.parametrize("radius", [0.0, 0.95, 1.2])
def test_blocks_have_the_spectral_radius(name, radius):
    row = MODULES[name]
    module = row.make()
    before = parts(module, "weight_hh", row.hh)
    before = {place: block.clone() for place, block in before.items()}
    spectral_radius_(module, radius)
    for place, block in parts(module, "weight_hh", row.hh).items():
        assert abs(torch.linalg.eigvals(block).abs().max().item() - radius) < 1e-12
        if radius:
            ratio = block / before[place]
            torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_an_echo_state_network_is_drawn_and_scaled():
    rnn = torch.nn.RNN(I, 50)
    spectral_radius_(sparse_(rnn, 0.8, 1.0), 0.9)
    assert ((rnn.weight_hh_l0 == 0).sum(0) == 40).all()
    assert abs(torch.linalg.eigvals(rnn.weight_hh_l0).abs().max().item() - 0.9) < 1e-5


DRAWING = {
    "orthogonal_": (orthogonal_, ()),
    "xavier_uniform_": (xavier_uniform_, ()),
    "xavier_normal_": (xavier_normal_, ()),
    "kaiming_uniform_": (kaiming_uniform_, ()),
    "kaiming_normal_": (kaiming_normal_, ()),
    "lecun_normal_": (lecun_normal_, ()),
    "unit_norm_": (unit_norm_, ()),
    "sparse_": (sparse_, (0.5,)),
    "chrono_": (elman.init.chrono_, (20,)),
    "keras_": (elman.init.keras_, ()),
    "flax_": (elman.init.flax_, ()),
}


@pytest.mark.parametrize(("function", "arguments"), DRAWING.values(), ids=DRAWING)
def test_a_seed_decides(function, arguments):
    first, second, third, other = modules = [MODULES["torch-lstm"].make() for _ in range(4)]
    for module in modules:
        module.load_state_dict(first.state_dict())
    torch.manual_seed(3)
    function(first, *arguments)
    torch.manual_seed(3)
    function(second, *arguments)
    assert changed(values(first), second) == set()
    state = torch.get_rng_state()
    function(third, *arguments, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert changed(values(first), third) == set()
    function(other, *arguments, generator=torch.Generator().manual_seed(4))
    assert changed(values(first), other)


def test_blocks_are_drawn_in_the_order_of_layers_directions_and_gates():
    gru = torch.nn.GRU(I, H, num_layers=2, bidirectional=True)
    torch.manual_seed(5)
    orthogonal_(gru)
    torch.manual_seed(5)
    for block in parts(gru, "weight_hh", 3).values():
        assert torch.equal(torch.nn.init.orthogonal_(torch.empty(H, H)), block)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype):
    gru = torch.nn.GRU(I, H, dtype=dtype)
    for function in (orthogonal_, xavier_uniform_, unit_norm_, spectral_radius_, eye_):
        assert function(gru).weight_hh_l0.dtype == dtype
        assert gru.weight_hh_l0.isfinite().all()
    assert torch.equal(gru.weight_hh_l0[:H], torch.eye(H, dtype=dtype))


def test_the_meta_device_has_nothing_to_fill():
    lstm = torch.nn.LSTM(I, H, device="meta")
    for function, arguments in DRAWING.values():
        assert function(lstm, *arguments).weight_hh_l0.is_meta
    assert spectral_radius_(lstm).weight_hh_l0.is_meta


def test_parameters_stay_parameters():
    gru = torch.nn.GRU(I, H)
    kept = [*gru.parameters()]
    elman.init.keras_(orthogonal_(gru))
    assert all(a is b for a, b in zip(kept, gru.parameters(), strict=True))
    assert all(p.requires_grad and p.is_leaf and p.grad_fn is None for p in kept)


def test_a_mask_stays():
    mask = torch.rand(H, H, generator=torch.Generator().manual_seed(0)) < 0.5
    net = elman.Recurrent(elman.cells.GRU, I, H, mask=mask, dtype=torch.float64)
    spectral_radius_(orthogonal_(net), 0.9)
    for block in net.weight_hh_l0.detach().chunk(3):
        assert (block[~mask] == 0).all()
        assert block[mask].abs().min() > 0
        assert abs(torch.linalg.eigvals(block).abs().max().item() - 0.9) < 1e-12


def test_normed_weights_are_given_to_their_parametrization():
    rnn = torch.nn.RNN(I, H, dtype=torch.float64)
    torch.nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    orthogonal(orthogonal_(rnn).weight_hh_l0.detach(), 1)


def test_a_model_keeps_its_other_parameters():
    model = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(3, I),
            "encoder": torch.nn.LSTM(I, H, dtype=torch.float64),
            "decoder": elman.RecurrentCell(elman.cells.GRU, H, H, dtype=torch.float64),
            "head": torch.nn.Linear(H, 2),
        }
    )
    before = values(model)
    orthogonal_(model)
    assert changed(before, model) == {"encoder.weight_hh_l0", "decoder.weight_hh"}
    for block in [
        *parts(model, "encoder.weight_hh", 4).values(),
        *parts(model, "decoder.weight_hh", 3).values(),
    ]:
        orthogonal(block, 1)


def pruned():
    import torch.nn.utils.prune

    rnn = torch.nn.RNN(I, H)
    return torch.nn.utils.prune.random_unstructured(rnn, "weight_hh_l0", 0.5)


ERRORS = [
    (
        lambda: orthogonal_(torch.zeros(2, 2)),
        TypeError,
        r"orthogonal_: expected a torch.nn.Module, got Tensor: torch.nn.init initialises a tensor",
    ),
    (
        lambda: eye_(torch.nn.Linear(2, 2)),
        ValueError,
        r"eye_: expected a module with recurrent layers of torch.nn or elman, got Linear, which "
        r"has none: give the layer, or the model that it is in, instead of calling model.apply",
    ),
    (
        lambda: orthogonal_(elman.Recurrent(elman.cells.IndRNN, 2, 3)),
        ValueError,
        r"orthogonal_: expected every layer to have a matrix of \('weight_hh',\), got Recurrent of "
        r"IndRNN with \['weight_ih'\]: give `weights`, or one layer instead of the model",
    ),
    (
        lambda: xavier_uniform_(torch.nn.RNN(2, 3), weights=("weight_ih", "weight_hr")),
        ValueError,
        r"xavier_uniform_: expected names of matrices, got 'weight_hr', which no layer has",
    ),
    (
        lambda: orthogonal_(torch.nn.RNN(2, 3), weights="bias_hh"),
        ValueError,
        r"matrix of \('bias_hh',\), got RNN with \['weight_ih', 'weight_hh'\]",
    ),
    (
        lambda: spectral_radius_(torch.nn.LSTM(2, 3, proj_size=2)),
        ValueError,
        r"spectral_radius_: expected square blocks of weights, .* got shape \(3, 2\): give other",
    ),
    (
        lambda: spectral_radius_(sparse_(torch.nn.RNN(2, 3), 1.0)),
        ValueError,
        r"spectral_radius_: expected a block with an eigenvalue other than zero, got none",
    ),
    (
        lambda: spectral_radius_(torch.nn.RNN(2, 3), -1),
        ValueError,
        r"spectral_radius_: expected radius of at least 0, got -1",
    ),
    (
        lambda: sparse_(torch.nn.RNN(2, 3), 1.1),
        ValueError,
        r"sparse_: expected sparsity between 0 and 1, got 1.1",
    ),
    (
        lambda: orthogonal_(pruned()),
        ValueError,
        r"orthogonal_: expected weight_hh_l0 of RNN to be a parameter, got a tensor that a hook "
        r"computes at each call: initialise before pruning",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_what_cannot_be_initialised_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    ("function", "second", "message"),
    [
        (orthogonal_, lambda: elman.Recurrent(elman.cells.QRNN, I, P), "Recurrent of QRNN at '1'"),
        (spectral_radius_, lambda: torch.nn.LSTM(I, H, proj_size=P), "expected square blocks"),
        (eye_, pruned, "weight_hh_l0 of RNN at '1' to be a parameter"),
    ],
)
def test_nothing_changes_where_a_layer_is_refused(function, second, message):
    model = torch.nn.ModuleList([torch.nn.GRU(I, H), second()])
    before = values(model)
    with pytest.raises(ValueError, match=message):
        function(model)
    assert changed(before, model) == set()

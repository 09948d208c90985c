"""Conversions of other libraries' layers beside those libraries, where they are installed."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import elman
from elman.libraries import TAKEN

pytestmark = pytest.mark.filterwarnings("ignore")


def speechbrain_ligru() -> Any:
    rnn = pytest.importorskip("speechbrain.nnet.RNN")
    model = rnn.LiGRU(17, (4, 9, 13), num_layers=2, dropout=0.3, bidirectional=True)
    return model, lambda m, x: m(x)


def speechbrain_sligru() -> Any:
    rnn = pytest.importorskip("speechbrain.nnet.RNN")
    return rnn.SLiGRU(17, (4, 9, 13), nonlinearity="sin", dropout=0.3), lambda m, x: m(x)


def stanza_recurrent_dropout() -> Any:
    stanza = pytest.importorskip("stanza.models.common.hlstm")
    options = {"batch_first": True, "bidirectional": True, "pad": True, "dropout": 0.4}
    model = stanza.HighwayLSTM(13, 11, 2, rec_dropout=0.3, highway_func=torch.tanh, **options)
    return model, lambda m, x: (m(x, [9, 7, 7, 2])[0], *m(x, [9, 7, 7, 2])[1])


def xlstm_cell(function: str = "slstm") -> Any:
    layer = pytest.importorskip("xlstm.blocks.slstm.layer")
    config = layer.sLSTMLayerConfig(
        embedding_dim=32,
        num_heads=4,
        backend="vanilla",
        function=function,
        recurrent_weight_init="standard",
    )
    widen = torch.nn.Linear(13, 32)

    def call(m: Any, x: torch.Tensor) -> Any:
        x = widen.to(x.dtype)(x)
        output, states = m(x, return_last_state=True)
        again, _ = m(x, return_last_state=True, slstm_state=states["slstm_state"])
        return output, states["slstm_state"], again

    return layer.sLSTMLayer(config), call


def xlstm_lstm() -> Any:
    return xlstm_cell("lstm")


def neuralhydrology_ealstm() -> Any:
    ealstm = pytest.importorskip("neuralhydrology.modelzoo.ealstm")
    config = pytest.importorskip("neuralhydrology.utils.config").Config(
        {
            "model": "ealstm",
            "hidden_size": 20,
            "dynamic_inputs": ["a", "b", "c"],
            "static_attributes": ["s", "t"],
            "target_variables": ["q"],
            "output_dropout": 0.0,
            "head": "regression",
            "output_activation": "linear",
            "predict_last_n": 1,
            "seq_length": 9,
        }
    )

    def call(m: Any, x: torch.Tensor) -> Any:
        dynamic = {k: x[..., i : i + 1] for i, k in enumerate("abc")}
        found = m({"x_d": dynamic, "x_s": x[:, 0, 3:5]})
        return found["y_hat"], found["h_n"], found["c_n"]

    return ealstm.EALSTM(config), call


def _torchrecurrent(name: str) -> Any:
    def make() -> Any:
        layers = pytest.importorskip("torchrecurrent")
        model = getattr(layers, name)(13, 13, num_layers=3, dropout=0.4, batch_first=True)
        with torch.no_grad():
            for p in model.parameters():
                p.uniform_(-0.5, 0.5)

        def call(m: Any, x: torch.Tensor) -> Any:
            output, state = m(x)
            states = state if isinstance(state, tuple) else (state,)
            return output, *states, m(x, state)[0]

        return model, call

    return make


def _cases() -> Iterator[Any]:
    for make in (
        speechbrain_ligru,
        speechbrain_sligru,
        stanza_recurrent_dropout,
        xlstm_cell,
        xlstm_lstm,
        neuralhydrology_ealstm,
    ):
        yield pytest.param(make, id=make.__name__)
    for name in TAKEN["torchrecurrent"]:
        yield pytest.param(_torchrecurrent(name.rpartition(".")[2]), id=name.rpartition(".")[2])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [*_cases()])
def test_the_same_numbers_gradients_and_random_numbers(make: Any, training: bool) -> None:
    torch.manual_seed(0)
    theirs, call = make()
    theirs = theirs.double().train(training)
    ours = elman.accelerate(copy.deepcopy(theirs))
    assert {row.path for row in elman.explain(ours).layers} == {"kernel"}
    assert repr(ours) == repr(theirs)
    data, found = torch.randn(4, 9, 13, dtype=torch.float64), []
    for model in (theirs, ours):
        x = data.clone().requires_grad_()
        torch.manual_seed(1)
        results = call(model, x)
        sum(r.pow(2).sum() for r in results).backward()
        found.append([*results, *(t.grad for t in (x, *model.parameters()) if t.grad is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)
    again = elman.restore(pickle.loads(pickle.dumps(ours)))
    assert [type(m) for m in again.modules()] == [type(m) for m in theirs.modules()]
    assert list(again.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("size", [32, 48])
def test_tirex_rounds_at_every_step_as_its_own_loop_does(size: int) -> None:
    cells = pytest.importorskip("tirex.models.slstm.cell")
    torch.manual_seed(0)
    theirs = cells.sLSTMCell(cells.sLSTMBlockConfig(embedding_dim=size, num_heads=4), "torch")
    for p in theirs.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    ours = elman.accelerate(copy.deepcopy(theirs))
    assert {row.path for row in elman.explain(ours).layers} == {"kernel"}
    x, found = torch.randn(5, 11, 4 * size), []
    for cell in (theirs, ours):
        given = x.clone().requires_grad_()
        output, state = cell(given, None)
        again, _ = cell(given, state)
        (output.square().sum() + again.square().sum()).backward()
        found.append(([output, state, again], [t.grad for t in (given, *cell.parameters())]))
    (values, gradients), (our_values, our_gradients) = found
    for a, b in zip(values, our_values, strict=True):  # a sum of another order may round otherwise
        assert torch.equal(b, b.bfloat16().float())
        assert (a == b).float().mean() > 0.95
        torch.testing.assert_close(a, b, rtol=2**-6, atol=2**-8)
    for a, b in zip(gradients, our_gradients, strict=True):
        assert (a - b).norm() < 0.02 * a.norm()

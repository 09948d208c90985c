"""Several networks that learn side by side answer with their mean."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.testing import assert_close

from elman.tasks import (
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
    SequenceTagger,
    SeriesClassifier,
    TaskError,
    load_model,
)
from elman.tasks.networks.ensemble import Ensemble
from elman.tasks.networks.tagger import TagRNN
from elman.tasks.report.states import read_states
from tests.tasks import labelled_rows, series_rows, tagged_rows, wave_rows

SIZE = 3
TEXTS, LABELS, NUMBERS = labelled_rows.make_labelled(60)
WAVES = [one[:60] for one in wave_rows.make_waves(3)]
OF_TEXTS = {**labelled_rows.SETTINGS, "epochs": 2, "dropout": 0.0, "token_dropout": 0.0}
OF_TAGS = {**tagged_rows.SETTINGS, "verbose": 0, "epochs": 1, "dropout": 0.0, "token_dropout": 0.0}
OF_SERIES = {**series_rows.SETTINGS, "epochs": 2, "noise": 0.0}
OF_WAVES = {"horizon": 4, "season": 4, "hidden_size": 8, "epochs": 2, "dropout": 0.0, "noise": 0.0}
#: An estimator, and what its `fit` takes.
MODELS = {
    "classifier": (SequenceClassifier, OF_TEXTS, (TEXTS, [str(n > 9) for n in NUMBERS])),
    "several labels": (SequenceClassifier, OF_TEXTS, (TEXTS, LABELS)),
    "regressor": (SequenceRegressor, OF_TEXTS, (TEXTS, NUMBERS)),
    "tagger": (SequenceTagger, OF_TAGS, tagged_rows.make_tagged(40)),
    "series": (SeriesClassifier, OF_SERIES, series_rows.make_series(30)),
    "forecaster": (SequenceForecaster, OF_WAVES, (WAVES,)),
    "counts": (
        SequenceForecaster,
        {**OF_WAVES, "distribution": "negative-binomial"},
        (wave_rows.make_counts(3),),
    ),
}


class Kept(Callback):
    """The last batch of a training."""

    def on_batch_end(self, net, batch=None, training=False, **_):
        if training:
            self.batch = batch


@pytest.fixture(scope="module", params=MODELS)
def trained(request):
    """A model of several networks, what it was trained on, and the last batch of that."""
    kind, small, data = MODELS[request.param]
    kept = Kept()
    model = kind(**small, n_estimators=SIZE).fit(*data, callbacks=[("kept", kept)])
    return model, data, kept.batch


def answers(model, data):
    names = ("predict_quantiles", "predict_spans", "predict_proba", "predict")
    return getattr(model, next(name for name in names if hasattr(model, name)))(data[0][:7])


def floats(said):
    """The numbers that a network gives: one tensor, or those of a lattice."""
    return [said] if torch.is_tensor(said) else [said.scores, said.transitions]


def test_the_mean_is_the_answer(trained):
    model, data, _ = trained
    network, said = model.network, {}
    every = [network, *network.members]

    def keep(module, _, out):
        said[module] = floats(out)

    hooks = [module.register_forward_hook(keep) for module in every]
    answers(model, data)
    for hook in hooks:
        hook.remove()
    whole, *parts = (said[one] for one in every)
    for found, each in zip(whole, zip(*parts, strict=True), strict=True):
        assert_close(found, torch.stack(each).mean(0), rtol=0, atol=0, equal_nan=True)
        assert not torch.equal(each[0], each[1])


def test_each_network_has_the_gradients_it_has_alone(trained):
    model, _, batch = trained
    net = model.net_
    whole = net.module_
    net.module_.zero_grad()
    loss = net._step(batch, training=True)["loss"]
    found = [[p.grad * SIZE for p in member.parameters()] for member in whole.members]
    losses = []
    try:
        for member, gradients in zip(whole.members, found, strict=True):
            member.zero_grad()
            net.module_ = member
            losses.append(net._step(batch, training=True)["loss"])
            for expected, gradient in zip(member.parameters(), gradients, strict=True):
                assert_close(gradient, expected.grad, rtol=1e-4, atol=1e-6)
    finally:
        net.module_ = whole
    assert_close(loss, torch.stack(losses).mean())
    assert len(set(map(float, losses))) == SIZE


def test_what_is_saved_answers_alike(trained, tmp_path):
    model, data, _ = trained
    model.save(tmp_path)
    for read in (type(model).load(tmp_path), load_model(tmp_path)):
        assert isinstance(read.network, Ensemble)
        assert len(read.network.members) == SIZE
        np.testing.assert_equal(answers(read, data), answers(model, data))


def test_the_first_network_shows_its_states(run, tmp_path):
    kind, small, data = MODELS["tagger"]
    model = kind(**small, n_estimators=SIZE).fit(*data)
    seen = []
    first = model.network.members[0].rnn
    first.register_forward_hook(lambda *call: seen.append(call[-1][0].data))
    states = read_states(model, "Ann met Bob")
    np.testing.assert_array_equal(states.values, seen[0].numpy())
    model.save(tmp_path)
    status, out, err = run("inspect", tmp_path, "--text", "Ann met Bob")
    assert (status, err) == (0, "")
    assert f"networks   {SIZE}; states are of the first" in out
    assert "members.2.rnn.weight_hh_l0 " in out


@pytest.mark.parametrize("size", [1, 4])
def test_gradients_of_a_mean_are_clipped_to_a_smaller_norm(size):
    kind, small, data = MODELS["tagger"]
    net = kind(**small, n_estimators=size).fit(*data).net_
    clipping = dict(net.callbacks)["clipping"]
    assert clipping.gradient_clip_value == pytest.approx(net.steepest / size**0.5)


def test_one_network_is_no_ensemble():
    kind, small, data = MODELS["tagger"]
    model = kind(**small).fit(*data)
    assert type(model.network) is TagRNN


def test_further_passes_train_all_networks():
    kind, small, data = MODELS["classifier"]
    model = kind(**small, n_estimators=2)
    model.partial_fit(*data, classes=["False", "True"])
    before = [p.detach().clone() for p in model.network.parameters()]
    model.partial_fit(*data)
    for old, new in zip(before, model.network.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_how_many_networks_there_are_can_not_change():
    kind, small, data = MODELS["tagger"]
    model = kind(**small, n_estimators=2).fit(*data)
    with pytest.raises(TaskError, match=r"the network would have another members\.2\."):
        model.set_params(n_estimators=3, warm_start=True).fit(*data)


@pytest.mark.parametrize("size", [0, 65, 1.5, True])
def test_a_number_of_networks_that_can_not_be(size):
    kind, small, data = MODELS["tagger"]
    with pytest.raises(TaskError, match=r"n_estimators must be a whole number from 1 to 64\. Got"):
        kind(**small, n_estimators=size).fit(*data)

"""What a forecaster says of a step: quantiles, or a distribution at the scale of its series."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.nn.functional import softplus

from elman.tasks import SequenceForecaster, TaskError
from elman.tasks.networks.heads import FAMILIES, FLOOR, make_head
from elman.tasks.report.backtest import LEVELS, Backtest, naive_quantiles, ranked_scores
from tests.tasks.wave_rows import make_counts, make_waves

NAMES = list(FAMILIES)
SMALL = {"horizon": 4, "season": 4, "hidden_size": 8, "epochs": 20, "lr": 0.02, "verbose": 0}
LEVELS_ASKED = [0.05, 0.3, 0.5, 0.975]


def make(name):
    """Waves or, of a distribution of counts, counts."""
    return make_counts if FAMILIES[name].counts else make_waves


def peer(name, found, base, spread):
    """SciPy's distribution of a step, written down anew."""
    middle, deviation = base + spread * found[0], spread * (np.log1p(np.exp(found[1])) + FLOOR)
    if name == "normal":
        return stats.norm(middle, deviation)
    if name == "student-t":
        return stats.t(2 + np.log1p(np.exp(found[2])), middle, deviation)
    mean = deviation * np.log1p(np.exp(middle / deviation)) + FLOOR
    # The variance is mean + deviation**2.
    return stats.nbinom((mean / deviation) ** 2, mean / (mean + deviation**2))


def numbers(name, count=7, seed=0):
    draw = np.random.default_rng(seed)
    found = torch.from_numpy(draw.normal(size=(count, len(make_head(name, ()).begin)))).float()
    base, spread = (torch.from_numpy(draw.uniform(1, 20, count)) for _ in range(2))
    return found, base, spread


@pytest.mark.parametrize("name", NAMES)
def test_likelihoods_and_quantiles_are_scipys(name):
    head, (found, base, spread) = make_head(name, ()), numbers(name)
    truth = torch.from_numpy(np.random.default_rng(1).integers(0, 30, len(base)).astype(float))
    loss = head.loss(found, truth, base, spread)
    told = head.quantiles(found, base, spread, LEVELS_ASKED)
    assert (loss.dtype, told.dtype) == (torch.float64, torch.float64)
    for row in range(len(base)):
        like = peer(name, found[row].double().numpy(), float(base[row]), float(spread[row]))
        if FAMILIES[name].counts:
            expected = -like.logpmf(float(truth[row]))
        else:  # in spreads
            expected = -like.logpdf(float(truth[row])) - np.log(float(spread[row]))
        np.testing.assert_allclose(loss[row], expected, rtol=1e-7)
        np.testing.assert_allclose(told[row], like.ppf(LEVELS_ASKED), rtol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_same_at_any_scale(name):
    """Of counts only where they are many: few are no multiples of anything."""
    head, (found, base, spread) = make_head(name, ()), numbers(name)
    truth = (base + spread).round() * 1000
    many = 1e6 if FAMILIES[name].counts else 1.0
    once, scaled = (head.loss(found, k * truth, k * base, k * spread) for k in (many, 1e3 * many))
    expected = once + (np.log(1e3) if FAMILIES[name].counts else 0.0)
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [-30.0, 30.0])
@pytest.mark.parametrize(("base", "spread"), [(0.0, 1.0), (1e9, 1e-3), (1.0, 1e9)])
def test_no_number_is_out_of_reach(name, base, spread, width):
    head = make_head(name, ())
    found = torch.tensor([[shift, width, -5.0][: len(head.begin)] for shift in (-30.0, 0.0, 30.0)])
    given = (torch.full((3,), value, dtype=torch.float64) for value in (base, base, spread))
    loss = head.loss(found.requires_grad_(), *given)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert found.grad.isfinite().all()
    base, spread = (torch.full((3,), value, dtype=torch.float64) for value in (base, spread))
    assert head.quantiles(found.detach(), base, spread, LEVELS_ASKED).isfinite().all()


def test_a_distribution_is_scored_as_a_whole():
    """A hundred quantiles come near the integral (F(x) - 1{truth <= x})**2."""
    for like in (stats.norm(3, 2), stats.t(2.5, 3, 2)):
        for truth in (3.0, 9.0):
            below = integrate.quad(lambda x, like=like: like.cdf(x) ** 2, -np.inf, truth)[0]
            above = integrate.quad(lambda x, like=like: like.sf(x) ** 2, truth, np.inf)[0]
            found = ranked_scores(like.ppf(LEVELS), np.array(truth), LEVELS)
            assert found == pytest.approx(below + above, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_better_than_the_seasonal_naive_forecast(name):
    series = make(name)(4)
    model = SequenceForecaster(**SMALL, distribution=name).fit([one[:60] for one in series])
    test = model.backtest(series, [60] * 4)
    windows = model.windows(series, [60] * 4)
    naive = Backtest.of(windows, naive_quantiles, model.quantiles, [60] * 4, whole=True)
    share = 0.95 if FAMILIES[name].counts else 0.6  # what is not by chance; of Poisson's, most is
    assert test.mase < share * naive.mase
    assert test.crps < share * naive.crps
    assert 0.5 < test.coverage <= 1
    losses = [epoch["train_loss"] for epoch in model.training_["epochs"]]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_answers_go_together_and_through_a_folder(name, tmp_path):
    y = make(name)(2, seed=3)
    model = SequenceForecaster(**{**SMALL, "epochs": 2}, distribution=name).fit(y)
    told = model.predict_quantiles(y)
    np.testing.assert_array_equal(told[:, :, 1], model.predict(y))
    np.testing.assert_array_equal(model.predict_quantiles(y, [0.1, 0.5, 0.9]), told)
    assert (np.diff(model.predict_quantiles(y, [0.01, 0.2, 0.6]), axis=2) >= 0).all()
    steps = model.predict_distribution(y)
    assert steps.batch_shape == (2, 4)
    torch.manual_seed(0)
    drawn = np.quantile(steps.sample((20_000,)).numpy(), [0.1, 0.5, 0.9], axis=0)
    np.testing.assert_allclose(np.moveaxis(drawn, 0, 2), told, rtol=0.05)
    if FAMILIES[name].counts:
        assert ((told >= 0) & (told % 1 == 0)).all()
    model.save(tmp_path)
    loaded = SequenceForecaster.load(tmp_path)
    assert loaded.distribution == name
    np.testing.assert_array_equal(loaded.predict_quantiles(y), told)


def test_a_folder_of_version_1_answers_as_it_did(tmp_path):
    model = SequenceForecaster.load(Path(__file__).parent / "stored" / "forecaster1")
    assert model.distribution is None
    expected = [
        [94.91289226857909, 97.08031202845513, 98.78354950572643],
        [105.25710144514797, 107.06764073160976, 108.74658007261512],
    ]
    (y,) = make_waves(1, seed=3)
    np.testing.assert_allclose(model.predict_quantiles(y)[0], expected, rtol=1e-7)
    config = json.loads((Path(__file__).parent / "stored/forecaster1/config.json").read_bytes())
    config["parameters"]["distribution"] = "cauchy"
    (tmp_path / "config.json").write_text(json.dumps(config))
    names = "None, or one of normal, student-t, negative-binomial"
    with pytest.raises(TaskError, match=f"distribution must be {names}. Got 'cauchy'."):
        SequenceForecaster.load(tmp_path)


@pytest.mark.parametrize("valid", [False, True], ids=["to learn from", "held out"])
@pytest.mark.parametrize("value", [-1.0, 2.5])
def test_only_counts_are_learned_as_counts(value, valid):
    y, other = np.array([3.0, np.nan, 5.0, 4.0]), np.array([3.0, 1.0, value])
    given = {"valid": [np.append(y, other)]} if valid else {}
    where = "valid[0]" if valid else "y[1]"
    message = f"is for counts: whole numbers from 0. Got {value:g} in {where}; choose 'normal'"
    model = SequenceForecaster(**{**SMALL, "epochs": 1}, distribution="negative-binomial")
    with pytest.raises(TaskError, match=re.escape(message)):
        model.fit([y] if valid else [y, other], **given)


def test_what_is_asked_of_another_model_is_told():
    (y,) = make_waves(1)
    model = SequenceForecaster(**{**SMALL, "epochs": 1}).fit(y)
    with pytest.raises(TaskError, match=r"those that were learned, 0.1, 0.5, 0.9. Got 0.25; train"):
        model.predict_quantiles(y, [0.25, 0.5])
    with pytest.raises(TaskError, match="quantiles must be rising numbers between 0 and 1"):
        model.predict_quantiles(y, [0.5, 0.1])
    with pytest.raises(TaskError, match="learned quantiles; train one with distribution=, one of"):
        model.predict_distribution(y)
    with pytest.raises(TaskError, match=r"Got 'normall'\. Did you mean 'normal'\?"):
        SequenceForecaster(distribution="normall").fit(y)


def test_heavier_tails_than_a_normal_distributions():
    """The degrees of freedom are learned, and each number has its own place."""
    head, zeros = make_head("student-t", ()), torch.zeros(1)
    one = torch.ones(1, dtype=torch.float64)
    told = head.quantiles(torch.tensor([[0.0, 0.0, -20.0]]), zeros.double(), one, [0.999])
    scale = float(softplus(zeros)) + FLOOR
    np.testing.assert_allclose(told[0, 0], scale * stats.t(2).ppf(0.999), rtol=1e-5)

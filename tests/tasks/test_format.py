"""docs/format.md, followed to the letter: answers from the two files of a folder alone."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from elman.tasks import History, SequenceForecaster, SequenceTagger
from tests.tasks.tagged_rows import make_auxiliary, make_tagged
from tests.tasks.wave_rows import make_counts

DAY = 86_400.0


def softplus(x):
    return np.log1p(np.exp(x))


def features(outlook, times, known):
    """The steady features (T, F) of all steps of a series."""
    size, covariates = outlook["pace"]["size"], outlook["known"]
    gaps = np.concatenate([[1.0], np.diff(times) / size])
    columns = [np.log(np.maximum(gaps, 1e-3))]
    for column, mean, scale in zip(known.T, covariates["mean"], covariates["scale"], strict=True):
        columns.append(np.nan_to_num((column - mean) / scale))
    turns = [2 * np.pi * times / DAY / days for days in (1, 7, 365.2425) if days * DAY > 2 * size]
    return np.stack([*columns, *map(np.sin, turns), *map(np.cos, turns)], 1)


def window(outlook, values, times, known, H):
    """What was and what is ahead, (C, F) and (H, G), the base (H,) and the spread."""
    m, C, T = outlook["season"], outlook["context"], len(values)
    begin, steady = max(0, T - C), features(outlook, times, known)
    change = np.full(T, np.nan)
    change[m:] = values[m:] - values[:-m]
    there = values[begin:][~np.isnan(values[begin:])]
    middle, scale = there.mean(), there.std()
    scale = scale if scale > 1e-9 * abs(middle) else 1.0
    spread = np.nanmean(np.abs(change[begin:]))
    spread = spread if spread > 1e-9 * (scale + abs(middle)) else scale
    filled = values.copy()
    for t in range(T):
        for back in (m, 1):
            if np.isnan(filled[t]) and t >= back:
                filled[t] = filled[t - back]
    base = []
    for ahead in range(H):
        step = T + ahead - m * (ahead // m + 1)  # the last one before T
        base.append(filled[step] if step >= 0 else filled[-1])
    base = np.array(base)
    was = np.stack([(values - middle) / scale, np.clip(change / spread, -10, 10)], 1)[begin:]
    missing = np.isnan(np.stack([values, change], 1))[begin:]
    was = np.concatenate([np.nan_to_num(was), missing, steady[begin:T]], 1)
    far = np.stack([(base - middle) / scale, np.arange(1, H + 1) / H], 1)
    return was, np.concatenate([far, steady[T:]], 1), base, spread


@pytest.mark.parametrize("distribution", [None, "normal", "student-t", "negative-binomial"])
def test_forecasts_follow_from_the_files_as_the_page_says(distribution, tmp_path):
    H, (values,) = 5, make_counts(1, 41)
    values[[3, 17, 38]] = np.nan
    times = np.arange(46) + np.datetime64("2024-02-20", "D")
    known = np.random.default_rng(0).normal(3, 2, (46, 2))
    known[[5, 44], 1] = np.nan
    model = SequenceForecaster(
        cell="rnn",
        horizon=H,
        season=4,
        hidden_size=3,
        epochs=2,
        verbose=0,
        distribution=distribution,
        quantiles=(0.2, 0.5),
    )
    y = History(values, times, known)
    model.fit(y).save(tmp_path)

    config = json.loads((tmp_path / "config.json").read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    assert config["version"] == 2
    seconds = times.astype("datetime64[s]").astype(float)
    was, ahead, base, s = window(config["outlook"], values, seconds, known, H)
    rnn = torch.nn.RNN(was.shape[1], 3)
    rnn.load_state_dict({k.removeprefix("rnn."): v for k, v in tensors.items() if "rnn." in k})
    given = {name: tensor.numpy() for name, tensor in tensors.items()}
    with torch.no_grad():
        state = rnn(torch.from_numpy(was.astype(np.float32)))[1][0].numpy()
    context = (given["context.weight"] @ state + given["context.bias"]).reshape(H, 32)
    hidden = np.tanh(context + ahead @ given["ahead.weight"].T)
    out = (hidden @ given["output.weight"].T + given["output.bias"]).T
    if distribution is None:
        expected = np.sort(out, 0).T * s + base[:, None]
        np.testing.assert_allclose(model.predict_quantiles(y)[0], expected, rtol=1e-4)
        return
    found = model.predict_distribution(y)
    middle, d = base + out[0] * s, s * (softplus(out[1]) + 0.001)
    if distribution == "negative-binomial":
        mean = d * softplus(middle / d) + 0.001
        np.testing.assert_allclose(found.mean[0], mean, rtol=1e-4)
        np.testing.assert_allclose(found.variance[0], mean + d**2, rtol=1e-4)
        np.testing.assert_allclose(found.total_count[0], (mean / d) ** 2, rtol=1e-4)
        return
    np.testing.assert_allclose(found.loc[0], middle, rtol=1e-4)
    np.testing.assert_allclose(found.scale[0], d, rtol=1e-4)
    if distribution == "student-t":
        np.testing.assert_allclose(found.df[0], 2 + softplus(out[2]), rtol=1e-4)


def test_scores_of_tags_follow_from_the_files_as_the_page_says(tmp_path):
    texts, spans = make_tagged(30)
    settings = {"hidden_size": 3, "embedding_size": 4, "epochs": 1, "verbose": 0, "repeats": True}
    model = SequenceTagger(**settings).fit(texts, spans, make_auxiliary(texts))
    model.save(tmp_path)

    config = json.loads((tmp_path / "config.json").read_bytes())
    given = load_file(tmp_path / "model.safetensors")
    text = "李在北京是李在北京的"
    pairs = [a + b for a, b in zip(text, [*text[1:], "\n"], strict=True)]
    columns = {"character": list(text), "pair": pairs}
    ids = []
    for name, values in columns.items():
        known = config["vocabularies"][name]
        ids.append([known.index(value) + 2 if value in known else 1 for value in values])
    characters, begun = (given[f"embeddings.{n}.weight"][row] for n, row in enumerate(ids))
    ended = torch.cat([torch.zeros(1, 2), begun[:-1]])
    rnn = torch.nn.GRU(8, 3, bidirectional=True)
    rnn.load_state_dict({k.removeprefix("rnn."): v for k, v in given.items() if "rnn." in k})
    with torch.no_grad():
        features, _ = rnn(torch.cat([characters, begun, ended], 1))
    expected = features @ given["output.weight"].T + given["output.bias"]
    for number, values in enumerate((pairs, [None, *pairs[:-1]])):
        for at, value in enumerate(values):
            others = [k for k, other in enumerate(values) if other == value and k != at]
            if others:
                expected[at] += (features[others] @ given[f"repeated.{number}.weight"].T).mean(0)
    assert given["auxiliary.weight"].shape == (len(config["auxiliary"]), 6)
    with torch.no_grad():
        found = model.network(model._encode([text]).pack(np.array([0]))).scores
    torch.testing.assert_close(found, expected)

"""A model of each library and a batch for it, with sizes that its users have.

Each function returns a module, a call of it that gives a tensor, and subclasses of torch.nn's
layers that may be taken; those of ``FITS`` return a function that fits and gives predictions, and
the fitted model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence


def speechbrain_rnn() -> Any:
    from speechbrain.nnet.RNN import GRU

    x, lengths = torch.randn(8, 120, 80), torch.linspace(0.3, 1, 8)
    model = GRU(128, input_shape=x.shape, num_layers=2, bidirectional=True, re_init=False)
    return model, lambda m: m(x, lengths=lengths)[0]


def speechbrain_ligru() -> Any:
    from speechbrain.nnet.RNN import LiGRU

    x = torch.randn(8, 120, 80)
    model = LiGRU(128, x.shape, num_layers=2, bidirectional=True, dropout=0.15)
    return model, lambda m: m(x)[0]


def _torchrl(kind: str) -> Any:
    from tensordict import TensorDict
    from torchrl.modules import GRUModule, LSTMModule, set_recurrent_mode

    states = ["h", "c"] if kind == "LSTM" else ["h"]
    module = {"LSTM": LSTMModule, "GRU": GRUModule}[kind](
        input_size=32,
        hidden_size=128,
        in_keys=["x", *states],
        out_keys=["y", *(("next", s) for s in states)],
        device="cpu",
    )
    data = {"x": torch.randn(16, 64, 32), "is_init": torch.rand(16, 64, 1) < 0.03}
    data |= {s: torch.zeros(16, 64, 1, 128) for s in states}
    batch = TensorDict(data, [16, 64])

    def call(m: Any) -> torch.Tensor:
        with set_recurrent_mode(True):
            found: torch.Tensor = m(batch.clone(False))["y"]
        return found

    return module, call


def torchrl_lstm() -> Any:
    return _torchrl("LSTM")


def torchrl_gru() -> Any:
    return _torchrl("GRU")


def _neuralhydrology(kind: str) -> Any:
    from neuralhydrology.modelzoo import get_model
    from neuralhydrology.utils.config import Config

    dynamic, static = [f"d{i}" for i in range(5)], [f"s{i}" for i in range(27)]
    options = {
        "model": kind,
        "hidden_size": 128,
        "dynamic_inputs": dynamic,
        "static_attributes": static,
        "target_variables": ["q"],
        "output_dropout": 0.4,
        "head": "regression",
        "output_activation": "linear",
        "initial_forget_bias": 3,
        "predict_last_n": 1,
        "seq_length": 180,
    }
    data = {"x_d": {k: torch.randn(64, 180, 1) for k in dynamic}, "x_s": torch.randn(64, 27)}
    return get_model(Config(options)), lambda m: m(data)["y_hat"]


def neuralhydrology_cudalstm() -> Any:
    return _neuralhydrology("cudalstm")


def neuralhydrology_ealstm() -> Any:
    return _neuralhydrology("ealstm")


def _stanza(dropout: float) -> Any:
    from stanza.models.common.hlstm import HighwayLSTM

    x, lengths = torch.randn(16, 30, 125), [30 - i for i in range(16)]
    options = {"batch_first": True, "bidirectional": True, "pad": True, "dropout": 0.5}
    model = HighwayLSTM(125, 200, 2, rec_dropout=dropout, highway_func=torch.tanh, **options)
    return model, lambda m: m(x, lengths)[0]


def stanza_tagger() -> Any:
    return _stanza(0.0)


def stanza_recurrent_dropout() -> Any:
    return _stanza(0.3)


def flair_language_model() -> Any:
    from flair.data import Dictionary
    from flair.models import LanguageModel

    letters = Dictionary()
    for i in range(64):
        letters.add_item(str(i))
    ids, model = torch.randint(0, 64, (60, 16)), LanguageModel(letters, True, 512, 1)
    return model, lambda m: m(ids, m.init_hidden(16))[0]


def gluonts_deepar() -> Any:
    from gluonts.torch.model.deepar.module import DeepARModel

    model = DeepARModel("D", 60, 14, num_layers=2, hidden_size=40, lags_seq=[1, 2, 7])
    past = model.past_length
    inputs = {
        "feat_static_cat": torch.zeros(32, 1, dtype=torch.long),
        "feat_static_real": torch.zeros(32, 1),
        "past_time_feat": torch.randn(32, past, 1),
        "past_target": torch.randn(32, past).exp(),
        "past_observed_values": torch.ones(32, past),
        "future_time_feat": torch.randn(32, 14, 1),
        "future_target": torch.randn(32, 14).exp(),
    }
    return model, lambda m: torch.cat(m.unroll_lagged_rnn(**inputs)[0], -1)


def neuralforecast_lstm() -> Any:
    from neuralforecast.models import LSTM

    model = LSTM(h=12, input_size=48, encoder_hidden_size=128, decoder_hidden_size=64, max_steps=1)
    batch = {"insample_y": torch.randn(64, 60, 1), "futr_exog": None, "hist_exog": None}
    batch |= {"stat_exog": None}
    return model, lambda m: m(batch)


def pytorch_forecasting_rnn() -> Any:
    from pytorch_forecasting.models.nn.rnn import GRU, LSTM

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = LSTM(24, 64, num_layers=2, batch_first=True)
            self.decoder = GRU(64, 64, batch_first=True)

        def forward(self, x: Any, lengths: Any) -> torch.Tensor:
            output, _ = self.encoder(x, lengths=lengths, enforce_sorted=False)
            found: torch.Tensor = self.decoder(output)[0]
            return found

    x, lengths = torch.randn(64, 50, 24), torch.randint(10, 51, (64,))
    lengths[0] = 50
    return Model(), lambda m: m(x, lengths), LSTM, GRU


def pyannote_pyannet() -> Any:
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    model = PyanNet()
    classes = ["a", "b", "c"]
    problem = Problem.MULTI_LABEL_CLASSIFICATION
    model.specifications = Specifications(problem, Resolution.FRAME, 5.0, classes=classes)
    model.build()
    x = torch.randn(8, 1, 80000)
    return model, lambda m: m(x)


def kokoro_prosody() -> Any:
    from kokoro.modules import ProsodyPredictor

    model, T = ProsodyPredictor(style_dim=128, d_hid=512, nlayers=3), 60
    x, style, lengths = torch.randn(1, 512, T), torch.randn(1, 128), torch.tensor([T])
    mask = torch.zeros(1, T, dtype=torch.bool)

    def call(m: Any) -> torch.Tensor:
        d = m.text_encoder(x, style, lengths, mask)
        found: torch.Tensor = m.duration_proj(m.lstm(d)[0])
        return found

    return model, call


def xlstm_slstm() -> Any:
    from xlstm.blocks.slstm.layer import sLSTMLayer, sLSTMLayerConfig

    x = torch.randn(8, 64, 128)
    options = {"embedding_dim": 128, "num_heads": 4, "backend": "vanilla"}
    return sLSTMLayer(sLSTMLayerConfig(**options)), lambda m: m(x)


def _torchrecurrent(name: str) -> Any:
    import torchrecurrent

    x = torch.randn(60, 16, 32)
    return getattr(torchrecurrent, name)(32, 128), lambda m: m(x)[0]


def torchrecurrent_mgu() -> Any:
    return _torchrecurrent("MGU")


def torchrecurrent_peephole() -> Any:
    return _torchrecurrent("PeepholeLSTM")


def torchrecurrent_lem() -> Any:
    return _torchrecurrent("LEM")


def packed_lstm() -> Any:
    """torch.nn's own with a packed batch, for comparison."""
    x = pack_padded_sequence(torch.randn(50, 32, 64), torch.arange(50, 18, -1))
    return torch.nn.LSTM(64, 128), lambda m: m(x)[0].data


class _SkorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = torch.nn.GRU(8, 64, batch_first=True), torch.nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.gru(x)[0][:, -1])
        return found


def skorch_regressor() -> Any:
    from skorch import NeuralNetRegressor

    x = np.random.default_rng(0).normal(size=(512, 40, 8)).astype("float32")
    y = x.sum((1, 2))[:, None]
    net = NeuralNetRegressor(_SkorchNet, max_epochs=1, batch_size=64, verbose=0, train_split=None)
    return lambda: (net.fit(x, y).predict(x), net)


def darts_rnn(kind: str = "LSTM") -> Any:
    import pandas as pd
    from darts import TimeSeries
    from darts.models import RNNModel

    times = pd.date_range("2000-01-01", periods=400)
    values = np.sin(np.arange(400) / 5).astype("float32")
    series = TimeSeries.from_times_and_values(times, values)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    model = RNNModel(
        input_chunk_length=24,
        training_length=36,
        model=kind,
        n_epochs=1,
        random_state=0,
        pl_trainer_kwargs={"accelerator": "cpu", "enable_checkpointing": False, **quiet},
    )
    return lambda: (model.fit(series).predict(24).values().copy(), model)


def darts_gru() -> Any:
    return darts_rnn("GRU")


def sb3_recurrent_ppo() -> Any:
    from sb3_contrib import RecurrentPPO

    sizes = {"n_steps": 128, "batch_size": 64, "n_epochs": 4}
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", seed=0, device="cpu", **sizes)

    def learn() -> Any:
        model.learn(128)
        weights = [p.detach().flatten() for p in model.policy.parameters()]
        return torch.cat(weights), model

    return learn


Make = Callable[[], Any]

#: The distribution's name, what the model is, and the function.
MODELS: list[tuple[str, str, Make]] = [
    ("torch", "packed LSTM, of torch.nn itself", packed_lstm),
    ("speechbrain", "GRU with lengths", speechbrain_rnn),
    ("speechbrain", "LiGRU", speechbrain_ligru),
    ("torchrl", "LSTMModule with resets", torchrl_lstm),
    ("torchrl", "GRUModule with resets", torchrl_gru),
    ("neuralhydrology", "CudaLSTM", neuralhydrology_cudalstm),
    ("neuralhydrology", "EALSTM", neuralhydrology_ealstm),
    ("stanza", "HighwayLSTM", stanza_tagger),
    ("stanza", "HighwayLSTM, recurrent dropout", stanza_recurrent_dropout),
    ("flair", "LanguageModel", flair_language_model),
    ("gluonts", "DeepAR", gluonts_deepar),
    ("neuralforecast", "LSTM", neuralforecast_lstm),
    ("pytorch-forecasting", "LSTM and GRU, subclasses", pytorch_forecasting_rnn),
    ("pyannote.audio", "PyanNet", pyannote_pyannet),
    ("kokoro", "ProsodyPredictor", kokoro_prosody),
    ("xlstm", "sLSTM", xlstm_slstm),
    ("torchrecurrent", "MGU", torchrecurrent_mgu),
    ("torchrecurrent", "PeepholeLSTM", torchrecurrent_peephole),
    ("torchrecurrent", "LEM", torchrecurrent_lem),
]

#: The same of what is timed as a whole.
FITS: list[tuple[str, str, Make]] = [
    ("skorch", "fit of a GRU", skorch_regressor),
    ("darts", "RNNModel LSTM, fit", darts_rnn),
    ("darts", "RNNModel GRU, fit", darts_gru),
    ("sb3-contrib", "RecurrentPPO, learn", sb3_recurrent_ppo),
]

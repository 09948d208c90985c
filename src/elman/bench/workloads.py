"""The named workloads: sizes at which people run recurrent layers on a processor."""

from __future__ import annotations

from typing import NamedTuple

from .task import MODES, Task


class Workload(NamedTuple):
    """Sizes as :class:`.Task` has them; ``modes`` are those in which its users wait for it."""

    layer: str
    T: int
    B: int
    I: int  # noqa: E741 - as in Task
    H: int
    num_layers: int = 1
    bidirectional: bool = False
    modes: tuple[str, ...] = MODES
    about: str = ""

    def task(self, mode: str, threads: int) -> Task:
        """This workload in one of its modes."""
        return Task(*self[:7], mode, threads)


INFERENCE, TRAINING = (MODES[0],), (MODES[1],)

WORKLOADS = {
    "tutorial": Workload("RNN", 3, 1, 2, 4, about="the first example that everyone types"),
    "psychrnn": Workload(
        "RNN", 200, 128, 3, 50, modes=TRAINING, about="neuroscience: a cognitive task"
    ),
    "ptb-lm": Workload("RNN", 35, 20, 200, 200, 2, about="the word model of PyTorch's examples"),
    "darts": Workload("RNN", 24, 32, 1, 25, about="forecasting with the defaults of Darts"),
    "char-rnn": Workload("RNN", 100, 64, 128, 512, about="a language model of characters"),
    "qlib": Workload("GRU", 60, 800, 6, 64, 2, about="stock prices, the GRU of Qlib's Alpha360"),
    "lfads": Workload(
        "GRU", 100, 64, 100, 100, 1, True, TRAINING, "neuroscience: the dynamics behind spikes"
    ),
    "edge-gru": Workload("GRU", 100, 1, 32, 32, about="a sensor's signal on a small device"),
    "rnnoise": Workload(
        "GRU", 1, 1, 256, 256, 3, modes=INFERENCE, about="streaming: noise out of speech"
    ),
    "silero-vad": Workload(
        "LSTM", 1, 1, 128, 128, modes=INFERENCE, about="streaming: does someone speak?"
    ),
    "amp-model": Workload(
        "LSTM", 2048, 1, 1, 18, 3, about="a guitar amplifier, a block of audio samples"
    ),
    "hydrology": Workload(
        "LSTM", 365, 256, 31, 128, modes=TRAINING, about="rivers' discharge, a year of days"
    ),
    "deepar": Workload("LSTM", 100, 32, 40, 40, 2, about="probabilistic forecasting"),
    "rl-rollout": Workload(
        "LSTM", 1, 16, 64, 256, modes=INFERENCE, about="streaming: a policy in 16 environments"
    ),
    "rl-train": Workload(
        "LSTM", 128, 128, 64, 256, modes=TRAINING, about="the policy learns from its episodes"
    ),
    "diarization": Workload("LSTM", 300, 32, 60, 128, 2, True, about="who speaks when"),
    "tagger": Workload("LSTM", 40, 50, 200, 200, 2, True, about="parts of speech"),
}
